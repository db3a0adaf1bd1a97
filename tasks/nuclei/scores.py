"""Scores of predicted nuclei against true ones: counts for each test patch, and the measures that are functions of their sums.

Pixels whose true class is 255 are taken out of both sides before anything else, and with them the predicted nuclei with less
than half of their area in annotated pixels, unless the rest is the partner (IoU > 0.5) of a true nucleus: see
`bench.histology.nuclei.drop_ignored`. A nucleus is of the type that most of its pixels have. In the definitions, sums run
over patches; "mean over patches" is over those with a labelled pixel, "over patches with nuclei" over those with a true or a
predicted one. Values are in [0, 1] (R2: up to 1), higher is better.

    dice, miou         the paper's averaging, by channel and then by batch (NASDM++, S3): in each patch the mean over the
                       classes of 2 I / (T + C) or of I / (T + C - I), with T true, C predicted and I common pixels; then the
                       mean over patches. Classes are those of the task, background among them, but in each patch only
                       those that it shows or that were predicted in it (what the authors did with the others is not known)
    dice:c, iou:c      the same of one class, of pixels pooled over all patches
    dice-pooled        mean of dice:c over all classes; iou-pooled likewise
    dice-binary        of nucleus against background, pooled; iou-binary likewise
    aji-pooled         aggregated Jaccard index (Kumar and others 2017): each true nucleus takes the predicted one of largest
                       IoU, and common pixels are divided by joint pixels plus those of nuclei without a partner; common and
                       joint pixels are summed over all patches
    aji+-pooled        the same with one-to-one partners (Graham and others 2019, code)
    dq-, sq-, pq-pooled
                       panoptic quality (Kirillov and others 2019; Graham and others 2019, eq. 6): P pairs of IoU > 0.5,
                       dq = 2 P / (nuclei true + predicted), sq = mean IoU of the pairs (0 without one), pq = dq sq;
                       P, nuclei and IoU are summed over all patches
    aji, aji+, dq, sq, pq
                       the same of each patch, and the mean over patches with nuclei; a patch with predicted nuclei alone
                       counts 0, as in CoNIC's script
    pq-conic           mean of pq over all patches as CoNIC's script has it: 0 for every patch without true nuclei, even one
                       where none was predicted, so that a perfect prediction stays below 1 by the share of such patches
    pq+:t, mpq+        pq of the nuclei of one type, true and predicted, pooled over all patches, and its mean over types
                       (CoNIC: Graham and others 2024)
    f1-detection       2 N / (true + predicted), N nuclei whose centres match within 3 microns
                       (`bench.histology.nuclei.match_near`)
    f1:t, f1           2 R / (2 R + 2 W + 2 M + E + L) of one type, and its mean over types (Graham and others 2019, eq. 9,
                       as their code counts it): R matched and both of type t, W and M matched and only the predicted or only
                       the true one of type t, E and L predicted and true nuclei of type t without a match
    r2:t, r2           1 - sum (y - y')^2 / sum (y - mean y)^2 of the numbers y and y' of true and predicted nuclei of one type
                       in each patch, and its mean over types (CoNIC)

A class that no patch shows has no value, even if it was predicted: its measures are NaN, and so are the means over classes or
types, which never leave one out silently. So is r2 if all patches have the same number. The reasons name the class or type.
The mean over those that have a value is given beside such a mean as NAME-present (mpq+-present).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.histology import nuclei
from bench.histology.class_scores import NOT_SHOWN, Measure, Sums, means_over_classes, totals
from bench.histology.nuclei import UNLABELLED
from bench.messages import needed
from bench.types import Conditions, Tally

_PATCH = (
    *("patches", "patch-dice", "patch-iou", "patches-with-nuclei"),
    *("patch-aji", "patch-aji+", "patch-dq", "patch-sq", "patch-pq"),
    *("common:aji", "joint:aji", "common:aji+", "joint:aji+"),
    *("common-pixels", "true-pixels", "called-pixels", "true-nuclei", "called-nuclei", "pairs", "overlap", "near"),
)
_CLASS = ("common-pixels", "true-pixels", "called-pixels")
_TYPE = ("true-nuclei", "called-nuclei", "pairs", "overlap", "right", "confused", "true-squared", "error-squared")


def nuclei_columns(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns of `nuclei_counts`: of the patch, then of each class, then of each type of nucleus."""
    by_class = (f"{count}:{name}" for name in classes for count in _CLASS)
    by_type = (f"{count}:{name}" for name in classes[1:] for count in _TYPE)
    return (*_PATCH, *by_class, *by_type)


