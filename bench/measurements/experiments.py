"""Experiments: arms that are scored like any training mix, and comparisons of two arms paired by slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench import registry, statistics
from bench.jobs.graph import Job
from bench.jobs.store import Store
from bench.measurements.downstream import Scores
from bench.measurements.experiment_files import Comparison, Experiment
from bench.measurements.protocol import Measured
from bench.results.schema import ResultRecord

BETWEEN = " - "
"""Separates the names of the two arms of a difference."""


@dataclass(frozen=True)
class ArmDifference:
    """The difference of one measure between two arms: both models were scored on the same patches."""

    record: ResultRecord
    measure: str
    first: Scores
    second: Scores
    needs: tuple[Job, ...] = ()

    def planned(self) -> list[ResultRecord]:
        return [self.record]

    def inputs(self) -> tuple[Job, ...]:
        return self.needs

    def spec(self) -> Mapping[str, Any]:
        return {
            "task": registry.describe(self.first.task.build()),
            "difference": self.measure,
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
