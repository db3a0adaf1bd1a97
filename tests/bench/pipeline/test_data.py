"""The data of a run: leaks are refused, generators see what they declare, nothing is read twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.config import Components, RunConfig, load_components
from bench.errors import UsageError
from bench.jobs.executors import Serial, execute
from bench.jobs.graph import Job
from bench.jobs.outcomes import Outcome
from bench.jobs.progress import SilentReporter
from bench.jobs.store import EntryRef, Store
from bench.pipeline import data
from bench.pipeline.data import DataSplits, load_splits
from bench.pipeline.plugins import Plugin
from bench.pipeline.training import training_patches
from bench.run import check_fit
from bench.types import ImageSet
from tasks.datasets.phantom.dataset import PhantomCam16

SMALL = {"train_slides": "3", "validation_slides": "2", "test_slides": "2", "per_slide": "4", "dataset.size": "32"}


def run_here(store: Store) -> data.Execute:
    def jobs(asked: Sequence[Job]) -> dict[EntryRef, Outcome]:
        return execute(list(asked), store, Serial(), SilentReporter())

    return jobs


def components(generator: str, **changes: object) -> Components:
    config = RunConfig(generator, "cam16-seg", data="embedded", controls=(), options=SMALL)
    return load_components(replace(config, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sets() -> dict[str, ImageSet]:
    phantom = PhantomCam16(train_slides=3, validation_slides=2, test_slides=2, per_slide=4, size=32)
    return {name: phantom.split(name) for name in data.SPLITS}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def splits(store: Store) -> DataSplits:
    return load_splits(components("crop-paste"), store, run_here(store))


def test_honest_splits_pass(sets: dict[str, ImageSet]) -> None:
    data.check_groups(sets)


@pytest.mark.parametrize("pair", [("train", "test"), ("train", "validation"), ("validation", "test")])
def test_slide_on_two_sides_is_refused(sets: dict[str, ImageSet], pair: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"in both {pair[0]} and {pair[1]}.*leak"):
        data.check_groups({**sets, pair[1]: sets[pair[0]]})


@pytest.mark.parametrize("name", ["test", "train"])
def test_held_out_slides_are_neither_tested_nor_trained_on(sets: dict[str, ImageSet], name: str) -> None:
    with pytest.raises(UsageError, match=f"slides are in both {name} and holdout"):
        data.check_groups({**sets, "holdout": sets[name]})


COARSE = """
from dataclasses import replace
from bench.types import Card
from tasks.datasets.phantom.dataset import PhantomCam16

class Coarse:
    card = Card("coarse", "1", "A test.")
    provides = frozenset({"masks"})

    def __init__(self, confirm_mpp: bool = False) -> None:
        self.confirm_mpp = confirm_mpp

    def split(self, name):
        found = PhantomCam16(train_slides=2, validation_slides=2, test_slides=2, per_slide=2, size=32).split(name)
        return replace(found, conditions=replace(found.conditions, mpp=5.0))
"""


def test_a_resolution_that_cannot_be_histology_is_refused_of_any_dataset(tmp_path: Path) -> None:
    (tmp_path / "coarse.py").write_text(COARSE)
    store = Store(tmp_path / "home")
    name = f"{tmp_path / 'coarse.py'}:Coarse"
    for _ in range(2):  # the second time from the store
        with pytest.raises(UsageError, match=r"patches of coarse have an mpp of 5, outside 0.1 to 4.*confirm_mpp=true"):
            load_splits(replace(components("flat-colour"), dataset_plugin=Plugin("datasets", name)), store, run_here(store))
    confirmed = Plugin("datasets", name, (("confirm_mpp", True),))
    found = load_splits(replace(components("flat-colour"), dataset_plugin=confirmed), store, run_here(store))
    assert found.test.conditions.mpp == 5.0


def test_dataset_without_maps_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(
        "from bench.types import Card\n\nclass Bare:\n    card = Card('bare', '1', 'No maps.')\n   "
        " provides = frozenset({'labels'})\n"
    )
    made = replace(components("ldm-prompt"), dataset_plugin=Plugin("datasets", f"{tmp_path / 'bare.py'}:Bare"))
    with pytest.raises(UsageError, match="ldm-prompt needs the condition masks, prompts; bare provides labels"):
        check_fit(made.generators[0], made)


def test_generator_is_trained_on_what_it_declares_and_nothing_else(splits: DataSplits) -> None:
    flat = training_patches(Plugin("generators", "flat-colour"), splits)
    assert flat.conditions.columns() == {"masks"}
    prompted = training_patches(Plugin("generators", "ldm-prompt"), splits)
    assert prompted.conditions.columns() == {"masks", "prompts"} and prompted.key != flat.key


def test_a_control_that_shows_targets_is_given_train_and_test_in_a_row(splits: DataSplits, store: Store) -> None:
    both = training_patches(Plugin("generators", "blur"), splits)
    run_here(store)(both.needs)
    loaded = both.ref.load(store)
    train, test = splits.plain["train"], splits.plain["test"]
    assert len(loaded) == len(train) + len(test)
    assert np.array_equal(np.asarray(loaded.images[len(train)]), np.asarray(test.patches.images[0]))


def test_the_pool_is_the_same_patches_in_any_order() -> None:
    ids = np.array([f"patch-{i}" for i in range(50)])
    chosen = set(ids[data.choose_spread(ids, 10)].tolist())
    shuffled = np.random.default_rng(0).permutation(ids)
    assert len(chosen) == 10 and set(shuffled[data.choose_spread(shuffled, 10)].tolist()) == chosen
    assert len(data.choose_spread(ids, 0)) == len(data.choose_spread(ids, 99)) == 50


def test_splits_are_read_once_and_the_pool_is_cut_to_the_tasks_patches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = Store(tmp_path), components("flat-colour", options={**SMALL, "patches": "4"})
    first = load_splits(made, store, run_here(store))
    assert len(first.training) == 4 and len(first.plain["train"]) == 12

    def never(self: PhantomCam16, name: str) -> ImageSet:
        raise AssertionError("rendered again")

    monkeypatch.setattr(PhantomCam16, "split", never)
    again = load_splits(made, store, run_here(store))
    assert np.array_equal(np.asarray(again.training.patches.images), np.asarray(first.training.patches.images))
    assert re.fullmatch(r"[0-9a-f]+\[[0-9a-f]{12}\]", again.training.key)
