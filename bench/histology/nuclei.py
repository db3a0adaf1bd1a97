"""Maps of nuclei, and comparison of two maps: matching, overlap, distance of outlines.

An instance map is an integer array (h, w), 0 where there is no nucleus, the pixels of one nucleus sharing one number. Most
functions need the numbers 1..m without gaps, and row i - 1 of their result is nucleus i: see `renumber`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.integer]
"""Integers (h, w)."""
Pairs = NDArray[np.int64]
"""int64 (p, 2): matched rows of two lists of nuclei, each row at most once; in ascending order."""

UNLABELLED = 255
"""Type of pixels that are not annotated: ignored everywhere."""
OVERLAP = 0.5
"""Intersection over union above which two nuclei match: no nucleus can have two such partners."""
REACH = 3.0
"""Largest distance in microns between the centres of two matching nuclei: 12 px at 40x in the code of HoVer-Net."""
USUAL_MPP = 0.5
"""Microns per pixel if unknown: those of Lizard, 20x."""


def reach(mpp: float) -> float:
    """`REACH` in pixels: 6 at 0.5 microns per pixel, and if the resolution is unknown (NaN)."""
    return REACH / (USUAL_MPP if math.isnan(mpp) else mpp)


def renumber(instances: Map) -> NDArray[np.int32]:
    """int32 (h, w): the same nuclei numbered 1..m without gaps, in the order of their numbers."""
    numbers, place = np.unique(instances, return_inverse=True)
    order = np.cumsum(numbers != 0) * (numbers != 0)
    return np.asarray(order.astype(np.int32)[place].reshape(instances.shape))


def drop_ignored(found: Map, true: Map, annotated: NDArray[np.bool_]) -> NDArray[np.int32]:
    """int32 (h, w): the found nuclei cut to the annotated pixels, bool (h, w), without the ignored ones, numbered 1..m.

    A found nucleus is ignored if less than half of its area is annotated, since it cannot be known whether it is right. It
    still counts if its annotated part is the partner of a true nucleus, IoU above `OVERLAP`. Panoptic quality treats segments
    on void pixels in the same way (Kirillov and others 2019, section 4.2). `true`: the true nuclei within the annotated
    pixels, 1..k.
    """
    whole = renumber(found)
    if annotated.all():
        return whole
    cut = np.where(annotated, whole, 0)
    size = np.bincount(whole.ravel())
    counts = 2 * np.bincount(cut.ravel(), minlength=len(size)) >= size
    partners = np.asarray((ious(overlaps(true, cut)) > OVERLAP).any(axis=0))
    counts[1 : 1 + len(partners)] |= partners
    return renumber(np.where(counts[cut], cut, 0))


def areas(instances: Map) -> NDArray[np.int64]:
    """int64 (m,): pixels of each of the nuclei 1..m."""
    return np.bincount(instances.ravel())[1:]


def centroids(instances: Map) -> NDArray[np.float64]:
    """float64 (m, 2): mean y and x of the pixels of each of the nuclei 1..m."""
    flat = instances.ravel()
    y, x = (np.bincount(flat, axis.ravel().astype(np.float64))[1:] for axis in np.indices(instances.shape))
    return np.stack([y, x], axis=1) / areas(instances)[:, None]


def majority(instances: Map, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (m,): the value above 0 that most pixels of each of the nuclei 1..m have, the lowest where two tie; 0 where
    all have 0. Background does not affect the type of a nucleus, as in HoVer-Net."""
    table = np.zeros((int(instances.max(initial=0)) + 1, 256), np.int64)
    np.add.at(table, (instances.ravel(), values.ravel()), 1)
    table[:, 0] = 0
    return np.asarray(table[1:].argmax(axis=1).astype(np.uint8))


def overlaps(first: Map, second: Map) -> NDArray[np.int64]:
    """int64 (m + 1, k + 1): pixels that are nucleus i of the first map and j of the second; row and column 0 are the
    background. Maps number their nuclei 1..m and 1..k."""
    m, k = (int(instances.max(initial=0)) + 1 for instances in (first, second))
    return np.asarray(np.bincount(first.ravel().astype(np.int64) * k + second.ravel(), minlength=m * k).reshape(m, k))


def unions(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (m, k): pixels that belong to nucleus i of the first or j of the second map, from their `overlaps`."""
    return np.asarray(table.sum(axis=1)[1:, None] + table.sum(axis=0)[None, 1:] - table[1:, 1:])


def ious(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 (m, k): intersection over union of nucleus i of the first and j of the second map, from their `overlaps`."""
    return np.asarray(table[1:, 1:] / np.maximum(unions(table), 1))


def match_overlapping(iou: NDArray[np.float64]) -> Pairs:
    """The pairs whose IoU is above `OVERLAP` (Kirillov and others 2019: such a partner is the only one)."""
    return np.argwhere(iou > OVERLAP)


def match_by_iou(iou: NDArray[np.float64]) -> Pairs:
    """The pairs of the one-to-one assignment with the largest sum of IoU, without pairs that do not touch."""
    from scipy.optimize import linear_sum_assignment

    i, j = linear_sum_assignment(iou, maximize=True)
    return np.argwhere(_marked(iou.shape, i, j) & (iou > 0))


def match_near(first: NDArray[np.float64], second: NDArray[np.float64], within: float) -> Pairs:
    """The pairs of the one-to-one assignment of centres (m, 2) and (k, 2) with the smallest sum of distances; pairs farther
    apart than `within` are then removed. This is the matching of HoVer-Net's published code (Graham and others 2019).

    Distant nuclei without a partner affect the assignment, so that it may have fewer pairs than possible.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    distance = cdist(first, second)
    i, j = linear_sum_assignment(distance)
    return np.argwhere(_marked(distance.shape, i, j) & (distance <= within))


def outline_distances(first: Map, second: Map, pairs: Pairs) -> NDArray[np.float64]:
    """float64 (p,): distance between the outlines of each pair of nuclei in pixels, 0 for equal ones.

    The mean over the outline pixels of one of the distance to the nearest outline pixel of the other, averaged over both
    directions. Outline pixels are those of a nucleus with one of their four neighbours outside it. Where the patch cuts a
    nucleus there is no outline, except for a nucleus that fills the patch: its outline is the border of the patch.
    """
    return np.array([_outline_distance(first == i + 1, second == j + 1) for i, j in pairs.tolist()], dtype=np.float64)


def _marked(shape: tuple[int, ...], i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.bool_]:
    marks = np.zeros(shape, dtype=np.bool_)
    marks[i, j] = True
    return marks


def _outline_distance(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    from scipy.ndimage import distance_transform_edt

    here = _around(first | second)
    ours, theirs = _outline(first)[here], _outline(second)[here]
    there, back = distance_transform_edt(~theirs)[ours].mean(), distance_transform_edt(~ours)[theirs].mean()
    return float(there + back) / 2


def _outline(nucleus: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(nucleus, 1) if nucleus.all() else np.pad(nucleus, 1, mode="edge")
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return nucleus & ~core


def _around(pixels: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns between the first and the last that have a pixel."""
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    return slice(rows.min(initial=0), rows.max(initial=-1) + 1), slice(columns.min(initial=0), columns.max(initial=-1) + 1)
