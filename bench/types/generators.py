"""Protocols of generators and layout generators, and their optional abilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.types.data import Conditions, Images, ImageSet, Progress, Strings
from bench.types.plugins import Card


@runtime_checkable
class Generator(Protocol):
    """Generates one image for each condition and seed.

    Options are constructor arguments with defaults, kept as attributes of the same names, or fields of a config
    (`HasPresets`). Constructors are cheap: weights and heavy libraries are loaded at first use.
    """

    card: Card

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3). Image i depends only on condition i and seed i."""
        ...


@runtime_checkable
class Fittable(Protocol):
    """A plug-in that is trained on real patches first."""

    card: Card

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains in place. `work` is a folder that is kept after an interruption: a second call with the same arguments
        continues from its content and ends with the same weights."""
        ...

    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


@runtime_checkable
class Trainable(Generator, Fittable, Protocol):
    """A generator that is trained first."""


@runtime_checkable
class HasTrainingConfig(Protocol):
    """A trainable whose weights depend on some of its options only."""

    def training_config(self) -> dict[str, Any]:
        """JSON: everything that decides the weights, except data and seed."""
        ...


@runtime_checkable
class ShipsWeights(Protocol):
    """A trainable that has weights for some training sets in its package."""

    def shipped(self, train_key: str) -> Path | None:
        """Folder to `load` for this training set and these options, or None. DamagedError if its files differ from the
        shipped ones."""
        ...


@runtime_checkable
class ReadsCheckpoint(Protocol):
    """A generator that takes its weights from a file or folder in place of training, where an option names one. It has
    `digest` (`HasDigest`), which stands for the file and the options of this kind in descriptions."""

    checkpoint: Path | None
    """The file or folder; None where the weights are trained."""
    checkpoint_options: tuple[str, ...]
    """Names of the options that say which weights of which file."""


@runtime_checkable
class TrainsSharedStage(Protocol):
    """A trainable with a part that is trained first, on images only, and shared by several plug-ins (a first stage)."""

    def stage_config(self) -> dict[str, Any]:
        """JSON: everything that decides the stage, except images and seed."""
        ...

    def train_stage(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains the stage on the images of `train`, which has no conditions, into `work`; resumable as `fit`."""
        ...

    def use_stage(self, folder: Path) -> None:
        """Loads the stage from a folder that `train_stage` wrote; called before `fit`."""
        ...


@runtime_checkable
class TrainsOnSeveralDevices(Protocol):
    """A trainable that trains in several processes at once, one for each device.

    `fit`, and `train_stage` if it has one, are then called in every process with the same arguments except `work`, which is a
    folder of each process with the same content, and `progress`, which only process 0 shows. torch's process group is set up
    by accelerate. All processes end with the same weights, which differ from those of one process by rounding. Only process 0
    saves them.
    """

    def check_devices(self, devices: int) -> None:
        """Raises UsageError if training cannot be split over so many processes, with both numbers."""
        ...


@runtime_checkable
class StatesFits(Protocol):
    """A trainable that states whether another fit seed gives another generator."""

    has_fits: bool
    """False if training draws nothing at random, as when training patches are stored: then it is trained once."""


@runtime_checkable
class StatesEffort(Protocol):
    """A trainable that states the amount of training."""

    def effort(self) -> str:
        """E.g. "5000 steps of the denoiser"."""
        ...


@runtime_checkable
class ChoosesTrainingPatches(Protocol):
    """A control that gets other real patches than those of the training split."""

    training_patches: Literal["train", "holdout", "target", "train+target"]
    """`holdout`: patches of slides in neither the training nor the test split. `target`: the real patches of the conditions to
    be generated, which only a control may get; training patches are among them. `train+target`: the same patches, with the
    split of each (`Conditions.splits`)."""


@runtime_checkable
class IsCorruption(Protocol):
    """A control that shows the very target patches, made worse in one way and to a stated strength: what `bench sensitivity`
    measures metrics with. The strength is the first option, so that `jpeg:80` names one corruption of one strength."""

    strengths: tuple[float, ...]
    """Those that are measured, from the weakest to the strongest: ascending or descending."""
    unchanged: float | None
    """The strength at which every patch stays as it is; None if there is none."""
    unit: str
    """What the strength is, e.g. `quality`, `px`, `of patches`."""


@runtime_checkable
class ShowsRealPatches(Protocol):
    """A control whose images are real patches without change. In intervals an image belongs to the slide that it shows; an
    image of any other generator belongs to the slide of its condition."""

    def shown_units(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Strings:
        """str (n,): the sampling unit (`Conditions.units`) of the real patch that `generate` shows for each condition."""
        ...


@runtime_checkable
class ChecksConditions(Protocol):
    """A generator that can check before a run whether it has an image for every condition."""

    def check_conditions(self, ids: Strings) -> None:
        """Raises MissingError or UsageError with missing and surplus ids."""
        ...


@runtime_checkable
class ChecksPatches(Protocol):
    """A generator with given weights that can check before a run whether it makes patches of this kind."""

    def check_patches(self, conditions: Conditions) -> None:
        """Raises UsageError where it makes images of another side or resolution, or reads conditions that cannot be mapped.
        Only what all patches have in common is looked at: size, mpp, classes."""
        ...


@runtime_checkable
class FollowsPromptSource(Protocol):
    """A generator whose images depend on the prompt source although it gets no prompts (images made elsewhere)."""

    follows_prompt_source: bool


@runtime_checkable
class ProvidesSets(Protocol):
    """A generator of images made elsewhere, with one set for each of some run seeds, or one set in all."""

    def set_seeds(self) -> tuple[int, ...]:
        """Run seeds with a set of their own, ascending; empty if there is one set, which counts as one seed."""
        ...

    def of_seed(self, seed: int) -> Generator:
        """The generator of the set of one run seed, another instance of the same class."""
        ...


@runtime_checkable
class IsDeterministic(Protocol):
    """A generator that declares whether its images are independent of the seed."""

    deterministic: bool


@runtime_checkable
class LayoutGenerator(Protocol):
    """Samples synthetic conditions: class maps and instance maps that are not from a slide."""

    card: Card

    def sample(self, asked: Conditions, seeds: NDArray[np.uint64]) -> Conditions:
        """A layout for each condition, with the same id, group, classes and size, and new masks, instances and types. Row i
        depends only on the types that row i of `asked` shows and on seed i."""
        ...
