"""When a Fréchet distance can be extrapolated to endlessly many slides, and what it is then."""

from __future__ import annotations

from bench import statistics
from bench.statistics import Estimate, Statistic
from bench.types import Strings

ROWS_PER_FEATURE = 4
"""Rows a side for each feature: half of the slides must still hold twice as many rows as features, or the distance of the
halves follows another law than that of the whole."""


def extrapolate(statistic: Statistic, groups_real: Strings, groups_fake: Strings, d: int) -> Estimate:
    """The distance between the populations of slides, with its interval, from a `statistic` on d features.

    Without an interval, as underpowered, where there are too few rows or slides; docs/coverage.md is the study behind it.
    """
    found = statistics.group_extrapolation(statistic, groups_real, groups_fake, seed=0)
    fewest = min(len(groups_real), len(groups_fake))
    if fewest < ROWS_PER_FEATURE * d and found.low is not None:
        reason = f"underpowered: {fewest} patches, {ROWS_PER_FEATURE * d} are needed for {d} features"
        return Estimate(found.value, None, None, found.error, reason)
    return found
