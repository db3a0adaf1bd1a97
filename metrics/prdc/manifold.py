"""Neighbourhoods: a ball around each patch that reaches to its k-th nearest other patch of the same side, and who lies in it.

Balls are closed, as in Kynkäänniemi et al. 2019: a point on the border is inside. The prdc package leaves the border out;
that differs where distances tie only, as between duplicates.

The whole table of distances is never held, and most of it is made in float32: a matrix product gives a lower bound of every
squared distance (see `_Cloud`), and only the few pairs that the bound cannot decide are measured in float64. Where many
cannot be decided, as among duplicates, whole rows or tiles are made in float64 instead, and distances that its rounding
cannot tell apart are equal.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.types import Features

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]
Bounds = NDArray[np.float32]

_TILE = 1024
"""Rows and columns of the distances held at once."""
_CROWDED = 32
"""A tile is made in float64 where more than one pair in so many needs it, a row where so many times k pairs do."""
_HELD = 2**21
"""Pairs of possible neighbours kept before the list is shortened."""
_RESOLUTION = 1e-12
"""Squared distances made in float64 are equal where they differ by less than this share of the largest squared norm."""
_KEPT = 64
"""Results that are remembered: small, and asked for again by the other measures of the same pair."""


@dataclass(frozen=True)
class Neighbourhoods:
    """Who lies in whose ball, for n real and m generated patches."""

    k: int
    balls_of_real: Rows
    """int64 (n,): generated balls in which each real patch lies."""
    balls_of_fake: Rows
    """int64 (m,): real balls in which each generated patch lies."""
    found_by_real: Rows
    """int64 (n,): generated patches in the ball of each real patch."""


_remembered: dict[str, Neighbourhoods] = {}


def neighbourhoods(real: Features, fake: Features, k: int) -> Neighbourhoods:
    """The neighbourhoods of two tables (n, d) and (m, d), n and m above k, by content: a second call costs a digest."""
    digest = hashlib.sha256(f"{k} {real.dtype} {real.shape} {fake.dtype} {fake.shape}".encode())
    for side in (real, fake):
        digest.update(np.ascontiguousarray(side).data)
    key = digest.hexdigest()
    if key not in _remembered:
        while len(_remembered) >= _KEPT:
            _remembered.pop(next(iter(_remembered)), None)
        _remembered[key] = _measure(real, fake, k)
    return _remembered[key]


def _measure(real: Features, fake: Features, k: int) -> Neighbourhoods:
    a, b = _clouds(real, fake)
    reach_a, reach_b = _reaches(a, k), _reaches(b, k)
    balls_of_real, balls_of_fake, found_by_real = (np.zeros(len(side), np.int64) for side in (real, fake, real))
    for rows in _slices(len(real)):
        for columns in _slices(len(fake)):
            tile = _lower(a, b, rows, columns)
            by_row, by_column = _inside(a, b, rows, columns, tile, reach_a[rows][:, None])
            found_by_real[rows] += by_row
            balls_of_fake[columns] += by_column
            balls_of_real[rows] += _inside(a, b, rows, columns, tile, reach_b[columns])[0]
    return Neighbourhoods(k, balls_of_real, balls_of_fake, found_by_real)


@dataclass(frozen=True)
class _Cloud:
    """One side, moved to the middle of the real one and scaled so that no row of either is longer than 1.

    A product of (-2 x, s, 1) and (y, 1, t) is |x - y|^2 if s and t are the squared norms. In float32 it is wrong by at
    most 2 g (|x|^2 + |y|^2), with g the number of terms times the rounding unit, whatever the order of summation. `error`
    is that for each row, and s and t are the norms less their error: what comes out is never more than the squared
    distance, and never less than it by more than twice both errors.
    """

    origin: Vector
    scale: float
    table: Features
    """The rows as they were given."""
    points: NDArray[np.float32]
    """float32 (n, d + 2): y, 1, t."""
    error: Bounds
    """float32 (n,)."""

    def exactly(self, rows: slice | Rows) -> Vector:
        """float64 (n, d): rows moved and scaled."""
        scaled: Vector = (self.table[rows].astype(np.float64) - self.origin) / self.scale
        return scaled


def _clouds(real: Features, fake: Features) -> tuple[_Cloud, _Cloud]:
    origin = real.mean(axis=0, dtype=np.float64)
    longest = max(float(_norms(side[rows] - origin).max()) for side in (real, fake) for rows in _slices(len(side)))
    scale = np.sqrt(longest) or 1.0
    return _cloud(real, origin, scale), _cloud(fake, origin, scale)


def _cloud(table: Features, origin: Vector, scale: float) -> _Cloud:
    n, d = table.shape
    cloud = _Cloud(origin, scale, table, np.ones((n, d + 2), np.float32), np.empty(n, np.float32))
    for rows in _slices(n):
        exact = cloud.exactly(rows)
        norms = _norms(exact)
        cloud.points[rows, :d] = exact
        cloud.error[rows] = (d + 16) * np.finfo(np.float32).eps * norms
        cloud.points[rows, d + 1] = norms - cloud.error[rows]
    return cloud


def _lower(a: _Cloud, b: _Cloud, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Lower bounds of the squared distances of some rows of `a` and of `b`."""
    left = -2 * a.points[rows]
    left[:, -2], left[:, -1] = a.points[rows, -1], 1
    bounds: NDArray[np.float32] = left @ b.points[columns].T
    return bounds


