"""`bench fit` started by `accelerate launch` in two processes on CPUs, through the command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from generators.latent_diffusion import model
from tests.small_run import SMALL, bench

ROOT = Path(__file__).parents[2]
LAUNCH = (
    "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0".split()
)
"""`--multi_gpu` is the option for torch's launcher of processes; ACCELERATE_USE_CPU keeps them off GPUs."""
ALONE = {"WORLD_SIZE", "RANK", "LOCAL_RANK", "BENCH_DATA"}

PLUGIN = '''
import os
import signal
from functools import partial
from pathlib import Path

from bench.types import Card
from generators.diffusion.training import TrainingConfig
from generators.latent_diffusion import model
from generators.latent_diffusion.adapter import LdmPrompt

HERE = Path(__file__).parent
RANK = os.environ.get("RANK", "-")
model.TrainingConfig = partial(TrainingConfig, checkpoint_every=3)


def note(text):
    with (HERE / "log").open("a") as log:
        log.write(f"{RANK} {text}\\n")


class Mine(LdmPrompt):
    """The prompt arm, which notes its steps; process 1 ends itself after step 5 where the file `kill` lies here."""

    def fit(self, train, seed, progress, work):
        def watched(done, total, what):
            progress(done, total, what)
            if what == "fit prompt":
                note(done)
                if RANK == "1" and done == 5 and (HERE / "kill").exists():
                    os.kill(os.getpid(), signal.SIGKILL)

        super().fit(train, seed, watched, work)


class Alone:
    """Trains by itself, and says nothing of several devices."""

    card = Card("alone", "1", "Notes that it was fitted.")

    def fit(self, train, seed, progress, work):
        note("fit")

    def generate(self, conditions, seeds):
        raise NotImplementedError

    def save(self, folder):
        (folder / "weights").write_text("fitted")

    def load(self, folder):
        pass
'''
OPTIONS = "steps=9 stage_steps=3 batch=8 stage_batch=8 views=2 warmup=1 decay=false ema=0 learning_rate=1e-4".split()
TOLERANCE = 5e-6
"""Of weights after nine steps at a constant rate. Measured: 4.3e-7; 2.4e-4 where both processes train on the same rows."""
FIT = ["-t", "cam16-seg", "--data", "embedded", *SMALL]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plug.py").write_text(PLUGIN)
    (tmp_path / "log").touch()
    return tmp_path


def mine(folder: Path, *options: str) -> list[str]:
    given = [word for option in (*OPTIONS, *options) for word in ("-o", f"generator.{option}")]
    return ["fit", "-g", f"{folder / 'plug.py'}:Mine", *FIT, *given]


