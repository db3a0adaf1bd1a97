"""`bench cache prune` beside a run takes nothing that the run uses, and what a run no longer uses it takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.jobs.store import EntryRef, Store
from bench.runtime import claims, process
from tests.bench.jobs.actions import diamond
from tests.small_run import WORDS, bench

ROOT = Path(__file__).parents[3]
PRUNES = """
import os, subprocess, sys
from pathlib import Path
import numpy as np
from bench.types import Card

class Prunes:
    card = Card("prunes", "1", "Prunes the store while it generates.", needs=("masks",))

    def fit(self, train, seed, progress, work):
        pass

    def save(self, folder):
        (folder / "weights").write_text("fitted")

    def load(self, folder):
        pass

    def generate(self, conditions, seeds):
        command = [sys.executable, "-m", "bench", "cache", "prune"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
        with Path(__file__).with_name("log").open("a") as log:
            log.write(f"{done.returncode} {done.stdout.strip()} {done.stderr.strip()}\\n")
        return np.full((len(conditions), conditions.size, conditions.size, 3), 99, np.uint8)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for number in range(4):
        made.write(ref(number), {}, lambda work: (work / "a").write_bytes(bytes(100)) and None)
    return made


def ref(number: int) -> EntryRef:
    return EntryRef("things", f"k{number}")


@pytest.fixture
def other() -> Iterator[int]:
    """Number of a process that lives."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as living:
        yield living.pid


def claim(store: Store, of_host: str, pid: int, *numbers: int) -> Path:
    file = store.root / ".in-use" / f"{of_host}.{pid}"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{ref(number)}\n" for number in numbers))
    return file


def test_what_a_living_process_uses_stays(store: Store, other: int) -> None:
    store.hold([ref(0)])
    claim(store, process.host(), other, 1)
    pruned = store.prune(0)
    assert {entry.ref for entry in pruned.in_use} == {ref(0), ref(1)} and len(pruned.removed) == 2
    store.release()
    assert [entry.ref for entry in store.prune(0).removed] == [ref(0)] and store.has(ref(1))


def test_claims_of_processes_that_have_ended_and_rubbish_hold_nothing(store: Store) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    claim(store, process.host(), ended.pid, 0)
    claim(store, "elsewhere", 1, 1)
    old = claim(store, "long-ago", 1, 2)
    os.utime(old, (time.time() - claims.ABANDONED_AFTER - 60,) * 2)
    (store.root / ".in-use" / "rubbish").mkdir()
    (store.root / ".in-use" / "elsewhere.2").write_bytes(b"\xff\xfe things/k3")
    os.mkfifo(store.root / ".in-use" / "elsewhere.3")
    pruned = store.prune(0)
    assert {entry.ref for entry in pruned.in_use} == {ref(1)} and len(pruned.removed) == 3
    assert {path.name for path in (store.root / ".in-use").iterdir()} == {"elsewhere.1", "elsewhere.2", "elsewhere.3"}


@pytest.mark.parametrize("what", ["file", "fifo", "link"])
def test_something_else_in_the_place_of_the_claims(what: str, store: Store) -> None:
    place = store.root / ".in-use"
    {"file": place.touch, "fifo": lambda: os.mkfifo(place), "link": lambda: place.symlink_to("nothing")}[what]()
    store.hold([ref(0)])
    assert len(store.prune(0).removed) == 3 and store.has(ref(0))
    store.release()


def test_a_store_that_cannot_be_written_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Store(tmp_path / "file").hold([ref(0)])


def test_everything_that_a_graph_may_read_is_held(tmp_path: Path) -> None:
    from bench.jobs.executors import Serial
    from bench.jobs.graph import with_needs
    from bench.jobs.progress import SilentReporter
    from bench.run import RunContext

    store, target = Store(tmp_path / "store"), diamond(tmp_path / "log")
    RunContext(store, lambda jobs: Serial(), SilentReporter(), print).execute([target])
    assert len(store.prune(0).in_use) == len(with_needs([target])) == 10
    store.release()
    assert len(store.prune(0).removed) == 10


def test_a_prune_during_generation_takes_what_the_run_does_not_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "plug.py").write_text(PRUNES)
    home = tmp_path / "home"
    old = EntryRef("generated", "0" * 20)
    Store(home).write(old, {}, lambda work: (work / "a").write_text("old") and None)
    words = ["run", "-g", f"{tmp_path / 'plug.py'}:Prunes", "--controls", "none", "--seeds", "0", *WORDS, "--json"]
    done = bench(*words, "--out", tmp_path / "out", home=home)
    assert done.exit_code == 0 and "damaged" not in done.stderr
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("0 removed 1 entries") and "that a running command uses" in line and not Store(home).has(old)
    assert not list((home / ".in-use").iterdir()), "the command has ended, and holds nothing"
    shutil.rmtree(home)
