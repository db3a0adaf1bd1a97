"""Experiments: a named list of training mixes, what is compared with what, and what a paper reported. Read from TOML.

An experiment is a list of names and shares, without code. Those of this project are in tasks/experiments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from bench.errors import UsageError, did_you_mean
from bench.files import typed_toml
from bench.statistics.equivalence import Claim
from bench.types import SyntheticSource, TrainingMix

BETWEEN = " - "
"""Separates the names of the two arms of a difference."""
HEADROOM = "headroom"
"""Measure of the record that says how much more real patches improve the score."""


@dataclass(frozen=True)
class Arm:
    """One training mix, and what a paper reported for it: measure -> value."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    name: str
    real: float = 0.0
    synthetic: float = 0.0
    synthetic_source: SyntheticSource = "generated"
    reported: dict[str, float] = field(default_factory=dict)

    @property
    def mix(self) -> TrainingMix:
        return TrainingMix(self.name, self.real, self.synthetic, self.synthetic_source)


@dataclass(frozen=True)
class Comparison:
    """Whether one training mix is superior, non-inferior or equivalent to another, at a margin of a measure."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    arm: str
    against: str
    claim: Claim
    margin: float = 0.0


@dataclass(frozen=True)
class Experiment:
    """What is trained on, compared and reported."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    name: str
    summary: str
    pool: Literal["train", "R1", "R2"]
    """The real patches that shares are taken from, and whose conditions are generated."""
    measures: tuple[str, ...]
    """Columns of its table; comparisons use the first."""
    arm: tuple[Arm, ...]
    comparison: tuple[Comparison, ...] = ()
    source: str = ""
    """Where the reported numbers come from."""
    embedded: dict[str, int | float | str] = field(default_factory=dict)
    """Options -> values, `task.patches` -> 40, of runs on embedded data that are not given others: sizes with headroom."""


def read(path: Path) -> Experiment:
    """The experiment of a TOML file; raises MissingError or UsageError, naming the file and the line of the fault."""
    found = typed_toml.read(path, Experiment, "experiment")
    names = [arm.name for arm in found.arm]
    if len(set(names)) < len(names) or not found.measures:
        raise UsageError(f"{path}: training mixes have names of their own, and there is at least one measure.")
    for comparison in found.comparison:
        for name in (comparison.arm, comparison.against):
            if name not in names:
                raise UsageError(
                    f"{path} compares the training mix {name!r}, which it does not have.{did_you_mean(name, names)}"
                )
        if comparison.claim != "superior" and comparison.margin <= 0:
            raise UsageError(f"{path}: {comparison.arm!r} is to be {comparison.claim}: state a margin above 0.")
    return found


def find(asked: str, folder: Path | None, task: str) -> Experiment:
    """The experiment of this name in the task's folder, or of a TOML file."""
    if asked.endswith(".toml"):
        return read(Path(asked))
    known = sorted(path.stem for path in folder.glob("*.toml")) if folder else []
    if asked not in known or folder is None:
        raise UsageError(
            f"{task} has no experiment {asked!r}.{did_you_mean(asked, known)} It has: {', '.join(known) or 'none'}; "
            "or give a file.toml."
        )
    return read(folder / f"{asked}.toml")
