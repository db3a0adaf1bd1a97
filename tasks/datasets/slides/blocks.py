"""Groups tiles that lie close together, so that one read serves many of them: neighbouring tiles share compressed tiles of the
file, which would otherwise be decoded again for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WASTE = 1.25
"""Largest ratio of a block's area to that of its tiles."""


@dataclass(frozen=True)
class Block:
    x: int
    y: int
    width: int
    height: int
    rows: NDArray[np.int64]
    """int64 (m,): its tiles, as rows of the corners that were given."""


def group_tiles(corners: NDArray[np.int64], size: int, largest: int) -> Iterator[Block]:
    """Blocks of at most `largest` pixels a side that hold each square of `size` pixels once, row by row over the slide.

    `corners` int64 (n, 2) as x, y. A tile larger than `largest` has a block of its own. A block's area is at most 1.25 times
    that of its tiles, so that scattered tiles are read one by one.
    """
    if not len(corners):
        return
    cell = max(1, largest - size + 1)
    cells = corners // cell
    order = np.lexsort((corners[:, 0], corners[:, 1], cells[:, 0], cells[:, 1]))
    changes = np.flatnonzero((np.diff(cells[order], axis=0) != 0).any(axis=1)) + 1
    for rows in np.split(order, changes):
        yield from _split(corners, rows, size)


def _split(corners: NDArray[np.int64], rows: NDArray[np.int64], size: int) -> Iterator[Block]:
    """Halves the tiles along the longer axis until their blocks are dense."""
    low, high = corners[rows].min(axis=0), corners[rows].max(axis=0) + size
    width, height = (int(side) for side in high - low)
    if len(rows) == 1 or width * height <= _WASTE * len(rows) * size * size:
        yield Block(int(low[0]), int(low[1]), width, height, rows)
        return
    axis = 0 if width >= height else 1
    along = rows[np.argsort(corners[rows, axis], kind="stable")]
    gaps = np.diff(corners[along, axis])
    middle = len(along) // 2
    widest = int(np.argmax(gaps)) + 1 if gaps.max() > size else middle
    yield from _split(corners, along[:widest], size)
    yield from _split(corners, along[widest:], size)
