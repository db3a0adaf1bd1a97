"""Is the tissue where the map has it? Reference segmenters read the map off each generated patch.

At least three networks of different architectures and seeds, trained on real training slides only, segment a generated patch;
their maps are compared with the one that was asked for. They make errors on real patches too, so the harness adds the ratio of
every measure to its value on real test patches: 1 is as faithful as real tissue.

    map-iou        mean over the segmenters and classes of intersection over union, pooled over patches
    map-iou:CLASS  the same of one class

IoU is that of `bench.histology.class_scores`: pixels that are not annotated do not count, and a class that no test patch shows
has no IoU. Where one has none, `map-iou` has none either, and `map-iou-present` is the mean over the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.histology.class_scores import (
    NOT_SHOWN,
    means_over_classes,
    segmentation_columns,
    segmentation_counts,
    segmentation_tally,
    totals,
)
from bench.jobs.store import key_of
from bench.messages import needed
from bench.types import Card, Direction, ImageSet, Progress, SegmentsRegions, Tally

MEASURE = "map-iou"
Sums = Mapping[str, float]


class MapFaithfulness:
    """Uses the reference segmenters of the task `segmenter` with its preset `segmenter_preset`, each trained for
    `segmenter_steps` steps or for the number of the preset."""

    card = Card(
        "map-faithfulness",
        "1",
        "Class maps that segmenters trained on real slides read off generated patches, compared with the asked ones.",
        licence="Apache-2.0",
        source="the measure of semantic image synthesis (Park and others 2019), here of three architectures and as a share of "
        "what real patches get",
        cost="three trainings of a segmenter for each data set, then one pass over the patches",
        needs=("masks",),
        sees=("class-swapped",),
        notes="As accurate as its reference segmenters: read the ratios to real patches. They can be fooled by tissue that a "
        "network accepts and a pathologist does not.",
    )

    def __init__(
        self, segmenter: str = "region-seg", segmenter_steps: int | None = None, segmenter_preset: str = "tiny"
    ) -> None:
        if segmenter_steps is not None and segmenter_steps < 1:
            raise UsageError(f"{self.card.name}: segmenter_steps is a count of at least 1, not {segmenter_steps}.")
        self.segmenter, self.segmenter_steps, self.segmenter_preset = segmenter, segmenter_steps, segmenter_preset
        self._classes: tuple[str, ...] = ()

    @property
    def directions(self) -> Mapping[str, Direction]:
        """Of the mean, and of each class where the classes are known."""
        return dict.fromkeys((MEASURE, *(f"{MEASURE}:{name}" for name in self._classes)), "higher")

    @property
    def digest(self) -> str:
        """Digest of the task of the reference segmenters. UsageError if that task has none."""
        task = self._task()
        return key_of({"task": registry.describe(task), "references": list(task.references)})

    def for_classes(self, classes: tuple[str, ...]) -> MapFaithfulness:
        """The metric of data with these classes."""
        bound = copy(self)
        bound._classes = classes
        return bound

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains the reference segmenters on real patches."""
        self._task().learn_references(train, validation, seed, progress, folder)

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """The counts of `segmentation_counts` of each patch for each reference segmenter, one after the other."""
        classes = patches.conditions.classes
        asked = np.asarray(needed(self.card.name, "masks", patches.conditions.masks))
        found = self._task().read_maps(segmenter, np.asarray(patches.images))
        counts = [segmentation_counts(one, asked, len(classes)) for one in found]
        return self.for_classes(classes).tally(np.concatenate(counts, axis=1))

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The counts with their measures, as the head of this file defines them."""
        columns = segmentation_columns(self._classes)
        names = self._task().references
        of_one = segmentation_tally(np.zeros((0, len(columns))), self._classes).measures
        parts = {f"{MEASURE}:{name}": partial(_mean, names, of_one[f"iou:{name}"]) for name in self._classes}
        every = tuple(f"{name} {column}" for name in names for column in columns)
        means, undefined = means_over_classes({MEASURE: parts}, totals(every, counts), NOT_SHOWN)
        return Tally(every, counts, {**means, **parts}, undefined=undefined)

    def _task(self) -> SegmentsRegions:
        options: dict[str, Any] = {} if self.segmenter_steps is None else {"steps": self.segmenter_steps}
        if self.segmenter_preset != "tiny":
            options["preset"] = self.segmenter_preset
        task = registry.load("tasks", self.segmenter, **options)
        if not isinstance(task, SegmentsRegions):
            raise UsageError(
                f"{self.card.name}: the task {self.segmenter} has no reference segmenters of class maps; region-seg has."
            )
        return task


def _mean(names: tuple[str, ...], measure: Callable[[Sums], float], sums: Sums) -> float:
    """Mean over the segmenters of a measure of the columns of one."""
    each = (
        {column.partition(" ")[2]: value for column, value in sums.items() if column.startswith(f"{name} ")} for name in names
    )
    return math.fsum(map(measure, each)) / len(names)
