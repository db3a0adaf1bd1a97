"""Unusual environments: no home, an empty or relative BENCH_HOME, ASCII or closed streams, signals of job managers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from bench.errors import MissingError
from bench.jobs.store import default_root
from tests.processes import marked
from tests.small_run import SMALL, WORDS

ROOT = Path(__file__).parents[3]
RUN = ["run", "-g", "blur", "--controls", "none", "--seeds", "0", *WORDS]
PROGRAM = [sys.executable, "-m", "bench"]


def environment(home: Path | None, **more: str) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name not in ("BENCH_HOME", "BENCH_DATA")}
    return {**found, "PYTHONPATH": str(ROOT), **({"BENCH_HOME": str(home)} if home else {}), **more}


def shell(words: list[str], redirect: str, cwd: Path, given: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    line = f'"$@" {redirect}'
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", *PROGRAM, *words], cwd=cwd, env=given, capture_output=True, timeout=120
    )


def test_an_empty_bench_home_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "  "):
        monkeypatch.setenv("BENCH_HOME", value)
        assert default_root() == tmp_path / ".cache" / "histobench"
    monkeypatch.delenv("BENCH_HOME")
    assert default_root() == tmp_path / ".cache" / "histobench"


def test_a_relative_bench_home_is_below_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_HOME", "cache")
    assert default_root() == tmp_path / "cache"


def test_without_a_home_folder_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("BENCH_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(MissingError, match="Set BENCH_HOME"):
        default_root()


NOBODY = """
import os, pwd, sys

def nobody(uid):
    raise KeyError(uid)

pwd.getpwuid = nobody
os.environ.pop("HOME", None)
sys.argv[0] = "bench"
from bench.cli import main
main()
"""


def test_a_run_of_a_user_that_nobody_knows(tmp_path: Path) -> None:
    """As of `docker run --user 54321`: no HOME, and no entry in passwd."""
    for home, code in ((tmp_path / "home", 0), (None, 3)):
        words = [sys.executable, "-c", NOBODY, *RUN, "--out", str(tmp_path / "out")]
        done = subprocess.run(words, env=environment(home), capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    assert "Set BENCH_HOME" in done.stderr


def test_ascii_streams_and_locale(tmp_path: Path) -> None:
    given = environment(tmp_path / "home", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    done = shell([*RUN, "--out", "out"], "", tmp_path, given)
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "out").glob("*/table.txt")
    assert "↓" in table.read_text(encoding="utf-8") and (done.stdout + done.stderr).isascii()


@pytest.mark.parametrize("redirect", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams(redirect: str, tmp_path: Path) -> None:
    done = shell([*RUN, "--json", "--out", "out"], redirect, tmp_path, environment(tmp_path / "home"))
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert len(list((tmp_path / "out").glob("*/manifest.json"))) == 1
    if redirect == "2>&-":
        (file,) = (tmp_path / "out").glob("*/results.jsonl")
        assert done.stdout == file.read_bytes(), "data alone are on stdout"


EOF = """
import sys
from bench.cli import group, main
import click

@group.command("ends")
def ends():
    raise EOFError("no data left")

group.list_commands = lambda ctx: ["ends"]
group.get_command = lambda ctx, name: ends
sys.argv = ["bench", "ends"]
main()
"""


def test_the_end_of_a_file_is_no_interruption(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", EOF], env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 1 and "EOFError: no data left" in done.stderr and "interrupted" not in done.stderr


LOST = """
import os, signal, sys
from bench.cli import main
from bench.jobs import executors

class Loses:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)  # an exception that is raised in a finalizer is printed and lost

run = executors._SerialSession.submit
def submit(session, job):
    Loses()
    run(session, job)

executors._SerialSession.submit = submit
sys.argv = ["bench", *sys.argv[1:]]
main()
"""


def test_an_interruption_that_python_loses_still_ends_the_run(tmp_path: Path) -> None:
    words = [sys.executable, "-c", LOST, *RUN, "--workers", "1", "--out", "out"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(tmp_path / "home"), capture_output=True, text=True)
    assert done.returncode == 130 and "Exception ignored" in done.stderr, done.stderr
    assert not list((tmp_path / "out").rglob("results.jsonl"))


def start(words: list[str], given: dict[str, str], cwd: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*PROGRAM, *words], env=given, cwd=cwd, stdout=pipe, stderr=pipe, text=True)


SLOW = """
import os, time
from pathlib import Path
import numpy as np
from bench.types import Card

