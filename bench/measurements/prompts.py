"""What the visual prompts of the test patches show: share of each patch, and number of classes without a crop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.jobs.graph import Job
from bench.jobs.store import EntryRef, Store
from bench.measurements.protocol import Measured, SeveralRecords
from bench.pipeline.prompts import PromptReport
from bench.results.schema import ResultRecord
from bench.statistics import Estimate

MEASURES = ("prompt-coverage", "prompt-missing", "prompt-whole", "prompt-reference")


@dataclass(frozen=True)
class PromptMeasurement(SeveralRecords):
    """Counts over the prompts of the test patches; no interval, since they describe exactly these patches."""

    records: tuple[ResultRecord, ...]
    prompts: EntryRef
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        return {"prompts": list(MEASURES)}

    def compute(self, store: Store) -> dict[str, Measured]:
        report = PromptReport(**store.read_json(self.prompts, "report.json"))
        wanted = max(report.wanted, 1)
        values = {
            "prompt-coverage": report.coverage,
            "prompt-missing": report.missing / wanted,
            "prompt-whole": report.whole / wanted,
        }
        found = {measure: Measured(Estimate(value, None, None)) for measure, value in values.items()}
        share = report.reference / report.crops if report.crops else math.nan
        found["prompt-reference"] = Measured(
            Estimate(share, None, None, reason="" if report.crops else "no test patch has a crop")
        )
        return found
