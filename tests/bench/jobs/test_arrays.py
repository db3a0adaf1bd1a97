"""Arrays of the store index as numpy does, load only what is asked for, and notice damage."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.jobs import arrays
from bench.jobs.arrays import ArrayWriter, StoredArray, concatenate, open_array, open_sharded, write_array
from bench.jobs.store import DamagedEntry, EntryRef, Store

ROWS = np.arange(23 * 4 * 3, dtype=np.float32).reshape(23, 4, 3)
REFS = [EntryRef("rows", "first"), EntryRef("rows", "empty"), EntryRef("rows", "second")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for ref, part in zip(REFS, (ROWS[:10], ROWS[10:10], ROWS[10:]), strict=True):
        store.write(ref, {}, lambda work, part=part: write_array(work, "x", part, rows_per_chunk=4))
    return store


@pytest.fixture
def stored(store: Store) -> StoredArray:
    return open_sharded(store, REFS, "x")


INDEXES: list[Any] = [
    0,
    -1,
    np.int64(11),
    slice(None),
    slice(3, 17),
    slice(20, 2, -3),
    slice(5, 5),
    [22, 0, 0, 11, -2],
    [],
    np.array([[1, 2], [21, 3]]),
    np.arange(23) % 3 == 0,
    (5, 1),
    (-3, slice(1, 3), 0),
    (slice(2, 12), 1),
    ([1, 12], [0, 2]),
    ([1, 12], slice(None), [0, 2]),
    (7, slice(None), [0, 2]),
    (np.arange(23) > 20, ..., 1),
    (..., 2),
    (slice(None), ..., np.array([True, False, True])),
]


@pytest.mark.parametrize("index", INDEXES, ids=str)
def test_indexing_is_numpys(stored: StoredArray, index: Any) -> None:
    expected, found = ROWS[index], stored[index]
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("index", [23, -24, [0, 23], np.ones(5, bool), 1.5, "x", None, True])
def test_a_wrong_index_is_an_index_error(stored: StoredArray, index: Any) -> None:
    with pytest.raises(IndexError):
        stored[index]


def test_it_looks_like_an_array(stored: StoredArray) -> None:
    assert (stored.shape, stored.ndim, stored.dtype, len(stored)) == ((23, 4, 3), 3, np.float32, 23)
    assert stored.nbytes == ROWS.nbytes and stored.size == ROWS.size
    np.testing.assert_array_equal(np.asarray(stored), ROWS)
    assert np.asarray(stored, dtype=np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.stack(list(stored)), ROWS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stored))[3:5], ROWS[3:5])
    stored[2][:] = 0  # a copy
    np.testing.assert_array_equal(stored[2], ROWS[2])


def test_views_and_rows_of_views_load_nothing_but_what_is_asked(stored: StoredArray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_CHUNKS", arrays._ChunkCache(2**20))
    decoded = []
    whole = arrays.ArrayPart._decode

    def decode(part: arrays.ArrayPart, number: int, name: str) -> Any:
        decoded.append(number)
        return whole(part, number, name)

    monkeypatch.setattr(arrays.ArrayPart, "_decode", decode)
    order = np.random.default_rng(0).permutation(23)
    view = concatenate([stored.take(order), stored, stored.take(slice(0, 23, 7))]).take(range(5, 48))
    expected = np.concatenate([ROWS[order], ROWS, ROWS[::7]])[5:48]
    assert decoded == [] and view.shape == expected.shape
    np.testing.assert_array_equal(view[0], expected[0])
    assert len(decoded) == 1
    np.testing.assert_array_equal(view[:], expected)
    for row in range(len(view)):
        np.testing.assert_array_equal(view[row], expected[row])
    assert len(decoded) == 3 + 4  # each chunk once
    with pytest.raises(IndexError):
        stored.take([23])


def test_the_cache_of_chunks_is_bounded() -> None:
    cache = arrays._ChunkCache(100)
    for number in range(5):
        cache.put((number,), np.zeros(40, np.uint8))
    cache.put(("big",), np.zeros(101, np.uint8))
    held = [number for number in (*range(5), "big") if cache.get((number,)) is not None]
    assert held == [3, 4]


@pytest.mark.parametrize(
    "array",
    [
        np.array(["", "a", "Ärzte", "slide-17"]),
        np.array([["a", "bc"], ["", "d"]]),
        np.array([], dtype="<U4"),
        np.array([True, False, True]),
        np.arange(5, dtype=np.int64),
        np.zeros((0, 4, 4), np.uint8),
        np.zeros((3, 0), np.float32),
        np.array([[np.nan, np.inf, -0.0]], np.float32),
        np.full((9, 2), 255, np.uint8),
        np.arange(6, dtype=np.float16),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_every_dtype_comes_back(tmp_path: Path, array: Any) -> None:
    store, ref = Store(tmp_path), EntryRef("any", "k")
    store.write(ref, {}, lambda work: write_array(work, "x", array, rows_per_chunk=2))
    found = open_array(store, ref, "x")
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found[:].tobytes() == array.tobytes()


def test_strings_of_two_widths_go_in_a_row(tmp_path: Path) -> None:
    store, refs = Store(tmp_path), [EntryRef("any", "a"), EntryRef("any", "b")]
    store.write(refs[0], {}, lambda work: write_array(work, "x", np.array(["a"]), 2))
    store.write(refs[1], {}, lambda work: write_array(work, "x", np.array(["abc", "d"]), 2))
    assert open_sharded(store, refs, "x")[:].tolist() == ["a", "abc", "d"]


def test_rows_arrive_in_any_portions(tmp_path: Path) -> None:
    store, ref = Store(tmp_path), EntryRef("any", "k")

    def make(work: Path) -> None:
        with ArrayWriter(work, "x", ROWS.shape, ROWS.dtype, 4) as writer:
            buffer = np.empty_like(ROWS)
            for first, stop in ((0, 1), (1, 1), (1, 12), (12, 16), (16, 23)):
                buffer[: stop - first] = ROWS[first:stop]
                writer.append(buffer[: stop - first])

    store.write(ref, {}, make)
    np.testing.assert_array_equal(open_array(store, ref, "x")[:], ROWS)


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    for number, rows in enumerate((ROWS[:2], ROWS[:4, :2], ROWS[:4].astype(np.float64), ROWS[:5])):
        with pytest.raises(ValueError, match="rows"):
            with ArrayWriter(tmp_path, f"x{number}", (4, 4, 3), np.float32, 2) as writer:
                writer.append(rows)
    with pytest.raises(ValueError, match="dtype"):
        write_array(tmp_path, "y", np.array([object()]), 2)


@pytest.mark.parametrize(
    "damage", ["flip", "truncate", "empty", "delete", "zeros", "other place", "other entry", "description"]
)
def test_a_damaged_chunk_is_damage_of_its_entry(store: Store, stored: StoredArray, damage: str) -> None:
    stored[:]  # what was decoded before does not hide the damage
    folder = store.path(REFS[2]) / "x"
    chunk = folder / "c" / "1" / "0" / "0"
    held = bytearray(chunk.read_bytes())
    if damage == "flip":
        held[len(held) // 2] ^= 1
        chunk.write_bytes(held)
    elif damage == "truncate":
        chunk.write_bytes(held[:-3])
    elif damage == "empty":
        chunk.write_bytes(b"")
    elif damage == "delete":
        chunk.unlink()
    elif damage == "zeros":
        chunk.write_bytes(b"\0" * len(held))
    elif damage == "other place":
        chunk.write_bytes((folder / "c" / "0" / "0" / "0").read_bytes())
    elif damage == "other entry":
        chunk.write_bytes((store.path(REFS[0]) / "x" / "c" / "1" / "0" / "0").read_bytes())
    else:
        (folder / "zarr.json").write_text((folder / "zarr.json").read_text().replace("float32", "float64"))
        with pytest.raises(DamagedEntry) as found:
            open_sharded(store, REFS, "x")
        assert found.value.ref == REFS[2]
        return
    np.testing.assert_array_equal(stored[:14], ROWS[:14])  # the other chunks are good
    with pytest.raises(DamagedEntry) as found:
        stored[14]
    assert found.value.ref == REFS[2]


def test_zeros_are_written_and_a_lost_chunk_of_zeros_is_damage(tmp_path: Path) -> None:
    store, ref = Store(tmp_path), EntryRef("any", "zeros")
    store.write(ref, {}, lambda work: write_array(work, "x", np.zeros((6, 2), np.uint8), 3))
    (store.path(ref) / "x" / "c" / "1" / "0").unlink()
    with pytest.raises(DamagedEntry):
        open_array(store, ref, "x")[:]


def test_an_array_that_the_entry_does_not_have_is_damage(store: Store) -> None:
    with pytest.raises(DamagedEntry, match="no file y/zarr.json"):
        open_array(store, REFS[0], "y")
    with pytest.raises(ValueError):
        concatenate([])
