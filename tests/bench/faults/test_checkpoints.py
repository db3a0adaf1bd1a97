"""Interrupted training with a damaged checkpoint: the weights of an undisturbed training, and no code is run."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.jobs.store import EntryRef, Store
from bench.runtime.notices import notices_to
from generators.diffusion.batches import BatchShare
from generators.diffusion.training import TrainingConfig, train
from generators.diffusion.training_state import is_finished, keep_finished, take_finished
from tests.bench.faults.damage import DAMAGES

CONFIG = TrainingConfig(steps=9, learning_rate=1e-2, warmup=4, decay=True, ema=0.9, checkpoint_every=3)
FILES = ("tensors.safetensors", "state.json", "checksums.json")


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, 1))


def loss(shown: nn.Module, rng: np.random.Generator, share: BatchShare) -> torch.Tensor:
    rows = torch.from_numpy(rng.standard_normal((16, 4), dtype=np.float32))[share.rows(16)]
    return (shown(rows) - rows.sum(dim=1, keepdim=True)).square().mean()


def trained(work: Path, stop: int = 0, seed: int = 0, steps: list[int] | None = None) -> dict[str, torch.Tensor]:
    """The weights after training in `work`; KeyboardInterrupt after step `stop`. `steps` gets the steps that ran."""
    made = network()

    def progress(done: int, total: int, what: str) -> None:
        if steps is not None:
            steps.append(done)
        if done == stop:
            raise KeyboardInterrupt

    work.mkdir(exist_ok=True)
    train(made, loss, CONFIG, seed, progress, work, "fit")
    return made.state_dict()


def interrupted(work: Path, stop: int = 5, seed: int = 0) -> Path:
    """The checkpoint that an interrupted training leaves."""
    with pytest.raises(KeyboardInterrupt):
        trained(work, stop, seed)
    (checkpoint,) = work.iterdir()
    return checkpoint


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return trained(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interrupted(tmp_path_factory.mktemp("left") / "work").parent


def resumed(work: Path) -> tuple[dict[str, torch.Tensor], int, list[str]]:
    """Weights, the first step that ran, and the lines that were logged."""
    lines: list[str] = []
    steps: list[int] = []
    with notices_to(lines.append):
        made = trained(work, steps=steps)
    return made, steps[0], lines


def test_a_checkpoint_holds_tensors_and_json_and_gives_the_same_weights(left: Path, expected: Any, tmp_path: Path) -> None:
    assert [path.name for path in left.iterdir()] == ["step-00000003"]
    assert sorted(path.name for path in (left / "step-00000003").iterdir()) == sorted(FILES)
    shutil.copytree(left, tmp_path / "work")
    made, first, lines = resumed(tmp_path / "work")
    assert equal(made, expected) and first == 4 and not lines


@pytest.mark.parametrize("file", [*FILES, "."])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_discarded_with_one_line(
    damage: str, file: str, left: Path, expected: Any, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(left, work)
    place = work / "step-00000003" / file
    if file == ".":
        place = work / "step-00000003"
        shutil.rmtree(place)
        place.write_bytes(b"x" * 64)
    DAMAGES[damage](place)
    made, first, lines = resumed(work)
    assert equal(made, expected) and first == 1
    assert len(lines) == (0 if file == "." and damage == "missing" else 1), lines


@pytest.mark.parametrize("name", ["writing-step-00000006", "step-00000006", "step-x", "step-00000003"])
def test_foreign_files_beside_and_in_a_checkpoint(name: str, left: Path, expected: Any, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(left, work)
    (work / name).mkdir(exist_ok=True)
    (work / name / "foreign").write_text("x")
    made, first, _ = resumed(work)
    assert equal(made, expected) and first == 4


class Evil:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self._mark),)


@pytest.mark.parametrize(
    "name", ["custom_checkpoint_0.pkl", "random_states_0.pkl", "optimizer.bin", "tensors.safetensors", "state.json"]
)
def test_no_pickle_is_read(name: str, left: Path, expected: Any, tmp_path: Path) -> None:
    """Neither beside the files of a checkpoint nor in the place of one, even where its checksum fits."""
    import hashlib
    import json

    work, mark = tmp_path / "work", tmp_path / "mark"
    shutil.copytree(left, work)
    evil = pickle.dumps(Evil(mark))
    (work / "step-00000003" / name).write_bytes(evil)
    checksums = json.loads((work / "step-00000003/checksums.json").read_text())
    (work / "step-00000003/checksums.json").write_text(json.dumps({**checksums, name: hashlib.sha256(evil).hexdigest()}))
    made, _, _ = resumed(work)
    assert equal(made, expected) and not mark.exists()
    pickle.loads(evil)
    assert mark.exists(), "which would have been run"


def test_a_checkpoint_of_another_run_is_discarded(expected: Any, tmp_path: Path) -> None:
    """It is intact and fits the network: another seed, another step in its name."""
    for number, change in enumerate((lambda path: path, lambda path: path.rename(path.with_name("step-00000006")))):
        work = tmp_path / str(number)
        change(interrupted(work, seed=1 - number))
        made, first, lines = resumed(work)
        assert equal(made, expected) and first == 1 and len(lines) == 1


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json", "checksums.json", "."])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_finished_stage_is_taken_over_whole_or_not_at_all(damage: str, file: str, tmp_path: Path) -> None:
    kept, other, folder = network(), nn.Sequential(*network().children()), tmp_path / "finished"
    torch.nn.init.zeros_(other[0].weight)
    before = {name: values.clone() for name, values in other.state_dict().items()}
    keep_finished(kept, folder, {"seed": 1})
    assert not take_finished(nn.Linear(2, 2), tmp_path / "absent", {}) and is_finished(folder)
    if file == ".":
        shutil.rmtree(folder)
        folder.write_bytes(b"x" * 64)
    DAMAGES[damage](folder if file == "." else folder / file)
    lines: list[str] = []
    with notices_to(lines.append):
        assert not take_finished(other, folder, {"seed": 1})
    assert equal(other.state_dict(), before) and not folder.exists() and len(lines) == (damage != "missing" or file != ".")


def test_a_finished_stage_of_another_run_or_network_is_not_taken(tmp_path: Path) -> None:
    for run, made in (({"seed": 2}, network()), ({"seed": 1}, nn.Linear(4, 8))):
        keep_finished(network(), tmp_path / "finished", {"seed": 1})
        assert not take_finished(made, tmp_path / "finished", run)
    keep_finished(network(), tmp_path / "finished", {"seed": 1})
    assert take_finished(network(), tmp_path / "finished", {"seed": 1})


REF = EntryRef("weights", "abc")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["state.bin", "images.npy", "optimizer.bin"])
def test_leftovers_that_a_plug_in_cannot_read_are_discarded_once(damage: str, name: str, tmp_path: Path) -> None:
    """A plug-in that trusts what it left: the store calls it again with an empty folder, and says so."""
    store, calls = Store(tmp_path / "store"), []

    def fit(work: Path) -> None:
        calls.append(sorted(path.name for path in work.iterdir()))
        if (work / name).exists() or (work / name).is_symlink():
            if not (work / name).is_file():
                raise IsADirectoryError(name)
            np.load(work / name)  # of an empty file an EOFError
        np.save(work / "part", np.arange(9))
        (work / "part.npy").rename(work / name)
        if len(calls) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(REF, {}, fit, resumable=True)
    left = store.path(REF).with_name("abc.part") / name
    DAMAGES[damage](left)
    lines: list[str] = []
    with notices_to(lines.append):
        store.write(REF, {}, fit, resumable=True)
    assert np.load(store.file(REF, name)).tolist() == list(range(9)) and [
        path.name for path in (store.root / "weights").iterdir()
    ] == ["abc"]
    if damage in ("missing", "longer", "one bit"):  # which np.load may not notice: a plug-in keeps checksums of its own
        return
    assert calls[1:] == [[name], []] and len(lines) == 1 and "discarded" in lines[0]


def test_a_make_that_fails_without_leftovers_is_called_once(tmp_path: Path) -> None:
    calls = []

    def fit(work: Path) -> None:
        calls.append(1)
        raise ValueError("diverged")

    with pytest.raises(ValueError, match="diverged"):
        Store(tmp_path).write(REF, {}, fit, resumable=True)
    assert calls == [1]


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name not in ("one bit", "cut", "longer")])
@pytest.mark.parametrize("place", ["abc.part", ".abc.lock"])
def test_something_else_in_the_place_of_a_work_folder_or_a_lock(place: str, damage: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (store.root / "weights").mkdir(parents=True)
    (store.root / "weights" / place).write_text("x")
    DAMAGES[damage](store.root / "weights" / place)
    lines: list[str] = []
    with notices_to(lines.append):
        store.write(REF, {}, lambda work: (work / "a").write_text("1") and None, resumable=True)
    assert store.read_bytes(REF, "a") == b"1" and len(lines) <= 1


def test_the_first_stage_of_an_interrupted_fit(tmp_path: Path) -> None:
    """Its file is trusted only with its checksum, and checkpoints are no part of a finished stage."""
    from bench.pipeline import prompts
    from generators.latent_diffusion.adapter import LdmSemantic
    from tasks.datasets.phantom.dataset import PhantomCam16

    patches = prompts.attach(PhantomCam16(train_slides=2, per_slide=2, size=32).split("train"), prompts.PromptRule())

    def interrupted_fit(work: Path) -> Path:
        """The folder of the finished first stage; the second one was interrupted."""

        def progress(done: int, total: int, what: str) -> None:
            if what == "encode":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            LdmSemantic(steps=2, stage_steps=4, batch=2, stage_batch=2, views=1).fit(patches, 0, progress, work)
        return work / "stage-finished"

    file = interrupted_fit(tmp_path) / "first_stage.safetensors"
    expected = file.read_bytes()
    DAMAGES["one bit"](file)
    lines: list[str] = []
    with notices_to(lines.append):
        interrupted_fit(tmp_path)
    assert file.read_bytes() == expected and len(lines) == 1 and "first_stage.safetensors differs" in lines[0]
