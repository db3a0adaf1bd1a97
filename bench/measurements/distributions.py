"""Distances between the features of real and generated patches: the number, its lower reference and its normalised form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench import registry, statistics
from bench.jobs.graph import Job
from bench.jobs.store import Store
from bench.measurements.protocol import Bounds, Measured, OneRecord, SeveralRecords, protocol_key
from bench.pipeline.checks import check_direction, check_number
from bench.pipeline.data import DataSplits
from bench.pipeline.encoding import FeaturesRef, encode_regions
from bench.pipeline.generation import GeneratedSet
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import GeneratedRef, SetRef
from bench.results.schema import ResultRecord
from bench.results.terms import Reason
from bench.statistics import Estimate
from bench.statistics.halves import halvings
from bench.statistics.moments import GroupedMoments, grouped_moments
from bench.types import (
    BringsInterval,
    BringsTrainedInterval,
    ComparesMoments,
    ComparesWithoutBlocks,
    FeatureMetric,
    Features,
    HasBounds,
    RegionMetric,
    Strings,
    TrainedMetric,
)

Form = Literal["value", "lower-reference", "normalised"]
FORMS: tuple[Form, ...] = ("lower-reference", "normalised")
"""What a normalisable metric is measured as beside its value."""
REFERENCES = "2"
"""Part of the protocol of both forms: raise it when their definition changes."""
Metric = FeatureMetric | TrainedMetric
Rows = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DistributionMeasurement(OneRecord):
    """One metric over the features of one encoder, in one form. References that the form does not read are None."""

    record: ResultRecord
    form: Form
    metric: Plugin
    test: SetRef
    generated_for: GeneratedRef | SetRef
    """The generated patches, or real ones in their place: what has the sampling unit of each of their rows."""
    real: FeaturesRef
    generated: FeaturesRef | None
    train: FeaturesRef | None
    seed: int
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        return {
            "metric": registry.describe(self.metric.build()),
            "form": self.form,
            "measure": self.record.measure,
            **({"references": REFERENCES} if self.form != "value" else {}),
            "groups": [self.test.key, self.generated_for.key],
            "seed": self.seed,
        }

    def compute(self, store: Store) -> dict[str, Measured]:
        def load(features: FeaturesRef | None) -> Features | None:
            return None if features is None else features.load(store)

        pair = FeaturePair(
            self.metric.build(),
            self.real.load(store),
            load(self.generated),
            load(self.train),
            self.test.units(store),
            self.generated_for.units(store),
            self.seed,
        )
        forms: dict[Form, Callable[[], Measured]] = {
            "value": pair.compare,
            "lower-reference": pair.compare_halves,
            "normalised": pair.normalise,
        }
        return {self.record.measure: forms[self.form]()}


@dataclass(frozen=True)
class RegionMeasurement(SeveralRecords):
    """One metric of regions over the features of one encoder: a number for each region."""

    records: tuple[ResultRecord, ...]
    """In the order of the regions."""
    metric: Plugin
    test: SetRef
    generated_for: GeneratedRef | SetRef
    real: FeaturesRef
    generated: FeaturesRef
    train: FeaturesRef | None
    """Where the distance reads training patches."""
    seed: int
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        groups = [self.test.key, self.generated_for.key]
        return {"metric": registry.describe(self.metric.build()), "groups": groups, "seed": self.seed}

    def compute(self, store: Store) -> dict[str, Measured]:
        metric: RegionMetric = self.metric.build()
        real, generated = self.real.load(store), self.generated.load(store)
        units = self.test.units(store), self.generated_for.units(store)
        train = None
        if self.train is not None:
            of_train = self.train.load(store)
            train = of_train[~np.isnan(of_train[:, :, 0])]
        found = {}
        for i, record in enumerate(self.records):
            rows, others = (np.flatnonzero(~np.isnan(side[:, i, 0])) for side in (real, generated))
            groups = units[0][rows], units[1][others]
            counts = {"n": len(others), "n_real": len(rows), "groups": len(set(groups[0].tolist()))}
            name = record.measure.removeprefix(metric.card.name).lstrip(":-")
            pair = FeaturePair(metric.region_distance, real[rows, i], generated[others, i], train, *groups, self.seed)
            found[record.measure] = _of_region(pair.compare(), name, counts)
        return found


def plan_regions(
    record: ResultRecord, plugin: Plugin, encoder: Plugin, splits: DataSplits, generated: GeneratedSet
) -> RegionMeasurement:
    """The measurement and its jobs."""
    metric: RegionMetric = plugin.build()
    check_direction(plugin.name, metric.direction)
    described = {**record.described, "metric": registry.describe(metric)}
    train = splits.plain["train"] if isinstance(metric.region_distance, TrainedMetric) else None
    real, others = (encode_regions(plugin, encoder, part) for part in (splits.test, generated))
    of_train = encode_regions(plugin, encoder, train) if train is not None else None
    same = {"encoder": described["encoder"], "metric": described["metric"], "interval": statistics.VERSION}
    same |= {"train": train.key} if train is not None else {}
    record = replace(record, direction=metric.direction, described=described)
    return RegionMeasurement(
        tuple(
            replace(record, measure=measure, protocol=protocol_key(splits.test, {**same, "measure": measure}))
            for measure in metric.measures(splits.test.conditions.classes)
        ),
        plugin,
        splits.test.ref,
        generated.ref,
        real.ref,
        others.ref,
        of_train.ref if of_train is not None else None,
        record.seed,
        (*(found.job for found in (real, others, of_train) if found is not None), generated.job),
    )


def _of_region(found: Measured, region: str, counts: Mapping[str, int]) -> Measured:
    """The number of one region, with its counts of patches and slides; a reason for none names the region and the counts."""
    estimate = found.estimate
    if estimate.reason:
        shown = f"{counts['n_real']} real patches of {counts['groups']} slides and {counts['n']} generated ones show {region}"
        estimate = replace(estimate, reason=f"{estimate.reason} ({shown})")
    return replace(found, estimate=estimate, described={"region": dict(counts)})


@dataclass(frozen=True)
class FeaturePair:
    """Real test patches and generated ones, as one encoder shows them to one metric."""

    metric: Metric
    real: Features
    generated: Features | None
    train: Features | None
    groups_real: Strings
    groups_generated: Strings
    seed: int

    def compare(self) -> Measured:
        """The metric, with its own interval where it brings one, by the jackknife over slides otherwise."""
        generated = _needed(self.generated)
        bounds: Bounds = self.metric.bounds if isinstance(self.metric, HasBounds) else (None, None)
        if short := self._too_few(len(self.real), len(generated)):
            return Measured(short)
        groups = self.groups_real, self.groups_generated
        if isinstance(self.metric, BringsInterval):
            return Measured(self.metric.estimate(self.real, generated, *groups, self._rng), bounds)
        if isinstance(self.metric, BringsTrainedInterval):
            estimate = self.metric.estimate_trained(self.real, generated, _needed(self.train), *groups, self._rng)
            return Measured(estimate, bounds)

        def statistic(real_rows: Rows, generated_rows: Rows) -> float:
            return self._value(self.real[real_rows], generated[generated_rows])

        return Measured(statistics.group_jackknife(statistic, *groups), bounds)

    def compare_halves(self) -> Measured:
        """Real against real: the mean distance between one half of the test slides and the other, over `halvings`."""
        bounds = (0.0, None)
        if short := self._halves_too_few():
            return Measured(short, bounds)
        blocks = statistics.Blocks.of(self.groups_real, self.groups_real)
        value, without = self._lower_reference(blocks)
        return Measured(self._interval(value, without, self.groups_real, blocks), bounds)

    def normalise(self) -> Measured:
        """The distance in units of the lower reference, on a scale that is linear near 0 and logarithmic beyond.

        asinh(x / 2) / ln 2 with x = unbiased distance / lower reference: 0 if the generated population is the real one, 1
        at x = 1.5, and log2(x) to 0.1 from x = 4 on, so that one more means twice the distance. The distance is that of all
        rows less its bias in the number of slides (the jackknife's, Busing and others 1999): without that a generator of
        few slides would stand behind, and real tissue without slides before, other real slides.
        """
        if short := self._halves_too_few() or self._too_few(len(self.real), len(_needed(self.generated))):
            return Measured(short)
        whole = statistics.BlockJackknife(self._distance, self.groups_real, self.groups_generated)
        distance, distances = whole.value, whole.without()
        if not np.isfinite([distance, *distances]).all():
            reason = f"{Reason.UNDERPOWERED}: the distance is undefined without some of the slides: its bias is unknown"
            return Measured(statistics.undefined_estimate(reason))
        bias = distance - statistics.jackknife(distance, distances, whole.shares)[0]
        lower, lowers = self._lower_reference(whole.blocks)
        value = float(_in_units(np.array([distance - bias]), np.array([lower]))[0])
        without = _in_units(distances - bias, lowers)
        return Measured(self._interval(value, without, self.groups_generated, whole.blocks))

    def _interval(self, value: float, without: Floats, groups_other: Strings, blocks: statistics.Blocks) -> Estimate:
        """A value with the interval of its values without each block of slides."""
        if not math.isfinite(value):
            return statistics.undefined_estimate("the statistic has no finite value on these patches")
        refused = statistics.too_few_groups(value, (self.groups_real, groups_other), statistics.MINIMUM_GROUPS)
        return refused or statistics.jackknife_interval(value, without, blocks)

    def _distance(self, real_rows: Rows, generated_rows: Rows) -> float:
        """Between real and generated rows, bool (n,) and (m,), of whole slides."""
        if self._moments is None:
            return self._value(self.real[real_rows], _needed(self.generated)[generated_rows])
        real, generated = self._moments
        assert generated is not None
        return self._moments_value(real, real_rows, generated, generated_rows)

    def _lower_reference(self, blocks: statistics.Blocks) -> tuple[float, Floats]:
        """The mean over halvings of the distance between the real rows of one half and of the other, and float64 (blocks,) the
        same without each block of slides."""
        found = [self._between_halves(half, blocks) for half in self._halvings]
        return float(np.mean([value for value, _ in found])), np.mean([without for _, without in found], axis=0)

    def _between_halves(self, half: Rows, blocks: statistics.Blocks) -> tuple[float, Floats]:
        """The distance between the real rows of a half and the others, and the distances without each block."""
        if isinstance(self.metric, ComparesWithoutBlocks):
            sides, of_sides = (self.real[half], self.real[~half]), (blocks.real[half], blocks.real[~half])
            if (found := self.metric.compare_without_blocks(*sides, *of_sides, blocks.count)) is not None:
                left = [len(side) - np.bincount(side, minlength=blocks.count) for side in of_sides]
                is_enough = np.minimum(*left) >= self.metric.minimum_n(self.real.shape[1])
                return found[0], np.where(is_enough, found[1], math.nan)
        kept = [blocks.real != block for block in range(blocks.count)]
        value, *without = (self._real_distance(rows & half, rows & ~half) for rows in (np.ones_like(half), *kept))
        return value, np.array(without)

    def _real_distance(self, first: Rows, second: Rows) -> float:
        """Between two parts of the real rows, bool (n,) each."""
        if self._moments is None:
            return self._value(self.real[first], self.real[second])
        return self._moments_value(self._moments[0], first, self._moments[0], second)

    def _moments_value(self, real: GroupedMoments, real_rows: Rows, other: GroupedMoments, other_rows: Rows) -> float:
        assert isinstance(self.metric, ComparesMoments)
        if min(int(real_rows.sum()), int(other_rows.sum())) < self.metric.minimum_n(self.real.shape[1]):
            return math.nan
        return check_number(self.metric.card.name, self.metric.compare_moments(real.of(real_rows), other.of(other_rows)))

    @cached_property
    def _moments(self) -> tuple[GroupedMoments, GroupedMoments | None] | None:
        """Sums by slide of the real and of the generated side, where the metric needs no more."""
        if not isinstance(self.metric, ComparesMoments):
            return None
        generated = None if self.generated is None else grouped_moments(self.generated, self.groups_generated)
        return grouped_moments(self.real, self.groups_real), generated

    @cached_property
    def _halvings(self) -> list[Rows]:
        return halvings(self.groups_real)

    def _halves_too_few(self) -> Estimate | None:
        if not self._halvings:
            reason = f"{Reason.UNDERPOWERED}: the test patches are of one slide, which has no other half"
            return statistics.undefined_estimate(reason)
        fewest = min(min(int(half.sum()), int((~half).sum())) for half in self._halvings)
        return self._underpowered(fewest, f"{fewest} rows in a half of the test slides")

    def _value(self, real: Features, generated: Features) -> float:
        fewest = self.metric.minimum_n(real.shape[1])
        if min(len(real), len(generated)) < fewest:
            return math.nan  # with a block of slides left out it is too few: a number without an interval
        if isinstance(self.metric, TrainedMetric):
            value = self.metric.compare_trained(real, generated, _needed(self.train), self._rng)
        else:
            assert isinstance(self.metric, FeatureMetric)
            value = self.metric.compare(real, generated, self._rng)
        return check_number(self.metric.card.name, value)

    def _too_few(self, real: int, generated: int) -> Estimate | None:
        return self._underpowered(min(real, generated), f"{generated} generated and {real} real rows")

    def _underpowered(self, count: int, found: str) -> Estimate | None:
        """The refusal of so few rows, None where they are enough."""
        d = self.real.shape[1]
        fewest = self.metric.minimum_n(d)
        if count >= fewest:
            return None
        reason = f"{Reason.UNDERPOWERED}: {found}; {self.metric.card.name} needs {fewest} for {d} columns"
        return Estimate(math.nan, None, None, reason=reason)

    @property
    def _rng(self) -> np.random.Generator:
        """The same draws for every subset of slides, so that they differ by their patches alone."""
        return np.random.default_rng(self.seed)


def _in_units(distances: Floats, lower: Floats) -> Floats:
    """Unbiased distances on the normalised scale, float64 (n,); NaN where the lower reference is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.arcsinh(distances / (2 * lower)) / math.log(2)
    return np.where(lower > 0, scaled, math.nan)


def _needed(features: Features | None) -> Features:
    assert features is not None, "the form reads features that the measurement does not name"
    return features
