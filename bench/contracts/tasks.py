"""The checks of downstream tasks, on 12 mock patches of 3 slides: one for training, one for validation, one for the test."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.contracts.cases import COMMON, Broken, Check, Outcome, PluginCase, Skip, builds, run_checks
from bench.contracts.layouts import layouts
from bench.contracts.mock import PER_SLIDE, mock, partly_annotated
from bench.pipeline.checks import check_counts
from bench.types import Direction, ImageSet, Tally, Task, TrainingMix, silent

TOLERANCE = 1e-3
"""Largest change of a count where only the number of test patches changes, as a share of the largest count."""


def check_task(make: Callable[..., Task], name: str = "", size: int = 64) -> list[Outcome]:
    """Outcomes on mock patches of `size` px. `make(**options)` builds the task, `name` is its registered name."""
    return run_checks(_Case(make, name, size), CHECKS, essential=(builds, declares, scores))


@dataclass
class _Case(PluginCase):
    """A task under test and its score of the mock patches."""

    @cached_property
    def real(self) -> ImageSet:
        return layouts(self.size) if "instances" in self.plugin.card.needs else mock(self.size)

    @cached_property
    def task(self) -> Task:
        """The task, a small one if its class offers that."""
        return cast(Task, self.small())

    def slide(self, number: int, patches: ImageSet | None = None) -> ImageSet:
        return (patches or self.real)[number * PER_SLIDE : (number + 1) * PER_SLIDE]

    def score(self, mix: list[ImageSet] | None = None, test: ImageSet | None = None, seed: int = 0) -> Tally:
        return self.task.score(mix or [self.slide(0)], self.slide(1), test or self.slide(2), seed, silent)

    @cached_property
    def tally(self) -> Tally:
        return self.score()


def declares(case: _Case) -> None:
    """A direction, training mixes with different names, and datasets that exist: the embedded one and the readers."""
    task = case.plugin
    if not isinstance(task, Task):
        raise Broken("it lacks a member of a task: card, direction, embedded, readers, mixes, score, tally, measures")
    if task.direction not in get_args(Direction):
        raise Broken(f"direction is {task.direction!r}, not one of {', '.join(get_args(Direction))}")
    if not isinstance(task.mixes, tuple) or not task.mixes or not all(isinstance(m, TrainingMix) for m in task.mixes):
        raise Broken(f"mixes is {task.mixes!r}, not a tuple of TrainingMix")
    if len({mix.name for mix in task.mixes}) < len(task.mixes):
        raise Broken("two of its training mixes have one name")
    for dataset in (task.embedded, *task.readers):
        if not registry.is_known("datasets", dataset):
            raise Broken(f"it names the dataset {dataset!r}, which does not exist: see bench list datasets")


def scores(case: _Case) -> None:
    """A Tally with finite counts, a row for each test patch and a name for each column, and measures within their bounds."""
    tally: Any = case.tally
    if not isinstance(tally, Tally):
        raise Broken(f"score gives {type(tally).__name__}, not a Tally")
    check_counts("score", tally.counts, PER_SLIDE)
    if len(tally.columns) != tally.counts.shape[1]:
        raise Broken(f"{len(tally.columns)} columns are named, and counts have {tally.counts.shape[1]}")
    values = _values(tally)
    if not any(map(math.isfinite, values.values())):
        raise Broken("no measure has a value on test patches that show every class")
    for name, value in values.items():
        low, high = tally.bounds.get(name, (0.0, 1.0))
        if (low is not None and value < low) or (high is not None and value > high):
            raise Broken(f"{name} is {value:.4g}, outside its bounds {low} and {high}")


def measures_stated(case: _Case) -> None:
    """`measures` names those of the tally, before anything is trained."""
    classes = case.real.conditions.classes
    if absent := sorted(set(case.task.measures(classes)) - set(case.tally.measures)):
        raise Broken(f"measures states {', '.join(absent)}, which the tally does not have")


def tally_rebuilt(case: _Case) -> None:
    """`tally` makes the same tally of its counts."""
    again = case.task.tally(case.tally.counts, case.real.conditions.classes)
    if tuple(again.columns) != tuple(case.tally.columns) or not _alike(_values(again), _values(case.tally)):
        raise Broken("the tally rebuilt from its counts has other columns or values")


def same_seed_same_counts(case: _Case) -> None:
    """The same training mix and seed give the same counts."""
    if not np.array_equal(case.score().counts, case.tally.counts):
        raise Broken("the same training mix and seed give other counts the second time")


def accepts_two_sets(case: _Case) -> None:
    """A training mix of two sets, real and synthetic, is accepted."""
    first = case.slide(0)
    check_counts("score of two sets", case.score(mix=[first, replace(first, key=f"{first.key}-again")]).counts, PER_SLIDE)


def test_only_scored(case: _Case) -> None:
    """Counts of a test patch do not depend on the other test patches: the test set neither trains nor selects the model."""
    few = case.score(test=case.slide(2)[[0, 1]]).counts
    change = float(np.abs(few - case.tally.counts[:2]).max()) if few.shape == case.tally.counts[:2].shape else np.inf
    if change > TOLERANCE * max(1.0, float(np.abs(case.tally.counts).max())):
        raise Broken(f"with fewer test patches the counts of the others change, by up to {change:.4g}")


def accepts_not_annotated(case: _Case) -> None:
    """Class maps with 255 (not annotated) are accepted in training, validation and test."""
    if "masks" not in case.plugin.card.needs:
        raise Skip("the card needs no masks")
    patches = partly_annotated(case.real)
    sets = [case.slide(number, patches) for number in range(3)]
    tally: Any = case.task.score([sets[0]], sets[1], sets[2], 0, silent)
    check_counts("score of maps with 255", tally.counts, PER_SLIDE)


def inputs_untouched(case: _Case) -> None:
    """It accepts read-only arrays and leaves them as they are."""
    given, pristine = ([case.slide(number) for number in range(3)] for _ in range(2))
    for array in (array for part in given for array in _arrays(part)):
        array.flags.writeable = False  # like memory-mapped arrays
    case.task.score([given[0]], given[1], given[2], 0, silent)
    pairs = [
        pair for now, before in zip(given, pristine, strict=True) for pair in zip(_arrays(now), _arrays(before), strict=True)
    ]
    if not all(np.array_equal(now, before) for now, before in pairs):
        raise Broken("scoring changes the patches that it is given")


CHECKS: tuple[Check[_Case], ...] = (
    *COMMON,
    declares,
    scores,
    measures_stated,
    tally_rebuilt,
    same_seed_same_counts,
    accepts_two_sets,
    test_only_scored,
    accepts_not_annotated,
    inputs_untouched,
)


def _arrays(patches: ImageSet) -> list[NDArray[Any]]:
    columns = (getattr(patches.conditions, name) for name in ("masks", "instances", "types"))
    return [patches.images, *(values for values in columns if values is not None)]


def _values(tally: Tally) -> dict[str, float]:
    """Measure -> its value over all patches."""
    sums = dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True))
    return {name: float(measure(sums)) for name, measure in tally.measures.items()}


def _alike(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and np.array_equal(list(one.values()), list(other.values()), equal_nan=True)
