"""What the visual prompts of the test patches show: how much of each patch, and how many classes have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.jobs.graph import Job
from bench.jobs.store import EntryRef, Store
from bench.measurements.protocol import Measured
from bench.pipeline.prompts import PromptReport
from bench.results.schema import ResultRecord
from bench.statistics import Estimate

MEASURES = ("prompt-coverage", "prompt-missing", "prompt-whole", "prompt-from-reference")


@dataclass(frozen=True)
class PromptMeasurement:
    """Counts over the prompts of the test patches; no interval, since they are of the very patches."""

    records: tuple[ResultRecord, ...]
    prompts: EntryRef
    needs: tuple[Job, ...] = ()

    def planned(self) -> list[ResultRecord]:
        return list(self.records)

    def inputs(self) -> tuple[Job, ...]:
        return self.needs

    def spec(self) -> Mapping[str, Any]:
        return {"prompts": list(MEASURES)}

    def compute(self, store: Store) -> dict[str, Measured]:
        report = PromptReport(**store.read_json(self.prompts, "report.json"))
        wanted = max(report.wanted, 1)
        values = {
            "prompt-coverage": report.coverage,
            "prompt-missing": report.missing / wanted,
            "prompt-whole": report.whole / wanted,
            "prompt-from-reference": report.reference / wanted,
        }
        return {measure: Measured(Estimate(value, None, None)) for measure, value in values.items()}
