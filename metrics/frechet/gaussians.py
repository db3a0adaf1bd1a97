"""The Fréchet distance of two Gaussians, from their moments or from features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.features import Table

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

TRUSTED = 1e-7
"""Largest share of the distance that rounding may be for the fast route to count."""


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
