"""Work that several processes share: they fill the cache with what a run is about to ask it for.

Nothing is decided here. Each errand comes to the same cache entry as the run itself will, so that the run finds it made; an
errand that fails is left for the run, which comes to the same place and says what is wrong there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import config, engine, faithfulness, layouts, measure, painting, steps
from bench.cache import Cache
from bench.config import Plan
from bench.judging import Desk
from bench.layouts import Drawer
from bench.painting import Paintings
from bench.pipeline.data import set_up
from bench.runtime.precision import device
from bench.steps import Fitted
from bench.types import Diet, silent

MOST = 4
WORTH = 1000


@dataclass(frozen=True)
class Paint:
    """All that one generator paints with one seed."""

    generator: int
    """Its place in the cast."""
    seed: int


@dataclass(frozen=True)
class Learn:
    """A witness."""

    metric: int


@dataclass(frozen=True)
class Score:
    """A downstream model on one diet."""

    generator: int
    seed: int
    diet: Diet


@dataclass(frozen=True)
class Ask:
    """A witness asked about what one generator painted with one seed."""

    generator: int
    seed: int
    metric: int


Errand = Paint | Learn | Score | Ask


def run(desk: Desk) -> None:
    """Fits here, one generator after the other, and has workers do the rest. Does nothing for one worker."""
    asked = desk.cast.plan
    hands = asked.workers or usual(len(desk.test) * len(asked.seeds))
    if hands <= 1:
        return
    for name, generator in zip(desk.cast.names, desk.cast.generators, strict=True):
        with suppress(Exception):
            steps.fit(name, generator, desk.scene, asked.fit_seed, asked.refit, desk.cache, desk.progress, desk.say)
    job, errands = partial(do, replace(asked, workers=1), desk.cache.root), list(_errands(desk))
    desk.progress(0, len(errands), "work ahead")
    for done, _ in enumerate(engine.run(job, errands, hands), start=1):
        desk.progress(done, len(errands), "work ahead")


def usual(patches: int) -> int:
    """Workers where nobody said how many: one a core, at most `MOST`; one alone on a GPU, which they would only share, and
    for fewer patches than starting them is worth."""
    if patches < WORTH or device() != "cpu":
        return 1
    return min(MOST, os.cpu_count() or 1)


def _errands(desk: Desk) -> Iterator[Errand]:
    """Everything, what others wait for before what waits, and of both the longest first. One queue: who comes too early for a
    painting waits at its entry of the cache until its painter has finished."""
    cast = desk.cast
    for generator in range(len(cast.generators)):
        yield from (Paint(generator, seed) for seed in cast.plan.seeds)
        if generator == 0:
            yield from (Learn(metric) for metric in range(len(cast.witnessed)))
    diets = [serving.diet for serving in cast.experiment.diet] if cast.experiment else cast.task.diets
    for generator, name in enumerate(cast.names):
        if painting.with_diets(desk, name):
            yield from (Score(generator, seed, diet) for seed in cast.plan.seeds for diet in diets)
    for generator in range(len(cast.names)):
        for seed in cast.plan.seeds:
            yield from (Ask(generator, seed, metric) for metric in range(len(cast.witnessed)))


def do(asked: Plan, root: Path, errand: Errand) -> None:
    """One errand, in a worker process."""
    with suppress(Exception):
        desk = _desk(asked, root)
        if isinstance(errand, Learn):
            faithfulness.witness(desk, desk.cast.witnessed[errand.metric])
            return
        fitted, paintings = _painted(desk, errand.generator, errand.seed)
        if isinstance(errand, Score):
            measure.tallied(desk, errand.diet, paintings.diet, errand.seed)
        elif isinstance(errand, Ask) and paintings.test is not None:
            metric = desk.cast.witnessed[errand.metric]
            for patches in (paintings.test.patches, desk.test):
                faithfulness.asked(desk, metric, faithfulness.witness(desk, metric), patches)


def _painted(desk: Desk, number: int, seed: int) -> tuple[Fitted, Paintings]:
    name, generator = desk.cast.names[number], desk.cast.generators[number]
    fitted = painting.fit(desk, name, generator)
    drawer: Drawer | None = None
    if desk.cast.layouts is not None and name == desk.cast.plan.generator:
        drawer = layouts.fitted(desk, desk.cast.layouts)
    return fitted, painting.paint(desk, fitted, seed, painting.with_diets(desk, name), drawer)


_DESKS: dict[str, Desk] = {}


def _desk(asked: Plan, root: Path) -> Desk:
    """The desk of this process, set up once for each plan."""
    key = repr((asked, root))
    if key not in _DESKS:
        cast, cache = config.cast(asked), Cache(root)
        _DESKS[key] = Desk(cast, set_up(cast, cache, silent), cache, silent, lambda text: None, {})
    return _DESKS[key]
