"""Mean and covariance of features without some of the slides, from sums that are made once for each slide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.types import Features, Moments, Strings

Rows = NDArray[np.bool_]

MOST_BYTES = 2**30
"""Memory that the sums of one side may take; beyond it moments are made from the rows each time."""


@dataclass(frozen=True)
class GroupedMoments:
    """The sums of each group of some features, about the mean of all rows: sums of whole groups then add without loss."""

    features: NDArray[np.float64]
    """float64 (n, d): the features less `centre`."""
    centre: NDArray[np.float64]
    firsts: NDArray[np.int64]
    """int64 (g,): a row of each group."""
    counts: NDArray[np.float64]
    totals: NDArray[np.float64]
    """float64 (g, d)."""
    squares: NDArray[np.float64] | None
    """float64 (g, d * d); None where that is too much memory."""

    def of(self, rows: Rows) -> Moments:
        """Moments of the rows, bool (n,), which are those of whole groups; at least two."""
        chosen = rows[self.firsts].astype(np.float64)
        n = float(chosen @ self.counts)
        d = len(self.centre)
        total = chosen @ self.totals
        if self.squares is None:
            part = self.features[rows]
            squares = part.T @ part
        else:
            squares = (chosen @ self.squares).reshape(d, d)
        mean = total / n
        return Moments(int(n), self.centre + mean, (squares - n * np.outer(mean, mean)) / (n - 1))


def grouped_moments(features: Features, groups: Strings) -> GroupedMoments:
    """The sums of features (n, d) by groups, str (n,)."""
    table = features.astype(np.float64)
    centre = table.mean(axis=0)
    table -= centre
    names, firsts, owner = np.unique(groups, return_index=True, return_inverse=True)
    d = table.shape[1]
    order = np.argsort(owner, kind="stable")
    parts = np.split(table[order], np.cumsum(np.bincount(owner))[:-1])
    squares = None
    if len(names) * d * d * table.itemsize <= MOST_BYTES:
        squares = np.stack([(part.T @ part).ravel() for part in parts])
    totals = np.stack([part.sum(axis=0) for part in parts])
    return GroupedMoments(table, centre, firsts, np.bincount(owner).astype(np.float64), totals, squares)
