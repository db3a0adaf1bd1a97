"""Protocols of datasets and their optional abilities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bench.types.data import ImageSet
from bench.types.plugins import Card


@runtime_checkable
class Dataset(Protocol):
    """Conditions and real patches of one origin, split by slide."""

    card: Card
    provides: frozenset[str]
    """Condition columns of its splits, except prompts, which the harness cuts, and places in images."""

    def split(self, name: str) -> ImageSet:
        """`train`, `validation` or `test`: no slide in two of them. `holdout`: real patches of slides that are in
        neither train nor test, the source of the control `real`; a card says where they come from."""
        ...


@dataclass(frozen=True)
class DataClasses:
    """The classes of the data of a run, for a task that says what classes it means."""

    dataset: str
    """Name of the dataset."""
    names: tuple[str, ...]
    """Of the classes 0, 1, ... of its masks; `class-0`, `class-1`, ... where nobody has named them."""
    numbers: tuple[tuple[int, ...], ...] | None = None
    """Of each class, the numbers in the files that it was made from; None if the dataset has no options `class_map` and
    `classes`, which renumber and name classes."""
    ignored: tuple[int, ...] = ()
    """Numbers in the files that are read as not annotated."""


@runtime_checkable
class ProvidesPools(Protocol):
    """A dataset with further splits for downstream training."""

    pools: tuple[str, ...]
    """Names that `split` takes: `R1`, of training slides, and `R2`, of slides in no other split."""


@runtime_checkable
class ProvidesPromptDonors(Protocol):
    """A dataset that may have patches of its test slides that are in no reference set. Visual prompts of test patches are cut
    from them, so that a generator gets no pixel of a reference patch (except with the prompt source `self`)."""

    @property
    def has_prompt_donors(self) -> bool:
        """Whether there are any, known without reading images."""
        ...

    def prompt_donors(self) -> ImageSet:
        """Real patches of slides of the split `test`, with maps, that are in no split and share no pixel with a patch of
        `test`. Only prompts are cut from them."""
        ...


@runtime_checkable
class RecognisesFolder(Protocol):
    """A dataset class that can tell whether a folder has its layout."""

    @staticmethod
    def recognises(folder: Path) -> bool: ...


@runtime_checkable
class Procedural(Protocol):
    """A dataset class that says whether its images are computed and show no patient."""

    procedural: bool
    """If true, a run on it says so first, and its records carry the flag `embedded`."""


@runtime_checkable
class SummarisesData(Protocol):
    """A dataset with a summary that is printed before a run: how its patches were cut, and how many were left out."""

    @property
    def tile_summary(self) -> Any:
        """Shown as text. MissingError as `split`."""
        ...
