"""`execute` with worker processes: the same bytes as in one process, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.errors import MissingError, UsageError
from bench.jobs.dask_executor import Dask
from bench.jobs.executors import Serial, execute
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import Failed, Finished, Outcome
from bench.jobs.progress import SilentReporter
from bench.jobs.store import EntryRef, Store
from tests.bench.jobs.actions import contents, diamond, draw, dying, failing, looking, runs
from tests.bench.jobs.test_serial import Recorder, damage_chunk
from tests.processes import marked

ROOT = Path(__file__).parents[3]
LOCAL = Dask(workers=2, devices=())


def code_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed)
    return outcome.error.code


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def serial(tmp_path: Path) -> dict[str, bytes]:
    """What one process makes of the diamond."""
    store = Store(tmp_path / "serial")
    execute([diamond(tmp_path / "serial.log")], store, Serial(), SilentReporter())
    return contents(store)


def test_failures_and_deaths_of_workers_change_no_byte_and_stop_nothing_else(
    store: Store, serial: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    log, target = tmp_path / "log", diamond(tmp_path / "log", seconds=0.2)
    once, always = dying("once", 1, tmp_path, tmp_path / "once"), dying("always", 100, tmp_path, tmp_path / "never")
    after, look = draw("after", 9, log, (always,)), looking("one", tmp_path / "look", "cpu")
    bad = {how: failing(how) for how in ("exit", "memory", "missing", "interrupt")}
    recorder = Recorder()
    outcomes = execute([target, once, always, after, look, *bad.values()], store, LOCAL, recorder)

    assert outcomes[target.ref] == Finished(target.ref) and outcomes[once.ref] == Finished(once.ref)
    assert {how: code_of(outcomes[job.ref]) for how, job in bad.items()} == {
        "exit": "internal",
        "memory": "memory",
        "missing": "missing",
        "interrupt": "internal",  # raised by the job, not by a signal
    }
    killed = outcomes[after.ref]
    assert isinstance(killed, Failed) and killed.cause == always.ref and killed.error.code == "killed"
    assert code_of(outcomes[always.ref]) == "killed" and runs(tmp_path / "always.deaths") == {"died": 4}
    assert runs(log) == dict.fromkeys(runs(log), 1) and len(runs(log)) == 10  # a job that finished never ran again
    made = contents(store)
    assert {name: made[name] for name in serial} == serial
    assert not list((store.root / "fail").iterdir())

    assert "drawing shard 3" in recorder.lines and ("root", 1, 2, "rows") in recorder.parts
    assert [(kind.done, kind.running) for kind in recorder.states[-1]] == [(kind.total, 0) for kind in recorder.states[-1]]
    pid, *threads, _, malloc = store.read_bytes(look.ref, "seen.txt").decode().split()
    assert int(pid) != os.getpid() and threads == ["1", "1", "1"] and os.environ["OMP_NUM_THREADS"] == "7"
    assert malloc == "-"  # dask's own value makes training half as long again

    second = Recorder()
    assert execute([target, once], store, LOCAL, second)[target.ref] == Finished(target.ref)
    assert second.states == [] and set(runs(log).values()) == {1}


@dataclass(frozen=True)
class Unpicklable:
    what: Any

    def __call__(self, work: Path, context: JobContext) -> None:
        raise AssertionError("cannot travel")


def test_damage_is_mended_beside_a_second_driver_and_devices_are_taken_whole(
    store: Store, serial: dict[str, bytes], tmp_path: Path
) -> None:
    target = diamond(tmp_path / "log", seconds=0.1)
    execute(target.needs, store, Serial(), SilentReporter())
    damage_chunk(store.path(target.needs[0].needs[1].ref))
    for half in target.needs:
        store.remove(half.ref)
    looks = [looking(f"gpu {n}", tmp_path / "looks", "gpu", 0.3) for n in range(4)]
    plain, stuck = looking("cpu", tmp_path / "cpu", "cpu"), Job("stuck", {}, Unpicklable(threading.Lock()))
    other: list[dict[EntryRef, Outcome]] = []
    rival = threading.Thread(target=lambda: other.append(execute([target], store, Serial(), SilentReporter())))
    rival.start()
    outcomes = execute([target, stuck, plain, *looks], store, Dask(workers=1, devices=("5", "6")), SilentReporter())
    rival.join()
    assert code_of(outcomes.pop(stuck.ref)) == "internal"
    assert all(isinstance(outcome, Finished) for outcome in (*outcomes.values(), *other[0].values()))
    made = contents(store)
    assert {name: made[name] for name in serial} == serial
    seen = {job: store.read_bytes(job.ref, "seen.txt").decode().split(" ") for job in (plain, *looks)}
    assert seen[plain][4] == "" and {seen[job][4] for job in looks} == {"5", "6"}
    assert len({(seen[job][0], seen[job][4]) for job in looks}) == 2  # one process a device
    assert_one_at_a_time(tmp_path / "looks")


def assert_one_at_a_time(log: Path) -> None:
    """No process worked at two of the noted jobs at once."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for line in log.read_text().splitlines():
        pid, start, stop = line.split()
        spans.setdefault(pid, []).append((float(start), float(stop)))
    for ordered in map(sorted, spans.values()):
        assert all(before[1] <= after[0] for before, after in zip(ordered, ordered[1:], strict=False))


