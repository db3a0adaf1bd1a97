"""Condition metrics: a reference segmenter that saw real slides alone says whether generated patches kept their conditions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench import registry, stats
from bench.conditional import ConditionMetric
from bench.measure import blank, failure, protocol, slides, with_estimate
from bench.measuring import Desk, remembered
from bench.results.schema import ResultRecord
from bench.steps import Fitted, GeneratedSet
from bench.types import Direction, ImageSet, Tally

SEED = 0
"""Of the reference segmenter: one encoder for all generators and runs."""
OF_REAL = "-of-real"
"""Ending of a measure that is divided by what real test patches get."""


def kept_conditions(desk: Desk, fitted: Fitted, generated: GeneratedSet) -> Iterator[ResultRecord]:
    """Every measure of every condition metric on generated patches, and its ratio to that on real test patches."""
    line = replace(
        blank(desk, fitted, generated.seed),
        n=len(generated.patches),
        n_real=len(desk.test),
        groups=slides(desk.test),
    )
    line = replace(line, keys={**line.keys, "samples": generated.patches.key})
    for metric in desk.components.condition_metrics:
        described = {**line.described, "metric": registry.describe(metric)}
        mine = replace(line, described=described)
        directions = _directions(metric)
        try:
            evaluation = segmenter(desk, metric)
            fake, real = (asked(desk, metric, evaluation, patches) for patches in (generated.patches, desk.test))
            both = beside(fake, real)
            counts = {"fake": generated.patches.key, "real": desk.test.key, "segmenter": evaluation.name}
            groups = desk.test.conditions.groups
            found = remembered(
                desk.cache,
                "measures",
                {"metric": registry.describe(metric), **counts},
                partial(stats.group_bootstrap, both, groups, 0),
            )
        except Exception as error:  # a metric is a plug-in: its failure is the fate of its own cells only
            for measure, direction in directions.items():
                yield failure(_named(desk, mine, metric, measure, direction), error, desk.log)
            continue
        for measure, direction in directions.items():
            yield with_estimate(
                _named(desk, mine, metric, measure, direction), found[measure], both.bounds.get(measure, (0.0, 1.0))
            )


def planned(desk: Desk, fitted: Fitted, seed: int) -> Iterator[ResultRecord]:
    """The record of each measure as far as it is known before anything is generated."""
    line = blank(desk, fitted, seed)
    for metric in desk.components.condition_metrics:
        mine = replace(line, described={**line.described, "metric": registry.describe(metric)})
        yield from (_named(desk, mine, metric, measure, direction) for measure, direction in _directions(metric).items())


def beside(fake: Tally, real: Tally) -> Tally:
    """One tally of generated and real patches, row by row: the measures of generated ones, and their ratios to real ones."""
    columns = (*fake.columns, *(f"real {name}" for name in real.columns))
    ratios = {f"{name}{OF_REAL}": partial(_ratio, measure) for name, measure in fake.measures.items()}
    bounds = {**fake.bounds, **{name: (0.0, None) for name in ratios}}
    return Tally(columns, np.concatenate([fake.counts, real.counts], axis=1), {**fake.measures, **ratios}, bounds)


def _ratio(measure: Callable[[Mapping[str, float]], float], sums: Mapping[str, float]) -> float:
    real = {name.removeprefix("real "): value for name, value in sums.items() if name.startswith("real ")}
    least = measure(real)
    return measure(sums) / least if least else math.nan


def _directions(metric: ConditionMetric) -> dict[str, Direction]:
    return {**metric.directions, **{f"{name}{OF_REAL}": direction for name, direction in metric.directions.items()}}


def _named(desk: Desk, line: ResultRecord, metric: ConditionMetric, measure: str, direction: Direction) -> ResultRecord:
    measured = {"metric": registry.describe(metric), "measure": measure, "train": desk.splits.plain["train"].key}
    return replace(line, measure=measure, direction=direction, protocol=protocol(desk, measured))


def segmenter(desk: Desk, metric: ConditionMetric) -> Path:
    """Where the trained reference segmenter of a metric is kept."""
    train, validation = (desk.splits.plain[name] for name in ("train", "validation"))
    spec = {"metric": registry.describe(metric), "train": train.key, "validation": validation.key, "seed": SEED}
    return desk.cache.entry("segmenters", spec, lambda work: metric.learn(train, validation, SEED, desk.progress, work))


def asked(desk: Desk, metric: ConditionMetric, evaluation: Path, patches: ImageSet) -> Tally:
    """What the reference segmenter counts on the patches, from the cache or counted."""
    spec = {"metric": registry.describe(metric), "segmenter": evaluation.name, "patches": patches.key}

    def make(work: Path) -> None:
        desk.progress(0, 1, f"ask {metric.card.name}")
        np.save(work / "counts.npy", metric.agree(patches, evaluation).counts)
        desk.progress(1, 1, f"ask {metric.card.name}")

    return metric.tally(np.load(desk.cache.entry("condition_metrics", spec, make) / "counts.npy"))