class Slow:
    card = Card("slow", "1", "Takes its time.")

    def generate(self, conditions, seeds):
        with Path(__file__).with_name("log").open("a") as log:
            log.write(f"{os.getpid()}\\n")
        time.sleep(float(os.environ.get("SECONDS", "0")))
        return np.full((len(conditions), conditions.size, conditions.size, 3), 99, np.uint8)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc, where processes are looked for")
@pytest.mark.parametrize("when", ["starting", "generating"])
def test_sigterm_to_the_command_leaves_no_process(when: str, tmp_path: Path) -> None:
    (tmp_path / "plug.py").write_text(SLOW)
    mark, log = uuid.uuid4().hex, tmp_path / "log"
    words = ["run", "-g", f"{tmp_path / 'plug.py'}:Slow", "-t", "cam16-seg", "--no-downstream", "-e", "stain", "-m", "fd"]
    words += ["--controls", "none", "--seeds", "0", *SMALL, "--workers", "2", "--out", str(tmp_path / "out")]
    given = environment(tmp_path / "home", MARK=mark, SECONDS="120")
    process = start(words, given, tmp_path)
    stop = time.monotonic() + 100
    while time.monotonic() < stop and not (log.exists() if when == "generating" else len(marked(mark)) >= 3):
        time.sleep(0.05)
    if when == "generating":
        os.kill(int(log.read_text().split()[0]), signal.SIGSTOP)  # also a worker that does not answer is ended
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in stderr and "Traceback" not in stderr, stderr
    stop = time.monotonic() + 15
    while marked(mark) and time.monotonic() < stop:
        time.sleep(0.1)
    assert marked(mark) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc, where processes are looked for")
def test_a_killed_worker_costs_no_number(tmp_path: Path) -> None:
    """SIGKILL, as the kernel sends it where memory is short: the job runs again on another worker."""
    (tmp_path / "plug.py").write_text(SLOW)
    log = tmp_path / "log"
    words = ["run", "-g", f"{tmp_path / 'plug.py'}:Slow", "-t", "cam16-seg", "--no-downstream", "-e", "stain", "-m", "fd"]
    words += ["--controls", "none", "--seeds", "0", *SMALL, "--workers", "2", "--json", "--out", str(tmp_path / "out")]
    given = environment(tmp_path / "home", SECONDS="3")
    process = start(words, given, tmp_path)
    while not log.exists() or not log.read_text().strip():
        time.sleep(0.05)
    os.kill(int(log.read_text().split()[0]), signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0 and stdout and "error" not in stdout and "Traceback" not in stderr, stderr
    assert len(set(log.read_text().split())) == 2


PRINTS = """
import sys
import numpy as np
from bench.types import Card
class Prints:
    card = Card("prints", "1", "A test.")
    def generate(self, conditions, seeds):
        print("of a plug-in " * 2000, flush=True)
        print("of a plug-in", file=sys.stderr, flush=True)
        return np.stack([np.full((conditions.size, conditions.size, 3), seed % 251, np.uint8) for seed in seeds])
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_progress_that_cannot_be_written_costs_no_run(tmp_path: Path, workers: str) -> None:
    (tmp_path / "mine.py").write_text(PRINTS)
    words = ["run", "-g", "mine.py:Prints", *RUN[3:], "--workers", workers]
    full = shell([*words, "--out", "full"], "2>/dev/full", tmp_path, environment(tmp_path / "a"))
    heard = shell([*words, "--out", "heard"], "", tmp_path, environment(tmp_path / "b"))
    assert (full.returncode, heard.returncode) == (0, 0), heard.stderr.decode()
    assert full.stdout.splitlines()[-1].startswith(b"full") and not full.stderr
    assert b"of a plug-in" in heard.stderr

    def records(folder: str) -> list[object]:
        (path,) = (tmp_path / folder).rglob("results.jsonl")
        return [(held["measure"], held["value"]) for held in map(json.loads, path.read_text().splitlines())]

    assert records("full") == records("heard") and records("full")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_error_that_cannot_be_written_keeps_its_exit_code(tmp_path: Path) -> None:
    done = shell(["run", "-g", "nothing", "-t", "cam16-seg"], "2>/dev/full", tmp_path, environment(tmp_path / "a"))
    assert done.returncode == 2


def test_an_interruption_while_the_command_is_imported() -> None:
    code = """
import importlib.abc, sys

class Interrupted(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "bench.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from bench.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130 and not done.stderr
