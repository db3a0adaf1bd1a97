"""Numbers of one reader from counts of answers, (..., arms, answers) -> (...). NaN where an arm has no answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def accuracy(counts: Floats) -> Floats:
    """Share of right answers, the mean of the arms (real, generated) with answers (real, generated): chance is 0.5 however
    many images each arm has (balanced accuracy)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = counts / counts.sum(axis=-1, keepdims=True)
    return np.asarray((shares[..., 0, 0] + shares[..., 1, 1]) / 2)


def plain_accuracy(counts: Floats) -> Floats:
    """Share of right answers of all images."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((counts[..., 0, 0] + counts[..., 1, 1]) / counts.sum(axis=(-1, -2)))


def d_prime(counts: Floats) -> Floats:
    """z(generated called generated) - z(real called generated), with the log-linear correction of Hautus 1995 (Behavior
    Research Methods 27): 0.5 is added to both counts and 1 to both numbers of images, so that shares of 0 and 1 have a
    value."""
    from scipy.special import ndtri

    images = counts.sum(axis=-1)
    shares = (counts[..., 1] + 0.5) / (images + 1)
    return np.asarray(np.where((images > 0).all(axis=-1), ndtri(shares[..., 1]) - ndtri(shares[..., 0]), np.nan))


def superiority(counts: Floats) -> Floats:
    """P(answer in the second arm is higher) + P(equal) / 2. Of a graded question whether an image is generated this is the
    area under the ROC curve by trapezoids (Mann-Whitney)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = counts / counts.sum(axis=-1, keepdims=True)
    first, second = shares[..., 0, :], shares[..., 1, :]
    below = np.cumsum(first, axis=-1) - first
    return np.asarray((second * (below + first / 2)).sum(axis=-1))


def mean_score(counts: Floats, scores: Floats) -> Floats:
    """Mean of the first arm, of answers that stand for numbers."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((counts[..., 0, :] @ scores) / counts[..., 0, :].sum(axis=-1))


def mean_difference(counts: Floats, scores: Floats) -> Floats:
    """Mean of the second arm less that of the first. With scores 0 and 1: the difference of two shares."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (counts @ scores) / counts.sum(axis=-1)
    return np.asarray(means[..., 1] - means[..., 0])
