"""Distances between the features of real and generated patches: the number, its lower reference and its normalised form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench import registry, statistics
from bench.jobs.graph import Job
from bench.jobs.store import Store
from bench.measurements.protocol import Bounds, Measured
from bench.pipeline.encoding import FeaturesRef
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import SetRef
from bench.results.schema import ResultRecord
from bench.results.terms import Reason
from bench.statistics import Estimate
from bench.types import BringsInterval, BringsTrainedInterval, FeatureMetric, Features, HasBounds, Strings, TrainedMetric

Form = Literal["value", "lower-reference", "normalised"]
FORMS: tuple[Form, ...] = ("lower-reference", "normalised")
"""What a normalisable metric is measured as beside its value."""
Metric = FeatureMetric | TrainedMetric
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class DistributionMeasurement:
    """One metric over the features of one encoder, in one form. References that the form does not read are None."""

    record: ResultRecord
    form: Form
    metric: Plugin
    test: SetRef
    generated_for: SetRef
    """The conditions of the generated patches."""
    real: FeaturesRef
    generated: FeaturesRef | None
    train: FeaturesRef | None
    upper: FeaturesRef | None
    """Features of the upper reference."""
    seed: int
    needs: tuple[Job, ...] = ()

    def planned(self) -> list[ResultRecord]:
        return [self.record]

    def inputs(self) -> tuple[Job, ...]:
        return self.needs

    def spec(self) -> Mapping[str, Any]:
        return {
            "metric": registry.describe(self.metric.build()),
            "form": self.form,
            "measure": self.record.measure,
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
            load(self.upper),
            self.test.load(store).conditions.groups,
            self.generated_for.load(store).conditions.groups,
            self.seed,
        )
        forms: dict[Form, Callable[[], Measured]] = {
            "value": pair.compare,
            "lower-reference": pair.compare_halves,
            "normalised": pair.normalise,
        }
        return {self.record.measure: forms[self.form]()}


@dataclass(frozen=True)
class FeaturePair:
    """Real test patches and generated ones, as one encoder shows them to one metric."""

    metric: Metric
    real: Features
    generated: Features | None
    train: Features | None
    upper: Features | None
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
        """Real against real: one half of the test slides against the other."""
        return self._between_halves(self._lower_reference, (0.0, None))

    def normalise(self) -> Measured:
        """0 where generated patches are as far from real ones as other real slides are, 1 where they are as far as the upper
        reference.

        (generated - lower) / (upper - lower), each between one half of the test slides and the other, so that all three have
        equal n, share no slide, and carry the same bias.
        """
        return self._between_halves(self._normalised, (None, None))

    def _between_halves(self, statistic: statistics.Statistic, bounds: Bounds) -> Measured:
        half = int(self._halves[0].sum())
        if short := self._too_few(half, half):
            return Measured(short, bounds)
        return Measured(statistics.group_jackknife(statistic, self.groups_real, self.groups_generated), bounds)

    def _lower_reference(self, real_rows: Rows, generated_rows: Rows) -> float:
        first, second = self._halves
        return self._value(self.real[real_rows & first], self.real[real_rows & second])

    def _normalised(self, real_rows: Rows, generated_rows: Rows) -> float:
        lower = self._lower_reference(real_rows, generated_rows)
        upper = self._across(_needed(self.upper), real_rows, generated_rows)
        return (self._across(_needed(self.generated), real_rows, generated_rows) - lower) / (upper - lower)

    def _across(self, generated: Features, real_rows: Rows, generated_rows: Rows) -> float:
        """Mean over both ways of real patches of one half of the slides against generated ones of the other half's maps."""
        first, second = self._halves
        ways = ((first, second), (second, first))
        found = [self._value(self.real[real_rows & a], generated[generated_rows & b]) for a, b in ways]
        return (found[0] + found[1]) / 2

    @cached_property
    def _halves(self) -> tuple[Rows, Rows]:
        """Rows of one half of the slides of the test set, and equally many of the rest.

        Slides are assigned the largest first, equal ones in hashed order, always to the half with fewer patches; what one
        half has too many is left out.
        """
        names, counts = np.unique(self.groups_real, return_counts=True)
        size = dict(zip(names.tolist(), counts.tolist(), strict=True))
        order = sorted(statistics.scattered(size), key=lambda name: -size[name])
        assigned: tuple[list[str], list[str]] = ([], [])
        sizes = [0, 0]
        for name in order:
            side = int(sizes[1] < sizes[0])
            assigned[side].append(name)
            sizes[side] += size[name]
        first, second = (_first_rows(np.isin(self.groups_real, side), min(sizes)) for side in assigned)
        return first, second

    def _value(self, real: Features, generated: Features) -> float:
        fewest = self.metric.minimum_n(real.shape[1])
        if min(len(real), len(generated)) < fewest:
            return math.nan  # with a block of slides left out it is too few: a number without an interval
        if isinstance(self.metric, TrainedMetric):
            return self.metric.compare_trained(real, generated, _needed(self.train), self._rng)
        assert isinstance(self.metric, FeatureMetric)
        return self.metric.compare(real, generated, self._rng)

    def _too_few(self, real: int, generated: int) -> Estimate | None:
        d = self.real.shape[1]
        fewest = self.metric.minimum_n(d)
        if min(real, generated) >= fewest:
            return None
        found = f"{generated} generated and {real} real rows; {self.metric.card.name} needs {fewest} for {d} columns"
        return Estimate(math.nan, None, None, reason=f"{Reason.UNDERPOWERED}: {found}")

    @property
    def _rng(self) -> np.random.Generator:
        """The same draws for every subset of slides, so that they differ by their patches alone."""
        return np.random.default_rng(self.seed)


def _needed(features: Features | None) -> Features:
    assert features is not None, "the form reads features that the measurement does not name"
    return features


def _first_rows(rows: Rows, count: int) -> Rows:
    """The first `count` of the rows that are chosen."""
    return np.asarray(rows & (np.cumsum(rows) <= count))
