"""The checks of metrics: feature metrics on two Gaussian clouds, condition metrics on the mock."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.contracts.cases import COMMON, Broken, Check, Outcome, PluginCase, Skip, batches, builds, run_checks
from bench.contracts.mock import partly_annotated
from bench.contracts.sweeps import check_repeats, check_sweeps
from bench.types import (
    Card,
    ConditionMetric,
    Direction,
    FeatureMetric,
    Features,
    Images,
    ImageSet,
    IsOneSided,
    MeasuresClasses,
    ReadsOneEncoder,
    RegionMetric,
    RepeatMetric,
    SweepMetric,
    TrainedMetric,
    silent,
)

TOLERANCE = 1e-6
"""Largest change of a value from one order of rows to another, relative to the value, or absolute below 1."""


WIDTH = 8
"""Features in the clouds, for a metric that reads any encoder."""


def check_metric(
    make: Callable[..., FeatureMetric | TrainedMetric | ConditionMetric | RegionMetric | RepeatMetric | SweepMetric],
    name: str = "",
    size: int = 64,
) -> list[Outcome]:
    """Outcomes for a metric of any kind. `make(**options)` builds the metric, `name` is its registered name."""
    return run_checks(_Case(make, name, size), CHECKS, essential=(builds, measures))


@dataclass
class _Case(PluginCase):
    """A metric under test and its inputs."""

    @cached_property
    def clouds(self) -> tuple[Features, Features]:
        """float32 (n, d) twice, one standard deviation apart in every feature; d is the width of the encoder that it reads."""
        encoder = self.plugin.encoder if isinstance(self.plugin, ReadsOneEncoder) else ""
        width = registry.load("encoders", encoder).dim if encoder else WIDTH
        n, rng = max(128, 2 * self.plugin.minimum_n(width)), np.random.default_rng(0)
        near, far = (rng.normal(middle, 1, (n, width)).astype(np.float32) for middle in (0, 1))
        return near, far

    @property
    def compares(self) -> bool:
        """Whether it compares two sides, with or without training patches."""
        return isinstance(self.plugin, (FeatureMetric, TrainedMetric))

    def compare(self, real: Features, fake: Features, seed: int = 0) -> float:
        rng = np.random.default_rng(seed)
        if isinstance(self.plugin, TrainedMetric):
            train = np.random.default_rng(1).normal(0, 1, real.shape).astype(np.float32)
            return self.plugin.compare_trained(real, fake, train, rng)
        return cast(FeatureMetric, self.plugin).compare(real, fake, rng)

    @cached_property
    def segmenter(self) -> tuple[tempfile.TemporaryDirectory[str], Path]:
        """The reference segmenter trained on the mock, in a folder that exists as long as this case."""
        held = tempfile.TemporaryDirectory(prefix="bench-check-")
        cast(ConditionMetric, self.plugin).learn(*_slides_apart(self.typed), 0, silent, Path(held.name))
        return held, Path(held.name)

    @cached_property
    def typed(self) -> ImageSet:
        """The mock with the types of its nuclei as class maps, as in datasets of nuclei."""
        conditions = self.real.conditions
        maps = replace(conditions, masks=conditions.types, classes=("background", *conditions.classes))
        return replace(self.real, conditions=maps)

    def describe(self, patches: ImageSet) -> NDArray[np.float32]:
        """Of a region metric: the features of every region, as an encoder of mean colours sees them."""
        metric: RegionMetric = self.plugin
        return metric.describe_regions(_MeanColour(), patches)

    def agree(self, rows: list[int]) -> NDArray[np.float64]:
        metric = cast(ConditionMetric, self.plugin)
        return metric.agree(self.typed[rows], self.segmenter[1]).counts


class _MeanColour:
    """An encoder for metrics of regions."""

    card = Card("mean-colour", "1", "Mean of red, green and blue.")
    dim = 3

    def encode(self, images: Images) -> Features:
        """float32 (n, 3)."""
        return np.asarray(np.asarray(images, np.float32).mean(axis=(1, 2)))


def _slides_apart(patches: ImageSet) -> tuple[ImageSet, ImageSet]:
    """The patches of the first slide for training, and those of the others for validation."""
    is_first = patches.conditions.groups == patches.conditions.groups[0]
    return patches[np.flatnonzero(is_first)], patches[np.flatnonzero(~is_first)]


def measures(case: _Case) -> None:
    """A finite float; of a condition metric a finite row for each patch, and a direction for each measure; of a metric that
    alters conditions what `check_sweeps` asks."""
    if case.compares:
        value: Any = case.compare(*case.clouds)
        if not isinstance(value, float) or not np.isfinite(value):
            raise Broken(f"compare gives {value!r}, not a finite float")
        return
    if isinstance(case.plugin, SweepMetric):
        check_sweeps(case.plugin, case.real)
        return
    if isinstance(case.plugin, RepeatMetric):
        check_repeats(case.plugin, case.typed, WIDTH)
        return
    if isinstance(case.plugin, RegionMetric):
        _check_regions(case, case.typed)
        return
    if not isinstance(case.plugin, ConditionMetric):
        raise Broken(
            "it has neither minimum_n and compare (or compare_trained) nor agree nor describe_regions nor alter and respond "
            "nor tally_repeats"
        )
    values: Any = case.agree(list(range(len(case.real))))
    if values.ndim != 2 or len(values) != len(case.real):
        raise Broken(f"agree counts {values.shape}, not a row for each of {len(case.real)} patches")
    if not np.isfinite(values).all():
        raise Broken("agree gives counts that are not finite")
    metric = case.plugin
    if isinstance(metric, MeasuresClasses):
        metric = metric.for_classes(case.typed.conditions.classes)
    # a set that lacks a class may have further measures
    found, stated = set(metric.tally(values).measures), set(metric.directions)
    if stated - found or (found - stated and not isinstance(metric, MeasuresClasses)):
        raise Broken("directions and the measures of its tally differ in names")


def _check_regions(case: _Case, patches: ImageSet) -> None:
    found: Any = case.describe(patches)
    regions = len(cast(RegionMetric, case.plugin).measures(patches.conditions.classes))
    if found.ndim != 3 or found.shape[:2] != (len(patches), regions):
        raise Broken(f"describe_regions gives {found.shape}, not {(len(patches), regions, 'd')}")
    if np.isinf(found).any() or (np.isnan(found).any(axis=2) != np.isnan(found).all(axis=2)).any():
        raise Broken("describe_regions gives regions of which some features are not finite")


def direction_valid(case: _Case) -> None:
    """It declares which direction is better."""
    metric: Any = case.plugin
    if isinstance(metric, SweepMetric):
        text = list(metric.sweeps.values())
    elif isinstance(metric, RepeatMetric):
        text = list(metric.measures.values())
    else:
        has_one = case.compares or isinstance(metric, RegionMetric)
        text = [metric.direction] if has_one else list(metric.directions.values())
    if wrong := [direction for direction in text if direction not in get_args(Direction)]:
        raise Broken(f"direction is {wrong[0]!r}, not one of {', '.join(get_args(Direction))}")


def identity(case: _Case) -> None:
    """Real against itself is no worse than against a cloud one standard deviation away."""
    if not case.compares:
        raise Skip("a metric of conditions or of regions compares nothing with itself here")
    if isinstance(case.plugin, IsOneSided) and case.plugin.one_sided:
        raise Skip("its direction holds on one side of real patches only")
    if case.plugin.direction == "none":
        raise Skip("no direction of it is better")
    near, far = case.clouds
    itself, shifted = case.compare(near, near), case.compare(near, far)
    if shifted == case.compare(far, far):
        raise Skip("it does not use the real side")
    if itself > shifted if case.plugin.direction == "lower" else itself < shifted:
        raise Broken(f"real against itself gives {itself:.4g}, against a shifted cloud the better {shifted:.4g}")


def order_independent(case: _Case) -> None:
    """The order of rows does not change what is measured."""
    if isinstance(case.plugin, SweepMetric):
        raise Skip("patches are altered one by one")
    if isinstance(case.plugin, RepeatMetric):
        raise Skip("the order of its conditions is changed with its measures")
    if case.compares:
        near, far = case.clouds
        value = case.compare(near, far)
        if value != case.compare(near, far, seed=1):
            raise Skip("it uses random subsets")
        change = abs(case.compare(near[::-1], np.roll(far, 5, axis=0)) - value)
    elif isinstance(case.plugin, RegionMetric):
        described = case.describe(case.typed)
        moved = [case.describe(case.typed[rows]) - described[rows] for rows in ([3, 1], [0])]
        change, value = max(float(np.nanmax(np.abs(one), initial=0)) for one in moved), 1.0
    else:
        everything = case.agree(list(range(len(case.real))))
        changes = [case.agree(rows) - everything[rows] for ways in batches(len(case.real)).values() for rows in ways]
        change, value = float(np.nanmax(np.abs(np.concatenate(changes)))), 1.0
    if change > TOLERANCE * max(1.0, abs(value)):
        raise Broken(f"another order of rows changes the value by {change:.2g}")


def accepts_not_annotated(case: _Case) -> None:
    """A condition metric accepts class maps with 255 (not annotated) in training and in counting."""
    if case.compares:
        raise Skip("it compares features and gets no maps")
    if isinstance(case.plugin, SweepMetric):
        raise Skip("it learns nothing")
    patches = partly_annotated(case.typed)
    if isinstance(case.plugin, RepeatMetric):
        check_repeats(case.plugin, patches, WIDTH)
        return
    if isinstance(case.plugin, RegionMetric):
        _check_regions(case, patches)
        return
    metric = cast(ConditionMetric, case.plugin)
    with tempfile.TemporaryDirectory(prefix="bench-check-") as learned:
        metric.learn(*_slides_apart(patches), 0, silent, Path(learned))
        counts: Any = metric.agree(patches, Path(learned)).counts
    if len(counts) != len(patches) or not np.isfinite(counts).all():
        raise Broken("of maps with 255 agree does not count a finite row for each patch")


CHECKS: tuple[Check[_Case], ...] = (*COMMON, measures, direction_valid, identity, order_independent, accepts_not_annotated)