DRIVER = """
import sys
from pathlib import Path
from bench.jobs.dask_executor import Dask
from bench.jobs.executors import execute
from bench.jobs.progress import LineReporter
from bench.jobs.store import Store
from tests.bench.jobs.actions import draw

if __name__ == "__main__":
    log = Path(sys.argv[2])
    jobs = [draw("quick", 1, log), draw("slow", 2, log, seconds=60), draw("waiting", 3, log, seconds=60)]
    try:
        execute(jobs, Store(Path(sys.argv[1])), Dask(workers=2, devices=()), LineReporter())
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc, where processes are looked for")
def test_a_driver_that_ends_leaves_no_worker_and_what_is_finished(tmp_path: Path) -> None:
    mark, script = uuid.uuid4().hex, tmp_path / "driver.py"
    script.write_text(DRIVER)
    folders = {how: tmp_path / how for how in ("killed", "ctrl-c", "terminated")}
    drivers = {
        how: subprocess.Popen(
            [sys.executable, str(script), str(folder / "store"), str(folder / "log")],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": f"{mark}-{how}"},
            start_new_session=True,
        )
        for how, folder in folders.items()
        if not folder.mkdir()
    }
    for how, driver in drivers.items():
        assert driver.stderr is not None
        for line in driver.stderr:
            if "drawing waiting" in line:  # which takes the place of the quick one
                break
        assert runs(folders[how] / "log") == {"quick": 1} and len(marked(f"{mark}-{how}")) >= 3
    drivers["killed"].kill()
    os.killpg(drivers["ctrl-c"].pid, signal.SIGINT)  # as a terminal does
    drivers["terminated"].terminate()
    ends = {how: driver.wait(20) for how, driver in drivers.items()}
    assert ends == {"killed": -signal.SIGKILL, "ctrl-c": 130, "terminated": 130}
    stop = time.monotonic() + 10
    while marked(mark) and time.monotonic() < stop:
        time.sleep(0.1)
    assert marked(mark) == []
    for how, folder in folders.items():
        store, log = Store(folder / "store"), folder / "log"
        jobs = [draw("quick", 1, log), draw("slow", 2, log), draw("waiting", 3, log)]
        assert all(isinstance(end, Finished) for end in execute(jobs, store, Serial(), SilentReporter()).values())
        assert runs(log) == {"quick": 1, "slow": 1, "waiting": 1}
        assert len(list((store.root / "draw").iterdir())) == 3  # the work folders of the killed are gone
        stderr = drivers[how].stderr
        assert stderr is not None
        stderr.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a scheduler started by hand, and the processes: the scheduler, and two workers that offer a device each.
    They run elsewhere, with another environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "BENCH_HOME": "/nowhere", "HOME": str(elsewhere)}
    port = address.rsplit(":", 1)[1]
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    worker = ["worker", address, "--no-nanny", "--nthreads", "2", "--no-dashboard", "--resources", "gpu=1"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{name}", *options],
            cwd=elsewhere,
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for name, *options in (scheduler, worker, worker)
    ]
    yield address, processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_cluster_started_by_hand(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], store: Store, serial: dict[str, bytes], tmp_path: Path
) -> None:
    address, (scheduler, first, _) = cluster
    log, target = tmp_path / "log", diamond(tmp_path / "log", seconds=0.3)
    looks = [looking(f"gpu {n}", tmp_path / "looks", "gpu", 0.3) for n in range(8)]

    finished: list[str] = []

    def kill_a_worker() -> None:
        while len(runs(tmp_path / "looks")) < 3 or len(runs(log)) < 3:
            time.sleep(0.02)
        finished.extend(entry.spec["name"] for entry in store.entries().entries if entry.kind != "look")
        first.kill()

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    outcomes = execute([target, *looks], store, Dask(address=address), SilentReporter())
    killer.join()
    assert all(isinstance(outcome, Finished) for outcome in outcomes.values()) and first.wait(5)
    made = contents(store)
    assert {name: made[name] for name in serial} == serial
    # a job that was killed between its last line and its entry runs again; one whose entry was there does not
    assert finished and {runs(log)[name] for name in finished} == {1} and set(runs(log).values()) <= {1, 2}
    assert_one_at_a_time(tmp_path / "looks")

    threading.Timer(1.0, scheduler.kill).start()
    slow = draw("slow", 5, log, seconds=3)
    with pytest.raises(MissingError, match="connection to the dask scheduler was lost"):
        execute([slow], store, Dask(address=address), SilentReporter())


def test_a_job_beside_one_that_kills_its_worker_is_tried_once_more_alone(store: Store, tmp_path: Path) -> None:
    """Both run in one process of two threads, so that dask blames both for its death."""
    from dask import config
    from distributed import LocalCluster

    log, deaths = tmp_path / "log", tmp_path / "always.deaths"
    slow, always = draw("slow", 1, log, seconds=2), dying("always", 100, tmp_path, tmp_path / "never")
    recorder = Recorder()
    with config.set({"distributed.scheduler.allowed-failures": 0}):
        cluster = LocalCluster(n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=None, silence_logs=50)
        with cluster:
            outcomes = execute([slow, always], store, Dask(address=cluster.scheduler_address), recorder)
    assert outcomes[slow.ref] == Finished(slow.ref) and runs(log) == {"slow": 1}
    assert code_of(outcomes[always.ref]) == "killed" and runs(deaths) == {"died": 2}
    assert sum("tried once more, with no other job" in line for line in recorder.lines) == 2


def test_wrong_words_are_sentences(store: Store, tmp_path: Path) -> None:
    job = draw("one", 1, tmp_path / "log")
    with pytest.raises(UsageError, match="0 workers"):
        Dask(workers=0)
    with pytest.raises(MissingError, match="no dask scheduler answers at tcp://127.0.0.1:9"):
        execute([job], store, Dask(address="tcp://127.0.0.1:9", patience=1.0), SilentReporter())
    with pytest.raises(UsageError, match="no address of a dask scheduler"):
        execute([job], store, Dask(address="smoke://signal", patience=1.0), SilentReporter())


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc, where processes are looked for")
@pytest.mark.parametrize("seconds", [0, 0.2, 0.6, 1.5, 3])
def test_ctrl_c_ends_workers_without_a_traceback(seconds: float, tmp_path: Path) -> None:
    """While they start, and at work: a terminal sends the signal to all processes of a command."""
    mark, script = uuid.uuid4().hex, tmp_path / "driver.py"
    script.write_text(DRIVER)
    driver = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "store"), str(tmp_path / "log")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": mark},
        start_new_session=True,
    )
    stop = time.monotonic() + 60
    while len(marked(mark)) < 3 and time.monotonic() < stop:  # the driver, a process of Python's own, and a worker
        time.sleep(0.02)
    time.sleep(seconds)
    os.killpg(driver.pid, signal.SIGINT)
    _, errors = driver.communicate(timeout=30)
    assert driver.returncode == 130 and "Traceback" not in errors, errors
    stop = time.monotonic() + 10
    while marked(mark) and time.monotonic() < stop:
        time.sleep(0.1)
    assert marked(mark) == []


DIES = """
import os, sys
from pathlib import Path
if any("spawn_main" in word for word in sys.orig_argv):
    deaths = Path(os.environ["DEATHS_LOG"])
    if deaths.stat().st_size < int(os.environ["WORKERS_THAT_DIE"]):
        with deaths.open("ab") as log:
            log.write(b"x")
        os._exit(1)
