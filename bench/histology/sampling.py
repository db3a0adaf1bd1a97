"""The sampling unit of a dataset, used by every split and interval, and the plausible range of its resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

LEAST_MPP, MOST_MPP = 0.1, 4.0
"""Microns per pixel at 100x and at 2.5x. A value beyond these was probably read in a wrong unit."""
CONFIRM_MPP = "confirm_mpp"
"""Option of a dataset by which a user confirms a resolution outside this range."""


def is_plausible_mpp(mpp: float) -> bool:
    """Whether this can be the resolution of histology; true for NaN (unknown)."""
    return not (mpp < LEAST_MPP or mpp > MOST_MPP)


def implausible_mpp(what: str) -> str:
    """The message for an implausible resolution; `what` names the value and its place."""
    return (
        f"{what}, outside {LEAST_MPP:g} to {MOST_MPP:g} microns per pixel. A TIFF unit read wrongly is ten times off: "
        f"correct the number, or confirm it with -o {CONFIRM_MPP}=true."
    )


@dataclass(frozen=True)
class Sampling:
    """The groups of a dataset's patches, and the origin of its splits."""

    unit: str
    """Plural noun for the groups: "patients", "slides"; "images" if it is unknown which images are of one slide."""
    basis: str
    """Where the groups come from: "column patient_id of index.csv"."""
    splits: str
    """Where the splits come from: "column split of index.csv"."""
    is_known: bool = True
    """False if no table names slides and each image counts as one: then no interval is given."""
    clusters: str = ""
    """Plural noun for the clusters that intervals resample instead of the groups: "laboratories", "centres"; empty if they
    resample the groups."""
    cluster_basis: str = ""
    """Where the clusters come from: "column lab of index.csv"."""
    laboratories: int = 0
    """Number of laboratories of the test patches, if intervals resample the groups; 0 if it is unknown before images are
    read."""

    @property
    def interval_unit(self) -> str:
        """Plural noun for what every interval resamples."""
        return self.clusters or self.unit

    @property
    def population(self) -> str:
        """The population that an interval describes: "other laboratories", "other slides of the same 4 laboratories"."""
        if self.clusters:
            return f"other {self.clusters}"
        if self.laboratories == 1:
            return f"other {self.unit} of the same laboratory"
        count = f"{self.laboratories} " if self.laboratories else ""
        return f"other {self.unit} of the same {count}laboratories"


@runtime_checkable
class StatesSampling(Protocol):
    """A dataset that states its sampling unit. Without this ability, the unit is the slide."""

    @property
    def sampling(self) -> Sampling:
        """Read from the tables of the dataset, not from images. Raises MissingError as `split` does."""
        ...
