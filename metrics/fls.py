"""Feature likelihood score: how likely real test patches are under generated ones, with memorised patches found out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.statistics import Estimate, group_jackknife
from bench.types import Card, Direction, Features, Strings
from metrics.features import Table, check_features

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

STEPS, RATE, SLOWER_FROM = 100, 0.5, 50
"""Steps of Adam, its rate, and the step from which the rate is a tenth: the published ones."""
LOWEST, HIGHEST = -100.0, 20.0
"""Limits of the logarithm of a variance. A Gaussian on a copy of a training patch shrinks to the lowest, and explains no
other patch any more."""

_CLOSE = 1e-6
"""Squared distances below this share of the squared norms are measured difference by difference."""
_PAIRS = 1024
"""So many at once."""


class FeatureLikelihood:
    """100 exp(-2 (loss - loss of real) / d): 100 where generated patches explain test patches as well as training patches do.

    Each generated patch is the middle of a Gaussian whose variance is fitted to half of the training patches; the other half,
    used in the place of generated patches, is the baseline. Both mixtures have equally many Gaussians: more of them explain
    more, whatever they show. Of the larger set so many are drawn, and `most` at most of any.
    """

    card = Card(
        "fls",
        "2",
        "Likelihood of real test features under Gaussians at generated ones, against training patches in their place.",
        licence="Apache-2.0",
        source="Jiralerspong et al. 2023, arXiv 2302.04440; marcojira/fls (constants, split, scale)",
        cost="O(n^2 (d + 200)) time, O(n^2) memory up to `most` patches a side",
        sees=("jpeg", "blur", "gaussian-noise", "mode-dropped", "memorized-share"),
        notes="Below 100 where generated patches are poor, few in kind, or copies of training patches. Which training patches "
        "are the baseline is drawn at random, as many as there are generated ones. Likelihoods in many dimensions: only the "
        "nearest generated patch of each test patch counts. Where tissue is one cloud, patches that huddle in its middle "
        "score above 100. Columns that never vary are left out.",
    )
    direction: Direction = "higher"
    bounds = (0.0, None)

    def __init__(self, most: int = 5000) -> None:
        if most < 2:
            raise UsageError(f"fls: most is a number of patches, at least 2, not {most}.")
        self.most = most

    def minimum_n(self, d: int) -> int:
        """4 rows of each: two for either half of the training patches."""
        return 4

    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float:
        """The score; `rng` splits the training patches, and draws from sets that are too large."""
        return self._fit(real, fake, train, rng)[0].score()

    def estimate_trained(
        self,
        real: Features,
        fake: Features,
        train: Features,
        groups_real: Strings,
        groups_fake: Strings,
        rng: np.random.Generator,
    ) -> Estimate:
        """The score with an interval from leaving out slides of test and generated patches; the variances, which the training
        patches decide, are fitted once and held."""
        fitted, test_rows, generated_rows = self._fit(real, fake, train, rng)
        return group_jackknife(fitted.score, groups_real[test_rows], groups_fake[generated_rows])

    def _fit(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> tuple[Fitted, Rows, Rows]:
        """The mixtures, and which test and generated rows are in them."""
        test, generated = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        trained = check_features(f"{self.card.name} (training patches as real)", train, fake, self.minimum_n(train.shape[-1]))[
            0
        ]
        order = rng.permutation(len(trained))
        half = len(order) // 2
        centres = min(self.most, len(order) - half, len(generated))
        sizes = (self.most, centres, self.most, centres)
        sets = (order[:half], order[half:], np.arange(len(test)), np.arange(len(generated)))
        chosen = [_some(rows, size, rng) for rows, size in zip(sets, sizes, strict=True)]
        sides = [side[rows] for side, rows in zip((trained, trained, test, generated), chosen, strict=True)]
        return Fitted.of(*standardise(sides)), chosen[2], chosen[3]


def _some(rows: Rows, most: int, rng: np.random.Generator) -> Rows:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


@dataclass(frozen=True)
class Fitted:
    """The likelihood of each test patch under the two mixtures, with variances fitted to `train`."""

    terms: Table
    """(n, m): log likelihood of each test patch under the Gaussian on each generated patch."""
    baseline: Vector
    """(n,): log likelihood under the mixture on the other half of the training patches."""
    d: int

    @staticmethod
    def of(train: Table, baseline: Table, test: Table, generated: Table) -> Fitted:
        """From standardised tables."""
        d = train.shape[1]
        pairs = [(_squares(test, centres), fitted_widths(_squares(train, centres), d)) for centres in (generated, baseline)]
        return Fitted(_terms(*pairs[0], d), log_likelihoods(*pairs[1], d), d)

    def score(self, test_rows: Mask | None = None, generated_rows: Mask | None = None) -> float:
        """100 exp(-2 (loss - loss of the baseline) / d) of the chosen rows, of all without a choice."""
        terms = self.terms if test_rows is None or generated_rows is None else self.terms[np.ix_(test_rows, generated_rows)]
        baseline = self.baseline if test_rows is None else self.baseline[test_rows]
        with np.errstate(over="ignore"):
            score = float(100 * np.exp(2 * (_mixture(terms).mean() - baseline.mean()) / self.d))
        if not np.isfinite(score):
            raise UsageError(
                "fls compares with training patches in the place of generated ones, found that most of these occur twice and "
                "explain no other patch: remove duplicates from the training set."
            )
        return score


def standardise(sides: list[Table]) -> list[Table]:
    """The tables with mean 0 and variance 1 in every column of all together; columns that never vary are left out."""
    everything = np.concatenate(sides)
    varies = np.ptp(everything, axis=0) > 0
    if not varies.any():
        raise UsageError("fls measures likelihoods, found features that are the same for every patch: look at the encoder.")
    mean, deviation = everything.mean(axis=0)[varies], everything.std(axis=0, ddof=1)[varies]
    return [(side[:, varies] - mean) / deviation for side in sides]


def fitted_widths(squares: Table, d: int) -> Vector:
    """Log variances (m,) after `STEPS` steps of Adam on the mean loss, from 0."""
    widths, first, second = (np.zeros(squares.shape[1]) for _ in range(3))
    for step in range(1, STEPS + 1):
        gradient = _gradient(squares, widths, d)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        rate = RATE * (0.1 if step > SLOWER_FROM else 1.0)
        move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        widths = np.clip(widths - rate * move, LOWEST, HIGHEST)
    return widths


def _gradient(squares: Table, widths: Vector, d: int) -> Vector:
    """Of the mean loss by each log variance: the mean of (d - square / variance) / 2 over the points, by responsibility."""
    shares = _terms(squares, widths, d)
    shares -= shares.max(axis=1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=1, keepdims=True)  # responsibility of each centre for each point
    pull = np.einsum("nm,nm->m", shares, squares) * np.exp(-widths)
    slope: Vector = 0.5 * (d * shares.sum(axis=0) - pull) / len(squares)
    return slope


def log_likelihoods(squares: Table, widths: Vector, d: int) -> Vector:
    """Log likelihood (n,), but for the constant d/2 ln 2 pi, of points whose squared distances to m centres are (n, m), under
    equally likely Gaussians of log variances (m,)."""
    return _mixture(_terms(squares, widths, d))


def _terms(squares: Table, widths: Vector, d: int) -> Table:
    """(n, m): log likelihood, but for the constant d/2 ln 2 pi, of each point under each centre's Gaussian."""
    terms = squares * (-0.5 * np.exp(-widths))
    terms -= 0.5 * d * widths
    return terms


def _mixture(terms: Table) -> Vector:
    """(n,): log likelihood of each point under all Gaussians, equally likely."""
    highest = terms.max(axis=1, keepdims=True)
    mixed: Vector = (highest + np.log(np.exp(terms - highest).sum(axis=1, keepdims=True)))[:, 0] - np.log(terms.shape[1])
    return mixed


def _squares(a: Table, b: Table) -> Table:
    """Squared distances (n, m), exactly 0 for equal rows: variances divide by them."""
    norms = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)
    squares: Table = norms - 2 * (a @ b.T)
    rows, columns = np.nonzero(squares < _CLOSE * norms)
    for start in range(0, len(rows), _PAIRS):
        i, j = rows[start : start + _PAIRS], columns[start : start + _PAIRS]
        squares[i, j] = ((a[i] - b[j]) ** 2).sum(axis=1)
    return squares