"""
QUICK = """
import sys
from pathlib import Path
from bench.errors import BenchError
from bench.jobs.dask_executor import Dask
from bench.jobs.executors import execute
from bench.jobs.progress import LineReporter
from bench.jobs.store import Store
from tests.bench.jobs.actions import draw

if __name__ == "__main__":
    try:
        ended = execute([draw("quick", 1, Path("log"))], Store(Path("store")), Dask(workers=1, devices=()), LineReporter())
        print(*[type(end).__name__ for end in ended.values()])
    except BenchError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


@pytest.mark.parametrize(("dying", "code", "shown"), [(2, 0, "Finished"), (99, 3, "died 3 times while they started")])
def test_workers_that_die_while_they_start(dying: int, code: int, shown: str, tmp_path: Path) -> None:
    """As the kernel kills a process for memory: others are started, and then the run is refused."""
    (tmp_path / "sitecustomize.py").write_text(DIES)
    (tmp_path / "driver.py").write_text(QUICK)
    (tmp_path / "deaths").touch()
    given = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "DEATHS_LOG": "deaths", "WORKERS_THAT_DIE": str(dying)}
    words = [sys.executable, "driver.py"]
    done = subprocess.run(words, cwd=tmp_path, env={**os.environ, **given}, capture_output=True, text=True, timeout=120)
    assert done.returncode == code and shown in done.stdout + done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "deaths").stat().st_size == min(dying, 3)
