"""One measurement for each sweep: the slope of what images show over what their conditions asked for."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import registry, statistics
from bench.jobs.arrays import open_array, write_array
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import JobError
from bench.jobs.store import EntryRef, Store
from bench.measurements.conditions import plugin_of_reader, segmenter_job
from bench.measurements.protocol import FailedMeasurement, Measured, OneRecord
from bench.measurements.sweeps.altering import Level, make_levels
from bench.pipeline.checks import check_counts, check_direction
from bench.pipeline.data import DataSplits
from bench.pipeline.fits import Generated
from bench.pipeline.generation import GeneratedSet
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import SetRef, load_into_memory, rows_per_chunk, select
from bench.results.schema import ResultRecord
from bench.results.terms import Reason
from bench.types import ChecksConditions, Conditions, ImageSet, SweepMetric, Tally

COLUMNS = ("asked", "answered")


@dataclass(frozen=True)
class SweepMeasurement(OneRecord):
    """The slope of one sweep, with an interval over slides."""

    record: ResultRecord
    metric: Plugin
    conditions: SetRef
    counts: EntryRef
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        return {"metric": registry.describe(self.metric.build()), "sweep": self.record.measure, "groups": self.conditions.key}

    def compute(self, store: Store) -> dict[str, Measured]:
        tally = slope_tally(self.record.measure, np.asarray(open_array(store, self.counts, "counts")))
        units = self.conditions.load(store).conditions.units
        return {self.record.measure: Measured(statistics.group_bootstrap(tally, units, seed=0)[self.record.measure])}


def slope_tally(measure: str, counts: NDArray[np.float64]) -> Tally:
    """The slope from the counts of each patch, float64 (n, 2): over the levels of the patch, with x what was asked and y what
    its images show, the sum of (x - mean x)^2 and that of (x - mean x)(y - mean y).

    The slope is that of a regression with an intercept for each patch: what differs between patches has no part in it.
    """
    absent = "no test patch was asked for anything else than it shows"
    undefined = {} if counts[:, 0].any() else {measure: absent}
    return Tally(COLUMNS, counts, {measure: _slope}, {measure: (None, None)}, undefined)


def _slope(sums: Mapping[str, float]) -> float:
    return sums["answered"] / sums["asked"] if sums["asked"] else math.nan


def plan_sweeps(
    record: ResultRecord,
    plugin: Plugin,
    made: Generated,
    test: GeneratedSet,
    splits: DataSplits,
    protocol: Callable[[dict[str, Any]], str],
) -> list[SweepMeasurement | FailedMeasurement]:
    """A measurement for each sweep of a metric; a skipped one where the generator takes no such condition."""
    metric: SweepMetric = plugin.build()
    rows = choose_by_slide(made.test_conditions.conditions, metric.patches)
    base = made.test_conditions.rows(rows)
    conditions = base.conditions
    described = registry.describe(metric)
    # a part of the test set, which other records have as a whole
    keys = {**record.keys, "test": ImageSet.part_key_of(splits.test.key, rows)}
    sized = replace(record, n=len(base), n_real=len(base), groups=len(set(conditions.units.tolist())), keys=keys)
    planned: list[SweepMeasurement | FailedMeasurement] = []
    for sweep, direction in metric.sweeps.items():
        check_direction(f"{plugin.name}: {sweep}", direction)
        reader = _reader(metric, sweep, conditions)
        read_by = registry.describe(reader.build()) if reader is not None else None
        key = protocol({"metric": described, "measure": sweep, "train": splits.plain["train"].key, "reader": read_by})
        named = replace(sized, measure=sweep, direction=direction, protocol=key)
        refused = metric.refusal(sweep, made.trained.generator, conditions)
        if isinstance(made.trained.generator, ChecksConditions):
            refused = f"images of {record.generator} were made elsewhere, and it can be asked for no others"
        if refused:
            planned.append(FailedMeasurement(named, JobError(Reason.MISSING, "MissingError", refused, "")))
            continue
        segmenter = None if reader is None else segmenter_job(reader, splits)
        levels = make_levels(plugin, sweep, made, test, base)
        job = respond_job(plugin, sweep, levels, segmenter)
        planned.append(SweepMeasurement(named, plugin, base.ref, job.ref, (job, *base.needs)))
    return planned


def choose_by_slide(conditions: Conditions, count: int) -> NDArray[np.int64]:
    """Row numbers of `count` patches (all for 0), as many of each slide as possible, chosen by the hash of their ids."""
    order = np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in conditions.ids.tolist()], kind="stable")
    taken: Counter[str] = Counter()
    ranks = np.empty(len(order), dtype=np.int64)
    for row in order:
        ranks[row] = taken[conditions.groups[row]]
        taken[conditions.groups[row]] += 1
    first = order[np.argsort(ranks[order], kind="stable")]
    return np.sort(first[: count or None])


def _reader(metric: SweepMetric, sweep: str, conditions: Conditions) -> Plugin | None:
    """The condition metric whose reference segmenter reads the images of a sweep."""
    found = metric.reader(sweep, conditions)
    return None if found is None else plugin_of_reader(*found)


def respond_job(plugin: Plugin, sweep: str, levels: tuple[Level, ...], segmenter: Job | None) -> Job:
    """Reads the images of all levels."""
    spec = {
        "metric": registry.describe(plugin.build()),
        "sweep": sweep,
        "levels": [[level.key, list(level.rows or ())] for level in levels],
    }
    action = Respond(plugin, sweep, levels_without_jobs(levels), segmenter.ref if segmenter is not None else None)
    needs = (*(level.job for level in levels), *((segmenter,) if segmenter is not None else ()))
    return Job("agreement", spec, action, needs, "gpu", label=f"read images of {sweep} for {plugin.name}")


def levels_without_jobs(levels: tuple[Level, ...]) -> tuple[tuple[Any, tuple[int, ...] | None], ...]:
    """What a worker needs of each level: the reference of its patches, and their rows."""
    return tuple((level.patches, level.rows) for level in levels)


@dataclass(frozen=True)
class Respond:
    """Action: what the images of a sweep show, patch by patch."""

    metric: Plugin
    sweep: str
    levels: tuple[tuple[Any, tuple[int, ...] | None], ...]
    reader: EntryRef | None

    def __call__(self, work: Path, context: JobContext) -> None:
        folder = None
        if self.reader is not None:
            for name in context.store.names(self.reader):
                context.store.file(self.reader, name)
            folder = context.store.path(self.reader)
        loaded = [(patches.load(context.store), rows) for patches, rows in self.levels]
        sets = [
            load_into_memory(found if rows is None else select(found, np.asarray(rows, dtype=np.int64)))
            for found, rows in loaded
        ]
        counts = self.metric.build().respond(self.sweep, sets, folder)
        check_counts(self.metric.name, counts, len(sets[0]))
        write_array(work, "counts", counts, rows_per_chunk(counts))