def _reaches(cloud: _Cloud, k: int) -> Vector:
    """float64 (n,): squared distance of each row to its k-th nearest other row."""
    found = _Candidates(cloud, k)
    slices = _slices(len(cloud.table), at_least=k + 1)
    for rows in slices:
        found.start(rows)
    for i, rows in enumerate(slices):
        for columns in slices[i + 1 :]:
            tile = _lower(cloud, cloud, rows, columns)
            found.add(tile, rows, columns)
            found.add(tile.T, columns, rows)
    return found.reaches()


class _Candidates:
    """Pairs of rows that may be among each other's k nearest."""

    def __init__(self, cloud: _Cloud, k: int) -> None:
        self._cloud, self._k = cloud, k
        self._limit = np.full(len(cloud.table), np.inf, np.float32)  # the k-th neighbour is no farther
        self._crowded = np.zeros(len(cloud.table), np.bool_)  # has too many candidates to tell apart in float32
        self._owner, self._other, self._lower = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)

    def start(self, rows: slice) -> None:
        """First limits from neighbours within one tile, and the candidates there."""
        cloud = self._cloud
        tile = _lower(cloud, cloud, rows, rows)
        np.fill_diagonal(tile, np.inf)
        upper = tile + 2 * (cloud.error[rows][:, None] + cloud.error[rows])
        self._limit[rows] = np.partition(upper, self._k - 1, axis=1)[:, self._k - 1]
        self.add(tile, rows, rows)

    def add(self, tile: NDArray[np.float32], rows: slice, columns: slice) -> None:
        """Keeps what a tile shows for its rows."""
        row, column = _where(tile <= self._limit[rows][:, None])
        if len(row) > _CROWDED * self._k * 4:
            counts = np.bincount(row, minlength=len(tile))
            full = counts > _CROWDED * self._k
            self._crowded[rows] |= full
            row, column = row[~full[row]], column[~full[row]]
        self._owner = np.concatenate([self._owner, row + rows.start])
        self._other = np.concatenate([self._other, column + columns.start])
        self._lower = np.concatenate([self._lower, tile[row, column]])
        if len(self._owner) > _HELD:
            self._shorten()

    def _shorten(self) -> None:
        error = self._cloud.error
        upper = self._lower + 2 * (error[self._owner] + error[self._other])
        kth = self._kth(self._owner, upper)
        self._limit = np.minimum(self._limit, np.where(np.isnan(kth), np.inf, kth).astype(np.float32))
        kept = (self._lower <= self._limit[self._owner]) & ~self._crowded[self._owner]
        self._owner, self._other, self._lower = self._owner[kept], self._other[kept], self._lower[kept]

    def reaches(self) -> Vector:
        """Squared distances to the k-th neighbours, in float64."""
        self._shorten()
        cloud = self._cloud
        reach = self._kth(self._owner, _gaps(cloud, cloud, self._owner, self._other))
        crowded = np.flatnonzero(self._crowded)
        for chosen in (crowded[i : i + _TILE] for i in range(0, len(crowded), _TILE)):
            block = np.concatenate([_distances(cloud, cloud, chosen, part) for part in _slices(len(cloud.table))], axis=1)
            block[np.arange(len(chosen)), chosen] = np.inf
            reach[chosen] = np.partition(block, self._k - 1, axis=1)[:, self._k - 1] + _RESOLUTION
        return reach

    def _kth(self, owner: Rows, values: NDArray[np.floating]) -> Vector:
        """float64 (n,): the k-th smallest value of each owner, NaN for those that have fewer."""
        order = np.lexsort((values, owner))
        counts = np.bincount(owner, minlength=len(self._crowded))
        places = np.cumsum(counts) - counts + self._k - 1
        kth = np.full(len(counts), np.nan)
        enough = counts >= self._k
        kth[enough] = values[order[places[enough]]]
        return kth


