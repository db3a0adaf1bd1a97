"""One number and one interval from several fits of a generator, each measured with several seeds."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from bench.statistics.estimates import Estimate, Floats, student, undefined_estimate
from bench.statistics.seeds import combine_seeds

Part = tuple[float, float]
"""A variance, and the degrees of freedom that it is known from."""


def combine_fits(
    values: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    fits: Sequence[Hashable],
    seeds: Sequence[int],
) -> Estimate:
    """The mean over fits, each the mean over its seeds, with an interval for slides, fits and seeds together.

    All fits and seeds are measured on the same slides, so that the slide part stays as wide as that of one number (root mean
    square over all). Fits and seeds are crossed: the same seeds are drawn for every fit. The variance of the fits' means
    over their number and that of the seeds' means over theirs are added; what a fit has of its own with each seed is in both,
    which rather widens. The quantile is the mean of Student's quantiles of the three parts, weighted by their variances
    (Cochran and Cox 1950): Welch and Satterthwaite's degrees of freedom, where two or three fits vary more than slides, are
    too many as often as the variance between fits comes out too small. With one fit it is `combine_seeds`: the number is then
    about these weights.
    """
    if len(set(fits)) < 2:
        return combine_seeds(values, lows, highs)
    if undefined := sum(math.isnan(value) for value in values):
        return undefined_estimate(f"undefined for {undefined} of {len(values)} fits and seeds")
    by_fit, by_seed = means_by(values, fits), means_by(values, seeds)
    value = float(by_fit.mean())
    known_lows = [low for low in lows if low is not None]
    known_highs = [high for high in highs if high is not None]
    if min(len(known_lows), len(known_highs)) < len(values):
        return Estimate(value, None, None, reason="no interval over slides for some of the fits or seeds")
    parts = [variance_of_mean(by_fit), variance_of_mean(by_seed)]
    below, above = (
        _half(np.asarray(halves), parts) for halves in (np.subtract(values, known_lows), np.subtract(known_highs, values))
    )
    reason = "" if len(by_seed) > 1 else "one seed: the noise of sampling is left out"
    return Estimate(value, value - below, value + above, reason=reason)


def means_by(values: Sequence[float], names: Sequence[Hashable]) -> Floats:
    """float64 (k,): the mean of the values of each name, in the order of first appearance."""
    found: dict[Hashable, list[float]] = {}
    for value, name in zip(values, names, strict=True):
        found.setdefault(name, []).append(value)
    return np.array([math.fsum(own) / len(own) for own in found.values()], dtype=np.float64)


def variance_of_mean(values: Floats) -> Part:
    """Of the mean of independent draws; of one draw nothing is known, and 0 stands."""
    return (float(values.var(ddof=1)) / len(values), len(values) - 1) if len(values) > 1 else (0.0, 0)


def welch_freedom(parts: Sequence[Part]) -> float:
    """Degrees of freedom of a sum of variances (Welch 1947, Satterthwaite 1946); parts of 0 say nothing."""
    spread = sum(variance**2 / freedom for variance, freedom in parts if variance)
    return sum(variance for variance, _ in parts) ** 2 / spread if spread else math.inf


def _half(slide_halves: Floats, parts: Sequence[Part]) -> float:
    within = float(np.mean(slide_halves**2)) / student(math.inf) ** 2
    total = within + sum(variance for variance, _ in parts)
    weighted = student(math.inf) * within + sum(student(freedom) * variance for variance, freedom in parts if variance)
    return weighted / math.sqrt(total) if total else 0.0
