"""The checks of metrics that ask for further images of the test conditions, altered or with other seeds, on the mock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.contracts.cases import Broken, Skip
from bench.pipeline.prompts import PromptRule, attach
from bench.types import Card, Conditions, ImageSet, RepeatMetric, SweepMetric


@dataclass(frozen=True)
class _TakesAll:
    """A generator that takes every condition."""

    card: Card = Card("takes-all", "1", "Takes every condition.", needs=("masks", "instances", "types", "prompts"))


def check_sweeps(metric: SweepMetric, real: ImageSet) -> None:
    """Raises Broken unless altered conditions are of the same patches, and images that do not change have a slope of 0; of
    sweeps that no reference segmenter reads."""
    if not metric.sweeps:
        raise Skip("it has no sweep")
    patches = attach(real, PromptRule("cohort", smallest=0.05))
    for sweep in metric.sweeps:
        levels = metric.levels(sweep)
        if len(set(levels)) < 2:
            raise Broken(f"{sweep} has the levels {levels}, not two different ones")
        if metric.option(sweep) or metric.refusal(sweep, _TakesAll(), patches.conditions):
            continue
        altered = [metric.alter(sweep, level, patches.conditions) for level in levels]
        for level, made in zip(levels, altered, strict=True):
            _check_altered(sweep, level, made, patches.conditions)
        if metric.reader(sweep, patches.conditions) is not None:
            continue  # the reference segmenter is checked with its own metric
        counts: Any = metric.respond(sweep, [replace(patches, conditions=made) for made in altered], None)
        if counts.shape != (len(patches), 2) or not np.isfinite(counts).all():
            raise Broken(f"{sweep}: respond gives {counts.shape}, not two finite numbers for each of {len(patches)} patches")
        if not counts[:, 0].any():
            raise Broken(f"{sweep}: nothing is asked of any patch")
        if np.abs(counts[:, 1]).max() > 1e-9:
            raise Broken(f"{sweep}: images that do not change have a slope that is not 0")


def _check_altered(sweep: str, level: float, made: Any, asked: Conditions) -> None:
    if not isinstance(made, Conditions) or not np.array_equal(made.ids, asked.ids) or made.columns() != asked.columns():
        raise Broken(f"{sweep} at {level:g}: alter gives conditions of other patches, or with other columns")


def check_repeats(metric: RepeatMetric, real: ImageSet, width: int) -> None:
    """Raises Broken unless it counts a finite row for each condition, with each of its measures, and rows depend on their own
    condition alone."""
    if metric.images < 2:
        raise Broken(f"it asks for {metric.images} images of a condition; several need at least two")
    conditions, rng = real.conditions, np.random.default_rng(0)
    features = rng.normal(3, 1, (len(real), width)).astype(np.float32)
    made = rng.normal(3, 1, (metric.images, len(real), width)).astype(np.float32)
    found = metric.tally_repeats(made, conditions, features, conditions)
    counts: Any = found.counts
    if counts.shape != (len(real), len(found.columns)) or not np.isfinite(counts).all():
        raise Broken(f"tally_repeats counts {counts.shape}, not finite numbers for each of {len(real)} conditions")
    if set(found.measures) != set(metric.measures):
        raise Broken("the measures that it declares and those of its tally differ in names")
    rows = np.arange(len(real))[::-1]
    again = metric.tally_repeats(made[:, rows], conditions[rows], features, conditions).counts
    if not np.allclose(again, counts[rows], rtol=1e-6, atol=1e-12):
        raise Broken("another order of conditions changes their counts")
