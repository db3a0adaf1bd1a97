"""Intervals by resampling whole slides, of the measures of a tally and of paired differences."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.results.terms import Reason
from bench.statistics.blocks import Blocks
from bench.statistics.estimates import (
    _ROUNDING,
    MINIMUM_GROUPS,
    NOTHING,
    Estimate,
    Floats,
    count_in_words,
    effective_number,
    finite_replicates,
    student,
    undefined_estimate,
)
from bench.types import Strings, Tally

TOLERATED = 0.05
"""Share of resamples in which a measure may be undefined before its interval is given up."""


def group_bootstrap(tally: Tally, groups: Strings, seed: int, resamples: int = 1000) -> dict[str, Estimate]:
    """Every measure of a tally, with an interval from resampling whole groups; `groups` is str (n,), one per patch.

    Percentiles of `resamples` draws of as many groups as there are, with replacement, at levels widened for few groups
    (see `_levels`). What counts is the effective number of groups by their weight in the measure (`slide_weights`): a group
    that shows little of a class says little of it. Equal groups and seeds mean equal draws; the order of the patches plays no
    part.
    """
    resampled = _Resampled(tally, groups, seed, resamples)
    return {
        name: _percentiles(
            resampled.values[name],
            resampled.draws[name],
            resampled.weights[name],
            resampled.replicates[name],
            tally.undefined.get(name, NOTHING),
        )
        for name in tally.measures
    }


def paired_difference(first: Tally, second: Tally, groups: Strings, seed: int, resamples: int = 1000) -> dict[str, Estimate]:
    """Every measure of `first` minus that of `second`, two tallies of the same patches in the same order.

    Both are seen through the same draws of groups, so what makes a slide hard for both cancels.
    """
    if first.columns != second.columns or first.counts.shape != second.counts.shape:
        raise ValueError("a paired difference needs two tallies of the same columns and patches.")
    ours, theirs = (_Resampled(tally, groups, seed, resamples) for tally in (first, second))
    why = {**second.undefined, **first.undefined}
    return {
        name: _percentiles(
            ours.values[name] - theirs.values[name],
            ours.draws[name] - theirs.draws[name],
            (ours.weights[name] + theirs.weights[name]) / 2,
            ours.replicates[name] - theirs.replicates[name],
            why.get(name, NOTHING),
        )
        for name in first.measures
    }


class _Resampled:
    """The measures of a tally, under draws of groups and without each block of them."""

    def __init__(self, tally: Tally, groups: Strings, seed: int, resamples: int) -> None:
        if len(groups) != len(tally.counts) or not len(groups):
            raise ValueError(f"one group for each patch: found {len(groups)} groups and {len(tally.counts)} patches.")
        names, owner = np.unique(groups, return_inverse=True)
        by_group = np.zeros((len(names), len(tally.columns)))
        np.add.at(by_group, owner, tally.counts)
        total = by_group.sum(axis=0)
        times = _draws(len(names), seed, resamples)
        self.values = {
            name: measure(dict(zip(tally.columns, total.tolist(), strict=True))) for name, measure in tally.measures.items()
        }
        self.draws = _measured(tally, times @ by_group)
        """Of each measure its values under the draws, float64 (resamples,)."""
        blocks = Blocks.of(groups, groups)
        by_block = np.zeros((blocks.count, len(tally.columns)))
        np.add.at(by_block, blocks.real, tally.counts)
        without = [np.delete(by_block, block, axis=0).sum(axis=0) for block in range(blocks.count)]
        self.replicates = _measured(tally, np.array(without))
        """Of each measure its values without each block of groups, float64 (blocks,)."""
        sizes = np.bincount(owner).astype(np.float64)
        self.weights = {name: slide_weights(tally, name, by_group, sizes) for name in tally.measures}


@lru_cache(maxsize=4)
def _draws(groups: int, seed: int, resamples: int) -> NDArray[np.int64]:
    """int64 (resamples, groups): how often each group is in each draw. Kept, since all scores of a run have the same ones."""
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    drawn.flags.writeable = False
    return np.asarray(drawn)


def _measured(tally: Tally, sums: Floats) -> dict[str, Floats]:
    """Of each measure its value for each row of column sums, float64 (m,)."""
    rows = [dict(zip(tally.columns, row, strict=True)) for row in sums.tolist()]
    return {name: np.array([measure(row) for row in rows], np.float64) for name, measure in tally.measures.items()}


def slide_weights(tally: Tally, name: str, by_group: Floats, sizes: Floats) -> Floats:
    """float64 (groups,), sum 1: the weight of each group in the denominators of a measure.

    A denominator is a column, (groups, columns) of `by_group`, in which the measure is not linear. The parts that a group has
    of each are averaged by how much the measure bends with it: of a ratio it is the group's part of the denominator, of a mean
    over classes the mean of its parts of the classes. Without a denominator it is the part of the patches, `sizes`.
    """
    measure, total = tally.measures[name], by_group.sum(axis=0)

    def value(column: int, times: float) -> float:
        sums = total.copy()
        sums[column] *= times
        return measure(dict(zip(tally.columns, sums.tolist(), strict=True)))

    here = value(0, 1.0)
    bends = np.array([value(c, 1.5) + value(c, 0.5) - 2 * here if total[c] > 0 else 0.0 for c in range(len(total))])
    bends = np.abs(np.where(np.isfinite(bends), bends, 0.0))
    shown = bends > _ROUNDING * abs(here)
    if not shown.any():
        return np.asarray(sizes / sizes.sum())
    weights = by_group[:, shown] / total[shown] @ bends[shown]
    return np.asarray(weights / weights.sum())


def _percentiles(value: float, draws: Floats, weights: Floats, replicates: Floats, undefined: str) -> Estimate:
    if math.isnan(value):
        return undefined_estimate(undefined)
    effective, defined = effective_number(weights), draws[~np.isnan(draws)]
    lost = 1 - len(defined) / len(draws)
    if lost > TOLERATED:
        return Estimate(value, None, None, reason=f"undefined in {lost:.0%} of resamples: too few slides show it")
    if round(effective, 1) < MINIMUM_GROUPS:
        return Estimate(value, None, None, reason=_too_few(weights, effective))
    low, high = np.quantile(defined, _levels(weights))
    reason = f"undefined in {lost:.1%} of resamples, which are left out" if lost else ""
    error, replicated = float(defined.std(ddof=1)), finite_replicates(replicates)
    return Estimate(value, float(low), float(high), error, reason, replicated, freedom=effective - 1)


def _too_few(weights: Floats, effective: float) -> str:
    """Why a measure has no interval, with the number of slides that show it."""
    shown = int((weights > 0).sum())
    counted = count_in_words(shown, effective)
    shows = f", of {len(weights)}, show it" if shown < len(weights) else ""
    return f"{Reason.UNDERPOWERED}: {counted}{shows}, an interval needs {MINIMUM_GROUPS}"


def _levels(weights: Floats) -> tuple[float, float]:
    """Percentile levels that make up for few groups (Hesterberg 2015, "expanded percentile interval").

    Resampling groups shows only a part of the variance of their weighted mean, (g - 1) / g where g groups weigh the same, and
    takes it for known: the levels are those that would give Student's interval, for as many groups as there are in effect, if
    the draws were normal.
    """
    squares = float(np.square(weights).sum())
    shown = 1 - 2 * float((weights**3).sum()) / squares + squares
    tail = NormalDist().cdf(-student(effective_number(weights) - 1) / math.sqrt(shown))
    return tail, 1 - tail
