"""Altered conditions as a job, and what a generator makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import registry
from bench.errors import UsageError
from bench.jobs.graph import Job, JobContext
from bench.pipeline.data import Patches
from bench.pipeline.fits import Generated
from bench.pipeline.generation import GeneratedSet, TrainedGenerator, generate
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import PatchesRef, SetRef, load_into_memory, save_set
from bench.types import Conditions, HasConfig, HasTrainingConfig, Images, ImageSet, SweepMetric


@dataclass(frozen=True)
class Level:
    """What a generator made at one level of a sweep."""

    patches: PatchesRef
    key: str
    rows: tuple[int, ...] | None
    """Rows of `patches`; None for all."""
    job: Job
    """After which they are there."""


def make_levels(plugin: Plugin, sweep: str, made: Generated, test: GeneratedSet, base: Patches) -> tuple[Level, ...]:
    """One for each level of the sweep, of the same conditions and seeds. `base`: the rows of the test conditions that are
    altered. At the level that alters nothing these are patches that were generated anyway."""
    metric: SweepMetric = plugin.build()
    option = metric.option(sweep)
    own = option_value(made.trained.generator, option) if option else 1.0
    levels = []
    for value in metric.levels(sweep):
        if value == own:
            levels.append(Level(test.ref, test.key, _rows_of(base, made.test_conditions), test.job))
            continue
        trained = with_option(made.trained, option, value) if option else made.trained
        found = generate(trained, base if option else alter(plugin, sweep, value, base), made.seed)
        levels.append(Level(found.ref, found.key, None, found.job))
    return tuple(levels)


def _rows_of(part: Patches, whole: Patches) -> tuple[int, ...]:
    row = {name: i for i, name in enumerate(whole.conditions.ids.tolist())}
    return tuple(row[name] for name in part.conditions.ids.tolist())


def option_value(generator: object, option: str) -> float | None:
    """The value of a numeric option of a generator with a config; None if it has no such option."""
    if not isinstance(generator, HasConfig):
        return None
    value = vars(generator.config).get(option)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def with_option(trained: TrainedGenerator, option: str, value: float) -> TrainedGenerator:
    """The same weights with another value of an option. UsageError where that option decides the weights."""
    plugin = replace(trained.plugin, options=tuple(sorted({**dict(trained.plugin.options), option: str(value)}.items())))
    other, own = plugin.build(), trained.generator
    if isinstance(own, HasTrainingConfig) and other.training_config() != own.training_config():
        raise UsageError(f"{trained.label}: another {option} would need another training.")
    return replace(trained, plugin=plugin)


def alter(plugin: Plugin, sweep: str, level: float, base: Patches) -> Patches:
    """The conditions as the metric alters them, with the same ids; images are black."""
    spec = {"metric": registry.describe(plugin.build()), "sweep": sweep, "level": level, "conditions": base.key}
    label = f"alter conditions for {plugin.name}: {sweep} {level:g}"
    job = Job("altered", spec, Alter(plugin, sweep, level, base.ref), base.needs, label=label)
    part = base.conditions
    black = np.broadcast_to(np.uint8(0), (len(part), part.size, part.size, 3))
    return Patches(job, SetRef(job.ref, job.ref.key), ImageSet(job.ref.key, black, part), job.ref.key)


@dataclass(frozen=True)
class Alter:
    """Action: altered conditions of a few patches."""

    metric: Plugin
    sweep: str
    level: float
    conditions: SetRef

    def __call__(self, work: Path, context: JobContext) -> None:
        asked = load_into_memory(self.conditions.load(context.store)).conditions
        made = self.metric.build().alter(self.sweep, self.level, asked)
        check_altered(self.metric.name, made, asked)
        black: Images = np.zeros((len(made), 1, 1, 3), np.uint8)
        save_set(ImageSet(work.name, black, made), work)


def check_altered(name: str, made: Conditions, asked: Conditions) -> None:
    """Raises UsageError unless the conditions are of the same patches, with the same columns."""
    if not isinstance(made, Conditions) or not np.array_equal(made.ids, asked.ids) or made.columns() != asked.columns():
        raise UsageError(f"{name}: alter returned conditions of other patches, or with other columns. See: bench check.")
