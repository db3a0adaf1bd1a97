"""The nouns of the suite and the protocols that plug-ins fulfil. Imports nothing of ours.

Images at every border are uint8 (n, h, w, 3) RGB; features float32 (n, d); class maps uint8 (n, h, w); instances
int32 (n, h, w) with 0 = background; sizes in pixels; resolution in microns per pixel (mpp). Arrays may be memory-mapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""uint8 (n, h, w, 3), RGB."""
Features = NDArray[np.float32]
"""float32 (n, d)."""
Strings = NDArray[np.str_]
"""str (n,)."""
Index = slice | NDArray[Any] | list[int]
PromptSource = Literal["self", "slide", "cohort"]
"""Where a visual prompt comes from: the very target, another patch of its slide, or another slide."""
Direction = Literal["lower", "higher"]
"""Which way is better."""

PROMPT_SOURCES: tuple[PromptSource, ...] = ("self", "slide", "cohort")
NOT_ANNOTATED = 255
"""Value of a pixel of a class map whose class nobody annotated."""
GREY = 128  # of a prompt canvas outside its crop: 0 in the [-1, 1] scale that networks see


@dataclass(frozen=True)
class Card:
    """What is known of a plug-in before it is built: read by `bench list` and `bench info`, and part of every key."""

    name: str
    version: str
    summary: str
    licence: str = "Apache-2.0"
    source: str = ""
    """Paper, equation or repository that defines it."""
    cost: str = ""
    """How time and memory grow, e.g. O(n^2 d)."""
    needs: tuple[str, ...] = ()
    """Condition columns without which it cannot work: names of fields of `Conditions`."""
    trained_on: tuple[str, ...] = ()
    """Datasets that shaped its weights."""
    conditioned_by: tuple[str, ...] = ()
    """Encoders that the generator saw or was shaped by: as encoders they are not independent."""
    supersedes: str = ""
    notes: str = ""
    """Known limits, and what fools it."""


@dataclass(frozen=True)
class Prompts:
    """One tissue crop for each class of each patch, pasted on a grey canvas (k = number of classes)."""

    prompt_source: PromptSource
    canvases: NDArray[np.uint8]
    """uint8 (n, k, h, w, 3): the crop at its place, `GREY` elsewhere, all grey where the class has no crop."""
    boxes: NDArray[np.int32]
    """int32 (n, k, 4): y0, x0, y1, x1 of the crop on the canvas; all zero where the class has no crop."""
    sources: Strings
    """str (n, k): id of the patch each crop was cut from, "" where the class has no crop."""

    def __getitem__(self, index: Index) -> Prompts:
        return Prompts(self.prompt_source, self.canvases[index], self.boxes[index], self.sources[index])


