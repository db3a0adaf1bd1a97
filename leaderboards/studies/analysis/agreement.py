"""Agreement between readers, and of readers with themselves, with intervals over slides.

    alpha   Krippendorff 2011, Computing Krippendorff's alpha-reliability; nominal, or ordinal differences
    AC1     Gwet 2008, British Journal of Mathematical and Statistical Psychology 61; AC2 with quadratic weights
    kappa   Cohen 1968, Psychological Bulletin 70, with quadratic weights; of more than two readers the mean of all pairs
            (Light 1971)

Every coefficient is a function of sums over images, so that slides are left out by subtraction. The interval is that of the
jackknife over slides on Fisher's scale z = atanh(value), with Student's quantile; that of the share of same answers is on the
logit scale. A bootstrap over slides, which is usual, holds the truth in 85 to 95 % of studies of 10 to 40 slides. The interval
is about these readers and other slides: two or three readers say little of the agreement of others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.results.terms import Reason
from bench.statistics.estimates import MINIMUM_GROUPS, count_in_words, effective_number
from leaderboards.studies.analysis.intervals import Bounds, Parts, make_bounds

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Sums = dict[str, Floats]
"""Name -> sums over the images of each slide, (slides, ...)."""
SAME = "same answers"
"""A share, and no coefficient of agreement beyond chance."""
MISSING = -1
"""Code of an image that a reader has not answered."""


@dataclass(frozen=True)
class Agreement:
    """A coefficient: 1 is agreement in every image, 0 that of chance."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    reason: str = ""


def agreement_between(ratings: Codes, slides: NDArray[np.str_], answers: int, ordinal: bool, level: float) -> list[Agreement]:
    """The coefficients of ratings (images, readers): codes from 0 to answers - 1, `MISSING` where there is none. Ordinal ones
    only of answers that have an order."""
    names = list(COEFFICIENTS if ordinal else NOMINAL)
    if ratings.shape[1] < 2:
        return [Agreement(name, math.nan, reason="one reader: agreement between readers needs two") for name in names]
    given = ratings[ratings != MISSING]
    if len(np.unique(given)) < 2:
        return [
            Agreement(name, math.nan, reason="all answers are the same: agreement beyond chance is undefined")
            for name in names
        ]
    if not ((ratings != MISSING).sum(axis=1) >= 2).any():
        return [Agreement(name, math.nan, reason="no image was answered by two readers") for name in names]
    _, which, sizes = np.unique(slides, return_inverse=True, return_counts=True)
    sums = sum_slides(ratings, which, len(sizes), answers)
    return [_with_interval(name, COEFFICIENTS[name], sums, sizes.astype(np.float64), level) for name in names]


def _with_interval(name: str, coefficient: Callable[[Sums], Floats], sums: Sums, sizes: Floats, level: float) -> Agreement:
    slides = len(sizes)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(coefficient(_weighted(sums, np.ones((1, slides))))[0])
        if not math.isfinite(value):
            return Agreement(name, math.nan, reason="undefined: readers do not vary where they can be compared")
        effective = effective_number(sizes)
        if round(effective, 1) < MINIMUM_GROUPS:
            words = count_in_words(slides, effective)
            return Agreement(name, value, reason=f"{Reason.UNDERPOWERED}: {words}, an interval needs {MINIMUM_GROUPS}")
        without = coefficient(_weighted(sums, 1 - np.eye(slides)))
    if not np.isfinite(without).all():
        return Agreement(name, value, reason=f"{Reason.UNDERPOWERED}: undefined without one of the slides")
    variance = float((slides - 1) / slides * np.square(without - without.mean()).sum())
    parts = Parts(0.0, variance, 1.0, effective - 1)
    if name == SAME:
        bounds = make_bounds(value, parts, level, 0.0, 1.0)
    else:
        bounds = fisher_bounds(value, parts, level)
    if bounds is None:
        return Agreement(name, value, reason=f"{Reason.UNDERPOWERED}: the number is the same without each slide")
    return Agreement(name, value, *bounds)


def fisher_bounds(value: float, parts: Parts, level: float) -> Bounds | None:
    """The interval on the scale atanh(value); None for full agreement, and where no slide changes the value."""
    if not -1 < value < 1 or not parts.error:
        return None
    reach = parts.quantile((1 + level) / 2) * parts.error / (1 - value**2)
    return Bounds(math.tanh(math.atanh(value) - reach), math.tanh(math.atanh(value) + reach))


def _weighted(sums: Sums, weights: Floats) -> Sums:
    return {name: np.tensordot(weights, held, axes=1) for name, held in sums.items()}


