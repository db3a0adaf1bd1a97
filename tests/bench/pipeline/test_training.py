"""Weights come from the package, from the store, or from a training job, and stages are trained once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.jobs.executors import Serial, execute
from bench.jobs.progress import SilentReporter
from bench.jobs.store import Store
from bench.pipeline.data import DataSplits, load_splits
from bench.pipeline.plugins import Plugin, load_model
from bench.pipeline.training import training_patches, weights_of
from tests.bench.pipeline.test_data import components, run_here

PLUGIN = '''
import json
from pathlib import Path
import numpy as np
from bench.types import Card

class Ships:
    """Writes down what happened to it."""
    card = Card("ships", "1", "A test.", needs=("masks",))
    stages = False

    def __init__(self, folder: str = "", log: str = "") -> None:
        self.folder, self.log, self.seen = folder, log, ""

    def note(self, text):
        with open(self.log, "a") as file:
            file.write(text + "\\n")

    def generate(self, conditions, seeds):
        return np.full((len(conditions), conditions.size, conditions.size, 3), len(self.seen), np.uint8)

    def fit(self, train, seed, progress, work):
        self.note(f"fit {seed}")
        self.seen = f"fit {seed}"

    def save(self, folder):
        (folder / "weights").write_text(self.seen)

    def load(self, folder):
        self.seen = (folder / "weights").read_text()

    def shipped(self, train_key):
        return Path(self.folder) if self.folder else None

    def training_config(self):
        return {"name": "ships"}


class Staged(Ships):
    """Two of these with other options share a stage."""
    card = Card("staged", "1", "A test.", needs=("masks",))

    def __init__(self, folder: str = "", log: str = "", colour: int = 0) -> None:
        super().__init__(folder, log)
        self.colour = colour

    def stage_config(self):
        return {"stage": 1}

    def train_stage(self, train, seed, progress, work):
        assert not train.conditions.columns()
        self.note("stage")
        (work / "stage").write_text("stage")

    def use_stage(self, folder):
        self.seen = (folder / "stage").read_text()

    def training_config(self):
        return {"name": "staged", "colour": self.colour}
'''


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def splits(store: Store) -> DataSplits:
    return load_splits(components("flat-colour"), store, run_here(store))


def plugin(tmp_path: Path, name: str, **options: object) -> Plugin:
    (tmp_path / "ships.py").write_text(PLUGIN)
    log = tmp_path / "log"
    log.touch()
    return Plugin("generators", f"{tmp_path / 'ships.py'}:{name}", tuple(sorted({"log": str(log), **options}.items())))


def test_shipped_weights_are_taken_unless_training_is_asked_for(splits: DataSplits, tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "weights").write_text("as delivered")
    ships, store = plugin(tmp_path, "Ships", folder=str(tmp_path / "shipped")), Store(splits_root(splits))
    train = training_patches(ships, splits)

    shipped = weights_of(ships, train, 0, retrain=False)
    assert shipped.origin == "shipped" and shipped.job is None
    assert load_model(ships, shipped.ref, store).seen == "as delivered"
    assert shipped.digest(store)

    for seed in (0, 0, 1):
        trained = weights_of(ships, train, seed, retrain=True)
        assert trained.origin == "trained" and trained.job is not None
        execute([trained.job], store, Serial(), SilentReporter())
        assert load_model(ships, trained.ref, store).seen == f"fit {seed}"
    assert (tmp_path / "log").read_text().split("\n") == ["fit 0", "fit 1", ""], "the second time from the store"


def test_a_stage_is_trained_once_for_all_that_share_it(splits: DataSplits, tmp_path: Path) -> None:
    store, made = Store(splits_root(splits)), []
    for colour in (1, 2):
        staged = plugin(tmp_path, "Staged", colour=colour)
        weights = weights_of(staged, training_patches(staged, splits), 0, retrain=False)
        assert weights.job is not None
        made.append(weights.job)
    execute(made, store, Serial(), SilentReporter())
    assert sorted((tmp_path / "log").read_text().split()) == sorted(["stage", "fit", "0", "fit", "0"])


def splits_root(splits: DataSplits) -> Path:
    """Where the store of the splits lies."""
    parts = splits.test.patches.images.parts  # type: ignore[attr-defined]
    return Path(parts[0].path).parents[2]