@dataclass(frozen=True)
class Conditions:
    """What should be seen in each of n patches. Columns that a dataset does not have are None."""

    ids: Strings
    """str (n,), unique."""
    groups: Strings
    """str (n,): slide or patient of each patch, the sampling unit of every split and interval."""
    classes: tuple[str, ...]
    """Names of the classes 0..k-1 of `masks`."""
    size: int
    """Side of the square patches in pixels."""
    mpp: float
    """Microns per pixel; NaN where it is unknown."""
    masks: NDArray[np.uint8] | None = None
    """uint8 (n, size, size): class of each pixel, 0..k-1, or 255 where nobody said: ignored everywhere."""
    instances: NDArray[np.int32] | None = None
    """int32 (n, size, size): nucleus of each pixel, 0 = none."""
    types: NDArray[np.uint8] | None = None
    """uint8 (n, size, size): type of the nucleus at each pixel, 0 = none."""
    prompts: Prompts | None = None
    labels: NDArray[np.int64] | None = None
    """int64 (n,): class of the whole patch."""
    texts: Strings | None = None
    vectors: NDArray[np.float32] | None = None
    """float32 (n, d): an embedding of each patch."""
    origins: Strings | None = None
    """str (n,): the image that each patch was cut from, None where no two patches of the dataset have a pixel in common.
    Patches of two images have none in common."""
    corners: NDArray[np.int64] | None = None
    """int64 (n, 2): y and x of each patch's upper left pixel in its image, in pixels of the patch's resolution; -1 where
    nobody knows: such a patch may have pixels in common with every patch of its image. Present where `origins` is."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Index) -> Conditions:
        """The chosen rows, in the order of the index."""
        if isinstance(index, list):
            index = np.asarray(index, dtype=np.int64)
        cut = {column: getattr(self, column)[index] for column in ("ids", "groups", *sorted(self.columns()))}
        return replace(self, **cut)

    def overlaps(self, row: int, others: Conditions) -> NDArray[np.bool_]:
        """bool (len(others),): which patches of a set of the same dataset have, or may have, a pixel in common with patch
        `row` of this one. A patch overlaps itself."""
        same: NDArray[np.bool_] = np.asarray(others.ids == self.ids[row])
        if self.origins is None or self.corners is None or others.origins is None or others.corners is None:
            return same
        apart = (np.abs(others.corners - self.corners[row]) >= self.size).any(axis=1)
        unknown = (others.corners < 0).any(axis=1) | (self.corners[row] < 0).any()
        found: NDArray[np.bool_] = same | ((others.origins == self.origins[row]) & (unknown | ~apart))
        return found

    def columns(self) -> frozenset[str]:
        """Names of the optional columns that are present."""
        fixed = {"ids", "groups", "classes", "size", "mpp"}
        return frozenset(f.name for f in fields(self) if f.name not in fixed and getattr(self, f.name) is not None)


@dataclass(frozen=True)
class ImageSet:
    """Real or generated patches with their conditions, row by row; `key` names the content for caches."""

    key: str
    images: Images
    conditions: Conditions

    def __len__(self) -> int:
        return len(self.conditions)

    def __getitem__(self, index: Index) -> ImageSet:
        rows = np.arange(len(self))[index]
        part = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:12]
        return ImageSet(f"{self.key}[{part}]", self.images[rows], self.conditions[rows])


def image_seeds(run_seed: int, ids: Strings) -> NDArray[np.uint64]:
    """uint64 (n,): one seed per image, the first 8 bytes of sha256("run seed / condition id").

    An image depends on its condition and this number alone: neither order, nor batch, nor sharding enters.
    """
    digests = (hashlib.sha256(f"{run_seed}/{name}".encode()).digest() for name in ids.tolist())
    return np.array([int.from_bytes(d[:8], "little") for d in digests], dtype=np.uint64)


Progress = Callable[[int, int, str], None]
"""progress(done, total, what): called as work advances; must be cheap."""


def silent(done: int, total: int, what: str) -> None:
    """A progress report that nobody reads."""


@runtime_checkable
class Generator(Protocol):
    """Generates one patch for each condition and seed.

    Options are constructor arguments with defaults, kept as attributes of the same names. Constructors are cheap: weights
    and heavy libraries are loaded at first use. A generator made of outside content also has `digest: str`, which
    becomes part of every key.
    """

    card: Card

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3). Image i depends on condition i and seed i alone."""
        ...


@runtime_checkable
class Fittable(Protocol):
    """A plug-in that is fitted on real training patches first."""

    card: Card

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Fits in place. `work` is a folder that outlives an interruption: a second call with the same arguments goes
        on from what it finds there and ends with the same weights."""
        ...

    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


@runtime_checkable
class Trainable(Generator, Fittable, Protocol): ...


@runtime_checkable
class Shipped(Protocol):
    """A trainable that brings weights for some training sets. It has `training_config() -> dict`: what decides its weights."""

    def shipped(self, train_key: str) -> Path | None:
        """Folder to `load` for this training set and these options, or None."""
        ...


@runtime_checkable
class LayoutGenerator(Protocol):
    """Draws synthetic conditions: class maps and instance maps that no slide shows."""

    card: Card

    def sample(self, asked: Conditions, seeds: NDArray[np.uint64]) -> Conditions:
        """A layout in place of each condition: its id, group, classes and size, and new masks, instances and types. Row i
        depends on the types that row i of `asked` shows and on seed i alone."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Turns images into features; owns its resize, normalisation and precision."""

    card: Card

    @property
    def dim(self) -> int: ...

    def encode(self, images: Images) -> Features:
        """float32 (n, dim); row i depends on image i alone, to 1e-5, in any batch and order."""
        ...


