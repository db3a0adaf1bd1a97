"""Claims of several differences tested together: the p-value of each, and Holm's adjustment for their number."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.statistics.equivalence import Claim
from bench.statistics.estimates import student
from bench.statistics.fits import means_by, variance_of_mean, welch_freedom

ALPHA = 0.05
"""Of all claims together."""


@dataclass(frozen=True)
class Uncertainty:
    """Of a difference: its value, and its standard error below and above, which percentile intervals may have unequal."""

    value: float
    below: float
    above: float
    freedom_below: float
    freedom_above: float

    def at_most(self, threshold: float) -> float:
        """p-value of the hypothesis that the true difference is at most the threshold."""
        return _tail(self.value - threshold, self.below, self.freedom_below)

    def at_least(self, threshold: float) -> float:
        """p-value of the hypothesis that the true difference is at least the threshold."""
        return _tail(threshold - self.value, self.above, self.freedom_above)


def find_uncertainty(
    values: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    fits: Sequence[Hashable],
    seeds: Sequence[int],
    groups: int,
) -> Uncertainty | None:
    """Of the mean over fits and seeds, from the 95 % intervals over slides of each; None where one has no interval.

    The parts are those of `combine_fits`. An interval over `groups` slides is taken for Student's with one degree of freedom
    less, so that it may be asked at other levels than its own.
    """
    known_lows, known_highs = ([bound for bound in bounds if bound is not None] for bounds in (lows, highs))
    if groups < 2 or not values or min(len(known_lows), len(known_highs)) < len(values):
        return None
    parts = [variance_of_mean(means_by(values, names)) for names in (fits, seeds)]
    sides = []
    for halves in (np.subtract(values, known_lows), np.subtract(known_highs, values)):
        own = [(float(np.mean(halves**2)) / student(groups - 1) ** 2, groups - 1), *parts]
        sides.append((math.sqrt(sum(variance for variance, _ in own)), welch_freedom(own)))
    value = float(means_by(values, fits).mean())
    return Uncertainty(value, sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def p_of_claim(found: Uncertainty, claim: Claim, margin: float) -> float:
    """The least level at which an interval decides on the claim in either direction, as `equivalence.verdict` decides."""
    if claim == "equivalent":
        within = max(found.at_most(-margin), found.at_least(margin))
        outside = min(found.at_most(margin), found.at_least(-margin))
        return min(1.0, 2 * min(within, outside))
    threshold = -margin if claim == "non-inferior" else 0.0
    return min(1.0, 2 * min(found.at_most(threshold), found.at_least(threshold)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment: at most alpha of families hold a false finding where each is below alpha."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests  # a second, for scipy and pandas: only who tests waits for it

    return [float(p) for p in multipletests(list(p_values), method="holm")[1]]


def _tail(gap: float, error: float, freedom: float) -> float:
    from scipy.special import stdtr  # not at the top: `bench --help` should not wait for it

    if not error:
        return 0.0 if gap > 0 else 1.0
    return float(stdtr(freedom, -gap / error))
