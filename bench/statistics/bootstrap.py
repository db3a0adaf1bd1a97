"""Intervals by resampling whole slides, of the measures of a tally and of paired differences."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from bench.statistics.blocks import blocks_of, scattered
from bench.statistics.estimates import (
    MINIMUM_GROUPS,
    NOTHING,
    Estimate,
    Floats,
    count_groups,
    finite_replicates,
    student,
    too_few_groups,
    undefined_estimate,
)
from bench.types import Strings, Tally

TOLERATED = 0.05
"""Share of resamples in which a measure may be undefined before its interval is given up."""


def group_bootstrap(tally: Tally, groups: Strings, seed: int, resamples: int = 1000) -> dict[str, Estimate]:
    """Every measure of a tally, with an interval from resampling whole groups; `groups` is str (n,), one per patch.

    Percentiles of `resamples` draws of as many groups as there are, with replacement, at levels widened for few groups
    (see `_levels`): simulated, the interval held the truth in 91 % of cases with 5 groups and in 95 % from 8 on. Equal
    groups and seeds mean equal draws; the order of the patches plays no part.
    """
    drawn = _resampled(tally, groups, seed, resamples)
    replicates = _tally_replicates(tally, groups)
    return {
        name: _percentiles(value, draws, count_groups(groups), replicates[name], tally.undefined.get(name, NOTHING))
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
            count_groups(groups),
            replicates[name] - other[name],
            why.get(name, NOTHING),
        )
        for name, (value, draws) in ours.items()
    }


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
        return undefined_estimate(undefined)
    if groups < MINIMUM_GROUPS:
        return too_few_groups(value, groups)
    defined = draws[~np.isnan(draws)]
    lost = 1 - len(defined) / len(draws)
    if lost > TOLERATED:
        return Estimate(value, None, None, reason=f"undefined in {lost:.0%} of resamples: too few slides show it")
    low, high = np.quantile(defined, _levels(groups))
    reason = f"undefined in {lost:.1%} of resamples, which are left out" if lost else ""
    return Estimate(value, float(low), float(high), float(defined.std(ddof=1)), reason, finite_replicates(replicates))


def _tally_replicates(tally: Tally, groups: Strings) -> dict[str, Floats]:
    """Of each measure its values without each block of groups, float64 (blocks,)."""
    parts = [tally.counts[~np.isin(groups, block)].sum(axis=0) for block in blocks_of(scattered(groups.tolist()))]
    sums = [dict(zip(tally.columns, part.tolist(), strict=True)) for part in parts]
    return {name: np.array([measure(row) for row in sums], np.float64) for name, measure in tally.measures.items()}


def _levels(groups: int) -> tuple[float, float]:
    """Percentile levels that make up for few groups (Hesterberg 2015, "expanded percentile interval").

    Resampling g groups shows sqrt((g - 1) / g) of their spread and takes it for known: the levels are those that would
    give Student's interval if the draws were normal.
    """
    tail = NormalDist().cdf(-math.sqrt(groups / (groups - 1)) * student(groups - 1))
    return tail, 1 - tail
