"""Sliced Wasserstein distance between two sets of features (MIND)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.statistics import Estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import Table, check_features, positive
from metrics.subsets import Sections, Subset, jackknife_together

Indices = NDArray[np.int64]
Labels = NDArray[np.uint64]
Small = NDArray[np.unsignedinteger]

SEED = 0
"""Of the directions: the same for every pair of sets with equally many features."""
_AT_ONCE = 128
"""Directions projected on at once."""
_SORTED = 2
"""Directions measured at once: few enough for the processor's cache."""


class SlicedDistance:
    """3 d times the squared 2-Wasserstein distance of the projections on a direction, averaged over `directions` of them.

    In squared units of the features, >= 0. The directions are random, uniform on the sphere, and always the same.
    """

    card = Card(
        "mind",
        "1",
        "Sliced Wasserstein distance: the mean distance of real and generated features as seen along random directions.",
        licence="Apache-2.0",
        source="arXiv 2605.06797 (1000 directions, factor 3 d)",
        cost="O(n directions (d + log n)) time, O(n d) memory, with interval too",
        sees=("jpeg", "blur", "stain-shift", "gaussian-noise", "nuclei-removed", "mode-dropped"),
        notes="Needs no covariance, so that it can be had with fewer patches than features, and sees more than mean and "
        "covariance. Biased upwards at small n: compare equal n. Unequal numbers of patches are coupled by their quantiles, "
        "where the paper draws a subset. Its scale is the encoder's. Directions of little variance count as much as others in "
        "the mean: a difference in few of many features is diluted. Blind to copies of training patches.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)

    def __init__(self, directions: int = 1000) -> None:
        self.directions = positive(self.card.name, "directions", directions)

    def minimum_n(self, d: int) -> int:
        """2 rows a side, whatever d: one patch is no distribution."""
        return 2

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The distance; directions are fixed, so that `rng` is not drawn from."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        total = 0.0
        for x, y in self._projections(a, b):
            total += _squared_distances(np.sort(x, axis=1), np.sort(y, axis=1), couple(len(a), len(b)))
        return 3 * a.shape[1] * total / self.directions

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """The distance with its interval over slides. Rows are projected and sorted once for all subsets of slides."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return jackknife_together(lambda subsets: self._answers(a, b, subsets), groups_real, groups_fake)

    def _answers(self, a: Table, b: Table, subsets: Sequence[Subset]) -> list[float]:
        parts = Sections.of(subsets)
        bits = parts.count.bit_length()
        labels = parts.real.astype(np.uint64), parts.fake.astype(np.uint64)
        out = [np.flatnonzero(~kept).tolist() for kept in parts.kept]
        sizes = [(int(x.sum()), int(y.sum())) for x, y in subsets]
        is_enough = [min(size) >= self.minimum_n(a.shape[1]) for size in sizes]
        couplings = [couple(*size) if fine else None for size, fine in zip(sizes, is_enough, strict=True)]
        totals = np.where(is_enough, 0.0, np.nan)
        for x, y in self._projections(a, b):
            sides = [_sorted_with(side, label, bits) for side, label in zip((x, y), labels, strict=True)]
            for i, (left_out, coupling) in enumerate(zip(out, couplings, strict=True)):
                if is_enough[i]:
                    first, second = (_without(*side, left_out) for side in sides)
                    totals[i] += _squared_distances(first, second, coupling)
        return (3 * a.shape[1] * totals / self.directions).tolist()

    def _projections(self, a: Table, b: Table) -> Iterator[tuple[Table, Table]]:
        """Rows of both sides on some directions at a time, (directions, n) and (directions, m)."""
        vectors = unit_vectors(self.directions, a.shape[1])
        for start in range(0, self.directions, _AT_ONCE):
            some = vectors[start : start + _AT_ONCE]
            x, y = some @ a.T, some @ b.T
            for first in range(0, len(some), _SORTED):
                yield x[first : first + _SORTED], y[first : first + _SORTED]


def unit_vectors(count: int, d: int) -> Table:
    """float64 (count, d): random directions of length 1, the first ones of a fixed sequence."""
    vectors = np.random.default_rng(SEED).normal(size=(count, d))
    scaled: Table = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


Coupling = tuple[Indices, Indices, NDArray[np.float64]] | None
"""Which order statistic of either side each piece of probability joins, and its size; None for sides of equal size."""


def couple(n: int, m: int) -> Coupling:
    """The coupling of n and m equally likely values by their quantiles."""
    if n == m:
        return None
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # in units of 1 / (n m): whole numbers
    return edges[:-1] // m, edges[:-1] // n, np.diff(edges) / (n * m)


def _squared_distances(x: Table, y: Table, coupling: Coupling) -> float:
    """The sum over rows of the squared 2-Wasserstein distance of sorted values (r, n) and (r, m)."""
    if coupling is None:
        gaps = x - y
        return float(np.vdot(gaps, gaps)) / x.shape[1]
    first, second, share = coupling
    gaps = x[:, first] - y[:, second]
    gaps *= gaps
    return float((gaps @ share).sum())


def _sorted_with(values: Table, labels: Labels, bits: int) -> tuple[Table, Small]:
    """Each row sorted, and the label of each of its entries.

    The label takes the place of the lowest bits of a number while it is sorted, and stays there: sorting numbers is quicker
    than sorting their places, and a number changes by less than 2^(bits - 52) of itself.
    """
    below = np.uint64(2**bits - 1)
    marked = values.view(np.uint64) & ~below | labels
    ordered = marked.view(np.float64)
    ordered.sort(axis=1)
    return ordered, (ordered.view(np.uint64) & below).astype(np.min_scalar_type(2**bits))


def _without(values: Table, labels: Small, left_out: Sequence[int]) -> Table:
    """Sorted rows (r, n) without the entries of some labels, of which every row has equally many."""
    if not left_out:
        return values
    kept = labels != left_out[0]
    for label in left_out[1:]:
        kept &= labels != label
    return values[kept].reshape(len(values), -1)
