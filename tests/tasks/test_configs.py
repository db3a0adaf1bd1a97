"""What both families of tasks declare: configs whose values are keys, limits on patches, and the measures of their tallies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.errors import UsageError
from bench.histology.class_scores import segmentation_columns
from bench.types import HasConfig, LimitsPatches, SegmentsNuclei, Task, UsesPool
from tasks.nuclei.scores import nuclei_columns

TASKS = ("cam16-seg", "panda-seg", "lizard-nuclei")
CLASSES = ("background", "round", "long")


@pytest.mark.parametrize("name", TASKS)
def test_abilities_are_declared(name: str) -> None:
    task = registry.load("tasks", name, patches="7")
    assert isinstance(task, Task) and isinstance(task, LimitsPatches) and task.patches == 7
    assert isinstance(task, UsesPool) == isinstance(task, SegmentsNuclei) == (name == "lizard-nuclei")


@pytest.mark.parametrize("name", TASKS)
def test_a_changed_preset_is_another_task(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that no option of the run names decide the downstream model all the same."""
    task = registry.load("tasks", name)
    assert isinstance(task, HasConfig)
    before = registry.describe(task)
    assert "preset" not in before["options"] and before["options"]["steps"] == task.config.steps
    width = "features" if name == "lizard-nuclei" else "channels"
    monkeypatch.setattr(type(task), "presets", {"tiny": replace(task.config, **{width: 7})})
    assert registry.describe(registry.load("tasks", name)) != before


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(("option", "text"), [("steps", "0"), ("batch", "1"), ("learning_rate", "0"), ("preset", "papr")])
def test_senseless_options_are_refused(name: str, option: str, text: str) -> None:
    with pytest.raises(UsageError):
        registry.load("tasks", name, **{option: text})


@pytest.mark.parametrize(("name", "columns"), [("cam16-seg", segmentation_columns), ("lizard-nuclei", nuclei_columns)])
def test_measures_are_those_of_a_tally_in_which_every_class_is_seen(name: str, columns: Any) -> None:
    task: Task = registry.load("tasks", name)
    named = task.measures(CLASSES)
    tally = task.tally(np.ones((3, len(columns(CLASSES)))), CLASSES)
    assert named == tuple(tally.measures) and len(set(named)) == len(named)
    assert {part for measure in named for part in measure.split(":")[1:]} <= set(CLASSES)
    assert len(named) > len(task.measures(CLASSES[:2])), "each class has measures of its own"
