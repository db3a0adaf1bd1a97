"""Regions to class maps: a pixel belongs to a region if its centre lies inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, UsageError, did_you_mean
from tasks.datasets.slides.annotations.polygons import Region, polygonal_parts

if TYPE_CHECKING:
    import shapely


def rasterise(
    regions: Sequence[Region],
    classes: Mapping[str, int],
    order: Sequence[str],
    box: tuple[int, int, int, int],
    scale: float,
    background: int = 255,
) -> NDArray[np.uint8]:
    """uint8 (height, width): the class of each pixel of the output grid, `background` where no region is.

    `classes`: label -> class, 0 to 255. `order`: the labels from the lowest to the one that lies over all others. `box`: x, y,
    width and height in pixels of the output grid. `scale`: output pixels for each pixel of level 0, so that the centre of
    pixel (i, j) is at ((i + 0.5) / scale, (j + 0.5) / scale).

    Raises DamagedError if a region has a label that `classes` lacks, and UsageError if `order` and `classes` do not have the
    same labels.
    """
    _check_labels(regions, classes, order)
    x, y, width, height = box
    if width < 1 or height < 1 or not scale > 0:
        raise UsageError(f"a map has at least one pixel and a positive scale, not {width} x {height} at {scale}.")
    result = np.full((height, width), background, dtype=np.uint8)
    near = _near(regions, (x / scale, y / scale, (x + width) / scale, (y + height) / scale))
    for label in order:
        for region in near:
            if region.label == label:
                _fill(result, region.polygon, x, y, scale, classes[label])
    return result


def _near(regions: Sequence[Region], frame: tuple[float, float, float, float]) -> list[Region]:
    """The regions whose bounding boxes touch the frame, in their order: of thousands most are elsewhere."""
    import shapely

    polygons = np.empty(len(regions), object)
    polygons[:] = [region.polygon for region in regions]
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    touches = (left <= frame[2]) & (right >= frame[0]) & (top <= frame[3]) & (bottom >= frame[1])
    return [regions[i] for i in np.flatnonzero(touches).tolist()]


def _check_labels(regions: Sequence[Region], classes: Mapping[str, int], order: Sequence[str]) -> None:
    if sorted(order) != sorted(classes):
        raise UsageError(f"the order has the labels {', '.join(order)}, and the classes {', '.join(classes)}.")
    if bad := {label: number for label, number in classes.items() if not 0 <= number <= 255}:
        raise UsageError(f"classes are 0 to 255, not {bad}.")
    unknown = sorted({region.label for region in regions} - set(classes))
    if unknown:
        raise DamagedError(
            f"an annotation has the label {unknown[0]!r}, and known are {', '.join(map(repr, order))}."
            f"{did_you_mean(unknown[0], classes)} Map it to a class, or take it out of the file."
        )


def _fill(result: NDArray[np.uint8], polygon: shapely.Polygon, x: int, y: int, scale: float, value: int) -> None:
    """Sets the class within one polygon. It is cut to the box first, so that a large outline costs what is visible of it."""
    import shapely

    height, width = result.shape
    corners = (x / scale, y / scale, (x + width) / scale, (y + height) / scale)
    frame = shapely.box(*corners)
    if not shapely.intersects(polygon, frame):
        return
    if shapely.contains_properly(polygon, frame):
        result[:] = value
        return
    visible = polygon if shapely.covers(frame, polygon) else shapely.intersection(polygon, frame)
    for part in polygonal_parts(visible):
        _fill_part(result, part, x, y, scale, value)


def _fill_part(result: NDArray[np.uint8], part: shapely.Polygon, x: int, y: int, scale: float, value: int) -> None:
    """Even-odd rule along each row of pixel centres: a pixel is inside if an odd number of edges cross the row left of it."""
    height, width = result.shape
    rows, crossings = _cross_rows(part, x, y, scale, height)
    if not len(rows):
        return
    columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)  # first pixel whose centre is not left of the edge
    top, left = int(rows.min()), int(columns.min())
    window = result[top : int(rows.max()) + 1, left : int(columns.max())]  # nothing is inside where no edge is around it
    toggles = np.zeros((window.shape[0], window.shape[1] + 1), dtype=np.int32)
    np.add.at(toggles, (rows - top, columns - left), 1)
    window[np.cumsum(toggles[:, :-1], axis=1) % 2 == 1] = value


def _cross_rows(
    part: shapely.Polygon, x: int, y: int, scale: float, height: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each crossing of an edge with a row of pixel centres: the row, int64 (n,), and the position along it, in pixels."""
    import shapely

    starts, ends = [], []
    for ring in shapely.get_rings(part):
        points = shapely.get_coordinates(ring) * scale - (x, y)
        starts.append(points[:-1])
        ends.append(points[1:])
    start, end = np.concatenate(starts), np.concatenate(ends)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(high - 0.5), 0, height).astype(np.int64)  # rows first..last-1 have low <= centre < high
    count = last - first
    edge = np.repeat(np.arange(len(start)), count)
    rows = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    along = (rows + 0.5 - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    return rows, start[edge, 0] + along * (end[edge, 0] - start[edge, 0])
