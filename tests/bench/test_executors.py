"""Whole runs by every executor, through the command line: the same images and records, whatever dies on the way.

The plug-ins write a line for each job that they finish, and end their own process where a file asks them to.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.jobs.store import Store
from bench.provenance import manifest
from bench.results import schema
from bench.results.terms import Status
from tests import small_run
from tests.bench.jobs.actions import contents
from tests.command_run import bench

PLUGINS = '''
import os
import signal
from pathlib import Path

import numpy as np

from bench.histology.training_mixes import TRAINING_MIXES
from bench.types import Card, Tally

HERE = Path(__file__).parent


def finish(phase, what):
    """Notes that a job is done; where the file `kill-PHASE` lies here, the second job of the phase ends this process."""
    if f"{phase} " in (HERE / "log").read_text():
        try:
            (HERE / f"kill-{phase}").rename(HERE / f"killed-{phase}")
        except FileNotFoundError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    with (HERE / "log").open("a") as log:
        log.write(f"{phase} {what}\\n")


class Mine:
    card = Card("mine", "1", "Noise in the colours of a map.", needs=("masks",))

    def generate(self, conditions, seeds):
        draws = [np.random.default_rng(seed).integers(0, 60, (conditions.size, conditions.size, 3)) for seed in seeds]
        images = (np.stack(draws) + 90 * (1 + conditions.masks[..., None] % 2)).astype(np.uint8)
        finish("generate", seeds.tolist())
        return images


class Fails:
    card = Card("fails", "1", "A generator that fails.")

    def generate(self, conditions, seeds):
        raise RuntimeError("out of generate")


class Colours:
    card = Card("colours", "1", "Mean and deviation of each channel.")
    dim = 6

    def encode(self, images):
        pixels = images.reshape(len(images), -1, 3).astype(np.float64)
        found = np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)], axis=1).astype(np.float32)
        finish("encode", found.tobytes().hex()[:16])
        return found


class Broken:
    card = Card("broken", "1", "A metric that fails.")
    direction = "lower"

    def minimum_n(self, d):
        return 2

    def compare(self, real, fake, rng):
        raise RuntimeError("out of compare")


class Nearest:
    card = Card("nearest", "1", "Each pixel gets the class of the nearest mean colour.")
    direction = "higher"
    embedded = "phantom-cam16"
    readers = ("folder",)
    mixes = TRAINING_MIXES

    def score(self, mix, validation, test, seed, progress):
        images = np.concatenate([np.asarray(part.images) for part in mix]).astype(np.float64)
        masks = np.concatenate([np.asarray(part.conditions.masks) for part in mix])
        means = np.stack([images[masks == label].mean(axis=0) for label in range(2)])
        shown = np.asarray(test.images).astype(np.float64)
        chosen = np.argmin([((shown - mean) ** 2).sum(axis=-1) for mean in means], axis=0)
        right = (chosen == np.asarray(test.conditions.masks)).sum(axis=(1, 2))
        finish("score", f"{seed} {[len(part) for part in mix]} {means.round(3).tolist()}")
        return self.tally(np.stack([right, np.full_like(right, chosen[0].size)], axis=1).astype(float), ())

    def tally(self, counts, classes):
        return Tally(("right", "pixels"), counts, {"accuracy": lambda sums: sums["right"] / sums["pixels"]})

    def measures(self, classes):
        return ("accuracy",)
'''
EXPERIMENT = """
name = "half"
summary = "half of the real patches, and generated ones beside them"
pool = "train"
measures = ["accuracy"]
[[arm]]
name = "half"
real = 0.5
[[arm]]
name = "half and generated"
real = 0.5
synthetic = 0.5
[[comparison]]
arm = "half and generated"
against = "half"
claim = "superior"
"""
PHASES = ("generate", "encode", "score")


@dataclass(frozen=True)
class Made:
    """What the two runs of one executor gave."""

    folders: tuple[Path, Path]
    """Of the ordinary run, and of the experiment."""
    log: tuple[str, ...]
    """The jobs that plug-ins finished, sorted."""
    files: dict[str, bytes]
    """Every file of the store but the manifests of entries."""

    @property
    def records(self) -> list[str]:
        return [schema.to_json(replace(record, stamp={})) for folder in self.folders for record in read(folder)]

    @property
    def digests(self) -> list[bytes]:
        return [(folder / manifest.PATCHES).read_bytes() for folder in self.folders]


def read(folder: Path) -> list[schema.ResultRecord]:
    return list(schema.read([folder / "results.jsonl"]))


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "plugins.py").write_text(PLUGINS)
    (folder / "half.toml").write_text(EXPERIMENT)
    return folder / "plugins.py"


def make(plugins: Path, folder: Path, *words: str, kill: tuple[str, ...] = ()) -> Made:
    """Both runs with a store of their own, then the first once more, which has to find everything."""
    log, home = plugins.with_name("log"), folder / "home"
    log.write_text("")
    for phase in kill:
        plugins.with_name(f"kill-{phase}").touch()
    ordinary = ["--controls", f"{plugins}:Fails,noise", "-e", f"{plugins}:Colours", "-m", f"fd,{plugins}:Broken"]
    task = ["run", "-g", f"{plugins}:Mine", "-t", f"{plugins}:Nearest", *small_run.SMALL, "--out", str(folder / "out")]
    folders = []
    for which in (ordinary, ["--experiment", str(plugins.with_name("half.toml"))]):
        done = bench(*task, *which, *words, home=home)
        assert done.returncode == (4 if which is ordinary else 0), done.stderr
        folders.append(Path(done.stdout.splitlines()[-1]))
    for phase in kill:
        plugins.with_name(f"killed-{phase}").unlink()  # it was there: a process did end on the way
    made = Made((folders[0], folders[1]), tuple(sorted(log.read_text().splitlines())), contents(Store(home)))

    before = {path: path.stat().st_mtime_ns for path in home.rglob("entry.json")}
    again = bench(*task, *ordinary, *(words if "--scheduler" in words else ("--workers", "1")), home=home)
    assert again.returncode == 4 and tuple(sorted(log.read_text().splitlines())) == made.log
    assert {path: path.stat().st_mtime_ns for path in home.rglob("entry.json")} == before
    return made


@pytest.fixture(scope="module")
def serial(plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(plugins, tmp_path_factory.mktemp("serial"), "--workers", "1")


def assert_same(made: Made, serial: Made) -> None:
    assert made.digests == serial.digests and made.records == serial.records
    assert made.files.keys() == serial.files.keys()
    assert [name for name, held in serial.files.items() if made.files[name] != held] == []
    assert Counter(made.log) == Counter(serial.log)


def test_one_process_makes_every_planned_record_and_no_job_twice(serial: Made) -> None:
    assert set(Counter(serial.log).values()) == {1}
    assert {line.partition(" ")[0] for line in serial.log} == set(PHASES)
    status: dict[tuple[str, str], set[str]] = {}
    for record in read(serial.folders[0]):
        own = record.mix or record.measure
        status.setdefault((record.generator, own), set()).add(record.status)
        assert record.status == Status.OK or record.reason
    ok, error = {Status.OK}, {Status.ERROR}
    assert {key: found for key, found in status.items() if key[0] == "mine"} == {
        **{
            ("mine", name): ok for name in ("fd", "fd-lower-reference", "fd-normalised", "real", "synthetic", "real+synthetic")
        },
        ("mine", "broken"): error,
    }
    assert status["fails", "fd"] == status["fails", "fd-normalised"] == status["fails", "broken"] == error
    assert status["fails", "fd-lower-reference"] == status["noise", "fd"] == ok  # the first is of real patches alone
    assert {(r.measure, r.mix, r.status) for r in read(serial.folders[1])} == {
        ("accuracy", "half", "ok"),
        ("accuracy", "half and generated", "ok"),
        ("accuracy-difference", "half and generated - half", "ok"),
        ("headroom", "100 % real - 25 % real", "ok"),
    }


def test_two_processes_make_the_same(plugins: Path, serial: Made, tmp_path: Path) -> None:
    assert_same(make(plugins, tmp_path, "--workers", "2"), serial)


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_that_is_killed_changes_nothing(plugins: Path, serial: Made, tmp_path: Path, phase: str) -> None:
    assert_same(make(plugins, tmp_path, "--workers", "2", kill=(phase,)), serial)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A scheduler and two workers, started by hand from another folder and without our environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(elsewhere)}
    worker = ["worker", f"tcp://127.0.0.1:{port}", "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{name}", *options],
            cwd=elsewhere,
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for name, *options in (["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], worker, worker)
    ]
    yield f"tcp://127.0.0.1:{port}"
    ends = [process.poll() for process in processes]
    for process in processes:
        process.kill()
        process.wait()
    assert sorted(map(str, ends)) == ["-9", "None", "None"], "one worker was killed, and its job ran on the other"


def test_a_cluster_started_by_hand_makes_the_same(plugins: Path, serial: Made, tmp_path: Path, address: str) -> None:
    assert_same(make(plugins, tmp_path, "--scheduler", address, kill=("generate",)), serial)