def nuclei_counts(instances: NDArray[np.int32], types: NDArray[np.uint8], truth: Conditions) -> NDArray[np.float64]:
    """float64 (n, c): the counts of each patch, columns as `nuclei_columns`.

    `instances` and `types`, both (n, h, w), are what was predicted: nuclei of any distinct numbers, and the type at each pixel
    (0 outside nuclei).
    """
    masks = needed("nuclei scores", "masks", truth.masks)
    true = needed("nuclei scores", "instances", truth.instances)
    within = nuclei.reach(truth.mpp)
    rows = [_patch(*maps, len(truth.classes), within) for maps in zip(instances, types, true, masks, strict=True)]
    return np.stack(rows) if rows else np.zeros((0, len(nuclei_columns(truth.classes))))


def nuclei_tally(counts: NDArray[np.float64], classes: tuple[str, ...]) -> Tally:
    """The counts with their measures, as the head of this file defines them."""
    types, columns = classes[1:], nuclei_columns(classes)
    sums = totals(columns, counts)
    by_class = {
        "dice-pooled": {f"dice:{name}": partial(_dice, f":{name}") for name in classes},
        "iou-pooled": {f"iou:{name}": partial(_iou, f":{name}") for name in classes},
    }
    by_type = {
        "mpq+": {f"pq+:{name}": partial(_pq, f":{name}") for name in types},
        "f1": {f"f1:{name}": partial(_type_f1, f":{name}") for name in types},
    }
    counted = {"r2": {f"r2:{name}": partial(_determination, f":{name}") for name in types}}
    means, undefined = means_over_classes({**by_class, **by_type}, sums, NOT_SHOWN)
    r2, r2_undefined = means_over_classes(counted, sums, "all patches hold equally many {}")
    pixels: dict[str, Measure] = {
        "dice": partial(_ratio, "patch-dice", "patches", "patches"),
        "miou": partial(_ratio, "patch-iou", "patches", "patches"),
    }
    instances: dict[str, Measure] = {
        "dice-binary": partial(_dice, ""),
        "iou-binary": partial(_iou, ""),
        **{f"{name}-pooled": partial(_ratio, f"common:{name}", f"joint:{name}", "true-nuclei") for name in ("aji", "aji+")},
        "pq-pooled": partial(_pq, ""),
        "dq-pooled": partial(_dq, ""),
        "sq-pooled": partial(_sq, ""),
        "f1-detection": _detection,
        **{
            name: partial(_ratio, f"patch-{name}", "patches-with-nuclei", "true-nuclei")
            for name in ("aji", "aji+", "pq", "dq", "sq")
        },
        "pq-conic": partial(_ratio, "patch-pq", "patches", "true-nuclei"),
    }
    parts = [part for mean in (by_class, by_type, counted) for part in mean.values()]
    singles: dict[str, Measure] = {name: measure for part in parts for name, measure in part.items()}
    measures: dict[str, Measure] = {**pixels, **means, **r2, **instances, **singles}
    undefined |= r2_undefined
    undefined |= {
        name: NOT_SHOWN.format("an annotated pixel") for name, measure in pixels.items() if math.isnan(measure(sums))
    }
    undefined |= {name: NOT_SHOWN.format("a nucleus") for name, measure in instances.items() if math.isnan(measure(sums))}
    bounds = {name: (None, 1.0) for name in measures if name.startswith("r2")}
    return Tally(columns, counts, measures, bounds, undefined)


def _patch(
    instances: NDArray[np.int32],
    types: NDArray[np.uint8],
    true_instances: NDArray[np.int32],
    masks: NDArray[np.uint8],
    classes: int,
    within: float,
) -> NDArray[np.float64]:
    labelled = masks != UNLABELLED
    true = nuclei.renumber(np.where(labelled, true_instances, 0))
    predicted = nuclei.drop_ignored(instances, true, labelled)
    pixels = _pixels(masks, np.where(predicted > 0, types, 0), classes)
    table = nuclei.overlaps(true, predicted)
    iou = nuclei.ious(table)
    pairs = nuclei.match_near(nuclei.centroids(true), nuclei.centroids(predicted), within)
    kinds = nuclei.majority(true, masks), nuclei.majority(predicted, types)
    nucleus = _pixels(np.where(labelled, true > 0, UNLABELLED), predicted > 0, 2)[1]
    return np.concatenate(
        [
            [float(labelled.any()), *_shown(pixels)],
            _image(table, iou),
            nucleus,
            [*iou.shape, *_overlap(iou), len(pairs)],
            pixels.ravel(),
            np.ravel([_type(t, *kinds, iou, pairs) for t in range(1, classes)]),
        ]
    )


