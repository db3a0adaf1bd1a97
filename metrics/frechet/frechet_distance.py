"""Fréchet distance between two sets of features, each seen as a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.statistics import (
    MINIMUM_GROUPS,
    Blocks,
    Estimate,
    Rows,
    Statistic,
    group_jackknife,
    jackknife_interval,
    too_few_groups,
)
from bench.types import Card, Direction, Features, Moments, Strings
from metrics.features import Table, check_features

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

TRUSTED = 1e-7
"""Largest share of the distance that rounding may be for the fast route to count."""


class FrechetDistance:
    """Squared 2-Wasserstein distance of the Gaussians fitted to both sides, in squared units of the features, >= 0."""

    card = Card(
        "fd",
        "1",
        "Fréchet distance between Gaussians fitted to real and generated features.",
        source="Dowson and Landau 1982; Heusel et al. 2017, arXiv 1706.08500, eq. 6",
        cost="O(n d^2 + d^3) time, O(n d + d^2) memory",
        notes="Biased upwards at small n, the more so the wider the encoder; its scale is the encoder's, so values of two "
        "encoders are never compared. Blind to everything beyond mean and covariance, and to copies of training patches.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)
    normalised = True

    def minimum_n(self, d: int) -> int:
        """d + 1 rows a side: with fewer, the covariance cannot have full rank."""
        return d + 1

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The distance; exact, so that `rng` is not drawn from. Refuses fewer rows than `minimum_n` on either side."""
        return feature_distance(*check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1])))

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """The distance with the interval of the jackknife over slides, for its average over as many other slides.

        Values without a block of slides are taken to first order (`linear_replicates`); where covariances are nearly singular
        each is calculated. The interval is formed on the root of the distance (`root_interval`).
        """
        from metrics.frechet.linear_jackknife import linear_replicates  # it is made of functions of this file

        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        blocks = Blocks.of(groups_real, groups_fake)
        found = linear_replicates(a, b, blocks.real, blocks.fake, blocks.count)
        if found is None:
            exact = group_jackknife(self._of_rows(a, b), groups_real, groups_fake)
            return root_interval(exact, exact.value)
        value, without = found
        if refused := too_few_groups(value, (groups_real, groups_fake), MINIMUM_GROUPS):
            return refused
        fewest = min(int(len(rows) - np.bincount(rows).max()) for rows in (blocks.real, blocks.fake))
        enough = fewest >= self.minimum_n(a.shape[1])
        without = without if enough else np.full(blocks.count, np.nan)
        return root_interval(jackknife_interval(value, without, blocks), value)

    def compare_moments(self, real: Moments, fake: Moments) -> float:
        """The same from means and covariances: see `ComparesMoments`."""
        return frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)

    def compare_without_blocks(
        self, real: Features, fake: Features, blocks_real: NDArray[np.int64], blocks_fake: NDArray[np.int64], count: int
    ) -> tuple[float, NDArray[np.float64]] | None:
        """The distance, and to first order the distance without each block of rows: see `ComparesWithoutBlocks`.

        None for at most `EXACT` features, where each distance costs little: between two halves of one population the standard
        error to first order is 1.5 times the true one, the exact jackknife's 1.2 times (120 sets of 40 slides, 16 features).
        """
        if real.shape[-1] <= EXACT:
            return None
        from metrics.frechet.linear_jackknife import linear_replicates  # it is made of functions of this file

        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return linear_replicates(a, b, blocks_real, blocks_fake, count)

    def _of_rows(self, real: Table, fake: Table) -> Statistic:
        """The distance of some rows; NaN where they are too few."""
        fewest = self.minimum_n(real.shape[1])

        def distance(x: Rows, y: Rows) -> float:
            return feature_distance(real[x], fake[y]) if min(x.sum(), y.sum()) >= fewest else np.nan

        return distance


def root_interval(found: Estimate, distance: float) -> Estimate:
    """An estimate with its interval formed on the root of the distance as measured, >= 0, and squared.

    Slides spread the root, a length, evenly around its value, and the distance further up than down: with reach r on the scale
    of the distance the interval of the root is sqrt(distance) -+ r / (2 sqrt(distance)). What is taken off the distance as
    bias is taken off both bounds.
    """
    if found.low is None or found.high is None or distance <= 0:
        return found
    root, bias = np.sqrt(distance), distance - found.value
    reach = (found.high - found.value) / (2 * root)
    low, high = float(max(root - reach, 0.0) ** 2), float((root + reach) ** 2)
    return replace(found, low=low - bias, high=high - bias)


