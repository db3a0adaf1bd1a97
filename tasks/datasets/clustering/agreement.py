"""How well clusters agree with true classes, where slides have true maps: the adjusted Rand index (Hubert and Arabie 1985)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError
from bench.statistics.estimates import Estimate, Rows
from bench.statistics.jackknife import group_jackknife
from bench.types import NOT_ANNOTATED
from tasks.datasets.slides.label_slide import open_labels
from tasks.datasets.slides.reader import Slide

CLASSES = 256


def true_classes(path: Path, slide: Slide, corners: NDArray[np.int64], side: int, mpp: float) -> NDArray[np.int64]:
    """int64 (n,): the most frequent label of each cell on a label slide; 255 where most of it has none."""
    with open_labels(path, slide) as labels:
        found = np.empty(len(corners), np.int64)
        for row, (x, y) in enumerate(corners.tolist()):
            found[row] = np.bincount(labels.read_labels(x, y, side, side, mpp).ravel(), minlength=CLASSES).argmax()
    if len(found) and (found == NOT_ANNOTATED).all():
        raise DamagedError(f"{path} has no label on any cell of its slide. Is it the label slide of this one?")
    return found


def contingency(labels: NDArray[np.int64], truth: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
    """int64 (clusters, 255): numbers of cells by cluster and true class, of those that have one."""
    known = truth != NOT_ANNOTATED
    flat = labels[known] * NOT_ANNOTATED + truth[known]
    return np.bincount(flat, minlength=clusters * NOT_ANNOTATED).reshape(clusters, NOT_ANNOTATED)


def adjusted_rand(table: NDArray[np.int64]) -> float:
    """1 for the same partition, 0 on average for one by chance; NaN without two cells."""
    from sklearn.metrics import adjusted_rand_score

    rows, columns = np.nonzero(table)
    if table.sum() < 2:
        return math.nan
    counts = table[rows, columns]
    return float(adjusted_rand_score(np.repeat(columns, counts), np.repeat(rows, counts)))


def agreement(tables: Mapping[str, NDArray[np.int64]], units: Mapping[str, str]) -> Estimate:
    """The index over all cells with its interval over units; `tables` and `units` by slide: contingency, and the patient, case
    or slide that is sampled."""
    names = sorted(tables)
    stacked = np.stack([tables[name] for name in names])
    groups = np.array([units[name] for name in names])

    def index(rows: Rows, _: Rows) -> float:
        return adjusted_rand(stacked[rows].sum(axis=0))

    return group_jackknife(index, groups, groups)
