"""Intersection over union: counts for each test patch, and the measures that are functions of their sums.

Of every class c a patch gives four numbers, over its labelled pixels (those whose true class is not `IGNORED`):

    intersection:c   pixels that are c and were predicted as c
    union:c          pixels that are c or were predicted as c
    patches:c        1 where the patch shows c, else 0
    patch-iou:c      intersection over union where the patch shows c, else 0

Summed over patches they give two kinds of IoU. A class that no patch shows has no IoU, even if it was predicted: its
measures are NaN, and so are the means over classes, which never leave a class out silently. The reasons name the class. The
mean over the classes that the patches show is given beside it as NAME-present.

    iou:c            sum of intersections over sum of unions: large regions weigh more
    iou              mean of iou:c over all classes
    iou-patch:c      mean of the IoU of each patch, over the patches that show c: every patch weighs the same
    iou-patch        mean of iou-patch:c over all classes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.messages import listed
from bench.types import Tally

IGNORED = 255
"""True class of pixels that nobody labelled: neither trained on nor counted."""

PRESENT = "-present"
"""Ending of a mean over the classes that the test patches show, where they do not show all."""
NOT_SHOWN = "no patch shows {}"

Sums = Mapping[str, float]
Measure = Callable[[Sums], float]
_COUNTS = ("intersection", "union", "patches", "patch-iou")


def segmentation_columns(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns of `segmentation_counts`, class by class."""
    return tuple(f"{count}:{name}" for name in classes for count in _COUNTS)


def segmentation_counts(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """float64 (n, 4 * classes): the counts of each patch from its predicted and true class maps, both uint8 (n, h, w)."""
    labelled = truth != IGNORED
    columns: list[NDArray[np.float64]] = []
    for c in range(classes):
        true, found = truth == c, (predicted == c) & labelled
        intersection = (true & found).sum(axis=(1, 2), dtype=np.float64)
        union = (true | found).sum(axis=(1, 2), dtype=np.float64)
        shown = true.any(axis=(1, 2)).astype(np.float64)
        columns += [intersection, union, shown, shown * intersection / np.maximum(union, 1)]
    return np.stack(columns, axis=1)


def segmentation_tally(counts: NDArray[np.float64], classes: tuple[str, ...]) -> Tally:
    """The counts with their measures, as the head of this file defines them. All in [0, 1], higher is better."""
    pooled = {f"iou:{name}": partial(_ratio, name, "intersection", "union") for name in classes}
    by_patch = {f"iou-patch:{name}": partial(_ratio, name, "patch-iou", "patches") for name in classes}
    columns = segmentation_columns(classes)
    means, undefined = means_over_classes({"iou": pooled, "iou-patch": by_patch}, totals(columns, counts), NOT_SHOWN)
    return Tally(columns, counts, {**means, **pooled, **by_patch}, undefined=undefined)


def totals(columns: tuple[str, ...], counts: NDArray[np.float64]) -> Sums:
    """The sum of each column over all patches; zeros for no patches, whatever the width of their array."""
    return dict(zip(columns, counts.reshape(len(counts), len(columns)).sum(axis=0).tolist(), strict=True))


def means_over_classes(
    means: Mapping[str, Mapping[str, Measure]], sums: Sums, absent: str
) -> tuple[dict[str, Measure], dict[str, str]]:
    """The means over classes of a test set whose columns have these sums, and why measures are undefined on it.

    `means` gives the parts of each mean, named MEASURE:CLASS. Where some parts have no value, and with them the mean has none,
    NAME-present is the mean over the others, which are the same classes in every resample of the test set. `absent` is the
    reason for the classes that lack a value, whose names replace {}.
    """
    made: dict[str, Measure] = {}
    undefined: dict[str, str] = {}
    for name, parts in means.items():
        made[name] = partial(_mean, tuple(parts.values()))
        present = {part: measure for part, measure in parts.items() if not math.isnan(measure(sums))}
        lacking = [part for part in parts if part not in present]
        undefined |= {part: absent.format(part.partition(":")[2]) for part in lacking}
        if lacking:
            undefined[name] = absent.format(listed(part.partition(":")[2] for part in lacking))
        if lacking and present:
            made[f"{name}{PRESENT}"] = partial(_mean, tuple(present.values()))
            undefined[name] += f": the mean over the other classes is {name}{PRESENT}"
    return made, undefined


def shown_iou(counts: NDArray[np.float64]) -> float:
    """Mean of iou:c over the classes that the patches show: selects checkpoints on slides that may lack a class."""
    sums = dict(zip(_COUNTS, counts.sum(axis=0).reshape(-1, len(_COUNTS)).T, strict=True))
    shown = sums["patches"] > 0
    return float((sums["intersection"][shown] / sums["union"][shown]).mean())


def class_pixels(masks: NDArray[np.uint8], classes: int, who: str) -> NDArray[np.int64]:
    """int64 (classes,): labelled pixels of each class; ids that are neither a class nor `IGNORED` are refused."""
    pixels = np.zeros(IGNORED + 1, np.int64)
    for start in range(0, len(masks), 256):
        pixels += np.bincount(masks[start : start + 256].ravel(), minlength=len(pixels))
    strange = np.flatnonzero(pixels[classes:IGNORED]) + classes
    if len(strange):
        raise UsageError(
            f"{who}: masks hold the class ids {listed(strange)}; the {classes} classes are 0 to {classes - 1}, "
            f"and {IGNORED} is not labelled. Merge or add classes."
        )
    return pixels[:classes]


def _ratio(name: str, above: str, below: str, sums: Sums) -> float:
    return sums[f"{above}:{name}"] / sums[f"{below}:{name}"] if sums[f"patches:{name}"] else math.nan


def _mean(parts: tuple[Measure, ...], sums: Sums) -> float:
    return math.fsum(part(sums) for part in parts) / len(parts)
