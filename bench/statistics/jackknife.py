"""Intervals by leaving out blocks of slides, and what a statistic would be with endlessly many slides."""

from __future__ import annotations

import math

import numpy as np

from bench.statistics.blocks import BLOCKS, block_order, blocks_of
from bench.statistics.estimates import (
    _ROUNDING,
    MINIMUM_GROUPS,
    Estimate,
    Floats,
    Statistic,
    count_groups,
    finite_replicates,
    student,
    too_few_groups,
    undefined_estimate,
)
from bench.types import Strings

EXTRAPOLATED_GROUPS = 10
"""Fewer slides than this do not show how a value depends on their number."""

TRUSTED = 0.7
"""Standard errors that the second correction of an extrapolation may amount to."""


def group_jackknife(statistic: Statistic, groups_real: Strings, groups_fake: Strings, blocks: int = BLOCKS) -> Estimate:
    """A statistic of real and generated patches, with an interval from leaving out blocks of groups.

    Generated patches belong to the group of their condition: a group that is left out goes from every side that has it.
    Groups are blocks_of to blocks in the order of `scattered`, those on both sides first, so that every block takes about the
    same share of each side. Standard error: the delete-a-block jackknife for unequal blocks (Busing, Meijer and
    van der Leeden 1999); interval: Student's t with one degree of freedom less than blocks.
    The value is the statistic of all rows, not corrected for bias, and the interval is for what it is on average over
    other slides, as many as here.
    """
    block_jackknife = BlockJackknife(statistic, groups_real, groups_fake, blocks)
    if not math.isfinite(block_jackknife.value):
        return undefined_estimate("the statistic has no finite value on these patches")
    if block_jackknife.fewest < MINIMUM_GROUPS:
        return too_few_groups(block_jackknife.value, block_jackknife.fewest)
    without = block_jackknife.without()
    if not np.isfinite(without).all():
        return Estimate(block_jackknife.value, None, None, reason="underpowered: undefined without some of the slides")
    _, error = jackknife(block_jackknife.value, without, block_jackknife.shares)
    reach = student(len(without) - 1) * error
    return Estimate(
        block_jackknife.value,
        block_jackknife.value - reach,
        block_jackknife.value + reach,
        error,
        replicates=finite_replicates(without),
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
        return undefined_estimate("the statistic has no finite value on these patches")
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
    return Estimate(value, value - reach, value + reach, error, replicates=finite_replicates(replicates))


class BlockJackknife:
    """A statistic on all groups, and on all but some blocks of them."""

    def __init__(self, statistic: Statistic, groups_real: Strings, groups_fake: Strings, blocks: int) -> None:
        if blocks < 2:
            raise ValueError(f"a jackknife leaves out one of at least 2 blocks, not of {blocks}.")
        self._statistic = statistic
        self._sides = groups_real, groups_fake
        names = block_order(groups_real, groups_fake)
        self._blocks = blocks_of(names, blocks)
        self.shares = np.array([len(block) / len(names) for block in self._blocks])
        self.fewest = min(count_groups(groups_real), count_groups(groups_fake))
        self.value = self._measured([])
        self._half = len(self._blocks) // 2
        self.half_share = self._half / len(self._blocks)

    def without(self) -> Floats:
        """float64 (blocks,): each block left out."""
        return np.array([self._measured([b]) for b in range(len(self._blocks))], dtype=np.float64)

    def halves(self, seed: int, halvings: int) -> Floats:
        """float64 (2 * halvings,): random halves of the blocks, each halving giving two that share none."""
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(self._blocks)).tolist() for _ in range(halvings)]
        left_out = [out for order in orders for out in (order[self._half :], order[: len(order) - self._half])]
        return np.array([self._measured(out) for out in left_out], dtype=np.float64)

    def _measured(self, left_out: list[int]) -> float:
        names = [name for block in left_out for name in self._blocks[block]]
        real, fake = (~np.isin(groups, names) for groups in self._sides)
        return float(self._statistic(real, fake))


def jackknife(value: float, without: Floats, shares: Floats) -> tuple[float, float]:
    """Busing and others: the value corrected for bias, and its standard error; shares is the part of all groups that each
    block holds, `without` the value when it is left out."""
    inverse = 1 / shares
    pseudo = inverse * value - (inverse - 1) * without
    centre = len(without) * value - float(((1 - shares) * without).sum())
    return centre, math.sqrt(np.mean((pseudo - centre) ** 2 / (inverse - 1)))


def _untrusted(correction: float, error: float, rounding: float) -> str:
    """Why an extrapolation has no interval; where no slide changes the value there is no error to divide by."""
    if error <= rounding:
        return "underpowered: half of the slides give another value, and no block of them changes it: no standard error"
    return f"underpowered: what depends on the number of slides is off by {correction / error:.1f} standard errors"
