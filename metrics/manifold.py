"""Precision and recall of manifolds: how much of one set lies among the neighbourhoods of the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.types import Card, Direction, Features
from metrics.features import checked

Table = NDArray[np.float64]

_BLOCK = 2**22
"""Distances held at once: 32 MiB."""
_RESOLUTION = 1e-12
"""Squared distances closer than this share of the largest squared norm are equal: below float32's own resolution."""

_SOURCE = "Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 and 2"
_NOTES = (
    "Depends on n and k: compare only equal numbers of patches. One outlier makes a huge ball that much falls into. "
    "Copies of training patches score perfectly. Points on the border of a ball are inside it, so that sets of constant "
    "features score 1 where the constants are equal and 0 where they differ."
)


class Precision:
    """Share of painted patches that lie among the real ones, in [0, 1]: does what is painted look real?"""

    card = Card("precision", "1", "Share of painted features inside the real manifold.", source=_SOURCE, notes=_NOTES)
    direction: Direction = "higher"
    bounds = (0.0, 1.0)

    def __init__(self, k: int = 3) -> None:
        self.k = _neighbours(k)

    def minimum_n(self, d: int) -> int:
        """k + 1 rows a side, whatever d: each point needs k neighbours."""
        return self.k + 1

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The share; exact, so that `rng` is not drawn from."""
        a, b = checked(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return covered(b, a, self.k)


class Recall:
    """Share of real patches that lie among the painted ones, in [0, 1]: is all that is real painted too?"""

    card = Card("recall", "1", "Share of real features inside the painted manifold.", source=_SOURCE, notes=_NOTES)
    direction: Direction = "higher"
    bounds = (0.0, 1.0)

    def __init__(self, k: int = 3) -> None:
        self.k = _neighbours(k)

    def minimum_n(self, d: int) -> int:
        """k + 1 rows a side, whatever d: each point needs k neighbours."""
        return self.k + 1

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The share; exact, so that `rng` is not drawn from."""
        a, b = checked(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return covered(a, b, self.k)


def covered(points: Table, centres: Table, k: int) -> float:
    """Share of `points` (n, d) in the union of balls around `centres` (m, d), each reaching to its k-th nearest other
    centre. Memory is bounded, whatever n and m."""
    origin = centres.mean(axis=0)  # small numbers lose less in the expanded square
    points, centres = points - origin, centres - origin
    slack = _RESOLUTION * max(_norms(points).max(), _norms(centres).max())
    reach = np.concatenate([np.partition(block, k, axis=1)[:, k] for block in _distances(centres, centres)]) + slack
    inside = [(block <= reach).any(axis=1) for block in _distances(points, centres)]
    return float(np.concatenate(inside).mean())


def _distances(a: Table, b: Table) -> Iterator[Table]:
    """Squared distances of all rows of `a` to all of `b`, some rows of `a` at a time."""
    rows = max(1, _BLOCK // len(b))
    for start in range(0, len(a), rows):
        block = a[start : start + rows]
        yield _norms(block)[:, None] + _norms(b) - 2 * block @ b.T


def _norms(table: Table) -> Table:
    return np.asarray(np.einsum("nd,nd->n", table, table))


def _neighbours(k: int) -> int:
    if k < 1:
        raise UsageError(f"a neighbourhood needs k of at least 1, not {k}.")
    return k
