"""Downstream scores: the task's model is trained on a mix of real and generated patches and scored on real test patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry, statistics
from bench.histology.training_mixes import training_sets
from bench.jobs.arrays import open_array, write_array
from bench.jobs.graph import Job, JobContext
from bench.jobs.store import EntryRef, Store
from bench.measurements.protocol import Measured, SeveralRecords
from bench.pipeline.checks import check_counts
from bench.pipeline.data import MAPS, DataSplits
from bench.pipeline.generation import GeneratedSet
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import GeneratedRef, SetRef, keep_columns, load_into_memory, rows_per_chunk
from bench.results.schema import ResultRecord
from bench.types import Tally, Task, TrainingMix


@dataclass(frozen=True)
class Scores:
    """Reference to the counts of one trained model."""

    task: Plugin
    counts: EntryRef
    test: SetRef

    def load(self, store: Store) -> Tally:
        task: Task = self.task.build()
        return task.tally(np.asarray(open_array(store, self.counts, "counts")), self.test.load(store).conditions.classes)


@dataclass(frozen=True)
class DownstreamMeasurement(SeveralRecords):
    """Every measure of the task for one training mix and seed."""

    records: tuple[ResultRecord, ...]
    scores: Scores
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        return {"task": registry.describe(self.scores.task.build()), "groups": self.scores.test.key}

    def compute(self, store: Store) -> dict[str, Measured]:
        tally = self.scores.load(store)
        found = statistics.group_bootstrap(tally, self.scores.test.load(store).conditions.units, seed=0)
        return {name: Measured(estimate, tally.bounds.get(name, (0.0, 1.0))) for name, estimate in found.items()}


def plan_downstream(
    record: ResultRecord, task: Plugin, mix: TrainingMix, splits: DataSplits, generated: GeneratedSet | None, seed: int
) -> DownstreamMeasurement:
    """The measurement and the job that trains and scores the model; `record` lacks its measure."""
    job = score_job(task, mix, splits, generated, seed)
    measures = tuple(task.build().measures(splits.test.conditions.classes))
    if not measures or not all(isinstance(measure, str) for measure in measures):
        raise TypeError(f"the measures of {task.name} are {measures!r}, not names")
    records = tuple(replace(record, measure=measure) for measure in measures)
    return DownstreamMeasurement(records, Scores(task, job.ref, splits.test.ref), (job,))


def is_of_generated(mix: TrainingMix) -> bool:
    """Whether the mix holds patches that a generator made."""
    return bool(mix.synthetic) and mix.synthetic_source in ("generated", "shuffled")


def score_job(task: Plugin, mix: TrainingMix, splits: DataSplits, generated: GeneratedSet | None, seed: int) -> Job:
    """Trains the downstream model on the mix and counts on the test patches. A mix without generated patches is one job for
    all generators."""
    made = generated if is_of_generated(mix) else None
    real, validation, test = splits.training, splits.plain["validation"], splits.test
    spec = {
        "task": registry.describe(task.build()),
        "mix": [mix.real, mix.synthetic, mix.synthetic_source],
        "real": real.key,
        "generated": made.key if made is not None else "",
        "validation": validation.key,
        "test": test.key,
        "seed": seed,
    }
    action = Score(task, mix, real.ref, made.ref if made is not None else None, validation.ref, test.ref, seed)
    needs = (*real.needs, *validation.needs, *test.needs, *((made.job,) if made is not None else ()))
    return Job("scores", spec, action, needs, "gpu", label=f"train {task.name} on {mix.name}, seed {seed}")


@dataclass(frozen=True)
class Score:
    """Action: counts of each test patch by a model trained on the mix."""

    task: Plugin
    mix: TrainingMix
    real: SetRef
    generated: GeneratedRef | None
    validation: SetRef
    test: SetRef
    seed: int

    def __call__(self, work: Path, context: JobContext) -> None:
        real = keep_columns(self.real.load(context.store), MAPS)
        generated = None if self.generated is None else self.generated.load(context.store)
        sets = [load_into_memory(part) for part in training_sets(self.mix, real, generated)]
        validation, test = (load_into_memory(part.load(context.store)) for part in (self.validation, self.test))
        counts = self.task.build_anew().score(sets, validation, test, self.seed, context.progress).counts
        check_counts(self.task.name, counts, len(test))
        write_array(work, "counts", counts, rows_per_chunk(counts))
