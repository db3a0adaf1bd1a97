"""What the groups of a dataset are: the sampling unit of every split and interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


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


@runtime_checkable
class StatesSampling(Protocol):
    """A dataset that says what its groups are. Where it does not, they are slides."""

    @property
    def sampling(self) -> Sampling:
        """From the tables of the dataset alone; images are not read. Raises MissingError as `split` does."""
        ...
