"""Work that several processes share: they fill the cache with what a run is about to ask it for.

Nothing is decided here. Each job comes to the same cache entry as the run itself will, so that the run finds it made; an
job that fails is left for the run, which comes to the same place and says what is wrong there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import config, engine, faithfulness, generation, layouts, measure, steps
from bench.cache import Cache
from bench.config import RunConfig
from bench.generation import GeneratedSets
from bench.layouts import FittedLayoutGenerator
from bench.measuring import Desk
from bench.pipeline.data import set_up
from bench.runtime.precision import device
from bench.steps import Fitted
from bench.types import TrainingMix, silent

MOST = 4
WORTH = 1000


@dataclass(frozen=True)
class FlatColour:
    """All that one generator generates with one seed."""

    generator: int
    """Its place in the cast."""
    seed: int


@dataclass(frozen=True)
class Learn:
    """A reference segmenter."""

    metric: int


@dataclass(frozen=True)
class Score:
    """A downstream model on one training mix."""

    generator: int
    seed: int
    mix: TrainingMix


@dataclass(frozen=True)
class Ask:
    """A reference segmenter asked about what one generator generated with one seed."""

    generator: int
    seed: int
    metric: int


Errand = FlatColour | Learn | Score | Ask


def run(desk: Desk) -> None:
    """Fits here, one generator after the other, and has workers do the rest. Does nothing for one worker."""
    asked = desk.components.config
    hands = asked.workers or usual(len(desk.test) * len(asked.seeds))
    if hands <= 1:
        return
    for name, generator in zip(desk.components.names, desk.components.generators, strict=True):
        with suppress(Exception):
            steps.fit(name, generator, desk.splits, asked.fit_seed, asked.refit, desk.cache, desk.progress, desk.log)
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
    generated set waits at its entry of the cache until its generator has finished."""
    components = desk.components
    for generator in range(len(components.generators)):
        yield from (FlatColour(generator, seed) for seed in components.config.seeds)
        if generator == 0:
            yield from (Learn(metric) for metric in range(len(components.condition_metrics)))
    mixes = [arm.mix for arm in components.experiment.mix] if components.experiment else components.task.mixes
    for generator, name in enumerate(components.names):
        if generation.has_downstream(desk, name):
            yield from (Score(generator, seed, mix) for seed in components.config.seeds for mix in mixes)
    for generator in range(len(components.names)):
        for seed in components.config.seeds:
            yield from (Ask(generator, seed, metric) for metric in range(len(components.condition_metrics)))


def do(asked: RunConfig, root: Path, errand: Errand) -> None:
    """One job, in a worker process."""
    with suppress(Exception):
        desk = _desk(asked, root)
        if isinstance(errand, Learn):
            faithfulness.segmenter(desk, desk.components.condition_metrics[errand.metric])
            return
        fitted, samples = _generated(desk, errand.generator, errand.seed)
        if isinstance(errand, Score):
            measure.tallied(desk, errand.mix, samples.mix, errand.seed)
        elif isinstance(errand, Ask) and samples.test is not None:
            metric = desk.components.condition_metrics[errand.metric]
            for patches in (samples.test.patches, desk.test):
                faithfulness.asked(desk, metric, faithfulness.segmenter(desk, metric), patches)


def _generated(desk: Desk, number: int, seed: int) -> tuple[Fitted, GeneratedSets]:
    name, generator = desk.components.names[number], desk.components.generators[number]
    fitted = generation.fit(desk, name, generator)
    layout_generator: FittedLayoutGenerator | None = None
    if desk.components.layouts is not None and name == desk.components.config.generator:
        layout_generator = layouts.fitted(desk, desk.components.layouts)
    return fitted, generation.generate(desk, fitted, seed, generation.has_downstream(desk, name), layout_generator)


_DESKS: dict[str, Desk] = {}


def _desk(asked: RunConfig, root: Path) -> Desk:
    """The desk of this process, set up once for each plan."""
    key = repr((asked, root))
    if key not in _DESKS:
        components, cache = config.components(asked), Cache(root)
        _DESKS[key] = Desk(components, set_up(components, cache, silent), cache, silent, lambda text: None, {})
    return _DESKS[key]
