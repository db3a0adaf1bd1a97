"""Intervals of a mean over readers that hold for other readers and other slides.

Each reader has a value; slides are left out one by one. With R readers, the variance of the mean is

    V = MS(R) / R + max(Cov2, 0)

where MS(R) is the variance between the readers' values and Cov2 the mean covariance of two readers that slides make, by the
jackknife (Obuchowski and Rockette 1995, Communications in Statistics 24, for one modality: Hillis 2007, Statistics in
Medicine 26). There are two usual quantiles for a sum of such parts: Student's with the degrees of freedom of Satterthwaite
(1946, Biometrics Bulletin 2), which is too short for two or three readers, and the mean of Student's quantiles with R - 1 and
S - 1 degrees of freedom, weighted by the parts (Cochran and Cox 1957, Experimental Designs), which is too long for readers
who are alike. The quantile here is the second with the weight 1 / R, else the first. The weight was chosen among few by
simulation; how often these intervals hold the truth, also in settings that it was not chosen by: docs/reader-statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.results.terms import Reason
from bench.statistics.estimates import MINIMUM_GROUPS, count_in_words, effective_number

Floats = NDArray[np.float64]
Measure = Callable[[Floats], Floats]
"""Counts of one reader, (..., arms, answers), to values (...)."""
LEVEL, POWER = 0.95, 0.8


class Bounds(NamedTuple):
    """An interval."""

    low: float
    high: float


@dataclass(frozen=True)
class ReaderEstimate:
    """The mean over readers of a number, with its intervals."""

    value: float
    bounds: Bounds | None = None
    """For other readers and other slides; None where there is none, for `reason`."""
    these: Bounds | None = None
    """For these readers and other slides."""
    error: float | None = None
    """Standard error of the mean over readers and slides; over slides alone with one reader."""
    detectable: float | None = None
    """The smallest true difference from a fixed number that an interval like this excludes with a power of 0.8."""
    by_reader: tuple[tuple[str, float, Bounds | None], ...] = ()
    """Name, value and interval over slides of each reader."""
    reason: str = ""
    freedom: float | None = None
    """Degrees of freedom of Student's quantile that is nearest to the one used."""


@dataclass(frozen=True)
class Parts:
    """Standard errors of a mean over readers, and their degrees of freedom."""

    readers: float
    """Variance that readers make, MS(R) / R."""
    slides: float
    """Variance that slides make in all readers alike, max(Cov2, 0)."""
    readers_freedom: float
    slides_freedom: float

    @property
    def error(self) -> float:
        return math.sqrt(self.readers + self.slides)

    def quantile(self, share: float) -> float:
        """Between Student's quantile by Satterthwaite and that of Cochran and Cox, the nearer to the latter the fewer readers
        there are."""
        from scipy.special import stdtrit

        whole = self.readers + self.slides
        if whole == 0:
            return 0.0
        parts = [(self.readers, self.readers_freedom), (self.slides, self.slides_freedom)]
        parts = [(part, freedom) for part, freedom in parts if part]
        mixed = sum(part * stdtrit(freedom, share) for part, freedom in parts) / whole
        joint = stdtrit(whole**2 / sum(part**2 / freedom for part, freedom in parts), share)
        weight = 1 / (self.readers_freedom + 1)
        return float(weight * mixed + (1 - weight) * joint)


def estimate(
    counts: Floats,
    sizes: Floats,
    readers: tuple[str, ...],
    measure: Measure,
    level: float = LEVEL,
    least: float = -math.inf,
    most: float = math.inf,
) -> ReaderEstimate:
    """The mean of a measure over readers, each reader having the same weight.

    `counts` (readers, slides, arms, answers), `sizes` (slides,) images of each. Intervals of a measure with bounds at both
    ends are made on the logit scale, so that they lie within the bounds. Slides of unequal size lower the degrees of freedom
    (Kish).
    """
    values = measure(counts.sum(axis=1))
    value = float(values.mean())
    if not math.isfinite(value):
        lacking = ", ".join(name for name, own in zip(readers, values, strict=True) if not math.isfinite(own))
        return ReaderEstimate(math.nan, reason=f"{lacking}: no answers in one of the arms")
    effective = effective_number(sizes)
    own = tuple((name, float(v), None) for name, v in zip(readers, values, strict=True))
    if round(effective, 1) < MINIMUM_GROUPS:
        words = count_in_words(len(sizes), effective)
        reason = f"{Reason.UNDERPOWERED}: {words}, an interval needs {MINIMUM_GROUPS}"
        return ReaderEstimate(value, by_reader=own, reason=reason)
    covariance = slide_covariance(counts, measure)
    if not np.isfinite(covariance).all():
        reason = f"{Reason.UNDERPOWERED}: without one of the slides there is no answer in one of the arms"
        return ReaderEstimate(value, by_reader=own, reason=reason)
    freedom = effective - 1

    def over_slides(center: float, variance: float) -> Bounds | None:
        return make_bounds(center, Parts(0.0, variance, 1.0, freedom), level, least, most)

    each = zip(readers, values.tolist(), np.diag(covariance).tolist(), strict=True)
    by_reader = tuple((name, v, over_slides(v, variance)) for name, v, variance in each)
    these = over_slides(value, float(covariance.mean()))
    if these is None:
        return ReaderEstimate(
            value, by_reader=by_reader, reason=f"{Reason.UNDERPOWERED}: the number is the same without each slide"
        )
    if len(readers) == 1:
        parts = Parts(0.0, float(covariance[0, 0]), 1.0, freedom)
        reason = "one reader: the interval is about this reader and other slides"
        return ReaderEstimate(value, None, these, parts.error, detectable(parts, level), by_reader, reason, freedom)
    parts = split_variance(values, covariance, freedom)
    bounds = make_bounds(value, parts, level, least, most)
    return ReaderEstimate(
        value, bounds, these, parts.error, detectable(parts, level), by_reader, freedom=matching_freedom(parts, level)
    )


