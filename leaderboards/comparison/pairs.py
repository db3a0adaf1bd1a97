"""Two sets of result records of the same test slides and seeds, compared in pairs: what is hard for both cancels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench import statistics
from bench.results.identity import weights_behind
from bench.results.schema import NO_SOURCES, ResultRecord, unit_of
from bench.results.terms import Flag


@dataclass(frozen=True)
class Difference:
    """The first minus the second, with what a test of it needs."""

    value: float
    error: float
    """Standard error over slides, fits and seeds; 0 where the two agree on every block of slides."""
    freedom: float
    """Degrees of freedom of the error."""
    seeds: int
    groups: int
    reason: str = ""
    """What the error leaves out."""
    unit: str = "slides"
    """What `groups` counts."""
    without: tuple[float, ...] = ()
    """The difference without each block of slides."""
    fits: tuple[int, int] = (0, 0)
    """Trainings behind the first and the second: of one, the difference is about these weights; 0 where none has a part."""

    @property
    def is_of_methods(self) -> bool:
        """Whether it says something of both methods, and not of the one fit that was made of them."""
        return 1 not in self.fits

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


def paired(first: Iterable[ResultRecord], second: Iterable[ResultRecord], same_weights: bool = False) -> Difference | str:
    """The mean difference over fits and over the seeds that all have, or in a word why the records cannot be paired.

    All records are of one measure. The two variances and a third one add, which counts what differs from seed to seed within
    slides twice and so rather widens; degrees of freedom by Welch and Satterthwaite:

    slides  cluster jackknife (`statistics.jackknife`) of the mean over fits and seeds without each block of slides
    seeds   the variance of the seeds' differences over their number
    fits    of two sets of fits the variance of each side's means over the number of its fits (Welch); of the same fits on
            both sides the variance of the fits' differences over their number. A side with one fit adds nothing: the
            difference is about these weights

    `same_weights`: the fits are the same on both sides, and others are not asked about. They are no source of variance.
    """
    sides = _by_fit(first), _by_fit(second)
    known = [set(fit) for side in sides for fit in side.values()]
    seeds = sorted(set.intersection(*known)) if known else []
    if not seeds:
        ours, theirs = (sorted({seed for fit in side.values() for seed in fit}) for side in sides)
        return f"no seed in common: {ours} and {theirs}"
    records = [fit[seed] for side in sides for fit in side.values() for seed in seeds]
    if len(protocols := {record.protocol for record in records}) > 1:
        return f"protocols differ: {', '.join(sorted(protocols))}"
    if any(Flag.SOURCES_UNKNOWN in record.flags for record in records):
        return NO_SOURCES
    blocks = {len(record.replicates) for record in records}
    if len(blocks) > 1 or min(blocks) < 2:
        return "not every line keeps its values without each block of slides"
    values = [np.array([[_value(fit[seed]) for seed in seeds] for fit in side.values()]) for side in sides]
    kept = [np.array([[fit[seed].replicates for seed in seeds] for fit in side.values()]) for side in sides]
    by_seed = values[0].mean(axis=0) - values[1].mean(axis=0)
    without = (kept[0].mean(axis=0) - kept[1].mean(axis=0)).mean(axis=0)
    value, groups = float(by_seed.mean()), records[0].groups
    count = len(without)
    _, error = statistics.jackknife(value, without, np.full(count, 1 / count))
    parts = [(error**2, min([count - 1, *_known_freedoms(records)])), statistics.variance_of_mean(by_seed)]
    if not same_weights:
        is_shared = set(sides[0]) == set(sides[1])
        means = [side.mean(axis=1) for side in values]
        parts += [statistics.variance_of_mean(found) for found in ([means[0] - means[1]] if is_shared else means)]
    return Difference(
        value,
        math.sqrt(sum(variance for variance, _ in parts)),
        statistics.welch_freedom(parts),
        len(seeds),
        groups,
        "" if len(seeds) > 1 else "one seed: the noise of training and sampling is left out",
        unit_of(records[0]),
        tuple(without.tolist()),
        fits=(sum(map(bool, sides[0])), sum(map(bool, sides[1]))),
    )


def _by_fit(records: Iterable[ResultRecord]) -> dict[str, dict[int, ResultRecord]]:
    """Weights -> seed -> record, of those that have values, in the order of the weights; the weights are empty where no
    training has a part in the numbers. Two trainings that gave the same bytes are one fit."""
    found: dict[str, dict[int, ResultRecord]] = {}
    for record in records:
        if record.value is not None:
            found.setdefault(weights_behind(record), {})[record.seed] = record
    return dict(sorted(found.items()))


def _value(record: ResultRecord) -> float:
    assert record.value is not None
    return record.value


def _known_freedoms(records: Iterable[ResultRecord]) -> list[float]:
    """Degrees of freedom of the records' intervals: few if a large part of the patches is of few slides."""
    return [record.freedom for record in records if record.freedom is not None]
