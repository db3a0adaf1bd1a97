"""A generator made ready, and what it generates with one seed: for every test condition, and for the downstream training mix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench import steps
from bench.layouts import FittedLayoutGenerator
from bench.measuring import Desk
from bench.steps import Fitted, GeneratedSet
from bench.types import Generator


@dataclass(frozen=True)
class GeneratedSets:
    """What one generator generated with one seed: for every test condition, and for the downstream training mix."""

    test: GeneratedSet | None
    mix: GeneratedSet | None


def fit(desk: Desk, name: str, generator: Generator) -> Fitted:
    """The generator ready to generate, and a word on where its weights come from."""
    asked = desk.components.config
    fitted = steps.fit(name, generator, desk.splits, asked.fit_seed, asked.refit, desk.cache, desk.progress, desk.log)
    if fitted.origin != "none":
        desk.log(f"{name}: weights {fitted.origin}, {fitted.digest}")
    return fitted


def generate(
    desk: Desk, fitted: Fitted, seed: int, mix: bool, layout_generator: FittedLayoutGenerator | None
) -> GeneratedSets:
    """Generates the test conditions unless an experiment asks for its training mixes alone, and those of the training mix where a downstream
    model will be trained; with a drawer, in place of each map one that it draws."""
    conditions = [] if desk.components.experiment else [desk.splits.prompted["test"]]
    conditions += [desk.splits.mix] if mix else []
    if layout_generator is not None:
        conditions = [layout_generator.replaced(desk, part, seed) for part in conditions]
    if audit := getattr(fitted.generator, "audit", None):
        audit(np.concatenate([part.conditions.ids for part in conditions]))
    workers = desk.components.config.workers
    made = [steps.sample(fitted, part, seed, workers, desk.cache, desk.progress) for part in conditions]
    return GeneratedSets(None if desk.components.experiment else made[0], made[-1] if mix else None)


def has_downstream(desk: Desk, name: str) -> bool:
    """Whether downstream models are trained on what this generator generates: those that were asked for, never controls."""
    return desk.components.config.mixes and name == desk.components.config.generator
