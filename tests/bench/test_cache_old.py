"""The cache: hits, damage, interruption, several processes, places that cannot be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import MissingError
from bench.jobs.store import key_of

SPEC = {"what": "numbers", "n": 3}


def write(text: str):
    def make(work: Path) -> None:
        (work / "data.txt").write_text(text)

    return make


def never(work: Path) -> None:
    raise AssertionError("made again although it was there")


def test_second_request_is_a_hit(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = cache.entry("kind", SPEC, write("one"))
    assert cache.entry("kind", SPEC, never) == first
    assert (first / "data.txt").read_text() == "one"


def test_key_ignores_order_and_sees_every_value() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert len({key_of({"a": 1}), key_of({"a": 2}), key_of({"a": "1"}), key_of({"b": 1})}) == 4


@pytest.mark.parametrize("damage", ["flip", "delete", "manifest"])
def test_damage_is_noticed_and_mended(tmp_path: Path, damage: str) -> None:
    cache = Cache(tmp_path)
    folder = cache.entry("kind", SPEC, write("whole"))
    if damage == "flip":
        (folder / "data.txt").write_text("whale")
    elif damage == "delete":
        (folder / "data.txt").unlink()
    else:
        (folder / "entry.json").write_text("{")
    assert not cache.has("kind", SPEC)
    assert (cache.entry("kind", SPEC, write("whole")) / "data.txt").read_text() == "whole"


def test_failed_make_leaves_its_work_and_no_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def breaks(work: Path) -> None:
        (work / "half.txt").write_text("half")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        cache.entry("kind", SPEC, breaks)
    assert not cache.has("kind", SPEC)

    def goes_on(work: Path) -> None:
        assert (work / "half.txt").read_text() == "half"

    cache.entry("kind", SPEC, goes_on)


_SLOW = """
import sys, time
from pathlib import Path
from bench.jobs.store import Store
def make(work):
    (work / "started").write_text("")
    time.sleep(float(sys.argv[2]))
    (work / "data.txt").write_text(sys.argv[3])
    with open(sys.argv[4], "a") as log: log.write("made\\n")
print((Cache(Path(sys.argv[1])).entry("kind", {"a": 1}, make) / "data.txt").read_text())
"""


def slow(root: Path, seconds: float, text: str, log: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _SLOW, str(root), str(seconds), text, str(log)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [slow(tmp_path / "cache", 0.5, text, log) for text in ("one", "two")]
    message = {process.communicate(timeout=60)[0].strip() for process in both}
    assert len(message) == 1
    assert log.read_text() == "made\n"


def test_killed_process_leaves_nothing_finished(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    process = slow(root, 60, "one", log)
    while not list(root.glob("kind/*.part/started")):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Cache(root).has("kind", {"a": 1})
    assert slow(root, 0, "two", log).communicate(timeout=60)[0].strip() == "two"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    def fills(work: Path) -> None:
        with Path("/dev/full").open("w") as full:
            full.write("x" * 100_000)

    with pytest.raises(MissingError, match="cannot write to the cache folder .*prune.*BENCH_HOME"):
        Cache(tmp_path).entry("kind", SPEC, fills)


@pytest.mark.parametrize("place", ["file/cache", "/proc/histobench"])
def test_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(MissingError, match="cannot write to the cache folder .*BENCH_HOME"):
        Cache(tmp_path / place).entry("kind", SPEC, write("one"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "kind").mkdir(mode=0o500)
    with pytest.raises(MissingError, match="Permission denied"):
        Cache(tmp_path).entry("kind", SPEC, write("one"))


def test_errors_of_other_files_are_not_called_cache_errors(tmp_path: Path) -> None:
    def opens(work: Path) -> None:
        (tmp_path / "absent").read_text()

    with pytest.raises(FileNotFoundError):
        Cache(tmp_path).entry("kind", SPEC, opens)


def test_list_and_prune_oldest_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for n in range(3):
        folder = cache.entry("kind", {"n": n}, write("x" * 1000))
        held = json.loads((folder / "entry.json").read_text())
        (folder / "entry.json").write_text(json.dumps({**held, "made": n}))
    assert [entry.spec["n"] for entry in cache.entries()] == [0, 1, 2]
    removed = cache.prune(keep_bytes=cache.entries()[0].bytes * 2)
    assert [entry.spec["n"] for entry in removed] == [0]
    assert [entry.spec["n"] for entry in cache.entries()] == [1, 2]