def sum_slides(ratings: Codes, which: NDArray[np.intp], slides: int, answers: int) -> Sums:
    """Sums of each slide: `coincidences` of pairs of values (Krippendorff), what AC1 and AC2 need, and `pairs` of readers."""
    table = (ratings[:, :, None] == np.arange(answers)).sum(axis=1).astype(np.float64)
    count = table.sum(axis=1)
    paired = count >= 2
    same = table[:, :, None] * table[:, None, :]
    same[:, np.arange(answers), np.arange(answers)] -= table
    share = np.where(paired, 1 / np.maximum(count - 1, 1), 0.0)[:, None, None]
    per_pair = np.where(paired, 1 / np.maximum(count * (count - 1), 1), 0.0)[:, None, None]
    readers = list(itertools.combinations(range(ratings.shape[1]), 2))
    pairs = np.zeros((len(ratings), len(readers), answers, answers))
    for p, (a, b) in enumerate(readers):
        rows = np.flatnonzero((ratings[:, a] != MISSING) & (ratings[:, b] != MISSING))
        pairs[rows, p, ratings[rows, a], ratings[rows, b]] = 1
    made = {
        "coincidences": same * share,
        "agreeing": same * per_pair,
        "paired": paired.astype(np.float64),
        "shares": table / np.maximum(count, 1)[:, None],
        "rated": (count >= 1).astype(np.float64),
        "pairs": pairs,
    }
    return {name: _sum_by(held, which, slides) for name, held in made.items()}


def _sum_by(held: Floats, which: NDArray[np.intp], slides: int) -> Floats:
    summed = np.zeros((slides, *held.shape[1:]))
    np.add.at(summed, which, held)
    return summed


def _alpha(sums: Sums, ordinal: bool) -> Floats:
    seen = sums["coincidences"]
    totals = seen.sum(axis=-1)
    whole = totals.sum(axis=-1)
    if ordinal:
        upto = np.cumsum(totals, axis=-1)
        # n_c / 2 + n_between + n_k / 2 for c < k
        middle = upto - totals / 2
        apart = np.square(middle[..., :, None] - middle[..., None, :])
    else:
        apart = np.broadcast_to(1 - np.eye(totals.shape[-1]), seen.shape)
    observed = (seen * apart).sum(axis=(-1, -2))
    expected = (totals[..., :, None] * totals[..., None, :] * apart).sum(axis=(-1, -2))
    return np.asarray(1 - (whole - 1) * observed / expected)


def alpha_nominal(sums: Sums) -> Floats:
    """Krippendorff's alpha of answers without an order."""
    return _alpha(sums, ordinal=False)


def alpha_ordinal(sums: Sums) -> Floats:
    """Krippendorff's alpha of answers with an order."""
    return _alpha(sums, ordinal=True)


def _gwet(sums: Sums, weights: Floats) -> Floats:
    answers = len(weights)
    observed = (sums["agreeing"] * weights).sum(axis=(-1, -2)) / sums["paired"]
    shares = sums["shares"] / sums["rated"][..., None]
    expected = weights.sum() / (answers * (answers - 1)) * (shares * (1 - shares)).sum(axis=-1)
    return np.asarray((observed - expected) / (1 - expected))


def ac1(sums: Sums) -> Floats:
    """Gwet's AC1."""
    return _gwet(sums, np.eye(sums["shares"].shape[-1]))


def ac2(sums: Sums) -> Floats:
    """Gwet's AC2 with quadratic weights."""
    return _gwet(sums, quadratic_weights(sums["shares"].shape[-1]))


def quadratic_weights(answers: int) -> Floats:
    """(answers, answers): 1 for the same answer, 0 for the two ends of the scale."""
    step = np.arange(answers)
    return np.asarray(1 - np.square(step[:, None] - step) / (answers - 1) ** 2)


def weighted_kappa(sums: Sums) -> Floats:
    """Cohen's kappa with quadratic weights, the mean of all pairs of readers in which it is defined."""
    seen = sums["pairs"]
    seen = seen / seen.sum(axis=(-1, -2), keepdims=True)
    weights = 1 - quadratic_weights(seen.shape[-1])
    chance = seen.sum(axis=-1)[..., :, None] * seen.sum(axis=-2)[..., None, :]
    kappas = 1 - (seen * weights).sum(axis=(-1, -2)) / (chance * weights).sum(axis=(-1, -2))
    defined = np.isfinite(kappas)
    return np.asarray(np.where(defined, kappas, 0.0).sum(axis=-1) / defined.sum(axis=-1))


def same_answers(sums: Sums) -> Floats:
    """Share of pairs of answers to one image that are the same."""
    kinds = sums["shares"].shape[-1]
    return np.asarray((sums["agreeing"] * np.eye(kinds)).sum(axis=(-1, -2)) / sums["paired"])


NOMINAL: dict[str, Callable[[Sums], Floats]] = {
    SAME: same_answers,
    "alpha nominal": alpha_nominal,
    "AC1": ac1,
}
COEFFICIENTS = {**NOMINAL, "alpha ordinal": alpha_ordinal, "AC2 quadratic": ac2, "kappa quadratic": weighted_kappa}
"""Name of a coefficient -> the coefficient of sums (..., as of `sum_slides` without its slides)."""
