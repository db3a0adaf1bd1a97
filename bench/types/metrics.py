"""Protocols of encoders and metrics, and their optional abilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.types.data import Conditions, Direction, Features, Images, ImageSet, Index, Progress, Strings
from bench.types.plugins import Card


@runtime_checkable
class Encoder(Protocol):
    """Turns images into features. Resize, normalisation and precision are part of the encoder."""

    card: Card

    @property
    def dim(self) -> int: ...

    def encode(self, images: Images) -> Features:
        """float32 (n, dim), finite; row i depends only on image i, to 1e-5, in any batch and order."""
        ...


@runtime_checkable
class ReportsReadiness(Protocol):
    """An encoder that can report whether its weights are available."""

    def ready(self) -> str:
        """Where its weights are. MissingError, GatedError or DamagedError if they cannot be used."""
        ...


@runtime_checkable
class HoldsFeatures(Protocol):
    """An encoder whose features were computed before, and are read from a file."""

    stated: dict[str, str]
    """What is stated of them, e.g. their precision: in descriptions, and so in every protocol."""
    content: str
    """Digest of the file, part of keys alone: numbers from two files of one encoder can be compared."""


@runtime_checkable
class EncodesTokens(Protocol):
    """An encoder that also gives features of each cell of a grid over the patch, from which those of a region are pooled."""

    def encode_tokens(self, images: Images) -> NDArray[np.float32]:
        """float32 (n, rows, columns, d), finite, of at least one image: token [i, y, x] is of the cell in row y from the top
        and column x of image i. The cells are equal and cover the patch; where its side is no multiple of theirs, to within
        one cell. d may differ from `dim`. Row i depends only on image i, to 1e-5."""
        ...


@runtime_checkable
class FeatureMetric(Protocol):
    """One number from the features of real and generated patches."""

    card: Card
    direction: Direction

    def minimum_n(self, d: int) -> int:
        """Least number of rows on each side for which the value is meaningful with d features."""
        ...

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float: ...


@runtime_checkable
class TrainedMetric(Protocol):
    """One number from the features of real, generated and training patches: it can distinguish copies from new patches."""

    card: Card
    direction: Direction

    def minimum_n(self, d: int) -> int:
        """Least number of rows of each of the three for which the value is meaningful with d features."""
        ...

    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float: ...


@runtime_checkable
class BringsInterval(Protocol):
    """A `FeatureMetric` with an interval over slides of its own instead of the jackknife."""

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
    """A metric that declares its range, to which intervals are cut."""

    bounds: tuple[float | None, float | None]
    """Smallest and largest possible value; None if there is none."""


@runtime_checkable
class IsOneSided(Protocol):
    """A metric whose direction holds up to what real patches get; a value beyond that is another fault, which it does not
    rank."""

    one_sided: bool


@runtime_checkable
class ReadsOneEncoder(Protocol):
    """A metric that always reads the same encoder, independent of the requested panel."""

    encoder: str
    """Name of the encoder; empty for the panel."""


@runtime_checkable
class Normalisable(Protocol):
    """A distance to which the harness adds its lower reference (real against real) and its normalised form."""

    normalised: bool


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of some rows of features."""

    n: int
    mean: NDArray[np.float64]
    """float64 (d,)."""
    covariance: NDArray[np.float64]
    """float64 (d, d), with n - 1 in the denominator."""


@runtime_checkable
class ComparesMoments(Protocol):
    """A `FeatureMetric` that depends on the mean and covariance of each side alone: the harness then keeps sums for each slide
    instead of reading all rows for every subset of slides."""

    def compare_moments(self, real: Moments, fake: Moments) -> float:
        """The value of `compare` for rows with these moments, to 1e-6 of it."""
        ...


@runtime_checkable
class ComparesWithoutBlocks(Protocol):
    """A `FeatureMetric` that also gives its value without each of many blocks of rows, at the cost of a few comparisons."""

    def compare_without_blocks(
        self, real: Features, fake: Features, blocks_real: NDArray[np.int64], blocks_fake: NDArray[np.int64], count: int
    ) -> tuple[float, NDArray[np.float64]] | None:
        """The value, and float64 (count,) the values without the rows of each block, at least to first order in what is left
        out. `blocks_real` (n,) and `blocks_fake` (m,): block of each row, below `count`. None if these rows allow no such
        approximation: the caller then compares the remaining rows for each block."""
        ...


@dataclass(frozen=True)
class Tally:
    """Additive counts of each test patch, and the measures that are functions of their sums.

    With counts instead of scores, intervals can resample whole slides and pool exactly.
    """

    columns: tuple[str, ...]
    counts: NDArray[np.float64]
    """float64 (n, c): one row per test patch."""
    measures: Mapping[str, Callable[[Mapping[str, float]], float]] = field(default_factory=dict)
    """Name -> function from column sums to a value; NaN where there is nothing to measure."""
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """Name -> smallest and largest possible value, None if there is none; other measures lie in [0, 1]."""
    undefined: Mapping[str, str] = field(default_factory=dict)
    """Name -> why the measure has no value over all patches of the tally, with the name of what is absent."""


@runtime_checkable
class ConditionMetric(Protocol):
    """Checks each generated patch against its condition, by a reference segmenter trained on real slides only.

    The harness trains the segmenter once, counts on generated and on real test patches, and reports every measure and its
    ratio to the value on real patches (or the difference: `StatesReference`). `learn` may learn whatever else `agree` needs
    from real training patches. If the card needs prompts, only generators that are shown prompts are measured, and real test
    patches have the same prompts.
    """

    card: Card
    directions: Mapping[str, Direction]
    """Measure -> which direction is better, for each measure of the tally."""

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains the reference segmenter and writes it into the folder."""
        ...

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """Counts of each patch against its own condition; row i depends only on patch i."""
        ...

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The tally that `agree` gave, rebuilt from its stored counts."""
        ...


