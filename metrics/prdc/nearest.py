"""The nearest other rows of each row of one side, and how far the k-th of them is, with and without a section of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.prdc.distances import (
    CROWDED,
    TILE,
    Cloud,
    Rows,
    Tile,
    Vector,
    double_squares,
    exact_squares,
    lower_bounds,
    slices,
    where,
)
from metrics.subsets import Labels

_HELD = 2**21
"""Pairs of possible neighbours kept before the list is shortened."""
_FINE = 256
"""Rows of a tile of few rows."""
_ALONE = 128
"""Rows measured against all others at once."""


@dataclass(frozen=True)
class Nearest:
    """The nearest other rows of each row, the nearest first."""

    others: Rows
    """int64 (n, kept)."""
    squares: Vector
    """float64 (n, kept): exact squared distances."""


def nearest(cloud: Cloud, kept: int) -> Nearest:
    """The `kept` nearest other rows of each of more than so many rows; of equally near ones any."""
    found = _Candidates(cloud, kept)
    at_most = min(TILE, max(_FINE, len(cloud) // 8))  # tiles on the diagonal are made whole, the others once for two
    parts = slices(len(cloud), at_least=kept + 1, at_most=at_most)
    for rows in parts:
        found.start(rows)
    for i, rows in enumerate(parts):
        for columns in parts[i + 1 :]:
            tile = lower_bounds(cloud, cloud, rows, columns)
            found.add(tile, rows, columns)
            found.add(tile.T, columns, rows)
    return found.nearest()


def reaches(cloud: Cloud, near: Nearest, k: int, sections: Labels, count: int) -> Vector:
    """float64 (n, 1 + count): squared distance of each row to its k-th nearest other row, of all, and without each section.

    Column 1 + s is for rows of other sections than s; rows of s itself, and all where fewer than k others are left, have the
    reach of column 0 there.
    """
    found = np.repeat(near.squares[:, k - 1 : k], 1 + count, axis=1)
    if not count:
        return found
    of_others = sections[near.others]
    short: list[tuple[Rows, int]] = []
    for section in range(count):
        place = np.cumsum(of_others != section, axis=1)
        is_known, is_other = place[:, -1] >= k, sections != section
        has_enough = is_known & is_other
        found[has_enough, 1 + section] = near.squares[has_enough, (place[has_enough] >= k).argmax(axis=1)]
        short.append((np.flatnonzero(~is_known & is_other), section))
    _measure_short(cloud, k, sections, short, found)
    return found


def _measure_short(cloud: Cloud, k: int, sections: Labels, short: list[tuple[Rows, int]], found: Vector) -> None:
    """Fills in what the nearest rows that were kept do not tell, from the distances to all rows."""
    wanted = np.unique(np.concatenate([rows for rows, _ in short]))
    without = {section: set(rows.tolist()) for rows, section in short}
    for start in range(0, len(wanted), _ALONE):
        chosen = wanted[start : start + _ALONE]
        squares = _all_squares(cloud, chosen)[0]
        for section, rows in without.items():
            mine = np.array([i for i, row in enumerate(chosen.tolist()) if row in rows], dtype=np.int64)
            others = np.flatnonzero(sections != section)
            if not len(mine) or len(others) <= k:
                continue
            kth = others[np.argpartition(squares[np.ix_(mine, others)], k - 1, axis=1)[:, k - 1]]
            found[chosen[mine], 1 + section] = exact_squares(cloud, cloud, chosen[mine], kth)


def _all_squares(cloud: Cloud, chosen: Rows) -> tuple[Vector, Vector | float]:
    """float64 (rows, n): squared distances of some rows to all, infinite to themselves; and how far each may be off."""
    parts = [double_squares(cloud, cloud, chosen, part) for part in slices(len(cloud))]
    squares = np.concatenate([part[0] for part in parts], axis=1)
    squares[np.arange(len(chosen)), chosen] = np.inf
    error = 0.0 if cloud.is_whole else np.concatenate([np.asarray(part[1]) for part in parts], axis=1)
    return squares, error


class _Candidates:
    """Pairs of rows that may be among each other's `k` nearest."""

    def __init__(self, cloud: Cloud, k: int) -> None:
        self._cloud, self._k = cloud, k
        self._limit = np.full(len(cloud), np.inf, np.float32)  # the k-th neighbour is no farther
        self._crowded = np.zeros(len(cloud), np.bool_)  # has too many candidates to tell apart in float32
        self._owner, self._other, self._lower = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)

    def start(self, rows: slice) -> None:
        """First limits from neighbours within one tile, and the candidates there."""
        cloud = self._cloud
        tile = lower_bounds(cloud, cloud, rows, rows)
        np.fill_diagonal(tile, np.inf)
        upper = tile + 2 * (cloud.error[rows][:, None] + cloud.error[rows])
        self._limit[rows] = np.partition(upper, self._k - 1, axis=1)[:, self._k - 1]
        self.add(tile, rows, rows)

    def add(self, tile: Tile, rows: slice, columns: slice) -> None:
        """Keeps what a tile shows for its rows."""
        row, column = where(tile <= self._limit[rows][:, None])
        if len(row) > CROWDED * self._k * 4:
            counts = np.bincount(row, minlength=len(tile))
            full = counts > CROWDED * self._k
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
        order, places, enough = self._ranked(self._owner, upper)
        kth = np.full(len(enough), np.inf)
        kth[enough] = upper[order[places[enough] + self._k - 1]]
        self._limit = np.minimum(self._limit, kth.astype(np.float32))
        kept = (self._lower <= self._limit[self._owner]) & ~self._crowded[self._owner]
        self._owner, self._other, self._lower = self._owner[kept], self._other[kept], self._lower[kept]

    def nearest(self) -> Nearest:
        self._shorten()
        cloud, k = self._cloud, self._k
        others, squares = np.zeros((len(cloud), k), np.int64), np.full((len(cloud), k), np.inf)
        exact = exact_squares(cloud, cloud, self._owner, self._other)
        order, places, enough = self._ranked(self._owner, exact)
        chosen = order[places[enough][:, None] + np.arange(k)]
        others[enough], squares[enough] = self._other[chosen], exact[chosen]
        crowded = np.flatnonzero(self._crowded)
        for start in range(0, len(crowded), _ALONE):
            rows = crowded[start : start + _ALONE]
            others[rows], squares[rows] = self._among_all(rows)
        return Nearest(others, squares)

    def _among_all(self, rows: Rows) -> tuple[Rows, Vector]:
        """The nearest of some rows from their distances to all."""
        k, (rough, error) = self._k, _all_squares(self._cloud, rows)
        limit = np.partition(rough + error, k - 1, axis=1)[:, k - 1 : k]
        row, other = where(rough - error <= limit)
        exact = exact_squares(self._cloud, self._cloud, rows[row], other)
        order = np.lexsort((exact, row))
        counts = np.bincount(row, minlength=len(rows))
        chosen = order[(np.cumsum(counts) - counts)[:, None] + np.arange(k)]
        return other[chosen], exact[chosen]

    def _ranked(self, owner: Rows, values: NDArray[np.floating]) -> tuple[Rows, Rows, NDArray[np.bool_]]:
        """The order of candidates by owner and value, where those of each owner begin, and which owners have enough."""
        order = np.lexsort((values, owner))
        counts = np.bincount(owner, minlength=len(self._crowded))
        return order, np.cumsum(counts) - counts, counts >= self._k
