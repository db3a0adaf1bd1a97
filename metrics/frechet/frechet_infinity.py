"""Fréchet distance as it would be with endlessly many patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.statistics import Estimate, group_jackknife
from bench.types import Card, Direction, Features, Strings
from metrics.features import Table, check_features
from metrics.frechet.extrapolation import extrapolate
from metrics.frechet.gaussians import Gaussian, gaussian, gaussian_distance

Rows = NDArray[np.int64]
Sides = Literal["both", "fake"]

POINTS = 15
"""Subset sizes on the line: the published number."""


class FrechetInfinity:
    """Fréchet distance extrapolated to infinitely many patches: the intercept of a line through `POINTS` subset sizes.

    The bias of a Fréchet distance falls as one over the number of patches. With `sides="both"` both sides shrink
    together, and what is left is the distance of the distributions; `sides="fake"` is the published way, which keeps the bias
    of the real side. Subsets are nested, the first patches of one random order; the smallest holds a share `smallest` of each
    side, but never fewer patches than make a covariance of full rank.
    """

    card = Card(
        "fd-inf",
        "1",
        "Fréchet distance extrapolated to infinitely many patches.",
        licence="Apache-2.0",
        source="Chong and Forsyth 2020, arXiv 1911.07023 (sides=fake)",
        cost="O(n d^2 + 15 d^3) time, O(n d + d^2) memory",
        sees=("jpeg", "blur", "stain-shift", "gaussian-noise", "nuclei-removed", "mode-dropped"),
        notes="A line through 1/n holds while even the smallest subset is large against d; near n = d some bias is left. "
        "Noisier than fd, and below 0 by chance where sides are alike. Patches of one slide are not independent: the bias of "
        "few slides stays. Blind to everything beyond mean and covariance, and to copies of training patches.",
    )
    direction: Direction = "lower"
    bounds = (None, None)

    def __init__(self, sides: Sides = "both", smallest: float = 0.25) -> None:
        if not 0 < smallest < 1:
            raise UsageError(f"fd-inf: smallest is a share between 0 and 1, not {smallest}.")
        self.sides, self.smallest = sides, smallest

    def minimum_n(self, d: int) -> int:
        """2 (d + 1) rows a side: subsets of d + 1 and up, with room for a line."""
        return 2 * (d + 1)

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The intercept; `rng` orders the patches."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        orders = rng.permutation(len(a)), rng.permutation(len(b))
        sizes = [subset_sizes(len(side), side.shape[1] + 1, self.smallest) for side in (a, b)]
        if self.sides == "fake":
            return intercept(1 / sizes[1], nested_distances(a, b, None, nest(orders[1], sizes[1])))
        inverse = 1 / sizes[0] + 1 / sizes[1]
        return intercept(inverse, nested_distances(a, b, *map(nest, orders, sizes)))

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """Extrapolated over slides instead of patches, with an interval that holds the distance of the populations.

        The published way (`sides="fake"`) keeps to patches, and its interval tells of other slides as many as these.
        """
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        if self.sides == "fake":
            seed = int(rng.integers(2**32))  # the same order of patches for every subset of slides
            return group_jackknife(
                lambda x, y: self.compare(real[x], fake[y], np.random.default_rng(seed)), groups_real, groups_fake
            )
        return extrapolate(a, b, groups_real, groups_fake)


def subset_sizes(n: int, fewest: int, smallest: float, points: int = POINTS) -> Rows:
    """int64 (points,): whole numbers from the share `smallest` of n, or `fewest` if that is more, to n, evenly spaced."""
    return np.linspace(max(fewest, round(smallest * n)), n, points).astype(np.int64)


def nest(order: Rows, sizes: Sequence[int] | Rows) -> list[Rows]:
    """The first rows of an order, for each size: every subset holds the one before."""
    return [order[:size] for size in sizes]


def nested_distances(
    real: Table, fake: Table, real_subsets: Sequence[Rows] | None, fake_subsets: Sequence[Rows]
) -> NDArray[np.float64]:
    """The Fréchet distance of each pair of subsets; None for all real rows every time.

    Subsets are row numbers, and each begins with the one before it, so that every row is looked at once. They may hold
    whole slides.
    """
    if real_subsets is None:
        whole = gaussian(real)
        return np.array([gaussian_distance(whole, part) for part in nested_gaussians(fake, fake_subsets)])
    pairs = zip(nested_gaussians(real, real_subsets), nested_gaussians(fake, fake_subsets), strict=True)
    return np.array([gaussian_distance(a, b) for a, b in pairs])


def nested_gaussians(table: Table, subsets: Sequence[Rows]) -> Iterator[Gaussian]:
    """The moments of each of the nested subsets of rows (at least 2)."""
    middle = table.mean(axis=0)  # small numbers lose less in sums of squares
    squares, total, done = np.zeros((table.shape[1],) * 2), np.zeros(table.shape[1]), 0
    for rows in subsets:
        new = table[rows[done:]] - middle
        squares, total, done = squares + new.T @ new, total + new.sum(axis=0), len(rows)
        mean = total / done
        yield Gaussian(middle + mean, (squares - done * np.outer(mean, mean)) / (done - 1))


def intercept(inverse: NDArray[np.float64], distances: NDArray[np.float64]) -> float:
    """The intercept of the least-squares line of distances over one by the number of patches."""
    if np.ptp(inverse) == 0:
        raise UsageError("fd-inf needs subsets of different sizes: use more patches.")
    return float(np.polynomial.polynomial.polyfit(inverse, distances, 1)[0])