def slide_covariance(counts: Floats, measure: Measure) -> Floats:
    """(readers, readers): covariance of the readers' values that slides make, by leaving out one slide at a time."""
    slides = counts.shape[1]
    without = measure(counts.sum(axis=1, keepdims=True) - counts)
    apart = without - without.mean(axis=1, keepdims=True)
    return np.asarray((slides - 1) / slides * apart @ apart.T)


def replicate(counts: Floats, measure: Measure) -> tuple[float, ...]:
    """The mean over readers without each slide, then without each reader, scaled so that the variance by the jackknife of all
    of them is the sum of that by slides and that by readers. Both have the variance of single answers, so that intervals from
    them rather come out wide. Of two measures of the same slides and readers, the differences of their replicates are the
    replicates of their difference. Empty where a measure is undefined without one of the slides."""
    readers, slides = counts.shape[:2]
    values = measure(counts.sum(axis=1))
    without = measure(counts.sum(axis=1, keepdims=True) - counts).mean(axis=0)
    if slides < MINIMUM_GROUPS or not np.isfinite(without).all():
        return ()
    parts = [without]
    if readers > 1:
        parts.append((values.sum() - values) / (readers - 1))
    count = sum(map(len, parts))
    every = count / (count - 1)
    scaled = [values.mean() + math.sqrt((len(part) - 1) / len(part) * every) * (part - values.mean()) for part in parts]
    return tuple(np.concatenate(scaled).tolist())


def split_variance(values: Floats, covariance: Floats, slides_freedom: float) -> Parts:
    """The two parts of the variance of the mean of two readers or more."""
    readers = len(values)
    between = float(values.var(ddof=1))
    shared = float(covariance.sum() - np.trace(covariance)) / (readers * (readers - 1))
    return Parts(between / readers, max(shared, 0.0), readers - 1, slides_freedom)


def make_bounds(value: float, parts: Parts, level: float, least: float, most: float) -> Bounds | None:
    """The interval of a value. With an error of 0 at an end of the scale it is that of Clopper and Pearson for as many
    independent answers as there are slides, the most cautious number; elsewhere an error of 0 says nothing, and there is
    none."""
    half = parts.quantile((1 + level) / 2) * parts.error
    if not (math.isfinite(least) and math.isfinite(most)):
        return Bounds(value - half, value + half) if half else None
    span = most - least
    share = (value - least) / span
    if half == 0:
        if 0 < share < 1:
            return None
        reach = ((1 - level) / 2) ** (1 / (parts.slides_freedom + 1))
        return Bounds(least, most - span * reach) if share == 0 else Bounds(least + span * reach, most)
    if not 0 < share < 1:
        return Bounds(max(value - half, least), min(value + half, most))
    center, reach = math.log(share / (1 - share)), half / span / (share * (1 - share))
    return Bounds(*(least + span / (1 + math.exp(-min(max(x, -700), 700))) for x in (center - reach, center + reach)))


def detectable(parts: Parts, level: float, power: float = POWER) -> float:
    """The true difference from a fixed number that the interval excludes with this power."""
    return (parts.quantile((1 + level) / 2) + parts.quantile(power)) * parts.error


def matching_freedom(parts: Parts, level: float) -> float:
    """Degrees of freedom with which Student's quantile is the one used."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    share = (1 + level) / 2
    wanted = parts.quantile(share)
    low, high = min(parts.readers_freedom, parts.slides_freedom), parts.readers_freedom + parts.slides_freedom
    if wanted <= stdtrit(high, share):
        return high
    if wanted >= stdtrit(low, share):
        return low
    return float(brentq(lambda freedom: stdtrit(freedom, share) - wanted, low, high))
