"""Experiments: arms that are scored like any training mix, comparisons of two arms paired by slide, and their headroom.

The headroom of an experiment is the score of all real patches of its pool minus that of a quarter of them, paired by slide.
Where its interval holds 0, more data of the best kind teach the model nothing, and generated patches can show neither gain nor
loss. It is measured in every experiment, also where these two are none of its arms, and no generated patch has a part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench import registry, statistics
from bench.jobs.graph import Job
from bench.jobs.store import Store
from bench.measurements.downstream import Scores, score_job
from bench.measurements.experiment_files import BETWEEN, HEADROOM, Comparison, Experiment
from bench.measurements.protocol import Measured, OneRecord
from bench.pipeline.data import DataSplits
from bench.pipeline.generation import GeneratedSet
from bench.pipeline.plugins import Plugin
from bench.results.schema import ResultRecord
from bench.types import TrainingMix

HEADROOM_MIXES = (TrainingMix("100 % real", 1.0, 0.0), TrainingMix("25 % real", 0.25, 0.0))
"""The two whose difference is the headroom. Arms of these shares are the same jobs, whatever they are called."""


@dataclass(frozen=True)
class ArmDifference(OneRecord):
    """The difference of one measure between two arms: both models were scored on the same patches."""

    record: ResultRecord
    measure: str
    first: Scores
    second: Scores
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        return {
            "task": registry.describe(self.first.task.build()),
            "difference": self.measure,
            "record": self.record.measure,
            "groups": self.first.test.key,
        }

    def compute(self, store: Store) -> dict[str, Measured]:
        first, second = (
            replace(tally, measures={self.measure: tally.measures[self.measure]})
            for tally in (self.first.load(store), self.second.load(store))
        )
        groups = self.first.test.load(store).conditions.units
        found = statistics.paired_difference(first, second, groups, seed=0)[self.measure]
        return {self.record.measure: Measured(found, (-1.0, 1.0))}


def plan_difference(
    record: ResultRecord,
    measure: str,
    task: Plugin,
    pair: tuple[TrainingMix, TrainingMix],
    splits: DataSplits,
    generated: GeneratedSet | None,
    seed: int,
) -> ArmDifference:
    """The difference of two training mixes and the jobs that train and score both; `record` is complete."""
    jobs = tuple(score_job(task, mix, splits, generated, seed) for mix in pair)
    first, second = (Scores(task, job.ref, splits.test.ref) for job in jobs)
    return ArmDifference(record, measure, first, second, jobs)


def headroom_record(record: ResultRecord, measure: str) -> ResultRecord:
    """The record of the headroom, from that of an arm of real patches. It says nothing of a generator: it has no direction."""
    return replace(
        record,
        measure=HEADROOM,
        direction="none",
        mix=BETWEEN.join(mix.name for mix in HEADROOM_MIXES),
        described={**record.described, "headroom": {"measure": measure, "direction": record.direction}},
    )


def difference_record(record: ResultRecord, comparison: Comparison, measure: str) -> ResultRecord:
    """The record of a comparison, from that of an arm; its protocol is still to be set."""
    stated = describe_claim(comparison, measure)
    return replace(
        record,
        measure=f"{measure}-difference",
        mix=f"{comparison.arm}{BETWEEN}{comparison.against}",
        described={**record.described, "comparison": stated},
    )


def describe_claim(comparison: Comparison, measure: str) -> dict[str, Any]:
    """The claim of a comparison, as JSON."""
    return {"claim": comparison.claim, "margin": comparison.margin, "measure": measure}


def mark_experiment(record: ResultRecord, experiment: Experiment) -> ResultRecord:
    """The record with the name of its experiment, which keeps it out of ordinary tables."""
    return replace(record, described={**record.described, "experiment": {"name": experiment.name}})
