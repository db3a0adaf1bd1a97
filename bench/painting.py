"""A generator made ready, and what it paints with one seed: for every test condition, and for the downstream diet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench import steps
from bench.judging import Desk
from bench.layouts import Drawer
from bench.steps import Fitted, Painted
from bench.types import Generator


@dataclass(frozen=True)
class Paintings:
    """What one generator painted with one seed: for every test condition, and for the downstream diet."""

    test: Painted | None
    diet: Painted | None


def fit(desk: Desk, name: str, generator: Generator) -> Fitted:
    """The generator ready to paint, and a word on where its weights come from."""
    asked = desk.cast.plan
    fitted = steps.fit(name, generator, desk.scene, asked.fit_seed, asked.refit, desk.cache, desk.progress, desk.say)
    if fitted.origin != "none":
        desk.say(f"{name}: weights {fitted.origin}, {fitted.digest}")
    return fitted


def paint(desk: Desk, fitted: Fitted, seed: int, diet: bool, drawer: Drawer | None) -> Paintings:
    """Paints the test conditions unless an experiment asks for its diets alone, and those of the diet where a downstream
    model will be trained; with a drawer, in place of each map one that it draws."""
    conditions = [] if desk.cast.experiment else [desk.scene.prompted["test"]]
    conditions += [desk.scene.diet] if diet else []
    if drawer is not None:
        conditions = [drawer.replaced(desk, part, seed) for part in conditions]
    if audit := getattr(fitted.generator, "audit", None):
        audit(np.concatenate([part.conditions.ids for part in conditions]))
    workers = desk.cast.plan.workers
    made = [steps.sample(fitted, part, seed, workers, desk.cache, desk.progress) for part in conditions]
    return Paintings(None if desk.cast.experiment else made[0], made[-1] if diet else None)


def with_diets(desk: Desk, name: str) -> bool:
    """Whether downstream models are trained on what this generator paints: those that were asked for, never controls."""
    return desk.cast.plan.diets and name == desk.cast.plan.generator
