"""Intervals by leaving out blocks of slides, and what a statistic would be with endlessly many slides."""

from __future__ import annotations

import math

import numpy as np

from bench.statistics.blocks import BLOCKS, Blocks
from bench.statistics.estimates import (
    _ROUNDING,
    MINIMUM_GROUPS,
    Estimate,
    Floats,
    Statistic,
    finite_replicates,
    student,
    too_few_groups,
    undefined_estimate,
)
from bench.types import Strings

EXTRAPOLATED_GROUPS = 10
"""Fewer effective slides than this do not show how a value depends on their number."""

TRUSTED = 0.7
"""Standard errors that the second correction of an extrapolation may amount to."""


def group_jackknife(statistic: Statistic, groups_real: Strings, groups_fake: Strings, blocks: int = BLOCKS) -> Estimate:
    """A statistic of real and generated patches, with an interval from leaving out blocks of groups.

    Generated patches belong to the group of their condition: a group that is left out goes from every side that has it.
    Groups are assigned to blocks by `assign_blocks`, so that every block holds about as many patches. Standard error and
    interval are those of `jackknife_interval`. The value is the statistic of all rows, not corrected for bias, and the
    interval is for what it is on average over other slides, as many as here.
    """
    block_jackknife = BlockJackknife(statistic, groups_real, groups_fake, blocks)
    if not math.isfinite(block_jackknife.value):
        return undefined_estimate("the statistic has no finite value on these patches")
    if refused := too_few_groups(block_jackknife.value, (groups_real, groups_fake), MINIMUM_GROUPS):
        return refused
    return jackknife_interval(block_jackknife.value, block_jackknife.without(), block_jackknife.blocks)


def jackknife_interval(value: float, without: Floats, blocks: Blocks) -> Estimate:
    """A value with the interval that its values without each block, float64 (blocks,), give: Student's with the degrees of
    freedom of the blocks around the value, standard error by `jackknife`."""
    if not np.isfinite(without).all():
        return Estimate(value, None, None, reason="underpowered: undefined without some of the slides")
    _, error = jackknife(value, without, blocks.shares, blocks.rises)
    reach = student(blocks.freedom) * error
    replicates = finite_replicates(without)
    return Estimate(value, value - reach, value + reach, error, replicates=replicates, freedom=blocks.freedom)


def group_extrapolation(
    statistic: Statistic, groups_real: Strings, groups_fake: Strings, seed: int, blocks: int = BLOCKS, halvings: int = 4
) -> Estimate:
    """What a statistic of real and generated patches would be with endlessly many slides on both sides, and its interval.

    A statistic whose bias is c / G + c' / G^2 + ... in the effective number G of groups is measured with all groups, with one
    block of them left out (the jackknife, which removes c), and with half of the blocks, `halvings` random halvings in both
    halves (which shows what c' has left, and removes it). Standard error and interval are the jackknife's; see
    docs/coverage.md for how often that holds the truth. Where the second correction is larger than `TRUSTED` standard
    errors the expansion cannot be relied on: the value comes without an interval, as underpowered.
    """
    block_jackknife = BlockJackknife(statistic, groups_real, groups_fake, blocks)
    if not math.isfinite(block_jackknife.value):
        return undefined_estimate("the statistic has no finite value on these patches")
    if refused := too_few_groups(block_jackknife.value, (groups_real, groups_fake), EXTRAPOLATED_GROUPS):
        return refused
    return block_jackknife.extrapolated(seed, halvings)


