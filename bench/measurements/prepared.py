"""A run that is ready to be executed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bench.config import Components, RunConfig
from bench.jobs.graph import Job
from bench.measurements.planning import RunPlan
from bench.pipeline.data import DataSplits


@dataclass(frozen=True)
class Times:
    """When a run began, and seconds of its phases."""

    begun: datetime
    seconds: Mapping[str, float]
    since: float = field(default_factory=time.monotonic)

    def with_phase(self, name: str) -> Times:
        """Ends a phase that began at the end of the last one."""
        now = time.monotonic()
        return Times(self.begun, {**self.seconds, name: now - self.since}, now)


@dataclass(frozen=True)
class Prepared:
    """A run whose data are loaded and whose jobs are known: nothing is trained, generated or measured yet."""

    config: RunConfig
    components: Components
    splits: DataSplits
    plan: RunPlan
    jobs: tuple[Job, ...]
    """One for each measurement, in their order."""
    times: Times

    @property
    def targets(self) -> tuple[Job, ...]:
        """Everything that has to be finished: the measurements, and the lists of generated patches and of weights."""
        sets = (generated for made in self.plan.generated for generated in (made.test, made.pool))
        listings = (weights.listing for _, _, weights in self.plan.weights)
        return (
            *self.jobs,
            *(generated.job for generated in sets if generated is not None),
            *(listing for listing in listings if listing is not None),
        )
