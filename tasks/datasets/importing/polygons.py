"""Draws polygons on the pixels of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError

Ring = NDArray[np.float64]
"""float64 (n, 2): x, y of the corners of a closed line in pixels; the centre of the first pixel is at 0.5, 0.5."""
MOST_CORNERS = 2_000_000
"""Corners of the polygons of one image."""


@dataclass(frozen=True)
class Window:
    """The pixels of one object within their bounding box: thousands of masks of a whole image would not fit in memory."""

    top: int
    left: int
    pixels: NDArray[np.bool_]
    """bool (h, w)"""
    count: int

    @classmethod
    def crop(cls, pixels: NDArray[np.bool_], top: int = 0, left: int = 0) -> Window:
        """The window of the pixels, bool (h, w), the first of which is at `top`, `left` of the image."""
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        if not len(rows):
            return cls(0, 0, np.zeros((0, 0), bool), 0)
        kept = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
        return cls(top + int(rows[0]), left + int(columns[0]), kept, int(kept.sum()))

    def fill(self, image: NDArray[np.generic], value: int) -> None:
        """Sets the pixels of the image, (h, w), that belong to the object."""
        height, width = self.pixels.shape
        image[self.top : self.top + height, self.left : self.left + width][self.pixels] = value


@dataclass(frozen=True)
class Shape:
    """One annotated object."""

    name: int
    """Its class."""
    parts: tuple[tuple[Ring, ...], ...]
    """Of each part the outer ring, and then its holes."""
    window: Window | None = None
    """Its pixels, in place of parts."""


def draw(
    shapes: Sequence[Shape], shape: tuple[int, int], outside: int, where: str
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Instances, int32 (h, w), and classes, uint8 (h, w), `outside` where no object is.

    A pixel belongs to an object that its centre lies in. Larger objects are drawn first, so that a small one in a large one
    remains visible. Raises DamagedError where an object covers no pixel, lies outside the image, or there are too many
    corners.
    """
    if sum(len(ring) for each in shapes for part in each.parts for ring in part) > MOST_CORNERS:
        raise DamagedError(f"{where} has polygons of more than {MOST_CORNERS} corners for one image.")
    instances = np.zeros(shape, np.int32)
    classes = np.full(shape, outside, np.uint8)
    covered = [each.window or _cover(each, shape) for each in shapes]
    order = sorted(range(len(covered)), key=lambda i: (-covered[i].count, i))
    for number, i in enumerate(order, start=1):
        if not covered[i].count:
            raise DamagedError(f"{where}: object {i + 1} covers no pixel of the image of {shape[1]} x {shape[0]} px.")
        covered[i].fill(instances, number)
        covered[i].fill(classes, shapes[i].name)
    return instances, classes


def _cover(each: Shape, shape: tuple[int, int]) -> Window:
    parts = [tuple(_inside(ring, shape) for ring in part) for part in each.parts]
    rows, columns = (np.concatenate([part[0][axis] for part in parts] or [np.empty(0, np.int64)]) for axis in (0, 1))
    if not len(rows):
        return Window.crop(np.zeros((0, 0), bool))
    top, left = int(rows.min()), int(columns.min())
    made = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), bool)
    for outer, *holes in parts:
        inside = np.zeros_like(made)
        inside[outer[0] - top, outer[1] - left] = True
        for hole in holes:
            y, x = hole[0] - top, hole[1] - left
            near = (y >= 0) & (x >= 0) & (y < made.shape[0]) & (x < made.shape[1])
            inside[y[near], x[near]] = False
        made |= inside
    return Window.crop(made, top, left)


def _inside(ring: Ring, shape: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns, int64 (n,), of the pixels of the image whose centres lie within the ring."""
    from skimage.draw import polygon

    rows, columns = polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, shape)
    return rows, columns


def to_ring(numbers: object, where: str) -> Ring:
    """The corners of a ring, from pairs x, y. Raises DamagedError on anything else, and on fewer than three corners."""
    try:
        made = np.array([list(pair)[:2] for pair in numbers], dtype=np.float64)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError) as error:
        raise DamagedError(f"{where}: a polygon is a list of pairs x, y of numbers.") from error
    if made.ndim != 2 or made.shape[0] < 3 or made.shape[1] != 2 or not np.isfinite(made).all() or np.abs(made).max() > 1e7:
        raise DamagedError(f"{where}: a polygon has at least three corners x, y.")
    return made