def _pixels(true: NDArray[Any], predicted: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """float64 (classes, 3): common, true and predicted pixels of each class where the true class is labelled."""
    labelled = true != UNLABELLED
    of = (true[labelled & (true == predicted)], true[labelled], predicted[labelled].astype(np.int64))
    return np.stack([np.bincount(values, minlength=classes) for values in of], axis=1).astype(np.float64)


def _shown(pixels: NDArray[np.float64]) -> tuple[float, float]:
    """Mean Dice and mean IoU over the classes that are shown or predicted in the patch; 0 without a labelled pixel."""
    common, true, predicted = pixels[pixels[:, 1] + pixels[:, 2] > 0].T
    if not len(common):
        return 0.0, 0.0
    return float((2 * common / (true + predicted)).mean()), float((common / (true + predicted - common)).mean())


def _image(table: NDArray[np.int64], iou: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 (10,): 1, AJI, AJI+, DQ, SQ and PQ of a patch that has true or predicted nuclei, then common and joint pixels of
    AJI and of AJI+; zeros for a patch without any."""
    if not sum(iou.shape):
        return np.zeros(10)
    best = np.stack([np.arange(len(iou)), iou.argmax(axis=1)], axis=1) if iou.size else np.zeros((0, 2), np.int64)
    chosen = best[iou[best[:, 0], best[:, 1]] > 0]
    areas = [_jaccard(table, partners) for partners in (chosen, nuclei.match_by_iou(iou))]
    pairs, overlap = _overlap(iou)
    dq, sq = 2 * pairs / sum(iou.shape), overlap / max(pairs, 1)
    return np.array([1.0, *(common / joint for common, joint in areas), dq, sq, dq * sq, *np.ravel(areas)])


def _jaccard(table: NDArray[np.int64], pairs: nuclei.Pairs) -> tuple[float, float]:
    """Common pixels of the pairs, and their joint pixels with those of the nuclei in no pair."""
    i, j = pairs.T
    alone = np.delete(table.sum(axis=1)[1:], i).sum() + np.delete(table.sum(axis=0)[1:], j).sum()
    return float(table[1:, 1:][i, j].sum()), float(nuclei.unions(table)[i, j].sum() + alone)


def _overlap(iou: NDArray[np.float64]) -> tuple[int, float]:
    """Number of pairs of IoU > 0.5, and the sum of their IoU."""
    paired = iou[iou > nuclei.OVERLAP]
    return len(paired), float(paired.sum())


def _type(
    t: int, true: NDArray[np.uint8], predicted: NDArray[np.uint8], iou: NDArray[np.float64], near: nuclei.Pairs
) -> tuple[float, ...]:
    """The counts of `_TYPE`, from the type of each true and each predicted nucleus."""
    ours, theirs = true == t, predicted == t
    first, second = ours[near[:, 0]], theirs[near[:, 1]]
    y, found = int(ours.sum()), int(theirs.sum())
    matched = int((first & second).sum()), int((first ^ second).sum())
    return y, found, *_overlap(iou[np.ix_(ours, theirs)]), *matched, y**2, (y - found) ** 2


def _ratio(above: str, below: str, shown: str, sums: Sums) -> float:
    return sums[above] / sums[below] if sums[shown] else math.nan


def _dice(of: str, sums: Sums) -> float:
    true, predicted = sums[f"true-pixels{of}"], sums[f"called-pixels{of}"]
    return 2 * sums[f"common-pixels{of}"] / (true + predicted) if true else math.nan


def _iou(of: str, sums: Sums) -> float:
    dice = _dice(of, sums)
    return dice / (2 - dice)


def _dq(of: str, sums: Sums) -> float:
    true, predicted = sums[f"true-nuclei{of}"], sums[f"called-nuclei{of}"]
    return 2 * sums[f"pairs{of}"] / (true + predicted) if true else math.nan


def _sq(of: str, sums: Sums) -> float:
    return sums[f"overlap{of}"] / max(sums[f"pairs{of}"], 1.0) if sums[f"true-nuclei{of}"] else math.nan


def _pq(of: str, sums: Sums) -> float:
    return _dq(of, sums) * _sq(of, sums)


def _detection(sums: Sums) -> float:
    true, predicted = sums["true-nuclei"], sums["called-nuclei"]
    return 2 * sums["near"] / (true + predicted) if true else math.nan


def _type_f1(of: str, sums: Sums) -> float:
    """2 R + 2 W + 2 M + E + L is the number of true and of predicted nuclei, plus W + M."""
    true, predicted = sums[f"true-nuclei{of}"], sums[f"called-nuclei{of}"]
    return 2 * sums[f"right{of}"] / (true + predicted + sums[f"confused{of}"]) if true else math.nan


def _determination(of: str, sums: Sums) -> float:
    n, total = sums["patches"], sums[f"true-nuclei{of}"]
    spread = n * sums[f"true-squared{of}"] - total**2
    return 1 - n * sums[f"error-squared{of}"] / spread if spread > 0 else math.nan
