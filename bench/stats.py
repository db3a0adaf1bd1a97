"""Intervals with slides as the sampling unit. Patches of one slide resemble each other, so they are never resampled alone.

Every interval is meant to hold the true value in 95 of 100 repetitions with other slides. What cannot be said is said so:
an undefined value stays NaN, an interval that cannot be had is None, and `reason` gives the cause.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.types import Strings, Tally

VERSION = "2"
"""Part of the key of every estimate that is kept: raise it when an interval changes."""
LEVEL = 0.95
MINIMUM_GROUPS = 5
"""Fewer slides than this say nothing about other slides."""
BLOCKS = 20
"""Of slides, for leaving one out."""
EXTRAPOLATED_GROUPS = 10
"""Fewer slides than this do not show how a value depends on their number."""
TRUSTED = 0.7
"""Standard errors that the second correction of an extrapolation may amount to."""
TOLERATED = 0.05
"""Share of resamples in which a measure may be undefined before its interval is given up."""
NOTHING = "nothing to measure in these patches"
"""Why a measure has no value, where its tally does not say more."""

_ROUNDING = 1e-9
"""Share of a value that its corrections may amount to by rounding alone."""

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
Statistic = Callable[[Rows, Rows], float]
"""From the real and the generated rows to use, bool (n,) and bool (m,), to a value."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    """NaN where there is nothing to measure."""
    low: float | None
    high: float | None
    error: float | None = None
    """Standard error."""
    reason: str = ""
    """Why the value is undefined or the interval missing, or what the interval leaves out."""
    replicates: tuple[float, ...] = ()
    """The value without each block of slides, so that two numbers of the same slides can be compared in pairs later; empty
    where there is no such value. See `blocks`."""


def group_bootstrap(tally: Tally, groups: Strings, seed: int, resamples: int = 1000) -> dict[str, Estimate]:
    """Every measure of a tally, with an interval from resampling whole groups; `groups` is str (n,), one per patch.

    Percentiles of `resamples` draws of as many groups as there are, with replacement, at levels widened for few groups
    (see `_levels`): simulated, the interval held the truth in 91 % of cases with 5 groups and in 95 % from 8 on. Equal
    groups and seeds mean equal draws; the order of the patches plays no part.
    """
    drawn = _resampled(tally, groups, seed, resamples)
    replicates = _tally_replicates(tally, groups)
    return {
        name: _percentiles(value, draws, _count(groups), replicates[name], tally.undefined.get(name, NOTHING))
        for name, (value, draws) in drawn.items()
    }


def paired_difference(first: Tally, second: Tally, groups: Strings, seed: int, resamples: int = 1000) -> dict[str, Estimate]:
    """Every measure of `first` minus that of `second`, two tallies of the same patches in the same order.

    Both are seen through the same draws of groups, so what makes a slide hard for both cancels.
    """
    if first.columns != second.columns or first.counts.shape != second.counts.shape:
        raise ValueError("a paired difference needs two tallies of the same columns and patches.")
    ours = _resampled(first, groups, seed, resamples)
    theirs = _resampled(second, groups, seed, resamples)
    replicates, other = _tally_replicates(first, groups), _tally_replicates(second, groups)
    why = {**second.undefined, **first.undefined}
    return {
        name: _percentiles(
            value - theirs[name][0],
            draws - theirs[name][1],
            _count(groups),
            replicates[name] - other[name],
            why.get(name, NOTHING),
        )
        for name, (value, draws) in ours.items()
    }


def group_jackknife(statistic: Statistic, groups_real: Strings, groups_fake: Strings, blocks: int = BLOCKS) -> Estimate:
    """A statistic of real and generated patches, with an interval from leaving out blocks of groups.

    Generated patches belong to the group of their condition: a group that is left out goes from every side that has it.
    Groups are dealt to blocks in the order of `scattered`, those on both sides first, so that every block takes about the
    same share of each side. Standard error: the delete-a-block jackknife for unequal blocks (Busing, Meijer and
    van der Leeden 1999); interval: Student's t with one degree of freedom less than blocks.
    The value is the statistic of all rows, not corrected for bias, and the interval is for what it is on average over
    other slides, as many as here.
    """
    block_jackknife = BlockJackknife(statistic, groups_real, groups_fake, blocks)
    if not math.isfinite(block_jackknife.value):
        return _undefined("the statistic has no finite value on these patches")
    if block_jackknife.fewest < MINIMUM_GROUPS:
        return _too_few(block_jackknife.value, block_jackknife.fewest)
    without = block_jackknife.without()
    if not np.isfinite(without).all():
        return Estimate(block_jackknife.value, None, None, reason="underpowered: undefined without some of the slides")
    _, error = jackknife(block_jackknife.value, without, block_jackknife.shares)
    reach = student(len(without) - 1) * error
    return Estimate(
        block_jackknife.value, block_jackknife.value - reach, block_jackknife.value + reach, error, replicates=_known(without)
    )


def group_extrapolation(
    statistic: Statistic, groups_real: Strings, groups_fake: Strings, seed: int, blocks: int = BLOCKS, halvings: int = 4
) -> Estimate:
    """What a statistic of real and generated patches would be with endlessly many slides on both sides, and its interval.

    A statistic whose bias is c / G + c' / G^2 + ... in the number G of groups is measured with all groups, with one block
    of them left out (the jackknife, which removes c), and with half of the blocks, `halvings` random halvings in both
    halves (which shows what c' has left, and removes it). Standard error and interval are the jackknife's; see
    docs/coverage.md for how often that holds the truth. Where the second correction is larger than `TRUSTED` standard
    errors the expansion cannot be relied on: the value comes without an interval, as underpowered.
    """
    block_jackknife = BlockJackknife(statistic, groups_real, groups_fake, blocks)
    if not math.isfinite(block_jackknife.value):
        return _undefined("the statistic has no finite value on these patches")
    if block_jackknife.fewest < EXTRAPOLATED_GROUPS:
        return Estimate(
            block_jackknife.value,
            None,
            None,
            reason=f"underpowered: {block_jackknife.fewest} slides, {EXTRAPOLATED_GROUPS} are needed",
        )
    without, halves = block_jackknife.without(), block_jackknife.halves(seed, halvings)
    if not (np.isfinite(without).all() and np.isfinite(halves).all()):
        return Estimate(block_jackknife.value, None, None, reason="underpowered: undefined on half of the slides")
    first, error = jackknife(block_jackknife.value, without, block_jackknife.shares)
    share = block_jackknife.half_share
    correction = share / (1 - share) * ((block_jackknife.value - share * float(halves.mean())) / (1 - share) - first)
    value = first - correction
    rounding = _ROUNDING * float(np.abs([block_jackknife.value, *without, *halves]).max())
    if abs(correction) > TRUSTED * error + rounding:
        return Estimate(value, None, None, error, _untrusted(abs(correction), error, rounding))
    reach = student(len(without) - 1) * error
    replicates = without + (
        value - block_jackknife.value
    )  # their spread, and so the error, is that of the value before correction
    return Estimate(value, value - reach, value + reach, error, replicates=_known(replicates))


def _untrusted(correction: float, error: float, rounding: float) -> str:
    """Why an extrapolation has no interval; where no slide changes the value there is no error to divide by."""
    if error <= rounding:
        return "underpowered: half of the slides give another value, and no block of them changes it: no standard error"
    return f"underpowered: what depends on the number of slides is off by {correction / error:.1f} standard errors"


class BlockJackknife:
    """A statistic on all groups, and on all but some blocks of them."""

    def __init__(self, statistic: Statistic, groups_real: Strings, groups_fake: Strings, blocks: int) -> None:
        if blocks < 2:
            raise ValueError(f"a jackknife leaves out one of at least 2 blocks, not of {blocks}.")
        self._statistic = statistic
        self._sides = groups_real, groups_fake
        names = _dealing_order(groups_real, groups_fake)
        self._dealt = dealt(names, blocks)
        self.shares = np.array([len(block) / len(names) for block in self._dealt])
        self.fewest = min(_count(groups_real), _count(groups_fake))
        self.value = self._measured([])
        self._half = len(self._dealt) // 2
        self.half_share = self._half / len(self._dealt)

    def without(self) -> Floats:
        """float64 (blocks,): each block left out."""
        return np.array([self._measured([b]) for b in range(len(self._dealt))], dtype=np.float64)

    def halves(self, seed: int, halvings: int) -> Floats:
        """float64 (2 * halvings,): random halves of the blocks, each halving giving two that share none."""
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(self._dealt)).tolist() for _ in range(halvings)]
        left_out = [out for order in orders for out in (order[self._half :], order[: len(order) - self._half])]
        return np.array([self._measured(out) for out in left_out], dtype=np.float64)

    def _measured(self, left_out: list[int]) -> float:
        names = [name for block in left_out for name in self._dealt[block]]
        real, fake = (~np.isin(groups, names) for groups in self._sides)
        return float(self._statistic(real, fake))


def combine_seeds(values: Sequence[float], lows: Sequence[float | None], highs: Sequence[float | None]) -> Estimate:
    """The mean over S training seeds that were scored on the same slides, with an interval for slides and seeds together.

    More seeds do not bring more slides, so the slide part stays as wide as that of one seed (root mean square over
    seeds); only the variance between seeds is divided by S. The two variances add, for the lower and the upper half of
    the interval apart. The seed variance is itself known from S - 1 degrees of freedom only, which Welch and
    Satterthwaite's formula carries into the t quantile: with no spread between seeds the slides' interval comes back
    unchanged, with spread and few seeds it is wide.
    """
    count = len(values)
    if not count:
        raise ValueError("no seeds to combine.")
    undefined = sum(math.isnan(value) for value in values)
    if undefined:
        return _undefined(f"undefined for {undefined} of {count} seeds")
    value = math.fsum(values) / count
    known_lows = [low for low in lows if low is not None]
    known_highs = [high for high in highs if high is not None]
    if min(len(known_lows), len(known_highs)) < count:
        return Estimate(value, None, None, reason="no interval over slides for some of the seeds")
    if count == 1:
        return Estimate(value, known_lows[0], known_highs[0], reason="one seed: the interval leaves training noise out")
    between = float(np.var(values, ddof=1)) / count
    below = _half(np.subtract(values, known_lows), between, count)
    above = _half(np.subtract(known_highs, values), between, count)
    return Estimate(value, value - below, value + above)


def _half(slide_halves: Floats, between: float, seeds: int) -> float:
    within = float(np.mean(slide_halves**2)) / student(math.inf) ** 2
    freedom = (seeds - 1) * ((within + between) / between) ** 2 if between else math.inf
    return student(freedom) * math.sqrt(within + between)


def _resampled(tally: Tally, groups: Strings, seed: int, resamples: int) -> dict[str, tuple[float, Floats]]:
    """Of each measure its value and its values under the draws, float64 (resamples,)."""
    if len(groups) != len(tally.counts) or not len(groups):
        raise ValueError(f"one group for each patch: found {len(groups)} groups and {len(tally.counts)} patches.")
    names, owner = np.unique(groups, return_inverse=True)
    by_group = np.zeros((len(names), len(tally.columns)))
    np.add.at(by_group, owner, tally.counts)
    times = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    total = dict(zip(tally.columns, by_group.sum(axis=0).tolist(), strict=True))
    sums = [dict(zip(tally.columns, row, strict=True)) for row in (times @ by_group).tolist()]
    return {
        name: (measure(total), np.array([measure(row) for row in sums], dtype=np.float64))
        for name, measure in tally.measures.items()
    }


def _percentiles(value: float, draws: Floats, groups: int, replicates: Floats, undefined: str) -> Estimate:
    if math.isnan(value):
        return _undefined(undefined)
    if groups < MINIMUM_GROUPS:
        return _too_few(value, groups)
    defined = draws[~np.isnan(draws)]
    lost = 1 - len(defined) / len(draws)
    if lost > TOLERATED:
        return Estimate(value, None, None, reason=f"undefined in {lost:.0%} of resamples: too few slides show it")
    low, high = np.quantile(defined, _levels(groups))
    reason = f"undefined in {lost:.1%} of resamples, which are left out" if lost else ""
    return Estimate(value, float(low), float(high), float(defined.std(ddof=1)), reason, _known(replicates))


def _tally_replicates(tally: Tally, groups: Strings) -> dict[str, Floats]:
    """Of each measure its values without each block of groups, float64 (blocks,)."""
    parts = [tally.counts[~np.isin(groups, block)].sum(axis=0) for block in dealt(scattered(groups.tolist()))]
    sums = [dict(zip(tally.columns, part.tolist(), strict=True)) for part in parts]
    return {name: np.array([measure(row) for row in sums], np.float64) for name, measure in tally.measures.items()}


def dealt(names: list[str], blocks: int = BLOCKS) -> list[list[str]]:
    """Groups dealt to blocks one by one, in the order given: two numbers of the same slides have the same blocks."""
    return [names[block::blocks] for block in range(min(blocks, len(names)))]


def scattered(names: Iterable[str]) -> list[str]:
    """Each name once, in an order that no numbering of theirs can run along with.

    Dealt by name, every 20th slide would be in one block; where laboratories take turns as slides are numbered, each block
    would be of one laboratory, and leaving it out would show the spread of laboratories in place of that of slides.
    """
    return sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())


def _known(replicates: Floats) -> tuple[float, ...]:
    return tuple(replicates.tolist()) if np.isfinite(replicates).all() else ()


def _levels(groups: int) -> tuple[float, float]:
    """Percentile levels that make up for few groups (Hesterberg 2015, "expanded percentile interval").

    Resampling g groups shows sqrt((g - 1) / g) of their spread and takes it for known: the levels are those that would
    give Student's interval if the draws were normal.
    """
    tail = NormalDist().cdf(-math.sqrt(groups / (groups - 1)) * student(groups - 1))
    return tail, 1 - tail


def student(freedom: float) -> float:
    from scipy.special import stdtrit  # not at the top: `bench --help` should not wait for it

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def jackknife(value: float, without: Floats, shares: Floats) -> tuple[float, float]:
    """Busing and others: the value corrected for bias, and its standard error; shares is the part of all groups that each
    block holds, `without` the value when it is left out."""
    inverse = 1 / shares
    pseudo = inverse * value - (inverse - 1) * without
    centre = len(without) * value - float(((1 - shares) * without).sum())
    return centre, math.sqrt(np.mean((pseudo - centre) ** 2 / (inverse - 1)))


def _dealing_order(groups_real: Strings, groups_fake: Strings) -> list[str]:
    real, fake = set(groups_real.tolist()), set(groups_fake.tolist())
    return scattered(real & fake) + scattered(real - fake) + scattered(fake - real)


def _count(groups: Strings) -> int:
    return len(np.unique(groups))


def _undefined(reason: str) -> Estimate:
    return Estimate(math.nan, None, None, reason=reason)


def _too_few(value: float, groups: int) -> Estimate:
    return Estimate(value, None, None, reason=f"underpowered: {groups} slides, an interval needs {MINIMUM_GROUPS}")
