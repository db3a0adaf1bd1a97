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
class Shape:
    """One annotated object."""

    name: int
    """Its class."""
    parts: tuple[tuple[Ring, ...], ...]
    """Of each part the outer ring, and then its holes."""
    pixels: NDArray[np.bool_] | None = None
    """bool (h, w), in place of parts."""


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
    covered = [(each, _cover(each, shape, where)) for each in shapes]
    order = sorted(range(len(covered)), key=lambda i: (-int(covered[i][1].sum()), i))
    for number, i in enumerate(order, start=1):
        each, pixels = covered[i]
        if not pixels.any():
            raise DamagedError(f"{where}: object {i + 1} covers no pixel of the image of {shape[1]} x {shape[0]} px.")
        instances[pixels] = number
        classes[pixels] = each.name
    return instances, classes


def _cover(each: Shape, shape: tuple[int, int], where: str) -> NDArray[np.bool_]:
    if each.pixels is not None:
        if each.pixels.shape != shape:
            raise DamagedError(f"{where}: a mask of {each.pixels.shape[::-1]} px for an image of {shape[::-1]} px.")
        return each.pixels
    made = np.zeros(shape, bool)
    for outer, *holes in each.parts:
        inside = _ring(outer, shape)
        for hole in holes:
            inside &= ~_ring(hole, shape)
        made |= inside
    return made


def _ring(ring: Ring, shape: tuple[int, int]) -> NDArray[np.bool_]:
    from skimage.draw import polygon

    made = np.zeros(shape, bool)
    made[polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, shape)] = True
    return made


def to_ring(numbers: object, where: str) -> Ring:
    """The corners of a ring, from pairs x, y. Raises DamagedError on anything else, and on fewer than three corners."""
    try:
        made = np.array([list(pair)[:2] for pair in numbers], dtype=np.float64)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError) as error:
        raise DamagedError(f"{where}: a polygon is a list of pairs x, y of numbers.") from error
    if made.ndim != 2 or made.shape[0] < 3 or made.shape[1] != 2 or not np.isfinite(made).all() or np.abs(made).max() > 1e7:
        raise DamagedError(f"{where}: a polygon has at least three corners x, y.")
    return made
