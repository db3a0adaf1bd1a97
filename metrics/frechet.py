"""Fréchet distance between two sets of features, each seen as a Gaussian."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.types import Card, Direction, Features
from metrics.features import checked

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


class FrechetDistance:
    """Squared 2-Wasserstein distance of the Gaussians fitted to both sides, in squared units of the features, >= 0."""

    card = Card(
        "fd",
        "1",
        "Fréchet distance between Gaussians fitted to real and painted features.",
        source="Dowson and Landau 1982; Heusel et al. 2017, arXiv 1706.08500, eq. 6",
        notes="Biased upwards at small n, the more so the wider the encoder; its scale is the encoder's, so values of two "
        "encoders are never compared. Blind to everything beyond mean and covariance, and to copies of training patches.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)

    def minimum_n(self, d: int) -> int:
        """d + 1 rows a side: with fewer, the covariance cannot have full rank."""
        return d + 1

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The distance; exact, so that `rng` is not drawn from. Refuses fewer rows than `minimum_n` on either side."""
        a, b = checked(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return frechet_distance(*_moments(a), *_moments(b))


def frechet_distance(mean_a: Vector, cov_a: Matrix, mean_b: Vector, cov_b: Matrix) -> float:
    """|m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)) for means (d,) and covariances (d, d), in float64.

    With A = F F' and B = G G', the eigenvalues of A B are the squared singular values of F' G, so the last trace is their
    sum. Nothing is squared on the way, and singular covariances need no repair: the matrix square root of the
    unsymmetric A B, which fails on them, is never formed.
    """
    gap = mean_a - mean_b
    overlap = np.linalg.svd(_factor(cov_a).T @ _factor(cov_b), compute_uv=False).sum()
    distance = gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    return max(float(distance), 0.0)  # rounding alone can take it below zero


def _moments(features: Matrix) -> tuple[Vector, Matrix]:
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def _factor(covariance: Matrix) -> Matrix:
    """F (d, d) with F F' = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    factor: Matrix = vectors * np.sqrt(np.clip(values, 0.0, None))
    return factor