def _inside(a: _Cloud, b: _Cloud, rows: slice, columns: slice, tile: NDArray[np.float32], reach: Vector) -> tuple[Rows, Rows]:
    """How many squared distances of a tile are at most `reach`, which is broadcast to it: by row and by column."""
    # rounded up: a limit that is too low would lose pairs
    row, column = _where(tile <= np.nextafter(reach.astype(np.float32), np.float32(np.inf)))
    if len(row) > tile.size // _CROWDED:
        inside = _distances(a, b, rows, columns) <= reach + _RESOLUTION
        return inside.sum(axis=1), inside.sum(axis=0)
    limit = np.broadcast_to(reach, tile.shape)[row, column]
    unsure = np.flatnonzero(tile[row, column] + 2 * (a.error[rows][row] + b.error[columns][column]) > limit)
    gaps = _gaps(a, b, row[unsure] + rows.start, column[unsure] + columns.start)
    kept = np.delete(np.arange(len(row)), unsure[gaps > limit[unsure]])
    return np.bincount(row[kept], minlength=tile.shape[0]), np.bincount(column[kept], minlength=tile.shape[1])


def _gaps(a: _Cloud, b: _Cloud, row: Rows, column: Rows) -> Vector:
    """float64: squared distances of pairs of rows, difference by difference."""
    gaps = np.empty(len(row))
    for part in _slices(len(row)):
        difference = a.table[row[part]].astype(np.float64) - b.table[column[part]]
        gaps[part] = _norms(difference / a.scale)
    return gaps


def _distances(a: _Cloud, b: _Cloud, rows: slice | Rows, columns: slice) -> Vector:
    """float64: all squared distances of some rows of `a` and of `b`."""
    x, y = a.exactly(rows), b.exactly(columns)
    squared: Vector = _norms(x)[:, None] + _norms(y) - 2 * x @ y.T
    return squared


def _norms(table: NDArray[np.floating]) -> Vector:
    return np.asarray(np.einsum("nd,nd->n", table, table, dtype=np.float64))


def _where(mask: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Rows and columns that are true, row by row: np.nonzero, several times faster on few."""
    if not mask.flags.c_contiguous:
        column, row = _where(mask.T)
        return row, column
    flat = np.flatnonzero(mask)
    return flat // mask.shape[1], flat % mask.shape[1]


def _slices(n: int, at_least: int = 0) -> list[slice]:
    """n rows in nearly equal parts of at most _TILE, or of at least `at_least` where that is more."""
    parts = max(1, min(-(-n // _TILE), n // max(at_least, 1)))
    edges = np.linspace(0, n, parts + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]
