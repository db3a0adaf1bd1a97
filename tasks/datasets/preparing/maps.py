"""The class map of any square of a slide, from polygons or from a label slide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, MissingError
from bench.types import NOT_ANNOTATED
from tasks.datasets.preparing.slide_list import MapRule, SlideSource
from tasks.datasets.slides.annotations import Region, load_annotations, rasterise
from tasks.datasets.slides.label_slide import LabelSlide, open_labels
from tasks.datasets.slides.reader import Slide
from tasks.datasets.slides.tissue import Tissue, find_tissue

AROUND = "around the outlines"
"""Label of the margin around polygons."""


class Maps(Protocol):
    seen: dict[str, Any]
    """JSON: what the annotation is."""

    def read(self, x: int, y: int, size: int) -> NDArray[np.uint8] | None:
        """uint8 (size, size): the class of each pixel; None where nothing is annotated."""
        ...


@contextmanager
def open_maps(plan: SlideSource, slide: Slide, mpp: float) -> Iterator[Maps]:
    """The maps of a slide at `mpp`. Raises as the readers of annotations do."""
    if plan.map_rule.tissue:
        yield TissueMaps(find_tissue(slide), mpp)
        return
    if plan.labels is not None:
        with open_labels(plan.labels, slide) as labels:
            yield LabelMaps(labels, plan.map_rule, mpp)
        return
    yield PolygonMaps(plan, slide, mpp)


class TissueMaps:
    """Of tissue and glass, where nothing is annotated."""

    def __init__(self, tissue: Tissue, mpp: float) -> None:
        self._tissue, self._ratio = tissue, mpp / tissue.mpp
        self.seen: dict[str, Any] = {"annotation": "none: the map is tissue and glass"}

    def read(self, x: int, y: int, size: int) -> NDArray[np.uint8] | None:
        rows, columns = (((start + np.arange(size) + 0.5) * self._ratio).astype(np.int64) for start in (y, x))
        height, width = self._tissue.mask.shape
        inside = ((rows < height) & (rows >= 0))[:, None] & ((columns < width) & (columns >= 0))[None, :]
        found = self._tissue.mask[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None, :]]
        return (found & inside).astype(np.uint8)


class LabelMaps:
    """Of a label slide."""

    def __init__(self, labels: LabelSlide, map_rule: MapRule, mpp: float) -> None:
        self._labels, self._mpp = labels, mpp
        self._lookup = np.full(256, -1, np.int16)
        self._lookup[: len(map_rule.labels)] = map_rule.labels
        self._lookup[NOT_ANNOTATED] = NOT_ANNOTATED
        self.seen: dict[str, Any] = {"annotation": labels.path.name}

    def read(self, x: int, y: int, size: int) -> NDArray[np.uint8] | None:
        found = self._labels.read_labels(x, y, size, size, self._mpp)
        classes = self._lookup[found]
        if (classes < 0).any():
            known = np.flatnonzero(self._lookup[:NOT_ANNOTATED] >= 0).tolist()
            raise DamagedError(
                f"{self._labels.path} has the label {int(found[classes < 0][0])}; known are {', '.join(map(str, known))}. "
                "Is it a label slide of this source and centre?"
            )
        return classes.astype(np.uint8)


class PolygonMaps:
    """Of polygons. Squares that no polygon touches are not drawn."""

    def __init__(self, plan: SlideSource, slide: Slide, mpp: float) -> None:
        map_rule = plan.map_rule
        read = load_annotations(plan.annotation) if plan.annotation is not None else None
        self._regions = list(read.regions) if read else []
        if plan.annotation is not None and not self._regions:
            raise MissingError(f"{plan.annotation} holds no polygon that can be used ({dict(read.dropped) if read else {}}).")
        outside = self._check_place(plan, slide)
        self._classes = dict(map_rule.regions)
        if map_rule.margin and self._regions:
            self._classes = {AROUND: map_rule.around, **self._classes}
            reach = map_rule.margin / slide.info.mpp
            self._regions += [part for region in [*self._regions] for part in _buffered(region, reach)]
        self._outside, self._scale = map_rule.outside, slide.info.mpp / mpp
        self._boxes = np.array([region.polygon.bounds for region in self._regions]).reshape(-1, 4) * self._scale
        self.seen: dict[str, Any] = {"polygons": len(read.regions) if read else 0, "outside": outside}
        if read is not None and plan.annotation is not None:
            self.seen |= {"annotation": plan.annotation.name, "repaired": dict(read.repaired), "dropped": dict(read.dropped)}

    def read(self, x: int, y: int, size: int) -> NDArray[np.uint8] | None:
        left, top, right, bottom = self._boxes.T
        near = np.flatnonzero((left < x + size) & (right > x) & (top < y + size) & (bottom > y))
        if not len(near):
            return None if self._outside == NOT_ANNOTATED else np.full((size, size), self._outside, np.uint8)
        regions = [self._regions[i] for i in near.tolist()]
        return rasterise(regions, self._classes, list(self._classes), (x, y, size, size), self._scale, self._outside)

    def _check_place(self, plan: SlideSource, slide: Slide) -> int:
        """How many polygons lie outside the slide. DamagedError where all do: they are of another slide, or in other units."""
        boxes = np.array([region.polygon.bounds for region in self._regions]).reshape(-1, 4)
        inside = (boxes[:, 2] > 0) & (boxes[:, 3] > 0) & (boxes[:, 0] < slide.info.width) & (boxes[:, 1] < slide.info.height)
        if len(boxes) and not inside.any():
            raise DamagedError(
                f"all polygons of {plan.annotation} lie outside {plan.path} ({slide.info.width} x {slide.info.height} px). "
                "Coordinates are pixels of level 0 of this slide."
            )
        return int((~inside).sum())


def _buffered(region: Region, reach: float) -> list[Region]:
    import shapely

    from tasks.datasets.slides.annotations.polygons import polygonal_parts

    return [Region(AROUND, part) for part in polygonal_parts(shapely.buffer(region.polygon, reach))]