class BlockJackknife:
    """A statistic on all groups, and on all but some blocks of them."""

    def __init__(self, statistic: Statistic, groups_real: Strings, groups_fake: Strings, blocks: int = BLOCKS) -> None:
        self._statistic = statistic
        self.blocks = Blocks.of(groups_real, groups_fake, blocks)
        self.value = self._measured([])

    @property
    def shares(self) -> Floats:
        """float64 (blocks,): part of all patches that each block holds."""
        return self.blocks.shares

    def without(self) -> Floats:
        """float64 (blocks,): each block left out."""
        return np.array([self._measured([b]) for b in range(self.blocks.count)], dtype=np.float64)

    def extrapolated(self, seed: int, halvings: int) -> Estimate:
        """The value with endlessly many slides; see `group_extrapolation`."""
        left_out = halves_of(self.blocks.count, seed, halvings)
        halves = np.array([self._measured(out) for out in left_out], dtype=np.float64)
        return extrapolated(self.value, self.without(), halves, left_out, self.blocks)

    def _measured(self, left_out: list[int]) -> float:
        real, fake = self.blocks.kept(left_out)
        return float(self._statistic(real, fake)) if real.any() and fake.any() else math.nan


def halves_of(blocks: int, seed: int, halvings: int) -> list[list[int]]:
    """Blocks to leave out for random halves of them, 2 * halvings lists: each halving gives two halves that share none."""
    rng, half = np.random.default_rng(seed), blocks // 2
    orders = [rng.permutation(blocks).tolist() for _ in range(halvings)]
    return [out for order in orders for out in (order[half:], order[: blocks - half])]


def extrapolated(value: float, without: Floats, halves: Floats, left_out: list[list[int]], blocks: Blocks) -> Estimate:
    """A value extrapolated to endlessly many slides from its values without each block, float64 (blocks,), and without the
    blocks that `left_out` lists, float64 (halves,); see `group_extrapolation`.

    Where slides are of unequal size, bias counts by the effective number of slides that stay, and halves by their patches, so
    that what a half has of its own slides cancels in the two halves of a halving.
    """
    if not (np.isfinite(without).all() and np.isfinite(halves).all()):
        return Estimate(value, None, None, reason="underpowered: undefined on half of the slides")
    first, error = jackknife(value, without, blocks.shares, blocks.rises)
    weights = np.array([1 - blocks.shares[out].sum() for out in left_out])
    at_half = float(np.average(halves, weights=weights))
    inverse_slides = float(np.average([blocks.inverse_slides(out) for out in left_out], weights=weights))
    share = blocks.inverse_slides() / inverse_slides
    correction = share / (1 - share) * ((value - share * at_half) / (1 - share) - first)
    corrected = first - correction
    rounding = _ROUNDING * float(np.abs([value, *without, *halves]).max())
    if abs(correction) > TRUSTED * error + rounding:
        return Estimate(corrected, None, None, error, _untrusted(abs(correction), error, rounding))
    reach = student(blocks.freedom) * error
    # the spread of the replicates, and so the error, is that of the value before correction
    replicates = finite_replicates(without + (corrected - value))
    return Estimate(corrected, corrected - reach, corrected + reach, error, replicates=replicates, freedom=blocks.freedom)


def jackknife(value: float, without: Floats, shares: Floats, rises: Floats | None = None) -> tuple[float, float]:
    """The value corrected for bias, and its standard error.

    `without` is the value without each block, `shares` the part of all patches that each block holds; `rises` by which part
    the bias is larger without a block, shares / (1 - shares) where it is not given: bias is one over the number of patches.
    The deviations of the values without a block, but for that rise of the bias, are squared and summed as for blocks of one
    size (Quenouille 1956, Tukey 1958); with clusters of unequal size this is the cluster jackknife CV3 (MacKinnon, Nielsen and
    Webb 2023), which stays right where a large block has a mean of its own. Weights (1 - share) remove from the bias what is
    linear in the means of the blocks.
    """
    rises = shares / (1 - shares) if rises is None else rises
    bias = float(((1 - shares) * (without - value)).sum() / ((1 - shares) * rises).sum())
    deviations = without - value - bias * rises
    return value - bias, math.sqrt((len(without) - 1) * np.mean(deviations**2))


def _untrusted(correction: float, error: float, rounding: float) -> str:
    """Why an extrapolation has no interval; where no slide changes the value there is no error to divide by."""
    if error <= rounding:
        return "underpowered: half of the slides give another value, and no block of them changes it: no standard error"
    return f"underpowered: what depends on the number of slides is off by {correction / error:.1f} standard errors"