@runtime_checkable
class MeasuresClasses(Protocol):
    """A condition metric whose measures depend on the classes of the data."""

    def for_classes(self, classes: tuple[str, ...]) -> ConditionMetric:
        """The metric with directions and tally for these classes; the same segmenter and the same counts."""
        ...


@runtime_checkable
class AsksForOthers(Protocol):
    """A metric whose number says little without those of other metrics, which are measured whenever it is."""

    beside: tuple[str, ...]
    """Names of metrics."""


@runtime_checkable
class StatesReference(Protocol):
    """A condition metric that states how the harness compares its measures with their values on real test patches."""

    against_real: Literal["ratio", "difference"]
    """`ratio`, as for a metric that does not state it, where real patches are the best that can be had; `difference` where
    the value on real patches is near 0."""


@runtime_checkable
class ComparesTallies(Protocol):
    """A condition metric whose measures compare all generated patches with all real test patches, as distances of pooled
    values do: there is nothing to compare once more with real patches."""

    def compare_tallies(self, generated: Tally, real: Tally, slides: Strings) -> Tally:
        """The tally of both, row by row, with every measure of `directions`. `slides`: str (n,), the slide of each row."""
        ...


@runtime_checkable
class SharesSegmenter(Protocol):
    """A condition metric that reads images with the reference segmenters of another one, which are then trained once."""

    def reader(self, conditions: Conditions) -> tuple[str, Mapping[str, Any]] | None:
        """Name and options of the condition metric whose reference segmenters are used; None if it reads without any."""
        ...


@runtime_checkable
class SweepMetric(Protocol):
    """Compares what a generator makes of altered conditions with what was asked: one slope for each kind of alteration.

    The harness generates the images. Of each of a few test patches it asks for one at each level, all with the same seed, so
    that they differ by the alteration alone. It reports the slope of what they show over what was asked, with an interval over
    slides.
    """

    card: Card
    sweeps: Mapping[str, Direction]
    """Measure -> which direction is better, for each sweep."""
    patches: int
    """How many test patches are altered; 0 for all."""

    def refusal(self, sweep: str, generator: Any, conditions: Conditions) -> str:
        """Why this generator is not asked for the sweep on these conditions; empty if it is."""
        ...

    def levels(self, sweep: str) -> tuple[float, ...]:
        """At least two. At level 1 of conditions these are as they are; of an option of the generator they are its values."""
        ...

    def option(self, sweep: str) -> str:
        """The option of the generator that the levels are values of; empty where its conditions are altered."""
        ...

    def alter(self, sweep: str, level: float, conditions: Conditions) -> Conditions:
        """The conditions at a level: of the same ids, with the same columns."""
        ...

    def reader(self, sweep: str, conditions: Conditions) -> tuple[str, Mapping[str, Any]] | None:
        """Name and options of the condition metric whose reference segmenter reads the images; None if no such is needed."""
        ...

    def respond(self, sweep: str, made: Sequence[ImageSet], segmenter: Path | None) -> NDArray[np.float64]:
        """float64 (n, 2), of the images of each level with their altered conditions: with x what was asked of a patch and y
        what its image shows, the sums over its levels of (x - mean x)^2 and of (x - mean x)(y - mean y)."""
        ...


@runtime_checkable
class RepeatMetric(Protocol):
    """Compares the images that a generator makes of one condition with different seeds, as every encoder sees them, with real
    patches.

    The harness has the generator make several images of each of a few test patches, and reports each measure with an interval
    over slides.
    """

    card: Card
    measures: Mapping[str, Direction]
    """Measure -> which direction is better, for each measure of the tally."""
    patches: int
    """How many test patches are repeated; 0 for all."""
    images: int
    """How many images of each, at least two."""

    def tally_repeats(self, made: NDArray[np.float32], asked: Conditions, real: Features, shown: Conditions) -> Tally:
        """The counts of each of n patches. `made`: float32 (images, n, d), features of the images of the conditions `asked`;
        `real`: (m, d), those of all real test patches, whose conditions are `shown`."""
        ...


@runtime_checkable
class RegionMetric(Protocol):
    """A distance between real and generated patches for each of several regions of their conditions, for every encoder.

    The harness compares the features of each region by `region_distance`, which gets those of all regions of the training
    patches where it is a `TrainedMetric`, and from which interval, least number of rows and bounds are.
    """

    card: Card
    direction: Direction

    @property
    def region_distance(self) -> FeatureMetric | TrainedMetric:
        """Compares the features of one region."""
        ...

    def measures(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """The measure of each region of data with these classes."""
        ...

    def describe_regions(self, encoder: Encoder, patches: ImageSet) -> NDArray[np.float32]:
        """float32 (n, regions, d) in the order of `measures`: the features of each region of each patch, NaN throughout where
        a patch shows too little of the region. Row i depends only on patch i and its condition."""
        ...


class Sliceable(Protocol):
    """Something with a row for each patch."""

    def __getitem__(self, index: Index, /) -> Any: ...


@runtime_checkable
class LayoutMetric(Protocol):
    """One number from real and sampled layouts, patch by patch in the same order; images are not used."""

    card: Card
    direction: Direction

    def measured(self, conditions: Conditions) -> Sliceable:
        """The data that it needs of each patch, one row for each."""
        ...

    def compare_layouts(self, real: Any, sampled: Any) -> float:
        """The value from rows of the results of `measured`."""
        ...
