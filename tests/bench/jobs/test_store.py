"""Entries appear whole or not at all, are read with their checksums, and survive rubbish beside them."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import RefusedError
from bench.jobs.store import DamagedEntry, EntryRef, Store, key_of

REF = EntryRef("things", "abc")


def fill(text: str) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        (work / "sub").mkdir()
        (work / "sub" / "a.json").write_text(text)

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def hidden(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "things").iterdir() if path.name != "abc")


def test_an_entry_is_written_once_and_read_back(store: Store) -> None:
    assert not store.has(REF)
    store.write(REF, {"x": 1}, fill("[1]"))
    store.write(REF, {"x": 1}, fill("[2]"))
    assert store.has(REF) and store.read_json(REF, "sub/a.json") == [1]
    assert store.read_bytes(REF, "sub/a.json") == store.file(REF, "sub/a.json").read_bytes() == b"[1]"
    assert store.names(REF) == ("sub/a.json",) and hidden(store) == []
    with pytest.raises(DamagedEntry, match=r"no file b\.json, only sub/a\.json"):
        store.read_bytes(REF, "b.json")


def test_a_make_that_fails_leaves_nothing(store: Store) -> None:
    def make(work: Path) -> None:
        fill("[1]")(work)
        raise RuntimeError("went wrong")

    with pytest.raises(RuntimeError):
        store.write(REF, {}, make)
    assert not store.has(REF) and hidden(store) == []


def test_who_comes_second_is_dropped(store: Store) -> None:
    def overtaken(work: Path) -> None:
        fill("[2]")(work)
        store.write(REF, {}, fill("[1]"))

    store.write(REF, {}, overtaken)
    assert store.read_json(REF, "sub/a.json") == [1] and hidden(store) == []


def test_a_folder_that_is_no_entry_is_replaced(store: Store) -> None:
    store.path(REF).mkdir(parents=True)
    (store.path(REF) / "entry.json").write_text("{}")
    assert not store.has(REF)
    store.write(REF, {}, fill("[1]"))
    assert store.read_json(REF, "sub/a.json") == [1] and hidden(store) == []


def test_a_resumable_make_finds_what_the_interrupted_one_left(store: Store) -> None:
    def interrupted(work: Path) -> None:
        (work / "step").write_text("7")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(REF, {}, interrupted, resumable=True)
    assert not store.has(REF)
    found = []

    def resumed(work: Path) -> None:
        found.append((work / "step").read_text())
        # a second process neither waits nor disturbs
        store.write(EntryRef("things", "abc"), {}, lambda other: found.append(str(list(other.iterdir()))), resumable=True)
        store.remove(REF)

    store.write(REF, {}, resumed, resumable=True)
    assert found == ["7", "[]"]
    assert store.read_bytes(REF, "step") == b"7" and hidden(store) == []


@pytest.mark.parametrize("damage", ["content", "deleted", "manifest", "no manifest", "gone"])
def test_damage_is_found_when_a_file_is_read(store: Store, damage: str) -> None:
    store.write(REF, {}, fill("[1]"))
    file, manifest = store.path(REF) / "sub" / "a.json", store.path(REF) / "entry.json"
    if damage == "content":
        file.write_text("[2]")
    elif damage == "deleted":
        file.unlink()
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:-5])
    elif damage == "no manifest":
        manifest.unlink()
    else:
        store.remove(REF)
    for read in (store.read_bytes, store.read_json, store.file):
        with pytest.raises(DamagedEntry) as found:
            read(REF, "sub/a.json")
        again = pickle.loads(pickle.dumps(found.value))
        assert again.ref == REF and str(again) == str(found.value) and "things/abc" in str(again)
    assert store.has(REF) == (damage in ("content", "deleted"))


def test_entries_and_prune_pass_over_rubbish_and_say_so(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        ref = EntryRef("things", f"k{number}")
        store.write(ref, {"number": number}, lambda work: (work / "a").write_bytes(bytes(1000)) and None)
    things = store.root / "things"
    (store.root / "file").write_text("x")
    (things / "file").write_text("x")
    (things / "link").symlink_to(tmp_path)
    (store.root / "kindlink").symlink_to(things)
    odd = {"empty": "", "list": "[]", "strings": '{"spec": 1, "files": {}, "bytes": "9", "made": "x"}', "binary": "\x00\xff"}
    for name, text in odd.items():
        (things / name).mkdir()
        (things / name / "entry.json").write_text(text, encoding="latin1")
    (things / "bare").mkdir()
    listing = store.entries()
    assert [entry.key for entry in listing.entries] == ["k0", "k1", "k2"]
    assert [entry.spec for entry in listing.entries] == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert all(entry.bytes == 1000 for entry in listing.entries)
    for name in ("/file:", "things/file:", "/link:", "/kindlink:", "/empty:", "/list:", "/strings:", "/binary:", "/bare:"):
        assert any(name in line for line in listing.skipped), name
    assert len(listing.skipped) == 9
    pruned = store.prune(1500)
    assert [entry.key for entry in pruned.removed] == ["k0", "k1"] and pruned.skipped == listing.skipped
    assert [entry.key for entry in store.entries().entries] == ["k2"] and (things / "bare").exists()
    assert Store(tmp_path / "absent").entries().entries == ()


def test_work_folders_of_killed_processes_are_removed_and_those_of_live_ones_stay(store: Store) -> None:
    code = (
        "import os, sys; from pathlib import Path; from bench.jobs.store import *\n"
        "Store(Path(sys.argv[1])).write(EntryRef('things', 'abc'), {}, lambda work: os.kill(os.getpid(), 9))"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root)])
    assert len(hidden(store)) == 1

    def make(work: Path) -> None:
        store.remove_abandoned()
        assert hidden(store) == [work.name]

    store.write(REF, {}, make)
    assert hidden(store) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_is_a_sentence(store: Store, number: int) -> None:
    def make(work: Path) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(RefusedError, match=r"cannot write to the store .*bench cache prune"):
        store.write(REF, {}, make)


def test_a_store_that_cannot_be_made_is_a_sentence_and_other_refusals_are_not_blamed_on_it(store: Store) -> None:
    def no_data(work: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/data/slide.tif")

    def no_store(work: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(work / "a"))

    with pytest.raises(PermissionError):
        store.write(REF, {}, no_data)
    with pytest.raises(RefusedError, match="cannot write to the store"):
        store.write(REF, {}, no_store)


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "", "x.part"])
def test_names_that_leave_the_store_are_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        store.write(EntryRef(name, "abc"), {}, fill("[1]"))


def test_keys_are_those_of_canonical_json() -> None:
    assert key_of({"b": 1, "a": [1.5, None]}) == key_of({"a": [1.5, None], "b": 1}) and len(key_of({})) == 20
    with pytest.raises(ValueError):
        key_of({"a": float("inf")})
