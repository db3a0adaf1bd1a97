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
    """uint8 (n, size, size): class of each pixel, 0..k-1, or 255 where nobody annotated it: ignored everywhere."""
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
        return ImageSet(self.part_key_of(self.key, rows), self.images[rows], self.conditions[rows])

    @staticmethod
    def part_key_of(key: str, rows: NDArray[Any]) -> str:
        """The key of some rows, int64 (m,), of the set with this key."""
        part = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:12]
        return f"{key}[{part}]"


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
class HasCard(Protocol):
    """What makes a class a plug-in."""

    card: Card


@runtime_checkable
class HasPresets(Protocol):
    """A plug-in class with a config, a frozen dataclass: its options are `preset`, every field of the config, and what else
    its constructor names. Keys and records hold the values of the config, never the name of a preset."""

    presets: Mapping[str, Any]
    """Name -> an instance of the config. The constructor takes one of the names as `preset`, which has a default, and
    fields of the config as keywords; see `bench.presets.configure`."""


@runtime_checkable
class HasConfig(HasPresets, Protocol):
    """An object of such a class."""

    config: Any
    """What it works with: the preset with the values that were given in place of its own."""


@runtime_checkable
class Generator(Protocol):
    """Generates one image for each condition and seed.

    Options are constructor arguments with defaults, kept as attributes of the same names, or fields of a config
    (`HasPresets`). Constructors are cheap: weights and heavy libraries are loaded at first use.
    """

    card: Card

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3). Image i depends on condition i and seed i alone."""
        ...


@runtime_checkable
class Fittable(Protocol):
    """A plug-in that is trained on real patches first."""

    card: Card

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains in place. `work` is a folder that outlives an interruption: a second call with the same arguments continues
        from what it finds there and ends with the same weights."""
        ...

    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


@runtime_checkable
class Trainable(Generator, Fittable, Protocol):
    """A generator that is trained first."""


@runtime_checkable
class HasDigest(Protocol):
    """A plug-in made of content from outside (a folder, a checkpoint, weights): its digest is part of every key."""

    @property
    def digest(self) -> str:
        """Changes with the content. MissingError where the content is not there."""
        ...


@runtime_checkable
class HasTrainingConfig(Protocol):
    """A trainable whose weights depend on less than all of its options."""

    def training_config(self) -> dict[str, Any]:
        """JSON: everything that decides the weights but data and seed."""
        ...


@runtime_checkable
class ShipsWeights(Protocol):
    """A trainable that brings weights for some training sets."""

    def shipped(self, train_key: str) -> Path | None:
        """Folder to `load` for this training set and these options, or None. DamagedError where its files are not those that
        were delivered."""
        ...


