"""One number and one interval from several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from bench.statistics.estimates import Estimate, student, undefined_estimate

FEW = 8
"""Below this numpy adds numbers one after the other."""


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
        return undefined_estimate(f"undefined for {undefined} of {count} seeds")
    value = math.fsum(values) / count
    known_lows = [low for low in lows if low is not None]
    known_highs = [high for high in highs if high is not None]
    if min(len(known_lows), len(known_highs)) < count:
        return Estimate(value, None, None, reason="no interval over slides for some of the seeds")
    if count == 1:
        return Estimate(value, known_lows[0], known_highs[0], reason="one seed: the interval leaves training noise out")
    mean = _sum(values) / count
    between = _sum([(found - mean) * (found - mean) for found in values]) / (count - 1) / count
    below = _half([found - low for found, low in zip(values, known_lows, strict=True)], between)
    above = _half([high - found for found, high in zip(values, known_highs, strict=True)], between)
    return Estimate(value, value - below, value + above)


def _half(slide_halves: Sequence[float], between: float) -> float:
    seeds = len(slide_halves)
    within = _sum([half * half for half in slide_halves]) / seeds / _normal() ** 2
    freedom = (seeds - 1) * ((within + between) / between) ** 2 if between else math.inf
    return (student(freedom) if between else _normal()) * math.sqrt(within + between)


def _sum(values: Sequence[float]) -> float:
    """As numpy adds, to the same bits: tables ask for the sums of a few seeds tens of thousands of times, and most of numpy's
    time is that of making an array."""
    if len(values) >= FEW:
        return float(np.add.reduce(values))
    total = 0.0
    for value in values:  # not `sum`, which adds with other rounding from Python 3.12 on
        total += value
    return total


@cache
def _normal() -> float:
    return student(math.inf)
