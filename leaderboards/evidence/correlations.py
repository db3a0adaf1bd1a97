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


def correlations(study: Study, seed: int = 0) -> list[Correlation]:
    """Every metric with every target over the generators that have both, in the order of targets; the metric with the largest
    Spearman correlation first. Metrics that are equal for all generators have none."""
    found = []
    for target, wanted in study.targets.items():
        own = [one for metric, values in study.metrics.items() if (one := _one(study, metric, values, target, wanted, seed))]
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
    draws = resamples(rows, seed) if families >= LEAST_FAMILIES else []
    return Correlation(
        study.task,
        study.dataset,
        metric,
        target,
        len(rows),
        families,
        Coefficient(spearman(x, y), *_interval([spearman(x[draw], y[draw]) for draw in draws])),
        Coefficient(kendall(x, y), *_interval([kendall(x[draw], y[draw]) for draw in draws])),
    )


def resamples(rows: Sequence[Row], seed: int) -> list[NDArray[np.int64]]:
    """Draws of as many families as there are, each int64 (m,): the numbers of their rows."""
    names = sorted({row.family for row in rows})
    members = [np.array([i for i, row in enumerate(rows) if row.family == name]) for name in names]
    rng = np.random.default_rng(seed)
    return [np.concatenate([members[k] for k in rng.integers(len(names), size=len(names))]) for _ in range(RESAMPLES)]


def spearman(x: Floats, y: Floats) -> float:
    """Correlation of ranks, ties at their mean rank; NaN where one side is constant."""
    from scipy.stats import rankdata

    a, b = (ranks - ranks.mean() for ranks in (rankdata(x), rankdata(y)))
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else math.nan


def kendall(x: Floats, y: Floats) -> float:
    """tau-b; NaN where one side is constant."""
    a, b = (np.sign(side[:, None] - side[None, :]) for side in (x, y))
    scale = math.sqrt(float(np.square(a).sum()) * float(np.square(b).sum()))
    return float((a * b).sum()) / scale if scale else math.nan


def _interval(found: list[float]) -> tuple[float | None, float | None]:
    """The percentiles of the defined values; None where there are none, or too many are undefined."""
    defined = [value for value in found if math.isfinite(value)]
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
