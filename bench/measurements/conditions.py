"""Condition metrics: a reference segmenter trained on real slides checks generated patches against their conditions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry, statistics
from bench.errors import MissingError
from bench.jobs.arrays import open_sharded, write_array
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import JobError, failure_of
from bench.jobs.store import EntryRef, Store
from bench.measurements.protocol import FailedMeasurement, Measured, SeveralRecords
from bench.pipeline.checks import check_counts, check_direction
from bench.pipeline.data import DataSplits
from bench.pipeline.generation import GeneratedSet, shard_bounds
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import PatchesRef, SetRef, load_into_memory, rows_per_chunk, select
from bench.results.schema import ResultRecord
from bench.results.terms import Reason
from bench.statistics.estimates import Estimate
from bench.types import (
    ComparesTallies,
    ConditionMetric,
    Conditions,
    Direction,
    MeasuresClasses,
    SharesSegmenter,
    StatesReference,
    Tally,
)

SEED = 0
"""Seed of the reference segmenter, the same for all generators and runs."""
OF_REAL, OVER_REAL = "-of-real", "-over-real"
"""Suffix of a measure that is divided by its value on real test patches, and of one from which that value is taken away."""
SHARD = 256
"""Patches of each job."""


@dataclass(frozen=True)
class ConditionMeasurement(SeveralRecords):
    """Every measure of one condition metric on generated patches, compared with that on real test patches."""

    records: tuple[ResultRecord, ...]
    metric: Plugin
    test: SetRef
    generated_counts: tuple[EntryRef, ...]
    real_counts: tuple[EntryRef, ...]
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        return {"metric": registry.describe(self.metric.build()), "groups": self.test.key}

    def compute(self, store: Store) -> dict[str, Measured]:
        conditions = self.test.load(store).conditions
        metric = metric_for(self.metric, conditions.classes)
        generated, real = (
            metric.tally(np.asarray(open_sharded(store, refs, "counts"))) for refs in (self.generated_counts, self.real_counts)
        )
        if isinstance(metric, ComparesTallies):
            both = metric.compare_tallies(generated, real, conditions.groups)
        else:
            both = join_tallies(generated, real, is_difference(metric))
        found = statistics.group_bootstrap(both, conditions.units, seed=0)
        if isinstance(metric, ComparesTallies):
            found = {name: _down_to_its_value(estimate) for name, estimate in found.items()}
        return {name: Measured(estimate, both.bounds.get(name, (0.0, 1.0))) for name, estimate in found.items()}


def _down_to_its_value(found: Estimate) -> Estimate:
    """The estimate with an interval that holds its value. Draws of slides are farther from real ones than all slides are, so
    that all percentiles of a distance near 0 may lie above it."""
    if found.low is None or found.high is None:
        return found
    return replace(found, low=min(found.low, found.value), high=max(found.high, found.value))


def plan_conditions(
    record: ResultRecord,
    plugin: Plugin,
    generated: GeneratedSet,
    splits: DataSplits,
    protocol: Callable[[str], str],
) -> ConditionMeasurement | FailedMeasurement:
    """The measurement and its jobs; `protocol` gives the protocol key of a measure. A failed one where the data lack
    a column that the metric needs, or it asks what a generator makes of its prompts, and this one is shown none."""
    metric = metric_for(plugin, splits.test.conditions.classes)
    if not metric.directions:
        raise ValueError(f"{plugin.name} declares no measure")
    for measure, direction in metric.directions.items():
        check_direction(f"{plugin.name}: {measure}", direction)
    segmenter = segmenter_job(shared_reader(plugin, splits.test.conditions), splits)
    is_of_prompts = "prompts" in metric.card.needs
    test = splits.prompted["test"] if is_of_prompts else splits.test
    reason = ""
    if is_of_prompts and (test is splits.test or generated.ref.conditions != test.ref):
        reason = f"{record.generator} is shown no prompts, and {plugin.name} measures what a generator makes of them"
    if lacking := sorted(set(metric.card.needs) - {"prompts"} - splits.test.conditions.columns()):
        reason = f"{plugin.name} needs {', '.join(lacking)}, which {record.dataset} does not provide"
    if reason:
        better = metric.directions.get(plugin.label, "none")
        named = replace(record, measure=plugin.label, direction=better, protocol=protocol(plugin.label))
        return FailedMeasurement(named, JobError(Reason.MISSING, "MissingError", reason, ""))
    ours = _count_jobs(plugin, segmenter, generated.ref, generated.key, len(generated), (generated.job,))
    real = _count_jobs(plugin, segmenter, test.ref, test.key, len(test), test.needs)
    records = tuple(
        replace(record, measure=measure, direction=direction, protocol=protocol(measure))
        for measure, direction in directions(metric).items()
    )
    generated_refs, real_refs = (tuple(job.ref for job in jobs) for jobs in (ours, real))
    return ConditionMeasurement(records, plugin, splits.test.ref, generated_refs, real_refs, (*ours, *real))


def lacks_weights(metric: Plugin, record: ResultRecord) -> FailedMeasurement | None:
    """A failed measurement where the metric cannot be described because something that it reads is missing."""
    try:
        registry.describe(metric.build())
    except MissingError as error:
        named = replace(record, measure=metric.label, direction="none")
        return FailedMeasurement(named, failure_of(EntryRef("measured", metric.label), error).error)
    return None


def metric_for(plugin: Plugin, classes: tuple[str, ...]) -> ConditionMetric:
    """The metric of data with these classes."""
    metric = plugin.build()
    found: ConditionMetric = metric.for_classes(classes) if isinstance(metric, MeasuresClasses) else metric
    return found


def is_difference(metric: ConditionMetric) -> bool:
    """Whether its measures are compared with those of real patches by difference, not by ratio."""
    return isinstance(metric, StatesReference) and metric.against_real == "difference"


def directions(metric: ConditionMetric) -> dict[str, Direction]:
    """Every measure and its comparison with real patches, with the direction that is better."""
    if isinstance(metric, ComparesTallies):
        return dict(metric.directions)
    suffix = OVER_REAL if is_difference(metric) else OF_REAL
    return {**metric.directions, **{f"{name}{suffix}": direction for name, direction in metric.directions.items()}}


def shared_reader(plugin: Plugin, conditions: Conditions) -> Plugin:
    """The condition metric whose reference segmenters read these data for a metric: another one, or itself."""
    metric = plugin.build()
    found = metric.reader(conditions) if isinstance(metric, SharesSegmenter) else None
    return plugin if found is None else plugin_of_reader(*found)


def plugin_of_reader(name: str, options: Mapping[str, Any]) -> Plugin:
    """The condition metric of this name and options."""
    return Plugin("metrics", name, tuple(sorted((option, str(value)) for option, value in options.items())))


def segmenter_job(plugin: Plugin, splits: DataSplits) -> Job:
    """Trains the reference segmenter of a metric on real training slides."""
    train, validation = splits.plain["train"], splits.plain["validation"]
    spec = {"metric": registry.describe(plugin.build()), "train": train.key, "validation": validation.key, "seed": SEED}
    action = TrainSegmenter(plugin, train.ref, validation.ref)
    return Job(
        "segmenters",
        spec,
        action,
        (*train.needs, *validation.needs),
        "gpu",
        label=f"learn from real patches for {plugin.name}",
    )


@dataclass(frozen=True)
class TrainSegmenter:
    """Action: the reference segmenter of a condition metric."""

    metric: Plugin
    train: SetRef
    validation: SetRef

    def __call__(self, work: Path, context: JobContext) -> None:
        train, validation = (load_into_memory(part.load(context.store)) for part in (self.train, self.validation))
        self.metric.build_anew().learn(train, validation, SEED, context.progress, work)


@dataclass(frozen=True)
class CountAgreement:
    """Action: the counts of the reference segmenter on some patches."""

    metric: Plugin
    segmenter: EntryRef
    patches: PatchesRef
    start: int
    stop: int

    def __call__(self, work: Path, context: JobContext) -> None:
        for name in context.store.names(self.segmenter):
            context.store.file(self.segmenter, name)
        part = load_into_memory(select(self.patches.load(context.store), np.arange(self.start, self.stop)))
        counts = self.metric.build().agree(part, context.store.path(self.segmenter)).counts
        check_counts(self.metric.name, counts, self.stop - self.start)
        write_array(work, "counts", counts, rows_per_chunk(counts))


def _count_jobs(
    plugin: Plugin, segmenter: Job, patches: PatchesRef, key: str, count: int, needs: tuple[Job, ...]
) -> tuple[Job, ...]:
    spec = {"metric": registry.describe(plugin.build()), "patches": key}
    return tuple(
        Job(
            "agreement",
            {**spec, "rows": [start, stop]},
            CountAgreement(plugin, segmenter.ref, patches, start, stop),
            (segmenter, *needs),
            "gpu",
            label=f"check patches for {plugin.name}, rows {start} to {stop - 1}",
        )
        for start, stop in shard_bounds(count, SHARD)
    )


def join_tallies(generated: Tally, real: Tally, by_difference: bool = False) -> Tally:
    """One tally of generated and real patches, row by row: measures of generated patches, and their ratios to real ones or
    their differences from these."""
    suffix, compare = (OVER_REAL, _difference) if by_difference else (OF_REAL, _ratio)
    columns = (*generated.columns, *(f"real {name}" for name in real.columns))
    compared = {f"{name}{suffix}": partial(compare, measure) for name, measure in generated.measures.items()}
    bounds = {**generated.bounds, **dict.fromkeys(compared, (None, None) if by_difference else (0.0, None))}
    counts = np.concatenate([generated.counts, real.counts], axis=1)
    undefined = {**generated.undefined, **{f"{name}{suffix}": reason for name, reason in generated.undefined.items()}}
    return Tally(columns, counts, {**generated.measures, **compared}, bounds, undefined)


Measure = Callable[[Mapping[str, float]], float]


def _ratio(measure: Measure, sums: Mapping[str, float]) -> float:
    least = _of_real(measure, sums)
    return measure(sums) / least if least else math.nan


def _difference(measure: Measure, sums: Mapping[str, float]) -> float:
    return measure(sums) - _of_real(measure, sums)


def _of_real(measure: Measure, sums: Mapping[str, float]) -> float:
    return measure({name.removeprefix("real "): value for name, value in sums.items() if name.startswith("real ")})
