"""Moments of one side without some blocks of its slides, from the sums of each block."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bench.statistics import Blocks, Estimate, extrapolated, halves_of
from metrics.features import Table
from metrics.frechet.frechet_distance import root_interval
from metrics.frechet.gaussians import Gaussian, Matrix, gaussian_distance

_KEPT = 2**28
"""Bytes of second moments of blocks that one side keeps; beyond, they are calculated again when they are needed."""

HALVINGS = 4


class BlockMoments:
    """The sums of each block of rows: the moments without some blocks follow without looking at all rows again."""

    def __init__(self, table: Table, block: NDArray[np.int64], count: int) -> None:
        """`block` is int64 (n,), the block of each row, 0..count-1."""
        self._middle = table.mean(axis=0)  # small numbers lose less in sums of squares
        self._rows = [table[block == b] - self._middle for b in range(count)]
        self.sizes = np.array([len(rows) for rows in self._rows])
        """int64 (count,)."""
        self._first = np.array([rows.sum(axis=0) for rows in self._rows])
        self._kept: dict[int, Matrix] = {}
        self._most = _KEPT // (8 * table.shape[1] ** 2)
        self._total = np.zeros((table.shape[1],) * 2)
        for b in range(count):
            self._total += self._second(b)

    def without(self, left_out: Iterable[int]) -> Gaussian:
        """Mean and covariance of the rows of the other blocks, at least two."""
        out = list(left_out)
        kept = np.ones(len(self.sizes), bool)
        kept[out] = False
        n, first, second = int(self.sizes[kept].sum()), self._first[kept].sum(axis=0), self._total.copy()
        for b in out:
            second -= self._second(b)
        mean = first / n
        return Gaussian(self._middle + mean, (second - n * np.outer(mean, mean)) / (n - 1))

    def _second(self, b: int) -> Matrix:
        if b in self._kept:
            return self._kept[b]
        made: Matrix = self._rows[b].T @ self._rows[b]
        if len(self._kept) < self._most:
            self._kept[b] = made
        return made


def extrapolate_distance(real: Table, fake: Table, blocks: Blocks) -> Estimate:
    """The Fréchet distance with endlessly many slides (`bench.statistics.group_extrapolation`), from moments by block; the
    interval is formed on the root of the distance (`root_interval`).

    NaN, and with it no interval, comes from a half that has too few rows for a covariance.
    """
    a, b = BlockMoments(real, blocks.real, blocks.count), BlockMoments(fake, blocks.fake, blocks.count)

    def distance(left_out: Iterable[int]) -> float:
        out = list(left_out)
        few = min(len(real) - int(a.sizes[out].sum()), len(fake) - int(b.sizes[out].sum()))
        return gaussian_distance(a.without(out), b.without(out)) if few > 1 else np.nan

    halves = halves_of(blocks.count, 0, HALVINGS)
    without = np.array([distance([block]) for block in range(blocks.count)])
    whole = distance([])
    found = extrapolated(whole, without, np.array([distance(out) for out in halves]), halves, blocks)
    return root_interval(found, whole)
