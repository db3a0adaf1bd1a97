"""The checks of metrics that alter conditions, on the mock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.contracts.cases import Broken, Skip
from bench.pipeline.prompts import PromptRule, attach
from bench.types import Card, Conditions, ImageSet, SweepMetric


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
