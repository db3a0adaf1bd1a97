"""What readers did beside their answers: how long they looked at an image, and which regions they marked.

seconds             time with the image on the screen: geometric mean, since a few long looks would rule an arithmetic one
ratio of seconds    that of an arm over that of real images
regions per image   boxes that a reader marked in an image
marked area         share of the image in at least one box of the reader
overlap of regions  of two readers, the area that both marked over the area that one of them marked, summed over all images and
                    pairs of readers; `overlap by chance` is that of marks of the same areas at places without relation

First showings only, with the intervals of `intervals`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from leaderboards.studies.analysis.intervals import Measure, estimate
from leaderboards.studies.analysis.rows import NO_SLIDES, Row, map_values, rows_of
from leaderboards.studies.analysis.tabulation import REAL, Question

if TYPE_CHECKING:
    from pandas import DataFrame

Floats = NDArray[np.float64]
Masks = dict[tuple[str, str], NDArray[np.bool_]]
"""Reader, image -> bool (side, side), of images with a mark."""
READING = "each image"
"""In place of a question, for what is of the image and of no question."""


def seconds(frame: DataFrame, arms: Sequence[str], level: float) -> Iterator[Row]:
    """Rows of a checked table. Images without a time above 0 are left out; none without the column `seconds`."""
    from pandas import to_numeric

    if "seconds" not in frame.columns:
        return
    own = frame[frame["repeat"] == 0].drop_duplicates(["reader", "image"])
    own = own.assign(seconds=to_numeric(own["seconds"], errors="coerce"))
    own = own[own["seconds"] > 0]
    own = own.assign(log=np.log(own["seconds"].to_numpy(dtype=np.float64)))
    if set(own["arm"]) != set(arms):
        return
    for arm in arms:
        found = _mean_rows(own, (arm,), "log", Row(READING, "seconds", arm), _mean, level)
        yield from (map_values(row, math.exp) for row in found)
    for arm in arms[1:]:
        like = Row(READING, "ratio of seconds", arm, REAL)
        for row in _mean_rows(own, (REAL, arm), "log", like, _gap, level):
            least = None if row.detectable is None else math.exp(min(row.detectable, 700))
            yield map_values(row, math.exp, least)


def regions(frame: DataFrame, question: Question, arms: Sequence[str], size: int | None, level: float) -> Iterator[Row]:
    """Rows of the question that asks for regions. `size`: side of the images in pixels; without it there is no area."""
    if not question.regions:
        return
    own = frame[(frame["question"] == question.name) & (frame["repeat"] == 0)]
    boxes = [_boxes(held) for held in own["regions"]]
    own = own.assign(count=[float(len(held)) for held in boxes])
    for arm in arms:
        found = _mean_rows(own, (arm,), "count", Row(question.name, "regions per image", arm), _mean, level)
        yield from (map_values(row, lambda number: max(number, 0.0)) for row in found)
    if size is None:
        reason = "the size of the images is not known: analyse the folder of the study, and not its table"
        yield Row(question.name, "marked area", reason=reason)
        return
    places = list(zip(own["reader"], own["image"], strict=True))
    masks: Masks = {place: _mask(held, size) for place, held in zip(places, boxes, strict=True) if held}
    own = own.assign(area=[float(masks[place].mean()) if place in masks else 0.0 for place in places])
    for arm in arms:
        like = Row(question.name, "marked area", arm)
        yield from _mean_rows(own, (arm,), "area", like, _mean, level, 0.0, 1.0)
    yield from _overlap(own, masks, question.name, level)


def _mean(sums: Floats) -> Floats:
    """Of (..., 1, 2), numbers and totals."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0, 1] / sums[..., 0, 0])


def _gap(sums: Floats) -> Floats:
    """The mean of the second arm less that of the first, of (..., 2, 2)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums[..., 1] / sums[..., 0]
    return np.asarray(means[..., 1] - means[..., 0])


def _mean_rows(
    frame: DataFrame,
    arms: Sequence[str],
    column: str,
    like: Row,
    measure: Measure,
    level: float,
    least: float = -math.inf,
    most: float = math.inf,
) -> list[Row]:
    own = frame[frame["arm"].isin(list(arms))]
    readers, slides = (tuple(sorted(set(own[name]))) for name in ("reader", "slide"))
    sums = np.zeros((len(readers), len(slides), len(arms), 2))
    values = zip(own["reader"], own["slide"], own["arm"], own[column], strict=True)
    for reader, slide, arm, value in values:
        sums[readers.index(reader), slides.index(slide), arms.index(arm)] += (1.0, value)
    like = replace(like, images=own["image"].nunique(), slides=len(slides), readers=len(readers))
    if slides == ("",):
        return [replace(like, value=float(measure(sums.sum(axis=1)).mean()), reason=NO_SLIDES)]
    return rows_of(estimate(sums, sums[..., 0].sum(axis=2).max(axis=0), readers, measure, level, least, most), like)


def _overlap(frame: DataFrame, masks: Masks, question: str, level: float) -> Iterator[Row]:
    """The readers' pairs are one: the interval is about these readers and other slides."""
    readers, slides = (tuple(sorted(set(frame[name]))) for name in ("reader", "slide"))
    images = frame.drop_duplicates("image")
    sums, expected = np.zeros((1, len(slides), 1, 2)), np.zeros(2)
    for (image, slide), (one, two) in itertools.product(
        zip(images["image"], images["slide"], strict=True), itertools.combinations(readers, 2)
    ):
        marked = [masks[place] for reader in (one, two) if (place := (reader, image)) in masks]
        both = float((marked[0] & marked[1]).mean()) if len(marked) == 2 else 0.0
        areas = [float(mask.mean()) for mask in marked]
        sums[0, slides.index(slide), 0] += (sum(areas) - both, both)
        chance = areas[0] * areas[1] if len(areas) == 2 else 0.0
        expected += (sum(areas) - chance, chance)
    if len(readers) < 2 or not expected[0]:
        reason = "one reader: overlap needs two" if len(readers) < 2 else "no region was marked"
        yield Row(question, "overlap of regions", reason=reason)
        return
    like = Row(question, "overlap of regions", images=len(images), slides=len(slides), readers=len(readers))
    sizes = np.asarray(frame.groupby("slide")["image"].nunique().reindex(list(slides)), dtype=np.float64)
    found = estimate(sums, sizes, ("",), _mean, level, 0.0, 1.0)
    low, high = found.these or (None, None)
    reason = found.reason if found.these is None else ""
    yield replace(like, value=found.value, low=low, high=high, reason=reason if slides != ("",) else NO_SLIDES)
    yield Row(question, "overlap by chance", value=float(expected[1] / expected[0]), images=len(images))


def _boxes(held: object) -> list[dict[str, int]]:
    """The regions of an answer; a table as .csv has them as JSON."""
    try:
        found = json.loads(held or "[]") if isinstance(held, str) else held
        return [{name: int(box[name]) for name in ("x", "y", "width", "height")} for box in found]  # type: ignore[attr-defined, union-attr]
    except (TypeError, KeyError, ValueError):
        raise UsageError(f"regions are a list of x, y, width and height in pixels, not {str(held)[:80]!r}.") from None


def _mask(boxes: list[dict[str, int]], size: int) -> NDArray[np.bool_]:
    mask = np.zeros((size, size), dtype=np.bool_)
    for box in boxes:
        mask[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]] = True
    return mask