EXACT = 256
"""Features up to which values without a block of slides are calculated one by one for the lower reference."""


@dataclass(frozen=True)
class Gaussian:
    """What the distance knows of one side. Kept for a reference, only the generated side is paid for again."""

    mean: Vector
    """float64 (d,)."""
    covariance: Matrix
    """float64 (d, d), with n - 1 in the denominator."""


def gaussian(features: Table) -> Gaussian:
    """The sample mean and covariance of at least two rows."""
    return Gaussian(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def gaussian_distance(a: Gaussian, b: Gaussian) -> float:
    """The distance of two sides that are known by their moments."""
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


def feature_distance(real: Table, fake: Table) -> float:
    """The distance of the Gaussians of two tables of at least two rows each, whatever n and d.

    Where a side has too few rows for a covariance of full rank, the centred rows themselves are the factors: no (d, d)
    matrix is formed, and nothing is lost to rounding.
    """
    if min(len(real), len(fake)) > real.shape[1]:
        return gaussian_distance(gaussian(real), gaussian(fake))
    gap = real.mean(axis=0) - fake.mean(axis=0)
    a, b = ((side - side.mean(axis=0)) / np.sqrt(len(side) - 1) for side in (real, fake))
    apart = gap @ gap + np.vdot(a, a) + np.vdot(b, b)
    return _at_least_nothing(apart - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum())


def frechet_distance(mean_a: Vector, cov_a: Matrix, mean_b: Vector, cov_b: Matrix) -> float:
    """|m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)) for means (d,) and covariances (d, d), in float64.

    The last trace is the sum of the square roots of the eigenvalues of A B, which are those of the symmetric L' A L with
    B = L L': about a tenth of the work of the matrix square root of the unsymmetric A B. Roots magnify the rounding of
    eigenvalues near 0, so where that could show, and where B has no L, the careful route is taken.
    """
    gap = mean_a - mean_b
    apart = gap @ gap + np.trace(cov_a) + np.trace(cov_b)
    overlap, doubt = _fast_overlap(cov_a, cov_b)
    if not doubt <= TRUSTED * (apart - 2 * overlap):
        overlap = _careful_overlap(cov_a, cov_b)
    return _at_least_nothing(apart - 2 * overlap)


def _fast_overlap(cov_a: Matrix, cov_b: Matrix) -> tuple[float, float]:
    """tr (A B)^(1/2) and how far rounding may have moved it, infinity where that is unknown."""
    from scipy.linalg import LinAlgError, eigh  # not at the top: `bench list` should not wait for it

    try:
        values = eigh(cov_a, cov_b, type=2, eigvals_only=True, driver="gv", check_finite=False)
    except LinAlgError:  # B is singular
        return 0.0, np.inf
    if values[0] <= 0:
        return 0.0, np.inf
    roots = np.sqrt(values)
    return float(roots.sum()), rounding_of(roots, cov_a, cov_b)


def rounding_of(roots: Vector, cov_a: Matrix, cov_b: Matrix) -> float:
    """How far rounding may have moved the sum of the roots of the eigenvalues of A B."""
    rounding = np.finfo(np.float64).eps * np.linalg.norm(cov_a) * np.linalg.norm(cov_b)
    return float(rounding * (0.5 / roots).sum())


def _careful_overlap(cov_a: Matrix, cov_b: Matrix) -> float:
    """tr (A B)^(1/2) with A = F F' and B = G G' as the sum of the singular values of F' G.

    Nothing is squared on the way, and singular covariances need no repair.
    """
    return float(np.linalg.svd(_factor(cov_a).T @ _factor(cov_b), compute_uv=False).sum())


def _factor(covariance: Matrix) -> Matrix:
    """F (d, d) with F F' = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    factor: Matrix = vectors * np.sqrt(np.clip(values, 0.0, None))
    return factor


def _at_least_nothing(distance: float) -> float:
    return max(float(distance), 0.0)  # rounding alone can take it below zero