def launch(words: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """The command in two processes. A process that waits for ever is a failure."""
    environment = {name: value for name, value in os.environ.items() if name not in ALONE}
    environment |= {"BENCH_HOME": str(home), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "accelerate.commands.launch", *LAUNCH, "-m", "bench", *words]
    return subprocess.run(command, env=environment, cwd=home.parent, capture_output=True, text=True, timeout=240)


def notes(folder: Path) -> Counter[str]:
    """What the processes noted since the last call."""
    found = Counter((folder / "log").read_text().splitlines())
    (folder / "log").write_text("")
    return found


def steps(rank: str, first: int, last: int) -> Counter[str]:
    return Counter(f"{rank} {step}" for step in range(first, last + 1))


def weights(home: Path) -> dict[str, torch.Tensor]:
    """The trained weights, first stage and denoiser, of the one entry of each kind."""
    found: dict[str, torch.Tensor] = {}
    for kind in ("first-stage", "weights"):
        entries = list((home / kind).iterdir())
        assert len(entries) == 1 and not entries[0].name.endswith(".part"), "one finished entry, and no work folder beside it"
        for file in entries[0].glob("*.safetensors"):
            found |= {f"{kind} {file.name} {name}": value for name, value in load_file(file).items()}
    return found


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Root mean square of the differences."""
    assert one.keys() == other.keys()
    squares = sum(float((one[name].double() - other[name].double()).square().sum()) for name in one)
    return float((squares / sum(value.numel() for value in one.values())) ** 0.5)


def test_two_processes_train_the_weights_of_one_and_go_on_where_a_lost_one_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process 1 is killed after step 5 of 9. From the checkpoint of step 3, two processes and one go on to equal weights."""
    monkeypatch.setattr(model, "TrainingConfig", model.TrainingConfig)  # which the plug-in changes
    (folder / "kill").touch()
    killed = launch(mine(folder), folder / "home")
    assert killed.returncode, "the loss of a process ends the command with an error"
    # process 0 notices it by itself, or the launcher ends it first
    assert "SIGKILL" in killed.stderr and re.search("bench: (another process of this|interrupted)", killed.stderr)
    assert steps("0", 1, 4) <= notes(folder) <= steps("0", 1, 6) + steps("1", 1, 5)
    (work,) = (folder / "home" / "weights").glob("*.part")
    assert [path.name for path in work.iterdir()] == ["step-00000003"]
    assert len(list((folder / "home" / "first-stage").iterdir())) == 1, "the first stage, trained before, is kept"

    (folder / "kill").unlink()
    shutil.copytree(folder / "home", folder / "other")
    done = launch([*mine(folder), "--out", str(folder / "delivered")], folder / "home")
    assert done.returncode == 0, done.stderr
    assert notes(folder) == steps("0", 4, 9) + steps("1", 4, 9), "both go on after the checkpoint"
    assert done.stdout.split() == [str(folder / "delivered" / "ldm-prompt.manifest.json")], "one process speaks"
    assert done.stderr.count("no weights for this training set yet") == 1

    for home, first in (("other", 4), ("alone", 1)):
        bench(*mine(folder), home=folder / home)
        assert notes(folder) == steps("-", first, 9)
    alone = weights(folder / "alone")
    for home in ("home", "other"):
        assert distance(weights(folder / home), alone) <= TOLERANCE


def test_a_plug_in_that_does_not_declare_it_is_trained_by_one_process_while_the_other_waits(folder: Path) -> None:
    done = launch(["fit", "-g", f"{folder / 'plug.py'}:Alone", *FIT], folder / "home")
    assert done.returncode == 0, done.stderr
    assert notes(folder) == Counter(["0 fit"])
    assert "alone trains on one device: process 0 does so, 1 others wait" in done.stderr
    (entry,) = (folder / "home" / "weights").iterdir()
    assert done.stdout.split() == [str(entry)]


def test_a_batch_that_cannot_be_split_is_refused_before_anything_is_trained(folder: Path) -> None:
    done = launch(mine(folder, "batch=7"), folder / "home")
    assert done.returncode
    assert "a batch of 7 cannot be split evenly over 2 processes" in done.stderr
    assert not (folder / "home" / "first-stage").exists() and not notes(folder)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "-g", "flat-colour", "-t", "cam16-seg", *SMALL],
        ["suite", "embedded"],
        ["export", "conditions", "-t", "cam16-seg", "--out", "x", *SMALL],
    ],
    ids=lambda words: words[0],
)
def test_other_commands_are_not_run_in_several_processes(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    done = bench(*words, home=tmp_path / "home")
    assert done.exit_code == 2 and "launch `bench fit`" in done.stderr and "process 3 of 4" in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("option", [["--workers", "2"], ["--scheduler", "tcp://127.0.0.1:1"]], ids=["workers", "scheduler"])
def test_processes_and_workers_are_not_both_asked_for(
    option: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    done = bench("fit", "-g", "ldm-prompt", "-t", "cam16-seg", *SMALL, *option, home=tmp_path / "home")
    assert done.exit_code == 2 and "launcher has started 4 processes" in done.stderr


def test_an_environment_that_contradicts_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("2", "x", None):
        monkeypatch.setenv("RANK", rank) if rank else monkeypatch.delenv("RANK")
        done = bench("fit", "-g", "ldm-prompt", "-t", "cam16-seg", *SMALL, home=tmp_path / "home")
        assert done.exit_code == 2 and "no place in a group" in done.stderr
