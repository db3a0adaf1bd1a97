"""How different are the images that a generator makes of one condition, against real patches of like conditions?

Of each of a few test patches several images are generated, which differ by their seeds alone. Their spread is the mean over
all pairs of the cosine distance of their features (1 - cos, half of the squared distance of features scaled to length 1), as
each encoder of the run sees whole patches. It is divided by the spread of `like` real patches of like condition: those whose
maps have the most similar shares of classes.

    diversity-same-slide    real patches of the slide of the condition, itself among them, that share no pixel
    diversity-other-slides  real patches of other slides, the nearest of each and each of another

1 is as varied as real tissue of like condition, and 0 always the same picture. A generator that is shown the stain of a slide
is to be compared with that slide. One that is not must guess the slide too, and other slides are its measure.

The distances of images of one condition as a measure of diversity: Zhu and others 2017 (BicycleGAN, arXiv 1711.11586, section
5.2), there of LPIPS features (Zhang and others 2018, arXiv 1801.03924) and without a reference. LPIPS compares images place by
place, which real patches of other maps do not allow: whole patches are compared here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.messages import needed
from bench.types import NOT_ANNOTATED, Card, Conditions, Direction, Features, Tally
from metrics.features import Table, directions, positive

SAME, OTHERS = "diversity-same-slide", "diversity-other-slides"
COLUMNS = ("made same", "real same", "made others", "real others")
ROUNDING = 1e-5
"""Distance of features of length 1 up to which two images are the same: encoders may depend on the batch by as much."""
Sums = Mapping[str, float]


class Diversity:
    """Generates `images` images of each of `patches` test patches (all for 0), and compares with `like` real ones."""

    card = Card(
        "diversity",
        "1",
        "Spread of images of one condition with different seeds, over that of real patches of like condition.",
        licence="Apache-2.0",
        source="mean pairwise distance under one condition (Zhu et al. 2017, arXiv 1711.11586), here the cosine distance of "
        "features of whole patches by each encoder, over that of real patches",
        cost="images - 1 further images of each of `patches` test patches, and their features",
        needs=("masks",),
        notes="A ratio: above 1 is more varied than real tissue, as training patches under any condition are. Real patches of "
        "like condition have other maps, so that a generator with the variety of real tissue stays below 1. It does not ask "
        "whether images are good, or follow their condition: uniform noise is always the same to most encoders.",
    )
    measures: Mapping[str, Direction] = {SAME: "higher", OTHERS: "higher"}
    one_sided = True
    patches: int = 80
    images: int = 4

    def __init__(self, patches: int = 80, images: int = 4, like: int = 4) -> None:
        if patches < 0:
            raise UsageError(f"{self.card.name}: patches is a count of test patches, or 0 for all, not {patches}.")
        for option, value in (("images", images), ("like", like)):
            if positive(self.card.name, option, value) < 2:
                raise UsageError(f"{self.card.name}: {option} is at least 2, since one patch has no spread, not {value}.")
        self.patches, self.images, self.like = patches, images, like

    def tally_repeats(self, made: NDArray[np.float32], asked: Conditions, real: Features, shown: Conditions) -> Tally:
        """See `RepeatMetric`: the spread of the images of each condition, and that of real patches, for both references."""
        rows = directions(self.card.name, real.astype(np.float64))
        ours = directions(self.card.name, made.reshape(-1, made.shape[-1]).astype(np.float64)).reshape(made.shape)
        shares, theirs = (class_shares(self.card.name, conditions) for conditions in (asked, shown))
        counts = np.zeros((len(asked), len(COLUMNS)))
        for i in range(len(asked)):
            gaps = np.abs(theirs - shares[i]).sum(axis=1) / 2
            order = np.argsort(np.where(np.isnan(gaps), np.inf, gaps), kind="stable")
            order = order[: int(np.isfinite(gaps).sum())]
            is_same = shown.groups[order] == asked.groups[i]
            for place, chosen in (
                (0, _apart(order[is_same], shown, self.like)),
                (2, _of_each_slide(order[~is_same], shown, self.like)),
            ):
                if len(chosen) > 1:
                    counts[i, place : place + 2] = spread(ours[:, i]), spread(rows[chosen])
        undefined = {
            SAME: "no test slide has two different patches, with a class in their maps, that share no pixel",
            OTHERS: "no condition has two different patches of other slides, with a class in their maps",
        }
        absent = {name: undefined[name] for name, place in ((SAME, 1), (OTHERS, 3)) if not counts[:, place].any()}
        measures = {SAME: _same, OTHERS: _others}
        return Tally(COLUMNS, counts, measures, dict.fromkeys(measures, (0.0, None)), absent)


def class_shares(owner: str, conditions: Conditions) -> Table:
    """float64 (n, classes): share of each class in the annotated pixels of a map; NaN where none is annotated."""
    masks = np.asarray(needed(owner, "masks", conditions.masks))
    pixels = np.array([np.bincount(mask.ravel(), minlength=NOT_ANNOTATED + 1) for mask in masks], dtype=np.float64)
    pixels = pixels.reshape(-1, NOT_ANNOTATED + 1)[:, : len(conditions.classes)]
    total = pixels.sum(axis=1, keepdims=True)
    return np.divide(pixels, total, out=np.full_like(pixels, np.nan), where=total > 0)


def spread(rows: Table) -> float:
    """Mean over all pairs of (n, d) rows of length 1 of 1 - cos; pairs that only rounding separates have 0."""
    first, second = np.triu_indices(len(rows), 1)
    squares = np.square(rows[first] - rows[second]).sum(axis=1)
    return float(np.where(squares <= ROUNDING**2, 0.0, squares / 2).mean())


def _apart(order: NDArray[np.int64], shown: Conditions, count: int) -> list[int]:
    """The first `count` rows of which no two share a pixel."""
    chosen: list[int] = []
    for row in order.tolist():
        if len(chosen) < count and not shown.overlaps(row, shown[chosen]).any():
            chosen.append(row)
    return chosen


def _of_each_slide(order: NDArray[np.int64], shown: Conditions, count: int) -> list[int]:
    """The first row of each slide, of the first `count` slides."""
    _, first = np.unique(shown.groups[order], return_index=True)
    return [int(row) for row in order[np.sort(first)][:count]]


def _same(sums: Sums) -> float:
    return sums["made same"] / sums["real same"] if sums["real same"] else math.nan


def _others(sums: Sums) -> float:
    return sums["made others"] / sums["real others"] if sums["real others"] else math.nan
