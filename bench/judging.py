"""One encoder, one metric, one set of generated patches: the number, its lower reference and its normalised form, with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench import registry, stats, steps
from bench.cache import Cache
from bench.config import UPPER_REFERENCE, Components, Metric
from bench.pipeline.data import DataSplits
from bench.stats import Estimate
from bench.steps import GeneratedSet
from bench.types import Encoder, FeatureMetric, Features, ImageSet, Progress, Strings, TrainedMetric

Log = Callable[[str], None]
Bounds = tuple[float | None, float | None]
"""The least and the most that a measure can be, None for none."""
Rows = NDArray[np.bool_]
FORMS = ("lower-reference", "normalised")
"""What a normalised metric is measured as beside its value."""
UNDERPOWERED = "underpowered"
"""First word of the reason where there are too few slides or patches for a number or its interval."""


@dataclass(frozen=True)
class Desk:
    """What every measurement of a run shares."""

    cast: Components
    splits: DataSplits
    cache: Cache
    progress: Progress
    log: Log
    stamp: dict[str, str]

    @property
    def test(self) -> ImageSet:
        return self.splits.plain["test"]


@dataclass(frozen=True)
class Pair:
    """Real test patches and generated ones, as one encoder shows them to one metric. Features are made when first asked for."""

    desk: Desk
    encoder: Encoder
    metric: Metric
    generated: GeneratedSet

    @property
    def forms(self) -> dict[str, Callable[[], tuple[Estimate, Bounds]]]:
        return {"value": self.compared, "lower-reference": self.lower_reference, "normalised": self.normalised}

    def compared(self) -> tuple[Estimate, Bounds]:
        """The metric, with its own interval where it brings one, by the slide jackknife otherwise."""
        real, fake = self._real, self._fake
        if short := self._short(len(real), len(fake), real.shape[1]):
            return short, (None, None)

        def estimate() -> Estimate:
            if own := getattr(self.metric, "estimate", None):
                return cast(Estimate, own(real, fake, *self._groups, self._rng))
            if own := getattr(self.metric, "estimate_trained", None):
                return cast(Estimate, own(real, fake, self._train, *self._groups, self._rng))
            return stats.group_jackknife(lambda a, b: self._value(real[a], fake[b]), *self._groups)

        return self._kept("value", estimate), getattr(self.metric, "bounds", (None, None))

    def lower_reference(self) -> tuple[Estimate, Bounds]:
        """Real against real: one half of the test slides against the other."""
        return self._between_halves("lower-reference", self._lower_reference), (0.0, None)

    def normalised(self) -> tuple[Estimate, Bounds]:
        """0 where generated patches are as far from real ones as other real slides are, 1 where they are as far as the upper reference.

        (generated - lower reference) / (upper reference - lower reference), each between one half of the test slides and the other, so that all three
        have equal n, share no slide, and carry the same bias.
        """
        return self._between_halves("normalised", self._normalised), (None, None)

    def _between_halves(self, form: str, statistic: stats.Statistic) -> Estimate:
        half = int(self._halves[0].sum())
        if short := self._short(half, half, self._real.shape[1]):
            return short
        return self._kept(form, lambda: stats.group_jackknife(statistic, *self._groups))

    def _lower_reference(self, real_rows: Rows, fake_rows: Rows) -> float:
        first, second = self._halves
        return self._value(self._real[real_rows & first], self._real[real_rows & second])

    def _normalised(self, real_rows: Rows, fake_rows: Rows) -> float:
        lower_reference = self._lower_reference(real_rows, fake_rows)
        upper_reference = self._across(self._upper_reference, real_rows, fake_rows)
        return (self._across(self._fake, real_rows, fake_rows) - lower_reference) / (upper_reference - lower_reference)

    def _across(self, fake: Features, real_rows: Rows, fake_rows: Rows) -> float:
        """Mean over both ways of real patches of one half of the slides against generated ones of the other half's masks."""
        first, second = self._halves
        ways = ((first, second), (second, first))
        found = [self._value(self._real[real_rows & a], fake[fake_rows & b]) for a, b in ways]
        return (found[0] + found[1]) / 2

    @cached_property
    def _halves(self) -> tuple[Rows, Rows]:
        """Rows of one half of the slides of the test set, and equally many of the rest.

        Slides are dealt the largest first, equal ones in an order that no numbering of theirs can run along with, always to
        the half with fewer patches; what one half has too many is left out.
        """
        groups = self._groups[0]
        names, counts = np.unique(groups, return_counts=True)
        size = dict(zip(names.tolist(), counts.tolist(), strict=True))
        order = sorted(stats.scattered(size), key=lambda name: -size[name])
        dealt: tuple[list[str], list[str]] = ([], [])
        sizes = [0, 0]
        for name in order:
            side = int(sizes[1] < sizes[0])
            dealt[side].append(name)
            sizes[side] += size[name]
        first, second = (_first_rows(np.isin(groups, side), min(sizes)) for side in dealt)
        return first, second

    def _value(self, real: Features, fake: Features) -> float:
        fewest = self.metric.minimum_n(real.shape[1])
        if min(len(real), len(fake)) < fewest:
            return math.nan  # with a block of slides left out it is too few: a number without an interval
        if isinstance(self.metric, TrainedMetric):
            return self.metric.compare_trained(real, fake, self._train, self._rng)
        assert isinstance(self.metric, FeatureMetric)
        return self.metric.compare(real, fake, self._rng)

    def _short(self, real: int, fake: int, d: int) -> Estimate | None:
        fewest = self.metric.minimum_n(d)
        if min(real, fake) >= fewest:
            return None
        text = f"{fake} generated and {real} real rows; {self.metric.card.name} needs {fewest} for {d} columns"
        return Estimate(math.nan, None, None, reason=f"{UNDERPOWERED}: {text}")

    def _kept(self, form: str, estimate: Callable[[], Estimate]) -> Estimate:
        spec = {
            "encoder": registry.describe(self.encoder),
            "metric": registry.describe(self.metric),
            "form": form if form != "normalised" else f"norm to {UPPER_REFERENCE}",
            "test": self.desk.test.key,
            "train": self.desk.splits.plain["train"].key if isinstance(self.metric, TrainedMetric) else "",
            "samples": "" if form == "lower-reference" else self.generated.patches.key,
            "seed": self.generated.seed,
        }
        return remembered(self.desk.cache, "distances", spec, lambda: {form: estimate()})[form]

    @property
    def _rng(self) -> np.random.Generator:
        """The same draws for every subset of slides, so that they differ by their patches alone."""
        return np.random.default_rng(self.generated.seed)

    @property
    def _groups(self) -> tuple[Strings, Strings]:
        return self.desk.test.conditions.groups, self.generated.patches.conditions.groups

    @cached_property
    def _real(self) -> Features:
        return self._features(self.desk.test)

    @cached_property
    def _fake(self) -> Features:
        return self._features(self.generated.patches)

    @cached_property
    def _train(self) -> Features:
        return self._features(self.desk.splits.plain["train"])

    @cached_property
    def _upper_reference(self) -> Features:
        desk = self.desk
        fitted = steps.fit(
            UPPER_REFERENCE, desk.components.upper_reference, desk.splits, 0, False, desk.cache, desk.progress, desk.log
        )
        conditions = desk.splits.prompted["test"]
        return self._features(steps.sample(fitted, conditions, self.generated.seed, 1, desk.cache, desk.progress).patches)

    def _features(self, patches: ImageSet) -> Features:
        return steps.features(self.encoder, patches, self.desk.cache, self.desk.progress)


def _first_rows(rows: Rows, count: int) -> Rows:
    """The first `count` of the rows that are chosen."""
    return np.asarray(rows & (np.cumsum(rows) <= count))


def remembered(
    cache: Cache, kind: str, spec: dict[str, Any], estimate: Callable[[], dict[str, Estimate]]
) -> dict[str, Estimate]:
    """Estimates by name, from the cache or calculated."""

    def make(work: Path) -> None:
        (work / "estimates.json").write_text(json.dumps({name: asdict(found) for name, found in estimate().items()}))

    spec = {**spec, "version": stats.VERSION, "fields": [field.name for field in fields(Estimate)]}
    held = json.loads((cache.entry(kind, spec, make) / "estimates.json").read_text())
    return {name: Estimate(**{**found, "replicates": tuple(found["replicates"])}) for name, found in held.items()}
