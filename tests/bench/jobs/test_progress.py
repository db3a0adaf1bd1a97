"""What is shown while jobs run: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.jobs.progress import KindProgress, LineReporter, Tally, duration, overall

CODE = """
import sys
from pathlib import Path
from bench.jobs.executors import Serial, execute
from bench.jobs.progress import default_reporter
from bench.jobs.store import Store
from tests.bench.jobs.actions import diamond, failing
folder = Path(sys.argv[1])
execute([diamond(folder / "log"), failing("usage")], Store(folder / "store"), Serial(), default_reporter())
"""


def test_bars_on_a_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path)], stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not read:
            break
        shown += read
    os.close(ours)
    assert process.stdout is not None and process.stdout.read() == b"" and process.wait() == 0
    process.stdout.close()
    for text in ("all", "11/11", "draw", "7/7", "total", "3/3", "1 failed", "drawing root", "no such name"):
        assert text in shown.decode(), text
    assert "━" in shown.decode()


def test_lines_elsewhere(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "" and "━" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("11 of 11 jobs; draw 7/7; total 3/3; fail 1/1, 1 failed")


def test_lines_are_rare_but_log_lines_are_not() -> None:
    stream = io.StringIO()
    reporter = LineReporter(stream, interval=1000)
    for done in range(10):
        reporter.update([KindProgress("train", done, 0, 1, 10, time.time(), 7300.0)])
        reporter.job_progress("a model", done, 10, "steps")
        reporter.log(f"line {done}")
    reporter.close()
    lines = [line[9:] for line in stream.getvalue().splitlines()]
    expected = ["train 0/10, 2 h 02 min left", *(f"line {done}" for done in range(10)), "train 9/10, 2 h 02 min left"]
    assert lines == expected


def test_a_kind_that_waits_for_others_does_not_become_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    tally = Tally(["measure"] * 10 + ["train"])
    tally.start("measure")
    now[0] += 2
    tally.end("measure", "a", is_failed=False, was_started=True)
    tally.start("train")
    now[0] += 600  # nothing is measured while something trains
    assert tally.state()[0].remaining == pytest.approx(2 * 9)
    tally.start("measure")
    now[0] += 4
    tally.end("measure", "b", is_failed=False, was_started=True)
    assert tally.state()[0].remaining == pytest.approx(3 * 8)


def test_all_kinds_together() -> None:
    known, unknown = KindProgress("train", 1, 0, 1, 2, 0.0, 60.0), KindProgress("measure", 0, 0, 0, 8, None, None)
    done = KindProgress("data", 4, 0, 0, 4, 0.0, 0.0)
    assert overall([known, unknown, done]) == "5 of 14 jobs, at least 60 s left"
    assert overall([known, done]) == "5 of 6 jobs, 60 s left"
    assert overall([unknown, done]) == "4 of 12 jobs"
    stream = io.StringIO()
    LineReporter(stream, interval=0).update([known, done])
    assert stream.getvalue()[9:] == "5 of 6 jobs, 60 s left; train 1/2, 60 s left; data 4/4\n"


def test_the_remaining_time_follows_from_what_is_done_jobs_and_parts_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    tally = Tally(["train", "encode", "encode", "encode", "encode"])
    assert [(kind.kind, kind.total, kind.since, kind.remaining) for kind in tally.state()] == [
        ("train", 1, None, None),
        ("encode", 4, None, None),
    ]
    tally.start("train")
    assert tally.state()[0].remaining is None
    now[0] += 30
    tally.part("train", "key", 0.25)
    assert tally.state()[0].remaining == pytest.approx(90)
    tally.end("train", "key", is_failed=False, was_started=True)
    tally.start("encode")
    tally.start("encode")
    now[0] += 10
    tally.end("encode", "a", is_failed=True, was_started=True)
    tally.end("encode", "b", is_failed=True, was_started=False)
    train, encode = tally.state()
    assert (train.done, train.running, train.remaining) == (1, 0, 0)
    assert (encode.done, encode.failed, encode.running, encode.since) == (2, 2, 1, 1030)
    assert encode.remaining == pytest.approx(10)


@pytest.mark.parametrize("seconds, text", [(0.2, "0 s"), (89, "89 s"), (600, "10 min"), (11_100, "3 h 05 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
