"""The checks of datasets and tasks: the texts of `bench new` keep the rules, and what breaks one is found."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.contracts import check_dataset, check_task
from bench.templates import write_plugin
from bench.types import ImageSet, Tally
from tests.tasks.small_folder import halves, photo, write


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The task and the dataset that `bench new` writes."""
    folder = tmp_path_factory.mktemp("written")
    files = {word: write_plugin(word, f"a-{word}", folder) for word in ("task", "dataset")}
    return {word: registry.find("tasks", f"{file}:A{word.capitalize()}")[0] for word, file in files.items()}


def changed(patches: ImageSet, **columns: Any) -> ImageSet:
    return replace(patches, conditions=replace(patches.conditions, **columns))


DATASETS: dict[str, tuple[str, Any, str]] = {
    "float images": ("splits_read", lambda name, found: replace(found, images=found.images / 255), "must be uint8"),
    "no column": ("columns_provided", lambda name, found: changed(found, masks=None), "no masks, which it provides"),
    "leak": (
        "slides_apart",
        lambda name, found: changed(found, groups=np.array([g.replace(name, "one") for g in found.conditions.groups])),
        "slides are in both",
    ),
    "one slide": (
        "several_slides",
        lambda name, found: changed(found, groups=np.array([name] * len(found))),
        "the test set has 1 slide",
    ),
    "another size of pixels": (
        "splits_agree",
        lambda name, found: changed(found, mpp=0.5 if name == "train" else 1.0),
        "validation has classes, size and mpp",
    ),
    "metres": ("splits_agree", lambda name, found: changed(found, mpp=5e-7), "which no slide scanner gives"),
    "not annotated": (
        "classes_shown",
        lambda name, found: changed(found, masks=np.full_like(found.conditions.masks, 255)),
        "no pixel of train is annotated",
    ),
    "one image": (
        "patches_differ",
        lambda name, found: replace(found, images=np.repeat(found.images[:1], len(found), axis=0)),
        "are one image",
    ),
    "one key": ("keys_name_content", lambda name, found: replace(found, key="mine"), "the same key 'mine'"),
    "unseeded": (
        "same_in_new_object",
        lambda name, found: replace(found, images=np.random.default_rng().permutation(found.images)),
        "another split",
    ),
    "path in an id": (
        "splits_read",
        lambda name, found: changed(found, ids=np.array([f"{i}\\x" for i in found.conditions.ids])),
        "cannot name a file",
    ),
}
"""What is wrong -> the check that finds it, the change of a split, and what the check says."""


@pytest.mark.parametrize("fault", DATASETS)
def test_a_broken_dataset_is_found(fault: str, classes: dict[str, Any]) -> None:
    check, change, reason = DATASETS[fault]

    class Broken(classes["dataset"]):  # type: ignore[misc]
        def split(self, name: str) -> ImageSet:
            made: ImageSet = change(name, super().split(name))
            return made

    outcomes = {outcome.name: outcome for outcome in check_dataset(Broken)}
    assert outcomes[check].status == "failed" and re.search(reason, outcomes[check].reason), outcomes[check]


def test_columns_that_do_not_exist_are_found(classes: dict[str, Any]) -> None:
    class Broken(classes["dataset"]):  # type: ignore[misc]
        provides = frozenset({"mask"})

    outcomes = {outcome.name: outcome for outcome in check_dataset(Broken)}
    assert "provides names mask, which is none of" in outcomes["provides_columns"].reason


def _with_counts(change: Any) -> Any:
    def score(task: Any, made: Tally, **_: Any) -> Tally:
        return replace(made, counts=change(made.counts))

    return score


