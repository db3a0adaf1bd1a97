"""Squared distances between rows of two tables: float32 bounds for nearly all pairs, exact values for those that need them.

A matrix product gives a lower bound of every squared distance (see `Cloud`), and only the few pairs that the bound cannot
decide are measured in float64, difference by difference: rows that are equal are at distance 0, and distances of features
that are whole numbers are exact, so that ties are ties. Where many pairs cannot be decided, as among duplicates, whole tiles
are made in float64 first; what its rounding cannot decide is again measured difference by difference.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.types import Features

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]
Tile = NDArray[np.float32]

TILE = 1024
"""Rows and columns of the distances held at once."""
CROWDED = 32
"""A tile is made in float64 where more than one pair in so many needs it."""
_MANY = 2**15
"""Pairs of which those of equal rows are looked up."""
_EXACT = 2.0**50
"""Whole numbers whose squared norms are below this have sums and products without rounding."""


@dataclass(frozen=True)
class Cloud:
    """One side, moved to the middle of the real one and scaled so that no row of either is longer than 1.

    A product of (-2 x, s, 1) and (y, 1, t) is |x - y|^2 if s and t are the squared norms. In float32 it is wrong by at
    most 2 g (|x|^2 + |y|^2), with g the number of terms times the rounding unit, whatever the order of summation. `error`
    is that for each row, and s and t are the norms less their error: what comes out is never more than the squared
    distance, and never less than it by more than twice both errors.
    """

    origin: Vector
    scale: float
    """Distances of `points` are those of `table` divided by this."""
    table: Features
    """The rows as they were given."""
    points: NDArray[np.float32]
    """float32 (n, d + 2): y, 1, t."""
    error: NDArray[np.float32]
    """float32 (n,)."""
    is_whole: bool
    """Whether float64 products of rows of the two sides are exact."""

    def __len__(self) -> int:
        return len(self.table)

    def exactly(self, rows: slice | Rows) -> Vector:
        """float64 (n, d): rows moved and scaled, or as they are where products are exact."""
        table = self.table[rows].astype(np.float64)
        return table if self.is_whole else (table - self.origin) / self.scale

    @cached_property
    def names(self) -> NDArray[np.void]:
        """(n,): equal for equal rows, and different for different ones."""
        rows = (hashlib.blake2b((row + 0.0).tobytes(), digest_size=16).digest() for row in self.table)  # -0.0 equals 0.0
        return np.frombuffer(b"".join(rows), dtype="V16")

    @property
    def unit(self) -> float:
        """What squared distances of `exactly` are multiplied by."""
        return 1.0 if self.is_whole else self.scale**2


def clouds(real: Features, fake: Features) -> tuple[Cloud, Cloud]:
    """Both sides, (n, d) and (m, d)."""
    origin = real.mean(axis=0, dtype=np.float64)
    longest = max(float(norms(side[rows] - origin).max()) for side in (real, fake) for rows in slices(len(side)))
    scale = float(np.sqrt(longest)) or 1.0
    is_whole = all(_is_whole(side[rows]) for side in (real, fake) for rows in slices(len(side)))
    return _cloud(real, origin, scale, is_whole), _cloud(fake, origin, scale, is_whole)


def _is_whole(table: Features) -> bool:
    exact = table.astype(np.float64)
    return bool((exact == np.rint(exact)).all()) and float(norms(exact).max()) < _EXACT


def _cloud(table: Features, origin: Vector, scale: float, is_whole: bool) -> Cloud:
    n, d = table.shape
    points, error = np.ones((n, d + 2), np.float32), np.empty(n, np.float32)
    for rows in slices(n):
        exact = (table[rows].astype(np.float64) - origin) / scale
        squares = norms(exact)
        points[rows, :d] = exact
        error[rows] = (d + 16) * np.finfo(np.float32).eps * squares
        points[rows, d + 1] = squares - error[rows]
    return Cloud(origin, scale, table, points, error, is_whole)


def lower_bounds(a: Cloud, b: Cloud, rows: slice, columns: slice) -> Tile:
    """Lower bounds of the squared distances of `points` of some rows of `a` and of `b`."""
    left = -2 * a.points[rows]
    left[:, -2], left[:, -1] = a.points[rows, -1], 1
    bounds: Tile = left @ b.points[columns].T
    return bounds


def pairs_within(
    a: Cloud, b: Cloud, rows: slice, columns: slice, tile: Tile, reach: Vector
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs, by row and column of a tile of `lower_bounds`, whose squared distance is at most `reach`, which is broadcast
    to the tile."""
    scaled = reach / a.scale**2
    # rounded up: a limit that is too low would lose pairs
    row, column = where(tile <= np.nextafter(scaled.astype(np.float32), np.float32(np.inf)))
    if len(row) > tile.size // CROWDED:
        return _crowded_within(a, b, rows, columns, reach)
    limit = np.broadcast_to(scaled, tile.shape)[row, column]
    unsure = np.flatnonzero(tile[row, column] + 2 * (a.error[rows][row] + b.error[columns][column]) > limit)
    gaps = exact_squares(a, b, row[unsure] + rows.start, column[unsure] + columns.start)
    is_outside = gaps > np.broadcast_to(reach, tile.shape)[row[unsure], column[unsure]]
    kept = np.delete(np.arange(len(row)), unsure[is_outside])
    return row[kept], column[kept]


