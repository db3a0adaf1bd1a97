"""The jackknife of a Fréchet distance to first order: one decomposition in place of one for each block of slides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.features import Table
from metrics.frechet.gaussians import TRUSTED, Gaussian, Matrix, gaussian, rounding_of

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Maps:
    """The distance of two Gaussians and the factors of the optimal maps between them, by which it changes with covariances."""

    distance: float
    real: Matrix
    """F (d, d): F F' is the map from the real side to the generated one."""
    fake: Matrix
    """F (d, d): F F' is the map back."""


def optimal_maps(a: Gaussian, b: Gaussian) -> Maps | None:
    """The maps of covariances A and B: F F' A F F' = B (Dowson and Landau 1982; Takatsu 2011, eq. 3).

    None where rounding could show in them: a covariance is singular, or nearly so.
    """
    from scipy.linalg import LinAlgError, cholesky, eigh, solve_triangular  # not at the top: `bench list` should not wait

    try:
        lower = cholesky(b.covariance, lower=True, check_finite=False)
    except LinAlgError:
        return None
    values, vectors = eigh(lower.T @ a.covariance @ lower, check_finite=False, overwrite_a=True)
    if values[0] <= 0:
        return None
    gap, roots = a.mean - b.mean, np.sqrt(values)
    distance = float(gap @ gap + np.trace(a.covariance) + np.trace(b.covariance) - 2 * roots.sum())
    if not rounding_of(roots, a.covariance, b.covariance) <= TRUSTED * distance:
        return None
    there = (lower @ vectors) * roots**-0.5
    back = solve_triangular(lower, vectors, lower=True, trans="T", check_finite=False) * roots**0.5
    return Maps(distance, there, back)


def linear_replicates(
    real: Table, fake: Table, blocks_real: NDArray[np.int64], blocks_fake: NDArray[np.int64], count: int
) -> tuple[float, Vector] | None:
    """The distance, and float64 (count,) what it is without each block of slides to first order in the covariances.

    `blocks_real`, `blocks_fake`: block of each row, int64 (n,) and (m,), below `count`.

    Without a block the distance is |m_a - m_b|^2 + tr (I - T) A + tr (I - T^-1) B, with the means and covariances A, B that
    are left and the optimal map T of all rows: the trace of (A B)^(1/2) has the derivatives T / 2 and T^-1 / 2. None where
    `optimal_maps` has none.
    """
    a, b = gaussian(real), gaussian(fake)
    maps = optimal_maps(a, b)
    if maps is None:
        return None
    shift_a, spread_a = _without(real, a, maps.real, blocks_real, count)
    shift_b, spread_b = _without(fake, b, maps.fake, blocks_fake, count)
    gaps = a.mean - b.mean + shift_a - shift_b
    return maps.distance, np.asarray((gaps**2).sum(axis=1) + spread_a + spread_b)


def _without(table: Table, whole: Gaussian, factor: Matrix, block: NDArray[np.int64], count: int) -> tuple[Matrix, Vector]:
    """Of each block left out: float64 (blocks, d) by how much the mean moves, and float64 (blocks,) tr (I - F F') C of the
    covariance C of the other rows."""
    sums, forms = np.zeros((count, table.shape[1])), np.zeros(count)
    sizes = np.bincount(block, minlength=count)
    for b in range(count):
        rows = table[block == b] - whole.mean
        sums[b] = rows.sum(axis=0)
        forms[b] = np.vdot(rows, rows) - np.square(rows @ factor).sum()
    left = len(table) - sizes
    shift = -sums / left[:, None]
    of_means = np.square(shift).sum(axis=1) - np.square(shift @ factor).sum(axis=1)
    return shift, (forms.sum() - forms - left * of_means) / (left - 1)
