"""The cells of a slide, small squares of a grid on tissue, and which of them are clustered.

All cells of a large set of slides are too many to be encoded. Those of a slide that are, are chosen as in Yottixel (Kalra and
others, Medical Image Analysis 65, 2020, 101757): cells are clustered by their colours, and of each cluster the same share is
taken, spread over its places. That needs no encoder, so that only chosen cells pass through one; and shares are kept, where
methods that look for the farthest cells prefer ink, creases and dirt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from tasks.datasets.clustering.kmeans import assign, centre
from tasks.datasets.preparing.cut import Rule, find_squares
from tasks.datasets.slides.reader import Slide
from tasks.datasets.slides.tissue import Tissue

COLOUR_CLUSTERS = 9
"""Of a slide, as in Yottixel."""
_COLOURS, _COARSE = 8, 16
"""Intervals of each channel's histogram, and pixels of a cell's side for it."""


@dataclass(frozen=True)
class CellRule:
    """What the cells are."""

    side: int = 64
    """Pixels of a cell's side."""
    window: int = 64
    """Pixels of the side of what is shown to the encoder, around the middle of a cell."""
    mpp: float = 0.5
    """Microns per pixel."""
    tissue: float = 0.5
    """Share of tissue of a cell, at least."""
    most: int = 1000
    """Cells of a slide that are clustered; 0 for all."""

    def __post_init__(self) -> None:
        if self.side < 8 or self.window < self.side or self.most < 0:
            raise UsageError(
                f"a cell has 8 pixels or more, its window at least as many, and a slide 0 or more cells; asked for a cell of "
                f"{self.side}, a window of {self.window} and {self.most} cells."
            )


def find_cells(slide: Slide, tissue: Tissue, rule: CellRule) -> NDArray[np.int64]:
    """int64 (n, 2): x and y of the upper left corners of the cells on tissue, row by row, in pixels of `rule.mpp`."""
    return find_squares(slide, tissue, Rule(rule.side, rule.mpp, tissue=rule.tissue))


def read_windows(slide: Slide, corners: NDArray[np.int64], rule: CellRule) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """For each cell its row of `corners` and its window, uint8 (window, window, 3), in the order in which they are read."""
    return slide.read_tiles(corners - (rule.window - rule.side) // 2, rule.window, rule.mpp)


def choose_cells(slide: Slide, corners: NDArray[np.int64], rule: CellRule, name: str) -> NDArray[np.int64]:
    """int64 (m,): the rows of the cells that are clustered, ascending; all where there are no more than wanted."""
    if not rule.most or len(corners) <= rule.most:
        return np.arange(len(corners))
    seed = int.from_bytes(hashlib.sha256(f"cells/{name}".encode()).digest()[:4], "little")
    colours = _colour_histograms(slide, corners, rule)
    labels = assign(colours, centre(colours, min(COLOUR_CLUSTERS, len(corners)), seed))
    counts = np.bincount(labels)
    chosen = [
        rows[_spread(corners[rows], share, seed)]
        for number, share in enumerate(apportion(counts, rule.most).tolist())
        if share and len(rows := np.flatnonzero(labels == number))
    ]
    return np.sort(np.concatenate(chosen))


def apportion(counts: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """int64 (k,): `wanted` seats in proportion to the counts, none above its count, by the largest remainders (Hamilton)."""
    exact = counts * min(wanted, int(counts.sum())) / counts.sum()
    seats = np.floor(exact).astype(np.int64)
    order = np.argsort(seats - exact, kind="stable")
    seats[order[: round(exact.sum()) - int(seats.sum())]] += 1
    return seats


def _spread(places: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """int64 (count,): rows of cells that lie apart: one of each cluster of places, others by chance where some are empty."""
    if count >= len(places):
        return np.arange(len(places))
    points = places.astype(np.float32)
    centroids = centre(points, count, seed)
    labels = assign(points, centroids)
    distances = np.square(points - centroids[labels]).sum(axis=1)
    order = np.lexsort((distances, labels))
    nearest = order[np.unique(labels[order], return_index=True)[1]]
    rest = np.setdiff1d(np.arange(len(places)), nearest)
    return np.concatenate([nearest, np.random.default_rng(seed).permutation(rest)[: count - len(nearest)]])


def _colour_histograms(slide: Slide, corners: NDArray[np.int64], rule: CellRule) -> NDArray[np.float32]:
    """float32 (n, 24): the share of the pixels of each cell in each interval of red, green and blue."""
    shrunk = max(1.0, rule.side / _COARSE)
    size = round(rule.side / shrunk)
    found = np.empty((len(corners), 3 * _COLOURS), np.float32)
    places = np.rint(corners / shrunk).astype(np.int64)
    for row, tile in slide.read_tiles(places, size, rule.mpp * shrunk):
        bins = (tile.reshape(-1, 3) // (256 // _COLOURS)).astype(np.int64) + np.arange(3) * _COLOURS
        found[row] = np.bincount(bins.ravel(), minlength=3 * _COLOURS) / size**2
    return found