TASKS: dict[str, tuple[str, dict[str, Any], Any, str]] = {
    "direction": ("declares", {"direction": "up"}, None, "direction is 'up'"),
    "no mixes": ("declares", {"mixes": ()}, None, "not a tuple of TrainingMix"),
    "unknown reader": ("declares", {"readers": ("nowhere",)}, None, "'nowhere', which does not exist"),
    "rows": ("scores", {}, _with_counts(lambda counts: counts[1:]), "a row for each patch"),
    "not finite": ("scores", {}, _with_counts(lambda counts: counts * np.nan), "NaN or infinite"),
    "percent": (
        "scores",
        {},
        lambda task, made, **_: replace(made, measures={"iou": lambda sums: 80.0}),
        "iou is 80, outside its bounds",
    ),
    "measures": ("measures_stated", {"measures": lambda task, classes: ("dice",)}, None, "dice, which the tally"),
    "rebuilt": (
        "tally_rebuilt",
        {},
        lambda task, made, **_: replace(made, measures={"iou": lambda sums: 0.5}),
        "other columns or values",
    ),
    "unseeded": (
        "same_seed_same_counts",
        {},
        _with_counts(lambda counts: counts + np.random.default_rng().integers(1, 1000)),
        "other counts the second time",
    ),
    "one set": (
        "accepts_two_sets",
        {},
        lambda task, made, mix, **_: made if len(mix) == 1 else 1 / 0,
        "ZeroDivisionError",
    ),
    "selects on the test set": (
        "test_only_scored",
        {},
        lambda task, made, test, **_: replace(made, counts=made.counts + 100 * len(test)),
        "the counts of the others change",
    ),
    "writes into patches": (
        "inputs_untouched",
        {},
        lambda task, made, test, **_: (test.images.__setitem__(slice(None), 0), made)[1],
        "read-only",
    ),
}
"""What is wrong -> the check that finds it, changed members, a change of the score, and what the check says."""


@pytest.mark.parametrize("fault", TASKS)
def test_a_broken_task_is_found(fault: str, classes: dict[str, Any]) -> None:
    check, members, change, reason = TASKS[fault]

    class Broken(classes["task"]):  # type: ignore[misc]
        def score(self, mix: Any, validation: Any, test: Any, seed: int, progress: Any) -> Tally:
            made = super().score(mix, validation, test, seed, progress)
            return change(self, made, mix=mix, test=test) if change else made

    for name, value in members.items():
        setattr(Broken, name, value)
    outcomes = {outcome.name: outcome for outcome in check_task(Broken, size=32)}
    assert outcomes[check].status == "failed" and re.search(reason, outcomes[check].reason), outcomes[check]


def test_maps_with_255_must_be_accepted(classes: dict[str, Any]) -> None:
    class Broken(classes["task"]):  # type: ignore[misc]
        def score(self, mix: Any, validation: Any, test: Any, seed: int, progress: Any) -> Tally:
            assert test.conditions.masks.max() < 255
            return super().score(mix, validation, test, seed, progress)  # type: ignore[no-any-return]

    outcomes = {outcome.name: outcome for outcome in check_task(Broken, size=32)}
    assert outcomes["accepts_not_annotated"].status == "failed"


def test_what_is_written_keeps_every_rule(classes: dict[str, Any]) -> None:
    for outcomes in (check_task(classes["task"], size=32), check_dataset(classes["dataset"])):
        assert {outcome.status for outcome in outcomes} <= {"passed", "skipped"}, outcomes


def test_a_task_of_ours_keeps_the_contract() -> None:
    outcomes = check_task(lambda **options: registry.load("tasks", "cam16-seg", **options), "cam16-seg", 32)
    assert {outcome.status for outcome in outcomes} <= {"passed", "skipped"}, outcomes


def test_a_folder_of_a_user_is_checked(tmp_path: Path) -> None:
    names = [f"s{source}-{i}" for source in range(12) for i in range(2)]
    table = "\n".join(f"{name},{name.partition('-')[0]}" for name in names)
    pictures = {name: (photo(8, 8, seed), halves(8, 8)) for seed, name in enumerate(names)}
    folder = write(tmp_path / "data", pictures, "id,source", table)

    def make(**options: Any) -> Any:
        return registry.load("datasets", f"folder:{folder}", **{"size": 8, **options})

    outcomes = {outcome.name: outcome for outcome in check_dataset(make, f"folder:{folder}")}
    assert [outcome for outcome in outcomes.values() if outcome.status == "failed"] == []
    assert "train of" in outcomes["splits_read"].reason
