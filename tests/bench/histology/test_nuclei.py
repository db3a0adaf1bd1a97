"""Maps of nuclei: numbering, centres, overlaps, partners, outlines, against figures worked out by hand or by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.histology import nuclei


def blocks(*boxes: tuple[int, int, int, int], size: int = 16) -> NDArray[np.int32]:
    """Rectangles y0, y1, x0, x1, numbered 1, 2, ... in the order given."""
    made = np.zeros((size, size), np.int32)
    for number, (y0, y1, x0, x1) in enumerate(boxes, 1):
        made[y0:y1, x0:x1] = number
    return made


def scribble(seed: int, size: int = 12, most: int = 6) -> NDArray[np.int32]:
    """Numbers without gaps, scattered."""
    return nuclei.renumber(np.random.default_rng(seed).integers(0, most, (size, size)))


def test_numbering_closes_gaps_and_keeps_the_order() -> None:
    assert nuclei.renumber(np.array([[0, 7], [900, 7]])).tolist() == [[0, 1], [2, 1]]
    assert nuclei.renumber(np.array([[5, 5], [5, 5]])).tolist() == [[1, 1], [1, 1]]
    assert nuclei.renumber(np.zeros((2, 3), np.int64)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_areas_and_centres_of_rectangles() -> None:
    made = blocks((0, 2, 0, 4), (10, 13, 5, 6))
    assert nuclei.areas(made).tolist() == [8, 3]
    assert nuclei.centroids(made).tolist() == [[0.5, 1.5], [11.0, 5.0]]
    nothing = np.zeros((4, 4), np.int32)
    assert nuclei.areas(nothing).shape == (0,) and nuclei.centroids(nothing).shape == (0, 2)


def test_background_has_no_say_in_the_type_of_a_nucleus() -> None:
    made = blocks((0, 1, 0, 6), (4, 5, 0, 4), (8, 9, 0, 2))
    kinds = np.zeros((16, 16), np.uint8)
    kinds[0, :2], kinds[4, :4] = 3, (2, 2, 1, 1)
    assert nuclei.majority(made, kinds).tolist() == [3, 1, 0]
    assert nuclei.majority(np.zeros((4, 4), np.int32), np.ones((4, 4), np.uint8)).shape == (0,)


@pytest.mark.parametrize("seed", range(3))
def test_overlaps_are_those_of_the_sets_of_pixels(seed: int) -> None:
    first, second = scribble(seed), scribble(seed + 100, most=4)
    table = nuclei.overlaps(first, second)
    assert table.sum() == first.size and table.shape == (first.max() + 1, second.max() + 1)
    for i in range(1, first.max() + 1):
        for j in range(1, second.max() + 1):
            ours, theirs = (set(np.flatnonzero(made == k).tolist()) for made, k in ((first, i), (second, j)))
            assert table[i, j] == len(ours & theirs)
            assert nuclei.unions(table)[i - 1, j - 1] == len(ours | theirs)
            assert nuclei.ious(table)[i - 1, j - 1] == len(ours & theirs) / len(ours | theirs)


def test_half_an_overlap_is_no_match() -> None:
    first = blocks((0, 1, 0, 4), (4, 5, 0, 4))
    second = blocks((0, 1, 0, 2), (4, 5, 0, 3))
    assert nuclei.match_overlapping(nuclei.ious(nuclei.overlaps(first, second))).tolist() == [[1, 1]]


def test_partners_by_overlap_are_chosen_together() -> None:
    iou = np.array([[0.6, 0.5], [0.5, 0.0]])
    assert nuclei.match_by_iou(iou).tolist() == [[0, 1], [1, 0]], "the largest sum, not the largest first"
    assert nuclei.match_by_iou(np.array([[0.3, 0.0], [0.0, 0.0]])).tolist() == [[0, 0]]
    assert nuclei.match_by_iou(np.zeros((0, 3))).shape == (0, 2)


def test_partners_by_distance_are_one_to_one_and_within_reach() -> None:
    first, second = np.array([[0.0, 0.0], [0.0, 4.0]]), np.array([[0.0, 3.0], [0.0, 7.0], [9.0, 9.0]])
    assert nuclei.match_near(first, second, 3.0).tolist() == [[0, 0], [1, 1]], "a distance equal to the reach is within it"
    assert nuclei.match_near(first, second, 2.9).tolist() == []
    assert nuclei.match_near(first, np.zeros((0, 2)), 9.0).shape == (0, 2)


def test_reach_is_in_microns() -> None:
    assert nuclei.reach(0.25) == 12.0 and nuclei.reach(0.5) == nuclei.reach(math.nan) == 6.0


def test_outlines_of_nested_squares() -> None:
    inner, outer = blocks((5, 10, 5, 10)), blocks((3, 12, 3, 12))
    back = (20 * 2 + 8 * math.sqrt(5) + 4 * math.sqrt(8)) / 32
    only = np.zeros((1, 2), np.int64)
    assert nuclei.outline_distances(inner, outer, only) == pytest.approx([(2 + back) / 2])
    assert nuclei.outline_distances(outer, inner, only) == pytest.approx([(2 + back) / 2])
    assert nuclei.outline_distances(inner, inner, only).tolist() == [0.0]


def test_outlines_end_where_the_patch_cuts_a_nucleus() -> None:
    only = np.zeros((1, 2), np.int64)
    assert nuclei.outline_distances(blocks((0, 16, 0, 4)), blocks((0, 16, 0, 7)), only).tolist() == [3.0]
    assert nuclei.outline_distances(blocks((0, 16, 0, 16)), blocks((0, 16, 0, 16)), only).tolist() == [0.0]
    assert nuclei.outline_distances(blocks((6, 9, 6, 9)), blocks((0, 16, 0, 16)), only)[0] > 5


def test_each_pair_has_its_own_distance() -> None:
    first, second = blocks((0, 4, 0, 4), (8, 12, 8, 12)), blocks((8, 12, 8, 12), (0, 4, 0, 4))
    assert nuclei.outline_distances(first, second, np.array([[0, 1], [1, 0]])).tolist() == [0.0, 0.0]
    assert nuclei.outline_distances(first, second, np.zeros((0, 2), np.int64)).shape == (0,)
