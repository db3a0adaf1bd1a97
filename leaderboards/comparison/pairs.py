"""Two sets of result records of the same test slides and seeds, compared in pairs: what is hard for both cancels."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.results.identity import weights_behind
from bench.results.schema import NO_SOURCES, ResultRecord, unit_of
from bench.results.terms import Flag

NO_NUMBER = "no number on one side"
ONE_SEED = "one seed: the noise of training and sampling is left out"


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

    All records are of one measure, and both sides have numbers. The two variances and a third one add, which counts what
    differs from seed to seed within slides twice and so rather widens; degrees of freedom by Welch and Satterthwaite:

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


def paired_each(pairs: Sequence[tuple[Sequence[ResultRecord], Sequence[ResultRecord]]]) -> list[Difference | str]:
    """`paired` of each pair, to the same bits, and `NO_NUMBER` where a side has none. Pairs of one fit a side, the same seeds
    and as many blocks are computed together: tables ask for tens of thousands."""
    sides = {which: _one_fit(side) for which, side in {id(side): side for pair in pairs for side in pair}.items()}
    alike: dict[tuple[tuple[int, ...], int], list[int]] = defaultdict(list)
    found: dict[int, Difference | str] = {}
    for i, (first, second) in enumerate(pairs):
        ours, theirs = sides[id(first)], sides[id(second)]
        if ours and theirs and ours.seeds == theirs.seeds and ours.key == theirs.key:
            alike[ours.seeds, ours.values_without.shape[1]].append(i)
        elif all(any(record.value is not None for record in side) for side in (first, second)):
            found[i] = paired(first, second)
        else:
            found[i] = NO_NUMBER
    for (seeds, _), chosen in alike.items():
        both = [(sides[id(pairs[i][0])], sides[id(pairs[i][1])]) for i in chosen]
        known = [(ours, theirs) for ours, theirs in both if ours is not None and theirs is not None]
        found.update(zip(chosen, _differences(known, len(seeds)), strict=True))
    return [found[i] for i in range(len(pairs))]


@dataclass(frozen=True)
class _OneFit:
    """The records of one measure of one fit, ready to be paired."""

    weights: str
    seeds: tuple[int, ...]
    values: NDArray[np.float64]
    """(seeds,)."""
    values_without: NDArray[np.float64]
    """(seeds, blocks): the values without each block of slides."""
    key: tuple[str, int]
    """Protocol and blocks: of two that differ in it nothing is paired here."""
    freedom: float
    groups: int
    unit: str


def _one_fit(records: Sequence[ResultRecord]) -> _OneFit | None:
    """None where `paired` has to look at the records one by one."""
    fits = _by_fit(records)
    if len(fits) != 1:
        return None
    (weights, by_seed), *_ = fits.items()
    seeds = tuple(sorted(by_seed))
    held = [by_seed[seed] for seed in seeds]
    blocks, protocols = {len(record.replicates) for record in held}, {record.protocol for record in held}
    if len(blocks) > 1 or min(blocks) < 2 or len(protocols) > 1:
        return None
    if any(Flag.SOURCES_UNKNOWN in record.flags for record in held):
        return None
    values = np.array([_value(record) for record in held])
    without = np.array([record.replicates for record in held])
    freedom = min([blocks.pop() - 1, *_known_freedoms(held)])
    key = (protocols.pop(), without.shape[1])
    return _OneFit(weights, seeds, values, without, key, freedom, held[0].groups, unit_of(held[0]))


def _differences(pairs: Sequence[tuple[_OneFit, _OneFit]], count: int) -> Iterator[Difference]:
    """The differences of sides with the same seeds, `count` of them, and blocks."""
    gaps = np.stack([ours.values - theirs.values for ours, theirs in pairs])
    without = np.stack([ours.values_without - theirs.values_without for ours, theirs in pairs]).mean(axis=1)
    blocks = without.shape[1]
    values, shares = gaps.mean(axis=1), np.full(blocks, 1 / blocks)
    rises = shares / (1 - shares)
    # as `statistics.jackknife`
    biases = ((1 - shares) * (without - values[:, None])).sum(axis=1) / ((1 - shares) * rises).sum()
    squares = np.mean((without - values[:, None] - biases[:, None] * rises) ** 2, axis=1)
    spreads = gaps.var(axis=1, ddof=1) / count if count > 1 else np.zeros(len(gaps))
    reason = "" if count > 1 else ONE_SEED
    for row, (ours, theirs) in enumerate(pairs):
        slides = math.sqrt((blocks - 1) * squares[row])
        parts = [(slides**2, min(ours.freedom, theirs.freedom)), (float(spreads[row]), count - 1)]
        yield Difference(
            float(values[row]),
            math.sqrt(sum(variance for variance, _ in parts)),
            statistics.welch_freedom(parts),
            count,
            ours.groups,
            reason,
            ours.unit,
            tuple(without[row].tolist()),
            fits=(int(bool(ours.weights)), int(bool(theirs.weights))),
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