def _crowded_within(a: Cloud, b: Cloud, rows: slice, columns: slice, reach: Vector) -> tuple[Rows, Rows]:
    squares, error = double_squares(a, b, rows, columns)
    inside = squares + error <= reach
    row, column = where((squares - error <= reach) & ~inside)
    gaps = exact_squares(a, b, row + rows.start, column + columns.start)
    inside[row, column] = gaps <= np.broadcast_to(reach, squares.shape)[row, column]
    return where(inside)


def double_squares(a: Cloud, b: Cloud, rows: slice | Rows, columns: slice) -> tuple[Vector, Vector | float]:
    """float64: all squared distances of some rows of `a` and of `b`, and how far rounding may have moved each."""
    x, y = a.exactly(rows), b.exactly(columns)
    of_x, of_y = norms(x), norms(y)
    squares = of_x[:, None] + of_y - 2 * x @ y.T
    if a.is_whole:
        return squares, 0.0
    error = 2 * (x.shape[1] + 16) * np.finfo(np.float64).eps * (of_x[:, None] + of_y)
    return squares * a.unit, error * a.unit


def exact_squares(a: Cloud, b: Cloud, row: Rows, column: Rows) -> Vector:
    """float64: squared distances of pairs of rows, difference by difference; 0 for equal rows."""
    squares = np.zeros(len(row))
    is_many = len(row) > _MANY  # among duplicates: most are 0
    apart = np.flatnonzero(a.names[row] != b.names[column]) if is_many else np.arange(len(row))
    for part in slices(len(apart)):
        chosen = apart[part]
        squares[chosen] = norms(a.table[row[chosen]].astype(np.float64) - b.table[column[chosen]])
    return squares


def norms(table: NDArray[np.floating]) -> Vector:
    """float64 (n,): squared length of each row."""
    return np.asarray(np.einsum("nd,nd->n", table, table, dtype=np.float64))


def where(mask: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Rows and columns that are true, row by row: np.nonzero, several times faster on few."""
    if not mask.flags.c_contiguous:
        column, row = where(mask.T)
        return row, column
    flat = np.flatnonzero(mask)
    return flat // mask.shape[1], flat % mask.shape[1]


def slices(n: int, at_least: int = 0, at_most: int = 0) -> list[slice]:
    """n rows in nearly equal parts of at most `at_most` (TILE where that is 0), or of at least `at_least` where that is
    more."""
    parts = max(1, min(-(-n // (at_most or TILE)), n // max(at_least, 1)))
    edges = np.linspace(0, n, parts + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]