@runtime_checkable
class TrainsSharedStage(Protocol):
    """A trainable one of whose parts is trained first, from images alone, and shared by several plug-ins (a first stage)."""

    def stage_config(self) -> dict[str, Any]:
        """JSON: everything that decides the stage but images and seed."""
        ...

    def train_stage(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains the stage on the images of `train`, which carry no conditions, and writes it into `work`, as `fit` does."""
        ...

    def use_stage(self, folder: Path) -> None:
        """Takes the stage from a folder that `train_stage` filled; called before `fit`."""
        ...


@runtime_checkable
class StatesFits(Protocol):
    """A trainable of which it is known whether another fit seed gives another generator."""

    has_fits: bool
    """False where training draws nothing at random, as where training patches are kept: then it is trained once."""


@runtime_checkable
class StatesEffort(Protocol):
    """A trainable that says what training takes."""

    def effort(self) -> str:
        """E.g. "5000 steps of the denoiser"."""
        ...


@runtime_checkable
class ChoosesTrainingPatches(Protocol):
    """A control that is given other real patches than those of the training split."""

    training_patches: Literal["train", "holdout", "target"]
    """`holdout`: neither trained on nor a reference. `target`: those of the very conditions to be generated, which nothing
    but a control may see."""


@runtime_checkable
class ChecksConditions(Protocol):
    """A generator that can say before a run whether it has an image for every condition."""

    def check_conditions(self, ids: Strings) -> None:
        """Raises MissingError or UsageError, naming what is absent or too much."""
        ...


@runtime_checkable
class FollowsPromptSource(Protocol):
    """A generator whose images depend on the prompt source although it is not shown prompts (images made elsewhere)."""

    follows_prompt_source: bool


@runtime_checkable
class ProvidesSets(Protocol):
    """A generator whose images were made elsewhere: it has one set of them for each of some run seeds, or one set in all."""

    def set_seeds(self) -> tuple[int, ...]:
        """Run seeds with a set of their own, ascending; empty where there is one set, which counts as one seed."""
        ...

    def of_seed(self, seed: int) -> Generator:
        """The generator of the set of one run seed, another instance of the same class."""
        ...


@runtime_checkable
class IsDeterministic(Protocol):
    """A generator of which it is known whether a condition has one image, whatever the seed."""

    deterministic: bool


@runtime_checkable
class HasSmallInstance(Protocol):
    """A plug-in class that offers an instance which trains in seconds, for `bench check`."""

    @classmethod
    def trial(cls) -> Any: ...


@runtime_checkable
class LayoutGenerator(Protocol):
    """Samples synthetic conditions: class maps and instance maps that no slide shows."""

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
        """float32 (n, dim), finite; row i depends on image i alone, to 1e-5, in any batch and order."""
        ...


@runtime_checkable
class ReportsReadiness(Protocol):
    """An encoder that can say whether its weights are there."""

    def ready(self) -> str:
        """Where its weights are. MissingError, GatedError or DamagedError where they are not."""
        ...


@runtime_checkable
class FeatureMetric(Protocol):
    """One number from the features of real and generated patches."""

    card: Card
    direction: Direction

    def minimum_n(self, d: int) -> int:
        """Least number of rows on each side for which the value means something with d features."""
        ...

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float: ...


@runtime_checkable
class TrainedMetric(Protocol):
    """One number from the features of real, generated and training patches: it can tell copies from new patches."""

    card: Card
    direction: Direction

    def minimum_n(self, d: int) -> int:
        """Least number of rows of each of the three for which the value means something with d features."""
        ...

    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float: ...


@runtime_checkable
class BringsInterval(Protocol):
    """A `FeatureMetric` with an interval over slides of its own, in place of the jackknife that others get."""

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Any:
        """A `bench.statistics.Estimate`; `groups_*` are str (n,)."""
        ...


@runtime_checkable
class BringsTrainedInterval(Protocol):
    """A `TrainedMetric` with an interval over slides of its own."""

    def estimate_trained(
        self,
        real: Features,
        fake: Features,
        train: Features,
        groups_real: Strings,
        groups_fake: Strings,
        rng: np.random.Generator,
    ) -> Any:
        """A `bench.statistics.Estimate`."""
        ...


@runtime_checkable
class HasBounds(Protocol):
    """A metric that knows what it can be: intervals are cut to it."""

    bounds: tuple[float | None, float | None]
    """The least and the most, None for none."""


@runtime_checkable
class ReadsOneEncoder(Protocol):
    """A metric that reads one encoder, whatever panel was asked for."""

    encoder: str
    """Its name; empty for the panel."""


@runtime_checkable
class Normalisable(Protocol):
    """A distance to which the harness adds its lower reference (real against real) and its normalised form."""

    normalised: bool


@dataclass(frozen=True)
class Tally:
    """Additive counts per test patch, and the measures that are functions of their sums.

    Keeping counts instead of scores lets intervals resample whole slides and pool exactly.
    """

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
class ConditionMetric(Protocol):
    """Checks each generated patch against its condition, by a reference segmenter that learned from real slides alone.

    The harness trains the segmenter once, has it count on generated and on real test patches, and reports every measure and
    its ratio to what real patches get.
    """

    card: Card
    directions: Mapping[str, Direction]
    """Measure -> which way is better, for each measure of the tally."""

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains the reference segmenter and writes it into the folder."""
        ...

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """Counts of each patch against its own condition; row i depends on patch i alone."""
        ...

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The tally that `agree` gave, rebuilt from its stored counts."""
        ...


class Sliceable(Protocol):
    """Something with a row for each patch."""

    def __getitem__(self, index: Index, /) -> Any: ...


@runtime_checkable
class LayoutMetric(Protocol):
    """One number from real and sampled layouts, patch by patch in the same order; images play no part."""

    card: Card
    direction: Direction

    def measured(self, conditions: Conditions) -> Sliceable:
        """What it needs to know of each patch."""
        ...

    def compare_layouts(self, real: Any, sampled: Any) -> float:
        """The value of rows of what `measured` gave."""
        ...


@runtime_checkable
class Dataset(Protocol):
    """Conditions and real patches of one origin, split by slide."""

    card: Card
    provides: frozenset[str]
    """Condition columns that its splits carry, but for prompts, which the harness cuts, and places in images."""

    def split(self, name: str) -> ImageSet:
        """`train`, `validation` or `test`: no slide in two of them. `holdout`: real patches that are neither trained on nor
        a reference, the source of the `real` control; a dataset says in its card where they come from."""
        ...


@runtime_checkable
class ProvidesPools(Protocol):
    """A dataset with further splits for downstream training."""

    pools: tuple[str, ...]
    """Names that `split` takes: `R1`, of training slides, and `R2`, of slides in no other split."""


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


@runtime_checkable
class RecognisesFolder(Protocol):
    """A dataset class that can tell whether a folder has its layout."""

    @staticmethod
    def recognises(folder: Path) -> bool: ...


@runtime_checkable
class SummarisesData(Protocol):
    """A dataset with something to say before a run: how its patches were cut, and how many were left out."""

    @property
    def tile_summary(self) -> Any:
        """Shown as text. MissingError as `split`."""
        ...


SyntheticSource = Literal["generated", "shuffled", "copied", "augmented"]


@dataclass(frozen=True)
class TrainingMix:
    """What a downstream model is trained on: shares of the training conditions shown as real and as generated patches."""

    name: str
    real: float
    synthetic: float
    synthetic_source: SyntheticSource = "generated"
    """What the synthetic share is made of: `generated` patches; as controls `shuffled` ones, under the maps of others, the
    real share over again (`copied`), or turned, bent, blurred and restained (`augmented`)."""


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
    """A task whose downstream models learn from another split than the training one, where the dataset has it."""

    pool: str


@runtime_checkable
class LimitsPatches(Protocol):
    """A task whose downstream models learn from so many patches."""

    patches: int
    """How many of them; 0 for all."""


@runtime_checkable
class BringsMetrics(Protocol):
    """A task with metrics that belong to it."""

    metrics: tuple[str, ...]
    """Measured where nobody names metrics, beside the default ones."""


@runtime_checkable
class ProvidesExperiments(Protocol):
    """A task with experiments."""

    experiments: Path
    """Folder of TOML files, one an experiment."""


@runtime_checkable
class SegmentsNuclei(Protocol):
    """A task whose model finds nuclei: what the metric of nuclei asks."""

    def learn(self, mix: list[ImageSet], validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains the model and writes it into the folder."""
        ...

    def segment(self, folder: Path, images: Images) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Instances int32 (n, h, w), 0 for none, and types uint8 (n, h, w) by the model in the folder."""
        ...
