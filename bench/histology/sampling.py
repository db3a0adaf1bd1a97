"""What the patches of a dataset are samples of: the unit of every split and interval, and a resolution that can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

LEAST_MPP, MOST_MPP = 0.1, 4.0
"""Microns per pixel of 100x and of 2.5x, which no histology for patches lies beyond: what does was read in a wrong unit."""
CONFIRM_MPP = "confirm_mpp"
"""Option of a dataset by which a user vouches for a resolution outside of these."""


def is_plausible_mpp(mpp: float) -> bool:
    """Whether this can be the resolution of histology; NaN, an unknown one, can."""
    return not (mpp < LEAST_MPP or mpp > MOST_MPP)


def implausible_mpp(what: str) -> str:
    """The refusal of a resolution; `what` says which one and where it was found."""
    return (
        f"{what}, outside {LEAST_MPP:g} to {MOST_MPP:g} microns per pixel. A TIFF unit read wrongly is ten times off: "
        f"correct the number, or confirm it with -o {CONFIRM_MPP}=true."
    )


@dataclass(frozen=True)
class Sampling:
    """What the groups of a dataset's patches are, and who assigned them to the splits."""

    unit: str
    """Plural noun for the groups: "patients", "slides"; "images" where nothing says which images are of one slide."""
    basis: str
    """Where the groups come from: "column patient_id of index.csv"."""
    splits: str
    """Where the splits come from: "column split of index.csv"."""
    is_known: bool = True
    """False where each image stands for its slide because no table tells more: then no interval is given."""
    clusters: str = ""
    """Plural noun for the clusters that intervals range over in place of the groups: "laboratories", "centres"; empty where
    they range over the groups."""
    cluster_basis: str = ""
    """Where the clusters come from: "column lab of index.csv"."""
    laboratories: int = 0
    """Of how many laboratories or centres the test patches are, where intervals range over the groups; 0 where it is not known
    before images are read."""

    @property
    def interval_unit(self) -> str:
        """Plural noun for what every interval resamples."""
        return self.clusters or self.unit

    @property
    def population(self) -> str:
        """What an interval speaks of: "other laboratories", "other slides of the same 4 laboratories"."""
        if self.clusters:
            return f"other {self.clusters}"
        if self.laboratories == 1:
            return f"other {self.unit} of the same laboratory"
        count = f"{self.laboratories} " if self.laboratories else ""
        return f"other {self.unit} of the same {count}laboratories"


@runtime_checkable
class StatesSampling(Protocol):
    """A dataset that says what its groups are. Where it does not, they are slides."""

    @property
    def sampling(self) -> Sampling:
        """From the tables of the dataset alone; images are not read. Raises MissingError as `split` does."""
        ...
