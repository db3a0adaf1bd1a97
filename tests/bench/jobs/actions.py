"""A cheap graph of numpy jobs, and actions that go wrong in every way we know. Workers import this module."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import MissingError, UsageError
from bench.jobs.arrays import open_array, open_sharded, write_array
from bench.jobs.graph import Job, JobContext, Resource
from bench.jobs.store import EntryRef, Store


def note(log: Path, text: str) -> None:
    """Appends a line, also with several processes."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def runs(log: Path) -> Counter[str]:
    """How often each job ran to its end."""
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


@dataclass(frozen=True)
class Draw:
    """Random rows from a seed."""

    name: str
    seed: int
    log: Path
    seconds: float = 0.0

    def __call__(self, work: Path, context: JobContext) -> None:
        rows = np.random.default_rng(self.seed).random((20, 3)).astype(np.float32)
        write_array(work, "rows", rows, rows_per_chunk=8)
        (work / "about.json").write_text(f'{{"seed": {self.seed}}}')
        context.log(f"drawing {self.name}")
        context.progress(1, 2, "rows")
        time.sleep(self.seconds)
        note(self.log, self.name)


@dataclass(frozen=True)
class Sum:
    """Sum over the rows of several entries."""

    name: str
    sources: tuple[EntryRef, ...]
    log: Path

    def __call__(self, work: Path, context: JobContext) -> None:
        rows = open_sharded(context.store, self.sources, "rows")
        for source in self.sources:
            context.store.read_json(source, "about.json")
        write_array(work, "rows", rows[:].sum(axis=0, keepdims=True), rows_per_chunk=8)
        (work / "about.json").write_text("{}")
        note(self.log, self.name)


@dataclass(frozen=True)
class Raise:
    how: str

    def __call__(self, work: Path, context: JobContext) -> None:
        (work / "half.bin").write_bytes(b"half")
        if self.how == "exit":
            raise SystemExit(3)
        if self.how == "memory":
            raise MemoryError
        if self.how == "missing":
            raise MissingError("no weights")
        if self.how == "usage":
            raise UsageError("no such name")
        if self.how == "interrupt" and threading.current_thread() is not threading.main_thread():
            raise KeyboardInterrupt
        raise RuntimeError("went wrong")


@dataclass(frozen=True)
class Die:
    """Kills its own process, the first `times` times."""

    name: str
    times: int
    folder: Path
    log: Path

    def __call__(self, work: Path, context: JobContext) -> None:
        deaths = self.folder / f"{self.name}.deaths"
        if sum(runs(deaths).values()) < self.times:
            (work / "half.bin").write_bytes(b"half")
            note(deaths, "died")
            os.kill(os.getpid(), signal.SIGKILL)
        Draw(self.name, 7, self.log)(work, context)


@dataclass(frozen=True)
class Environment:
    """Notes where it runs."""

    log: Path
    seconds: float = 0.0

    def __call__(self, work: Path, context: JobContext) -> None:
        names = (
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "CUDA_VISIBLE_DEVICES",
            "MALLOC_TRIM_THRESHOLD_",
        )
        held = [os.environ.get(name, "-") for name in names]
        started = time.time()
        time.sleep(self.seconds)
        (work / "seen.txt").write_text(" ".join([str(os.getpid()), *held]))
        note(self.log, f"{os.getpid()} {started} {time.time()}")


def draw(name: str, seed: int, log: Path, needs: tuple[Job, ...] = (), seconds: float = 0.0) -> Job:
    return Job("draw", {"name": name, "seed": seed}, Draw(name, seed, log, seconds), needs, label=name)


def total(name: str, sources: tuple[Job, ...], log: Path) -> Job:
    return Job("total", {"name": name}, Sum(name, tuple(job.ref for job in sources), log), sources, label=name)


def failing(how: str, needs: tuple[Job, ...] = ()) -> Job:
    return Job("fail", {"how": how}, Raise(how), needs, label=how)


def dying(name: str, times: int, folder: Path, log: Path) -> Job:
    return Job("die", {"name": name}, Die(name, times, folder, log), label=name)


def looking(name: str, log: Path, resource: Resource, seconds: float = 0.0) -> Job:
    return Job("look", {"name": name}, Environment(log, seconds), resource=resource)


def diamond(log: Path, shards: int = 6, seconds: float = 0.0) -> Job:
    """One job, several that need it, two sums over them, and a sum over these."""
    root = draw("root", 0, log)
    middle = tuple(draw(f"shard {number}", number, log, (root,), seconds) for number in range(shards))
    halves = (total("left", middle[::2], log), total("right", middle[1::2], log))
    return total("all", halves, log)


def contents(store: Store) -> dict[str, bytes]:
    """Every byte of every finished entry, but the times in entry.json."""
    found = {}
    for entry in store.entries().entries:
        folder = store.path(entry.ref)
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "entry.json":
                found[f"{entry.ref}/{path.relative_to(folder)}"] = path.read_bytes()
    return found


def rows_of(store: Store, job: Job) -> np.ndarray:
    return np.asarray(open_array(store, job.ref, "rows"))
