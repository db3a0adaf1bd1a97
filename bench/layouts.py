"""Synthetic layouts in a run: fitted, drawn in place of real maps, and measured against them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench import registry, stats, steps
from bench.conditional import LayoutMetric
from bench.measure import blank, failure, protocol, slides, with_estimate
from bench.measuring import Desk, remembered
from bench.pipeline.data import MAPS, only
from bench.results.schema import ResultRecord
from bench.steps import Fitted, GeneratedSet, Weights
from bench.types import Conditions, Fittable, ImageSet, LayoutGenerator


@dataclass(frozen=True)
class FittedLayoutGenerator:
    """A layouts plug-in that is ready to draw."""

    layouts: LayoutGenerator
    weights: Weights

    def replaced(self, desk: Desk, patches: ImageSet, seed: int) -> ImageSet:
        """The conditions with a drawn layout in place of each real one."""
        return steps.sampled(self.layouts, self.weights, patches, seed, desk.cache, desk.progress)


def fitted(desk: Desk, layouts: LayoutGenerator) -> FittedLayoutGenerator:
    """The plug-in with its weights, fitted on the layouts of training patches where it has any."""
    asked = desk.components.config
    if not isinstance(layouts, Fittable):
        return FittedLayoutGenerator(layouts, Weights(None, getattr(layouts, "digest", ""), "none"))
    train = only(desk.splits.plain["train"], MAPS)
    weights = steps.load_or_train(
        layouts.card.name, layouts, train, asked.fit_seed, asked.refit, desk.cache, desk.progress, desk.log
    )
    desk.log(f"{layouts.card.name}: weights {weights.origin}, {weights.digest}")
    return FittedLayoutGenerator(layouts, weights)


def measured(desk: Desk, fitted: Fitted, generated: GeneratedSet) -> Iterator[ResultRecord]:
    """Every layout metric between the real layouts of the test patches and those that were drawn in their place."""
    real, sampled = desk.test.conditions, generated.patches.conditions
    for metric, mine in zip(desk.components.layout_metrics, planned(desk, fitted, generated.seed), strict=True):
        spec = {**_described(metric), "test": desk.test.key, "sampled": generated.patches.key}
        try:
            found = remembered(desk.cache, "distances", spec, lambda m=metric: {"value": _estimate(m, real, sampled)})  # type: ignore[misc]
            yield with_estimate(mine, found["value"], getattr(metric, "bounds", (0.0, None)))
        except Exception as error:  # a metric is a plug-in: its failure is the fate of its own cell only
            yield failure(mine, error, desk.log)


def planned(desk: Desk, fitted: Fitted, seed: int) -> Iterator[ResultRecord]:
    """The record of each layout metric, in their order, as far as it is known before any layout is sampled."""
    line = blank(desk, fitted, seed)
    for metric in desk.components.layout_metrics:
        yield replace(
            line,
            measure=desk.components.label(metric),
            direction=metric.direction,
            n=len(desk.test),
            n_real=len(desk.test),
            groups=slides(desk.test),
            described={**line.described, "metric": registry.describe(metric)},
            protocol=protocol(desk, _described(metric)),
        )


def _described(metric: LayoutMetric) -> dict[str, Any]:
    return {"metric": registry.describe(metric), "interval": stats.VERSION}


def _estimate(metric: LayoutMetric, real: Conditions, sampled: Conditions) -> stats.Estimate:
    """With an interval over slides: a slide that is left out goes from both sides, which stay paired row by row."""
    ours, theirs = metric.measured(real), metric.measured(sampled)

    def value(real_rows: stats.Rows, sampled_rows: stats.Rows) -> float:
        return metric.compare_layouts(ours[np.flatnonzero(real_rows)], theirs[np.flatnonzero(sampled_rows)])

    return stats.group_jackknife(value, real.groups, sampled.groups)