@runtime_checkable
class FeatureMetric(Protocol):
    """One number from the features of real and generated patches.

    It may bring its own interval over slides, in place of the jackknife that others get:
    `estimate(real, fake, groups_real, groups_fake, rng) -> bench.stats.Estimate`, `groups_*` being str (n,). It may have
    `bounds`, a pair of the least and the most it can be (None for none), to which intervals are cut; `encoder`, the name of
    the one encoder that it reads whatever panel was asked for; and `normalised = True`: the harness then adds its lower reference (real
    against real) and its normalised form.
    """

    card: Card
    direction: Direction

    def minimum_n(self, d: int) -> int:
        """Least number of rows on each side for which the value means something with d features."""
        ...

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float: ...


@runtime_checkable
class TrainedMetric(Protocol):
    """One number from the features of real, generated and training patches: it can tell copies from new patches.

    It may bring its own interval as a `FeatureMetric` may: `estimate_trained`, with `train` the third argument.
    """

    card: Card
    direction: Direction

    def minimum_n(self, d: int) -> int:
        """Least number of rows of each of the three for which the value means something with d features."""
        ...

    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float: ...


@dataclass(frozen=True)
class Tally:
    """Additive counts per test patch, and the measures that are functions of their sums. Counts in place of scores let
    intervals resample whole slides and pool exactly."""

    columns: tuple[str, ...]
    counts: NDArray[np.float64]
    """float64 (n, c): one row per test patch."""
    measures: Mapping[str, Callable[[Mapping[str, float]], float]] = field(default_factory=dict)
    """Name -> function from column sums to a value; NaN where there is nothing to measure."""
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """Name -> the least and the most that it can be, None for none; what is not named lies in [0, 1]."""
    undefined: Mapping[str, str] = field(default_factory=dict)
    """Name -> why the measure has no value on all patches of the tally, of those that have none: it names what is absent."""


@runtime_checkable
class Dataset(Protocol):
    """Conditions and real patches of one origin, split by slide.

    It may also have `pools: tuple[str, ...]`, further splits for downstream training mixes: `R1`, of training slides, and `R2`, of
    slides in no other split; `recognises(folder) -> bool`, static; `digest`, of outside content; `instance_table`, said before a run.
    """

    card: Card
    provides: frozenset[str]
    """Condition columns that its splits carry, but for prompts, which the harness cuts, and places in images."""

    def split(self, name: str) -> ImageSet:
        """`train`, `validation` or `test`: no slide in two of them. `holdout`: real patches that are neither fitted on nor
        a reference, the source of the `real` control; a dataset says in its card where they come from."""
        ...


@runtime_checkable
class ProvidesPromptDonors(Protocol):
    """A dataset that may have patches of its test slides that are in no reference set: visual prompts of test patches are
    cut from them, so that no pixel of a reference patch is shown to a generator beside its own target's."""

    @property
    def has_prompt_donors(self) -> bool:
        """Whether there are any, known without reading images."""
        ...

    def prompt_donors(self) -> ImageSet:
        """Real patches of slides of the split `test`, with maps, that are in no split and share no pixel with a patch of
        `test`. Of no use but to cut prompts from."""
        ...


SyntheticSource = Literal["generated", "shuffled", "copied", "augmented"]


@dataclass(frozen=True)
class TrainingMix:
    """What a downstream model is trained on: shares of the training conditions shown as real and as generated patches."""

    name: str
    real: float
    synthetic: float
    synthetic_source: SyntheticSource = "generated"
    """What the synthetic share is made of: `generated` patches; as controls `shuffled` ones, under the maps of others, the real
    share over again (`copied`), or turned, bent, blurred and restained (`augmented`)."""


@runtime_checkable
class Task(Protocol):
    """A downstream model trained on a training mix and scored on real test patches.

    It may also have `pool: str`, the split that training mixes are made of where the dataset has it; `patches: int`, how many of them
    (0: all); `asks: tuple[str, ...]`, metrics that belong to it; `experiments: Path`, a folder of TOML files.
    """

    card: Card
    direction: Direction
    embedded: str
    """Dataset used while no data folder is configured."""
    readers: tuple[str, ...]
    """Datasets that can read a configured data folder for this task, tried in order."""
    mixes: tuple[TrainingMix, ...]

    def score(self, mix: list[ImageSet], validation: ImageSet, test: ImageSet, seed: int, progress: Progress) -> Tally:
        """Trains on the sets of `mix` (one or two, equal budget whatever their size), selects on `validation`, and
        counts on `test`."""
        ...

    def tally(self, counts: NDArray[np.float64], classes: tuple[str, ...]) -> Tally:
        """The tally that `score` gave, rebuilt from its stored counts."""
        ...
