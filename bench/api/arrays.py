"""`bench.metrics`: metrics of the suite on arrays of features, without a run, with their intervals over slides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench import registry
from bench.errors import UsageError
from bench.statistics import Estimate
from bench.types import FeatureMetric, Features, Strings, TrainedMetric


def measure(
    metric: str,
    real: ArrayLike,
    generated: ArrayLike,
    groups: ArrayLike | None = None,
    groups_generated: ArrayLike | None = None,
    train: ArrayLike | None = None,
    seed: int = 0,
    **options: Any,
) -> Estimate:
    """A metric of `bench list metrics` that compares features, e.g. `fd`, `kid`, `precision`, with its 95 % interval.

    `real` (n, d), `generated` (m, d) and `train` (k, d): finite features. `groups` (n,) and `groups_generated` (m,): the
    slide, or other sampling unit, of each row. Where `groups_generated` is left out and n = m, row i was generated for the
    condition of real row i and is of its slide. Without `groups` there is no interval: rows of one slide resemble each other.
    `options` are those of `bench info METRIC`.

    UsageError where arrays do not fit each other or the metric is of another kind.
    """
    from bench.measurements.distributions import FeaturePair

    built = registry.load("metrics", metric, **options)
    if not isinstance(built, FeatureMetric | TrainedMetric):
        raise UsageError(f"{metric} does not compare features. Those that do: bench list metrics, bench info NAME.")
    if isinstance(built, TrainedMetric) and train is None:
        raise UsageError(f"{metric} needs the features of the training patches: train=...")
    sides = [_features(name, side) for name, side in (("real", real), ("generated", generated))]
    learned = None if train is None else _features("train", train)
    widths = {side.shape[1] for side in (*sides, *(() if learned is None else (learned,)))}
    if len(widths) > 1:
        raise UsageError(f"features of one encoder have one width; found {', '.join(map(str, sorted(widths)))}.")
    known = groups is not None
    units = _groups("groups", groups, len(sides[0]))
    if groups_generated is None and known and len(sides[0]) != len(sides[1]):
        raise UsageError(
            f"{len(sides[0])} real and {len(sides[1])} generated rows: give groups_generated, the slide of the condition of "
            "each generated row."
        )
    units_generated = (
        units if groups_generated is None and known else _groups("groups_generated", groups_generated, len(sides[1]))
    )
    found = FeaturePair(built, sides[0], sides[1], learned, units, units_generated, seed).compare().estimate
    if known:
        return replace(found, replicates=())  # of use in records only, and long
    return Estimate(found.value, None, None, reason="the slides of the rows are not known: give groups for an interval")


def frechet(
    real: ArrayLike, generated: ArrayLike, groups: ArrayLike | None = None, groups_generated: ArrayLike | None = None
) -> Estimate:
    """The Frechet distance `fd` of two sets of features, with its 95 % interval over slides: see `measure`."""
    return measure("fd", real, generated, groups, groups_generated)


def _features(name: str, given: ArrayLike) -> Features:
    array = np.asarray(given)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
        raise UsageError(f"{name} is an array of features (n, d) of numbers, not {array.dtype} {array.shape}.")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} has rows with NaN or infinity.")
    return array.astype(np.float32)


def _groups(name: str, given: ArrayLike | None, rows: int) -> Strings:
    if given is None:
        return np.array([str(row) for row in range(rows)])
    array: NDArray[Any] = np.asarray(given)
    if array.shape != (rows,):
        raise UsageError(f"{name} has one entry for each of {rows} rows, not the shape {array.shape}.")
    return array.astype(str)
