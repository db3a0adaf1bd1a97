"""Two sets of result records of the same test slides and seeds, compared in pairs: what is hard for both cancels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.results.schema import NO_SOURCES, ResultRecord, unit_of
from bench.results.terms import Flag


@dataclass(frozen=True)
class Difference:
    """The first minus the second, with what a test of it needs."""

    value: float
    error: float
    """Standard error over slides and seeds; 0 where the two agree on every block of slides."""
    freedom: float
    """Degrees of freedom of the error."""
    seeds: int
    groups: int
    reason: str = ""
    """What the error leaves out."""
    unit: str = "slides"
    """What `groups` counts."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, two-sided."""
        reach = statistics.student(self.freedom) * self.error
        return self.value - reach, self.value + reach

    def above(self, threshold: float) -> float:
        """p-value of the hypothesis that the true difference is at most `threshold`."""
        from scipy.special import stdtr  # not at the top: `bench --help` should not wait for it

        gap = self.value - threshold
        if not self.error:
            return 0.0 if gap > 0 else 1.0
        return float(stdtr(self.freedom, -gap / self.error))


def paired(first: Iterable[ResultRecord], second: Iterable[ResultRecord]) -> Difference | str:
    """The mean difference over the seeds that both have, or in a word why the lines cannot be paired.

    All lines are of one measure. Slides: the mean over seeds without each block of slides gives the jackknife error of
    Busing and others (1999); seeds: the variance of the seeds' differences over their number. The two are added, which
    counts what differs from seed to seed within slides twice and so rather widens; degrees of freedom by Welch and
    Satterthwaite.
    """
    ours, theirs = _by_seed(first), _by_seed(second)
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return f"no seed in common: {sorted(ours)} and {sorted(theirs)}"
    records = [*(ours[seed] for seed in seeds), *(theirs[seed] for seed in seeds)]
    if len(protocols := {record.protocol for record in records}) > 1:
        return f"protocols differ: {', '.join(sorted(protocols))}"
    if any(Flag.SOURCES_UNKNOWN in record.flags for record in records):
        return NO_SOURCES
    blocks = {len(record.replicates) for record in records}
    if len(blocks) > 1 or min(blocks) < 2:
        return "not every line keeps its values without each block of slides"
    values = np.array([_value(ours[seed]) - _value(theirs[seed]) for seed in seeds])
    replicates = np.array([np.subtract(ours[seed].replicates, theirs[seed].replicates) for seed in seeds]).mean(axis=0)
    groups = records[0].groups
    _, slides = statistics.jackknife(float(values.mean()), replicates, _shares(groups, len(replicates)))
    between = float(values.var(ddof=1)) / len(seeds) if len(seeds) > 1 else 0.0
    error = math.sqrt(slides**2 + between)
    reason = "" if len(seeds) > 1 else "one seed: the noise of training and sampling is left out"
    freedom = _freedom(slides**2, len(replicates), between, len(seeds))
    return Difference(float(values.mean()), error, freedom, len(seeds), groups, reason, unit_of(records[0]))


def _by_seed(records: Iterable[ResultRecord]) -> dict[int, ResultRecord]:
    return {record.seed: record for record in records if record.value is not None}


def _value(record: ResultRecord) -> float:
    assert record.value is not None
    return record.value


def _shares(groups: int, blocks: int) -> NDArray[np.float64]:
    """The part of all slides that each block holds."""
    return np.array([len(block) / groups for block in statistics.blocks_of([str(i) for i in range(groups)], blocks)])


def _freedom(slides: float, blocks: int, between: float, seeds: int) -> float:
    spread = slides**2 / (blocks - 1) + (between**2 / (seeds - 1) if between else 0.0)
    return (slides + between) ** 2 / spread if spread else math.inf
