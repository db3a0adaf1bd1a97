"""Training mixes, and protocols of tasks and their optional abilities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.types.data import Direction, Images, ImageSet, Progress
from bench.types.datasets import DataClasses
from bench.types.metrics import Tally
from bench.types.plugins import Card

SyntheticSource = Literal["generated", "shuffled", "copied", "augmented"]


@dataclass(frozen=True)
class TrainingMix:
    """What a downstream model is trained on: shares of the training conditions shown as real and as generated patches."""

    name: str
    real: float
    synthetic: float
    synthetic_source: SyntheticSource = "generated"
    """What the synthetic share is made of: `generated` patches, or as controls `shuffled` ones (under maps of other patches),
    copies of the real share (`copied`), or augmented views of it (`augmented`)."""


@runtime_checkable
class Task(Protocol):
    """A downstream model trained on a mix of real and synthetic patches and scored on real test patches."""

    card: Card
    direction: Direction
    embedded: str
    """Dataset used while no data folder is configured."""
    readers: tuple[str, ...]
    """Datasets that can read a configured data folder for this task, tried in order."""
    mixes: tuple[TrainingMix, ...]

    def score(self, mix: list[ImageSet], validation: ImageSet, test: ImageSet, seed: int, progress: Progress) -> Tally:
        """Trains on the sets of `mix` (one or two, equal budget whatever their size), selects on `validation`, and counts on
        `test`."""
        ...

    def tally(self, counts: NDArray[np.float64], classes: tuple[str, ...]) -> Tally:
        """The tally that `score` gave, rebuilt from its stored counts."""
        ...

    def measures(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """The measures that a tally has for these classes. A test set that lacks a class may have further ones."""
        ...


@runtime_checkable
class UsesPool(Protocol):
    """A task whose downstream models are trained on another split than `train`, if the dataset has it."""

    pool: str


@runtime_checkable
class ChecksClasses(Protocol):
    """A task that says what classes it means."""

    def check_classes(self, found: DataClasses) -> str:
        """How the classes of the data are read, which a run prints first; empty if their names are those of the task.
        UsageError, with the options that would help, if the data have other classes than the task means."""
        ...


@runtime_checkable
class LimitsPatches(Protocol):
    """A task that limits the number of patches that downstream models are trained on."""

    patches: int
    """How many of them; 0 for all."""


@runtime_checkable
class BringsMetrics(Protocol):
    """A task with metrics that belong to it."""

    metrics: tuple[str, ...]
    """Measured in addition to the default metrics if no metrics are named."""


@runtime_checkable
class ProvidesExperiments(Protocol):
    """A task with experiments."""

    experiments: Path
    """Folder of TOML files, one for each experiment."""


@runtime_checkable
class SegmentsNuclei(Protocol):
    """A task whose model segments nuclei, as the metric of nuclei needs."""

    def learn(self, mix: list[ImageSet], validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains the model and writes it into the folder."""
        ...

    def segment(self, folder: Path, images: Images) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Instances int32 (n, h, w), 0 for none, and types uint8 (n, h, w) by the model in the folder."""
        ...


@runtime_checkable
class SegmentsRegions(Protocol):
    """A task with reference segmenters of different architectures that read class maps off images, as the metric of maps
    needs."""

    references: tuple[str, ...]
    """Names of the reference segmenters, at least one."""

    def learn_references(self, training: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains all of them and writes them into the folder."""
        ...

    def read_maps(self, folder: Path, images: Images) -> NDArray[np.uint8]:
        """uint8 (references, n, h, w): the class of each pixel by each of those in the folder."""
        ...
