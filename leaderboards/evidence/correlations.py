"""Rank correlation of metrics with targets over generators, with intervals from resampling families of generators.

Spearman's rho and Kendall's tau-b (Kendall 1945), which allows ties. Families are drawn with replacement, with all their rows:
strengths of one corruption are no independent generators. Percentile intervals of 95 %. What each value owes to the slides it
was measured on is not in them: they say how another choice of generators would come out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.statistics import LEVEL, TOLERATED
from leaderboards.evidence.values import Row, Study, Values

RESAMPLES = 2000
LEAST_ROWS = 4
"""Generators below which ranks say nothing."""
LEAST_FAMILIES = 5
"""Families below which an interval over families says nothing."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coefficient:
    """A correlation with its interval, None where there are too few families or it is undefined too often."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Correlation:
    """A metric with a target."""

    task: str
    dataset: str
    metric: str
    target: str
    generators: int
    families: int
    spearman: Coefficient
    kendall: Coefficient

    @property
    def is_sure(self) -> bool:
        """Whether it is surely not 0: its interval excludes 0, and it is beyond what a test of as many independent generators
        as there are families would call none. A bootstrap of few families alone calls too much sure."""
        low, high = self.spearman.low, self.spearman.high
        excludes = low is not None and high is not None and (low > 0 or high < 0)
        return excludes and abs(self.spearman.value) >= least_sure(self.families)


def correlations(study: Study, seed: int = 0) -> list[Correlation]:
    """Every metric with every target over the generators that have both, in the order of targets; the metric with the largest
    Spearman correlation first. Metrics that are equal for all generators have none."""
    found = []
    for target, wanted in study.targets.items():
        others = {metric: values for metric, values in study.metrics.items() if metric != target}
        own = [one for metric, values in others.items() if (one := _one(study, metric, values, target, wanted, seed))]
        found += sorted(own, key=lambda one: -one.spearman.value)
    return found


def _one(study: Study, metric: str, values: Values, target: str, wanted: Values, seed: int) -> Correlation | None:
    rows = sorted(set(values) & set(wanted))
    if len(rows) < LEAST_ROWS:
        return None
    x, y = (np.array([of[row] for row in rows]) for of in (values, wanted))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    families = len({row.family for row in rows})
    draws = resamples(rows, seed) if families >= LEAST_FAMILIES else np.empty((0, len(rows)))
    whole = np.ones((1, len(rows)))
    return Correlation(
        study.task,
        study.dataset,
        metric,
        target,
        len(rows),
        families,
        Coefficient(float(spearman(x, y, whole)[0]), *_interval(spearman(x, y, draws))),
        Coefficient(float(kendall(x, y, whole)[0]), *_interval(kendall(x, y, draws))),
    )


def resamples(rows: Sequence[Row], seed: int) -> Floats:
    """float64 (RESAMPLES, n): how often each row is drawn where as many families as there are are drawn."""
    names = sorted({row.family for row in rows})
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return np.asarray(counts[:, [names.index(row.family) for row in rows]], dtype=np.float64)


def spearman(x: Floats, y: Floats, draws: Floats) -> Floats:
    """float64 (m,): correlation of ranks, ties at their mean rank, in each of m draws, float64 (m, n) of multiplicities; NaN
    where a side is constant."""
    sides = []
    for side in (x, y):
        below = (side[None, :] < side[:, None]) + 0.5 * (side[None, :] == side[:, None])
        ranks = draws @ below.T
        mean = (draws * ranks).sum(axis=1) / draws.sum(axis=1)
        sides.append(ranks - mean[:, None])
    a, b = sides
    return _ratio((draws * a * b).sum(axis=1), (draws * a * a).sum(axis=1), (draws * b * b).sum(axis=1))


def kendall(x: Floats, y: Floats, draws: Floats) -> Floats:
    """float64 (m,): tau-b in each draw, as `spearman`."""
    a, b = (np.sign(side[:, None] - side[None, :]) for side in (x, y))
    sums = [((draws @ pairs) * draws).sum(axis=1) for pairs in (a * b, a * a, b * b)]
    return _ratio(*sums)


def _ratio(product: Floats, first: Floats, second: Floats) -> Floats:
    """product / sqrt(first second), NaN where one of these is 0."""
    scale = np.sqrt(first * second)
    return np.asarray(np.divide(product, scale, out=np.full(len(product), math.nan), where=scale > 1e-9))


def _interval(found: Floats) -> tuple[float | None, float | None]:
    """The percentiles of the defined values; None where there are none, or too many are undefined."""
    defined = found[np.isfinite(found)]
    if len(defined) < max(1, (1 - TOLERATED) * len(found)):
        return None, None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def least_sure(n: int) -> float:
    """The least Spearman correlation of n independent generators that a two-sided test at 5 % distinguishes from none, by
    Student's t with n - 2 degrees of freedom; 1 where no correlation would."""
    from bench.statistics import student

    if n < LEAST_ROWS:
        return 1.0
    t = student(n - 2)
    return t / math.sqrt(n - 2 + t * t)
