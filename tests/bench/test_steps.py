"""The steps of a run: leaks are refused, generators see what they declare, weights come from where they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import registry, steps
from bench.config import Components, RunConfig, components
from bench.errors import UsageError
from bench.pipeline import data as splits_
from bench.pipeline import prompts
from bench.pipeline.data import DataSplits
from bench.types import Card, Conditions, ImageSet, Progress, silent
from generators.controls import CropPaste, FlatColour
from tasks.datasets.phantom.dataset import PhantomCam16


@pytest.fixture(scope="module")
def splits() -> dict[str, ImageSet]:
    data = PhantomCam16(train_slides=3, validation_slides=2, test_slides=2, per_slide=4, size=32)
    return {name: data.split(name) for name in splits_.SPLITS}


@pytest.fixture(scope="module")
def splits(splits: dict[str, ImageSet]) -> DataSplits:
    prompted = {name: prompts.attach(splits[name], prompts.PromptRule()) for name in ("train", "test")}
    return DataSplits(splits, prompted, splits["train"], prompted["train"])


def test_honest_splits_pass(splits: dict[str, ImageSet]) -> None:
    splits_.check_groups(splits)


@pytest.mark.parametrize("pair", [("train", "test"), ("train", "validation"), ("validation", "test")])
def test_slide_on_two_sides_is_refused(splits: dict[str, ImageSet], pair: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"in both {pair[0]} and {pair[1]}.*leak"):
        splits_.check_groups({**splits, pair[1]: splits[pair[0]]})


def test_held_out_patches_are_no_test_patches(splits: dict[str, ImageSet]) -> None:
    with pytest.raises(UsageError, match="8 held-out patches are also test patches"):
        splits_.check_groups({**splits, "holdout": splits["test"]})


class Coarse:
    """A dataset of a plug-in whose images are ten times coarser than its maker thinks."""

    card = Card("coarse", "1", "A test.")
    provides = frozenset({"masks"})

    def __init__(self, confirm_mpp: bool = False) -> None:
        self.confirm_mpp = confirm_mpp

    def split(self, name: str) -> ImageSet:
        found = PhantomCam16(train_slides=2, validation_slides=2, test_slides=2, per_slide=2, size=32).split(name)
        return replace(found, conditions=replace(found.conditions, mpp=5.0))


def test_a_resolution_that_cannot_be_histology_is_refused_of_any_dataset(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "home")
    for _ in range(2):  # the second time from the cache
        with pytest.raises(UsageError, match="patches of coarse have an mpp of 5, outside 0.1 to 4.*confirm_mpp=true"):
            splits_.split(Coarse(), "train", cache)
    assert splits_.split(Coarse(confirm_mpp=True), "train", cache).conditions.mpp == 5.0


def test_dataset_without_maps_is_refused_before_anything_is_computed() -> None:
    class Bare:
        card = Card("bare", "1", "No maps.")
        provides = frozenset({"labels"})

    with pytest.raises(UsageError, match="ldm-prompt needs the condition masks, prompts; bare provides labels"):
        steps.check_fit(registry.load("generators", "ldm-prompt"), Bare())  # type: ignore[arg-type]


def test_generator_is_shown_what_it_declares_and_nothing_else(splits: DataSplits) -> None:
    assert splits_.shown(FlatColour(), splits, "test").conditions.columns() == {"masks"}
    assert splits_.shown(CropPaste(), splits, "test").conditions.columns() == {"masks", "prompts"}
    assert splits_.shown(FlatColour(), splits, "test").key != splits_.shown(CropPaste(), splits, "test").key


def test_mix_is_the_same_patches_in_any_order() -> None:
    ids = np.array([f"patch-{i}" for i in range(50)])
    chosen = set(ids[splits_.spread(ids, 10)].tolist())
    shuffled = np.random.default_rng(0).permutation(ids)
    assert len(chosen) == 10 and set(shuffled[splits_.spread(shuffled, 10)].tolist()) == chosen
    assert len(splits_.spread(ids, 0)) == len(splits_.spread(ids, 99)) == 50


class Ships:
    """Adds up what happened to it."""

    card = Card("ships", "1", "A test.")

    def __init__(self) -> None:
        self.done: list[str] = []

    def generate(self, conditions: Conditions, seeds: object) -> np.ndarray:
        return np.zeros((len(conditions), 32, 32, 3), np.uint8)

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        self.done.append(f"fit {seed}")

    def save(self, folder: Path) -> None:
        (folder / "weights").write_text(self.done[-1])

    def load(self, folder: Path) -> None:
        self.done.append(f"load {(folder / 'weights').read_text()}")

    def shipped(self, train_key: str) -> Path | None:
        return self.folder

    def training_config(self) -> dict[str, str]:
        return {"name": "ships"}

    folder: Path | None = None


def test_shipped_weights_are_taken_unless_a_fit_is_asked_for(splits: DataSplits, tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "weights").write_text("as delivered")
    cache = Cache(tmp_path / "home")

    def origin(refit: bool, seed: int = 0) -> tuple[str, list[str]]:
        made = Ships()
        made.folder = tmp_path / "shipped"
        return steps.fit("ships", made, splits, seed, refit, cache, silent).origin, made.done

    assert origin(refit=False) == ("shipped", ["load as delivered"])
    assert origin(refit=True) == ("fitted", ["fit 0", "load fit 0"])
    assert origin(refit=True) == ("fitted", ["load fit 0"]), "the second time from the cache"
    assert origin(refit=True, seed=1) == ("fitted", ["fit 1", "load fit 1"])


def test_every_column_of_a_joined_set_is_in_a_row(splits: dict[str, ImageSet]) -> None:
    both = splits_.joined(splits["train"], splits["test"])
    assert len(both) == len(splits["train"]) + len(splits["test"])
    assert both.conditions.columns() == {"masks", "instances", "types"}
    assert np.array_equal(both.images[len(splits["train"])], splits["test"].images[0])


def test_splits_of_a_plan_is_cached_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    small = {"train_slides": "2", "validation_slides": "1", "test_slides": "1", "per_slide": "3", "size": "32", "patches": "4"}
    made: Components = components(RunConfig("flat-colour", "cam16-seg", options=small))
    first = splits_.set_up(made, Cache(tmp_path), silent)
    assert len(first.mix) == 4 and len(first.plain["train"]) == 6

    def never(self: PhantomCam16, name: str) -> ImageSet:
        raise AssertionError("rendered again")

    monkeypatch.setattr(PhantomCam16, "split", never)
    assert np.array_equal(splits_.set_up(made, Cache(tmp_path), silent).mix.images, first.mix.images)
