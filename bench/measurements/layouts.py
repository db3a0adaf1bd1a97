"""Sampled layouts against the real layouts of the same test patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import registry, statistics
from bench.jobs.graph import Job
from bench.jobs.store import Store
from bench.measurements.protocol import Measured, OneRecord
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import SetRef
from bench.results.schema import ResultRecord
from bench.types import Conditions, HasBounds, LayoutMetric


@dataclass(frozen=True)
class LayoutMeasurement(OneRecord):
    """One layout metric."""

    record: ResultRecord
    metric: Plugin
    test: SetRef
    sampled: SetRef
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        return {"metric": registry.describe(self.metric.build()), "test": self.test.key, "sampled": self.sampled.key}

    def compute(self, store: Store) -> dict[str, Measured]:
        metric: LayoutMetric = self.metric.build()
        estimate = _estimate(metric, self.test.load(store).conditions, self.sampled.load(store).conditions)
        return {self.record.measure: Measured(estimate, metric.bounds if isinstance(metric, HasBounds) else (0.0, None))}


def _estimate(metric: LayoutMetric, real: Conditions, sampled: Conditions) -> statistics.Estimate:
    """With an interval over slides. A slide is left out on both sides at once, which stay paired row by row."""
    ours, theirs = metric.measured(real), metric.measured(sampled)

    def value(real_rows: statistics.Rows, sampled_rows: statistics.Rows) -> float:
        return metric.compare_layouts(ours[np.flatnonzero(real_rows)], theirs[np.flatnonzero(sampled_rows)])

    return statistics.group_jackknife(value, real.units, sampled.units)
