"""The fuzzed inputs of benchmarks/fuzz.py: some over all doors, the same in every run, and what counts as a failure."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import DamagedError
from benchmarks import reliability_page
from benchmarks.fuzzing import formats, guided, mutations, page, trials
from benchmarks.fuzzing.doors import DOORS, Door, WrongError

ROOT = Path(__file__).parents[1]
FEW = 120


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="limits of memory are set on Linux")
def test_no_door_fails_on_a_few_inputs(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks.fuzz", "--inputs", str(FEW), "--keep", str(tmp_path / "kept")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert all(f"| {name} | " in done.stdout for name in DOORS), done.stdout


def crash(folder: Path, rng: random.Random) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def wait(folder: Path, rng: random.Random) -> None:
    import time

    time.sleep(60)


def leave(code: int, text: str = "") -> Callable[[Path, random.Random], None]:
    def ask(folder: Path, rng: random.Random) -> None:
        print(text, file=sys.stderr)
        raise SystemExit(code)

    return ask


def fail(error: BaseException) -> Callable[[Path, random.Random], None]:
    def ask(folder: Path, rng: random.Random) -> None:
        raise error

    return ask


def hoard(folder: Path, rng: random.Random) -> None:
    bytearray(4 * trials.MEMORY)


ENDS: dict[str, Callable[[Path, random.Random], None]] = {
    "ok": lambda folder, rng: None,
    "refused": fail(DamagedError("a.json is damaged \x1b[31m")),  # printed as the program prints it
    "signal SIGTERM": crash,
    "hang": wait,
    "uncaught": fail(KeyError("files")),
    "code 1": leave(1, "no"),
    "silent": leave(3),
    "control": leave(0, "a name of \x1b[31mred"),
    "memory": hoard,
    "wrong": fail(WrongError("another number")),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_door_is_recognised(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpus/base").mkdir(parents=True)
    (tmp_path / "corpus/base/a.json").write_text('{"a": 1}')
    monkeypatch.setitem(DOORS, "door", Door("base", ("*.json",), ENDS[end]))
    monkeypatch.setattr(trials, "SECONDS", 1.0 if end == "hang" else 10.0)
    (found,) = trials.run([("door", 0)], 0, tmp_path / "corpus", tmp_path / "work", 1)
    assert found.end == end and found.is_failure == (end not in ("ok", "refused")), found.text
    assert found.changed == "a.json"


def test_a_door_that_does_not_read_the_valid_files_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpus/base").mkdir(parents=True)
    (tmp_path / "corpus/base/a.json").write_text('{"a": 1}')
    monkeypatch.setitem(DOORS, "door", Door("base", ("*.json",), leave(3, "no")))
    (found,) = trials.run([("door", trials.UNCHANGED)], 0, tmp_path / "corpus", tmp_path / "work", 1)
    assert found.end == "unread" and (found.folder / "a.json").read_text() == '{"a": 1}'


def test_inputs_are_the_same_in_every_run_and_mostly_differ_from_the_valid_file() -> None:
    valid = json.dumps({"a": [1, 2, {"b": "c"}], "checksum": "x"}).encode()
    made = [mutations.mutate("a.json", valid, valid, random.Random(i)) for i in range(200)]
    assert made == [mutations.mutate("a.json", valid, valid, random.Random(i)) for i in range(200)]
    assert sum(content != valid for content in made) > 180 and len(set(made)) > 150


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.toml", "a.csv", "a.png", "a.npy", "a.safetensors", "a.pt", "a.mat"])
def test_changes_of_values_take_any_bytes(name: str) -> None:
    rng = random.Random(0)
    for change in formats.changes_of(name):
        for content in (b"", b"\x00", b"{", b"a = 1", rng.randbytes(300), b"\x89PNG\r\n\x1a\n" + rng.randbytes(90)):
            assert isinstance(change(content, content, rng), bytes)


@pytest.mark.parametrize("door", guided.DOORS)
def test_the_guided_parsers_refuse_or_read(door: str, tmp_path: Path) -> None:
    assert not guided.read(door, b"\xff\xfe{", tmp_path)


def test_each_script_replaces_its_own_section_of_the_page(tmp_path: Path) -> None:
    file = tmp_path / "reliability.md"
    reliability_page.write("fuzz", "first", file)
    assert "Not measured yet: `python -m benchmarks.soak --write`" in file.read_text()
    reliability_page.write("soak", "trials", file)
    reliability_page.write("fuzz", "\n".join(page.rows({"a door": Counter(ok=2, refused=1, hang=1)})), file)
    text = file.read_text()
    assert "trials" in text and "first" not in text and "Not measured" not in text
    assert "| a door | 4 | 2 | 1 | 1 (1 hang) |" in text and text.count("<!-- end -->") == 2
