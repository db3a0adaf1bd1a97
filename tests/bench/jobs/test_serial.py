"""`execute` in this process: what runs, what fails with it, what is made again."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.jobs.arrays import open_array
from bench.jobs.executors import Listener, Serial, Session, execute
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import Failed, Finished
from bench.jobs.progress import KindProgress, LineReporter, SilentReporter
from bench.jobs.store import EntryRef, Store
from tests.bench.jobs.actions import contents, diamond, draw, failing, rows_of, runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def run(store: Store, *targets: Job) -> dict[EntryRef, Finished | Failed]:
    return execute(targets, store, Serial(), SilentReporter())


def test_everything_runs_once_and_a_second_start_runs_nothing(store: Store, log: Path) -> None:
    target = diamond(log)
    assert run(store, target) == {target.ref: Finished(target.ref)}
    assert run(store, target) == {target.ref: Finished(target.ref)}
    assert set(runs(log).values()) == {1} and len(runs(log)) == 10
    shards = np.concatenate([rows_of(store, job) for job in target.needs[0].needs + target.needs[1].needs])
    np.testing.assert_allclose(rows_of(store, target)[0], shards.sum(axis=0), rtol=1e-5)


def test_those_that_many_wait_for_go_first(store: Store, log: Path) -> None:
    loner, wanted = draw("loner", 1, log), draw("wanted", 2, log)
    execute([loner, *(draw(f"{n}", n, log, (wanted,)) for n in range(3))], store, Serial(), SilentReporter())
    assert log.read_text().splitlines() == ["wanted", "loner", "0", "1", "2"]


@pytest.mark.parametrize("how, code", [("exit", "internal"), ("memory", "memory"), ("missing", "missing"), ("usage", "usage")])
def test_a_job_that_fails_takes_down_its_dependants_only(store: Store, log: Path, how: str, code: str) -> None:
    bad = failing(how)
    after = draw("after", 1, log, (bad,))
    later, good = draw("later", 2, log, (after, draw("other", 4, log))), draw("good", 3, log)
    outcomes = run(store, later, good, bad)
    assert outcomes[good.ref] == Finished(good.ref)
    for job in (bad, later):
        failed = outcomes[job.ref]
        assert isinstance(failed, Failed) and failed.ref == job.ref and failed.cause == bad.ref
        assert failed.error.code == code and "Raise" in failed.error.traceback or "__call__" in failed.error.traceback
    assert runs(log) == {"good": 1, "other": 1}
    assert list((store.root / "fail").iterdir()) == []


def test_a_keyboard_interrupt_of_a_job_is_a_failure_outside_the_main_thread(store: Store) -> None:
    outcomes: list[dict[EntryRef, Finished | Failed]] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(store, failing("interrupt"))))
    thread.start()
    thread.join()
    failed = next(iter(outcomes[0].values()))
    assert isinstance(failed, Failed) and failed.error.code == "internal"


def damage_chunk(folder: Path) -> None:
    chunk = folder / "rows" / "c" / "1" / "0"
    chunk.write_bytes(chunk.read_bytes()[::-1])


def damage_json(folder: Path) -> None:
    (folder / "about.json").write_text('{"seed": 1000}')


def delete_file(folder: Path) -> None:
    (folder / "about.json").unlink()


@pytest.mark.parametrize("damage", [damage_chunk, damage_json, delete_file])
def test_damage_is_found_and_made_again(store: Store, log: Path, damage: Callable[[Path], None]) -> None:
    target = diamond(log)
    run(store, target)
    before = contents(store)
    shard = target.needs[1].needs[0]
    damage(store.path(shard.ref))
    store.remove(target.ref)
    store.remove(target.needs[1].ref)
    extra = draw("extra", 50, log)
    outcomes = run(store, target, extra)
    assert outcomes[target.ref] == Finished(target.ref)
    store.remove(extra.ref)
    assert contents(store) == before
    assert runs(log) == {**dict.fromkeys(runs(log), 1), shard.label: 2, "right": 2, "all": 2}


@dataclass(frozen=True)
class Spoil:
    """Writes what its checksum does not fit, as a broken disk does."""

    source: EntryRef

    def __call__(self, work: Path, context: JobContext) -> None:
        damage_json(context.store.path(self.source))
        context.store.read_json(self.source, "about.json")


def test_an_entry_that_is_damaged_each_time_is_a_failure_in_the_end(store: Store, log: Path) -> None:
    source, lone = draw("source", 1, log), failing("usage")
    spoil = Job("spoil", {}, Spoil(source.ref), (source,))
    after = draw("after", 2, log, (spoil,))
    outcomes = run(store, after, lone)
    failed = outcomes[after.ref]
    assert isinstance(failed, Failed) and failed.cause == spoil.ref and failed.error.code == "damaged"
    assert str(source.ref) in failed.error.message and runs(log) == {"source": 3}
    assert isinstance(outcomes[lone.ref], Failed)


class Recorder(SilentReporter):
    def __init__(self) -> None:
        self.states: list[Sequence[KindProgress]] = []
        self.lines: list[str] = []
        self.parts: list[tuple[str, int, int, str]] = []
        self.is_closed = False

    def update(self, kinds: Sequence[KindProgress]) -> None:
        self.states.append(kinds)

    def log(self, text: str) -> None:
        self.lines.append(text)

    def job_progress(self, label: str, done: int, total: int, what: str) -> None:
        self.parts.append((label, done, total, what))

    def close(self) -> None:
        self.is_closed = True


def test_a_reporter_hears_of_everything(store: Store, log: Path) -> None:
    recorder = Recorder()
    bad = failing("usage")
    execute([diamond(log), draw("after", 1, log, (bad,))], store, Serial(), recorder)
    last = {kind.kind: kind for kind in recorder.states[-1]}
    assert (last["draw"].done, last["draw"].failed, last["draw"].total, last["draw"].running) == (8, 1, 8, 0)
    assert (last["total"].done, last["total"].total, last["fail"].failed) == (3, 3, 1)
    assert last["draw"].since is not None and last["draw"].remaining == 0
    assert recorder.states[0][0].done == 0 and recorder.states[0][0].remaining is None
    assert "drawing root" in recorder.lines and any("no such name" in line for line in recorder.lines)
    assert ("root", 1, 2, "rows") in recorder.parts and recorder.is_closed


def test_lines_come_now_and_then_and_the_last_state_always(store: Store, log: Path) -> None:
    stream = io.StringIO()
    execute([diamond(log)], store, Serial(), LineReporter(stream, interval=1000))
    lines = [line for line in stream.getvalue().splitlines() if "drawing" not in line]
    assert len(lines) == 2 and lines[-1].endswith("draw 7/7; total 3/3")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_finished_and_goes_on(store: Store, log: Path, number: signal.Signals) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from bench.jobs.executors import *; from bench.jobs.progress import *; from bench.jobs.store import *\n"
        "from tests.bench.jobs.actions import *\n"
        "jobs = [draw('quick', 1, Path(sys.argv[2])), draw('slow', 2, Path(sys.argv[2]), seconds=60)]\n"
        "try: execute(jobs, Store(Path(sys.argv[1])), Serial(), LineReporter())\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(store.root), str(log)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "drawing slow" in line:
            break
    os.kill(process.pid, number)
    assert process.wait(10) == 130
    process.stderr.close()
    assert runs(log) == {"quick": 1} and len(list((store.root / "draw").iterdir())) == 1
    slow = draw("slow", 2, log)
    run(store, draw("quick", 1, log), slow)
    assert runs(log) == {"quick": 1, "slow": 1} and open_array(store, slow.ref, "rows").shape == (20, 3)


class Elsewhere:
    """An executor whose workers write to a store that this process does not see."""

    def __init__(self) -> None:
        self._submitted: list[Job] = []

    @contextmanager
    def open(self, store: Store, listener: Listener) -> Iterator[Session]:
        yield self

    def has_room(self, job: Job) -> bool:
        return True

    def submit(self, job: Job) -> None:
        self._submitted.append(job)

    def wait(self) -> list[Finished | Failed]:
        submitted, self._submitted = self._submitted, []
        return [Finished(job.ref) for job in submitted]


def test_what_is_finished_but_not_in_the_store_is_a_failure(store: Store, log: Path) -> None:
    target = diamond(log)
    failed = execute([target], store, Elsewhere(), SilentReporter())[target.ref]
    assert isinstance(failed, Failed) and failed.error.code == "missing" and failed.cause.kind == "draw"
    assert "one and the same store folder" in failed.error.message
