"""Arrays of the store: zarr, in chunks of rows with a checksum each, read row by row or all at once without loading the rest.

A chunk holds whole rows. Its checksum is tested when it is decoded, and compared with that in `entry.json`: a chunk of another
place, array or entry is damage, as an absent one is, which is never taken for zeros. Strings are kept as their code points
(uint32), because zarr has no stable format for strings of fixed width.
"""

from __future__ import annotations

import json
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.jobs.entries import ARRAY_MANIFEST, CHECKSUM, chunk_checksum
from bench.jobs.store import DamagedEntry, EntryRef, Store
from bench.runtime.refusals import refusal_of

Rows = slice | NDArray[Any] | Sequence[int]
"""Which rows: a slice, row numbers in any order (negative ones count from the end), or a boolean for each row."""
_CACHE_BYTES = 32 * 2**20
_STRINGS = "strings"
"""Attribute of a zarr array that holds strings: their dtype, for example "<U12"."""


class ArrayWriter:
    """Writes an array of known shape as its rows arrive, one chunk in memory at a time.

        with ArrayWriter(work, "images", (n, 256, 256, 3), np.uint8, 64) as writer:
            writer.append(rows)

    ValueError for rows of another shape or dtype, and at the end where rows are missing or too many.
    """

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], dtype: DTypeLike, rows_per_chunk: int) -> None:
        if not shape or rows_per_chunk < 1:
            raise ValueError(f"an array needs at least one axis, and a chunk one row, not {shape} and {rows_per_chunk}")
        self.shape, self.dtype, self.rows_per_chunk = shape, np.dtype(dtype), rows_per_chunk
        if self.dtype.kind not in "biufcU":
            raise ValueError(f"the array {name} has the dtype {self.dtype}; only numbers, booleans and strings can be stored")
        if self.dtype.kind == "U":
            self.dtype = np.dtype(f"<U{max(1, self.dtype.itemsize // 4)}")
        self._zarr = _create(folder / name, shape, self.dtype, rows_per_chunk)
        self._waiting: list[NDArray[Any]] = []
        self._waiting_rows = self._written = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Adds (k, ...) rows."""
        is_string = self.dtype.kind == rows.dtype.kind == "U" and rows.dtype.itemsize <= self.dtype.itemsize
        if rows.shape[1:] != self.shape[1:] or not (rows.dtype == self.dtype or is_string):
            raise ValueError(f"rows of {rows.dtype} {rows.shape[1:]} for an array of {self.dtype} {self.shape[1:]}")
        self._waiting.append(np.array(rows, dtype=self.dtype))  # a copy: the caller may use its buffer again
        self._waiting_rows += len(rows)
        if self._waiting_rows >= self.rows_per_chunk:
            waiting = np.concatenate(self._waiting)
            full = len(waiting) // self.rows_per_chunk * self.rows_per_chunk
            self._write(waiting[:full])
            self._waiting, self._waiting_rows = [waiting[full:]], len(waiting) - full

    def close(self) -> None:
        """Writes the last chunk."""
        if self._waiting_rows:
            self._write(np.concatenate(self._waiting))
        self._waiting, self._waiting_rows = [], 0
        if self._written != self.shape[0]:
            raise ValueError(f"{self._written} rows were written to an array of {self.shape[0]}")

    def _write(self, rows: NDArray[Any]) -> None:
        stop = self._written + len(rows)
        if stop > self.shape[0]:
            raise ValueError(f"at least {stop} rows were written to an array of {self.shape[0]}")
        self._zarr[self._written : stop] = _encode(rows)
        self._written = stop

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()


def write_array(folder: Path, name: str, array: NDArray[Any], rows_per_chunk: int) -> None:
    """Writes a whole array (n, ...) as `folder/name`."""
    with ArrayWriter(folder, name, array.shape, array.dtype, rows_per_chunk) as writer:
        for first in range(0, len(array), rows_per_chunk):
            writer.append(array[first : first + rows_per_chunk])


@dataclass(frozen=True)
class ArrayPart:
    """One zarr array of one entry."""

    path: Path
    ref: EntryRef
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows_per_chunk: int
    checksums: str | None
    """Of its chunks, as the entry has them (`Store.chunk_checksums`)."""

    def load_chunk(self, number: int) -> NDArray[Any]:
        """Decoded rows of a chunk, read-only. DamagedEntry where its checksum does not fit or it is absent."""
        axes = len(self.shape) + (self.dtype.kind == "U")  # strings have an axis of code points
        name = "/".join(["c", str(number), *("0" for _ in range(1, axes))])
        try:
            status = (self.path / name).stat()
        except OSError as error:
            raise DamagedEntry(self.ref, f"the chunk {self.path.name}/{name} is missing") from error
        if not stat.S_ISREG(status.st_mode):
            raise DamagedEntry(self.ref, f"the chunk {self.path.name}/{name} is not a regular file")
        key = (str(self.path), number, status.st_ino, status.st_mtime_ns, status.st_size)
        held = _CHUNKS.get(key)
        if held is None:
            held = self._decode(number, name)
            held.flags.writeable = False
            _CHUNKS.put(key, held)
        return held

    def _decode(self, number: int, name: str) -> NDArray[Any]:
        import zarr

        first = number * self.rows_per_chunk
        self._check_place(number, name)
        try:
            rows = zarr.open_array(str(self.path), mode="r")[first : first + self.rows_per_chunk]
        except Exception as error:  # codecs may raise anything on damaged bytes
            if refusal_of(error):
                raise
            raise DamagedEntry(self.ref, f"the chunk {self.path.name}/{name} cannot be read ({error})") from error
        return np.asarray(rows) if self.dtype.kind != "U" else _decode_strings(np.asarray(rows), self.dtype)

    def _check_place(self, number: int, name: str) -> None:
        """DamagedEntry where the chunk is that of another place or array."""
        if self.checksums is None:
            return
        try:
            found = chunk_checksum(self.path / name)
        except OSError as error:
            if refusal_of(error):
                raise
            raise DamagedEntry(self.ref, f"the chunk {self.path.name}/{name} cannot be read ({error})") from error
        if found != self.checksums[number * CHECKSUM : (number + 1) * CHECKSUM]:
            raise DamagedEntry(self.ref, f"the chunk {self.path.name}/{name} is not the one that was written")


@dataclass(frozen=True, eq=False)
class StoredArray:
    """A read-only array (n, ...) over several zarr arrays, one after the other. Loads only the rows that are indexed.

    Picklable: it holds paths."""

    parts: tuple[ArrayPart, ...]
    dtype: np.dtype[Any]
    rows: NDArray[np.int64] | None = None
    """int64 (n,): the row of the concatenated parts for each row of this view; None for all rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.parts[0].shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.parts[0].shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return sum(part.shape[0] for part in self.parts) if self.rows is None else len(self.rows)

    def __iter__(self) -> Iterator[Any]:
        return (self[row] for row in range(len(self)))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array of the store cannot become a numpy array without a copy")
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, item: Any) -> Any:
        """As numpy indexes, always a copy. The first index is a row number, or `Rows`; further ones are numpy's."""
        first, rest = (item[0], item[1:]) if isinstance(item, tuple) and item else (item, ())
        if first is Ellipsis:
            return self._load(np.arange(len(self)))[item]
        if isinstance(first, int | np.integer) and not isinstance(first, bool | np.bool_):
            return self._load(self._numbers(np.asarray([first])))[(0, *rest)]
        numbers = self._numbers(first)
        loaded = self._load(numbers.ravel())
        if isinstance(first, slice):
            return loaded[(slice(None), *rest)] if rest else loaded
        # row numbers take part in numpy's joint indexing with what follows
        return loaded[(np.arange(numbers.size).reshape(numbers.shape), *rest)]

    def take(self, rows: Rows) -> StoredArray:
        """A view of some rows, in the given order; loads nothing."""
        numbers = self._numbers(rows)
        if numbers.ndim != 1:
            raise IndexError(f"a view needs one axis of row numbers, not {numbers.ndim}")
        return StoredArray(self.parts, self.dtype, numbers if self.rows is None else self.rows[numbers])

    def _numbers(self, rows: Any) -> NDArray[np.int64]:
        """Row numbers from 0 of this view."""
        n = len(self)
        if isinstance(rows, slice):
            return np.arange(*rows.indices(n), dtype=np.int64)
        numbers = np.asarray(rows)
        if numbers.size == 0 and numbers.dtype.kind == "f":  # an empty list
            return numbers.astype(np.int64)
        if numbers.dtype == bool:
            if numbers.shape != (n,):
                raise IndexError(f"a boolean index of shape {numbers.shape} for {n} rows")
            return np.flatnonzero(numbers).astype(np.int64)
        if numbers.dtype.kind not in "iu":
            raise IndexError(f"rows are chosen by a number, a slice, or an array of numbers or booleans, not by {rows!r}")
        numbers = numbers.astype(np.int64)
        outside = (numbers < -n) | (numbers >= n)
        if outside.any():
            raise IndexError(f"row {numbers[outside].flat[0]} of {n}")
        return np.where(numbers < 0, numbers + n, numbers)

    def _load(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """(k, ...) rows, each chunk decoded once."""
        numbers = numbers if self.rows is None else self.rows[numbers]
        loaded = np.empty((len(numbers), *self.parts[0].shape[1:]), dtype=self.dtype)
        if loaded.size == 0:
            return loaded
        starts = np.cumsum([0, *(part.shape[0] for part in self.parts)])
        part_of = np.searchsorted(starts, numbers, side="right") - 1
        for number in np.unique(part_of):
            part, places = self.parts[number], np.flatnonzero(part_of == number)
            local = numbers[places] - starts[number]
            order = np.argsort(local, kind="stable")
            places, local = places[order], local[order]
            chunk_of = local // part.rows_per_chunk
            edges = [0, *(np.flatnonzero(np.diff(chunk_of)) + 1), len(local)]
            for first, stop in zip(edges, edges[1:], strict=False):
                chunk = int(chunk_of[first])
                loaded[places[first:stop]] = part.load_chunk(chunk)[local[first:stop] - chunk * part.rows_per_chunk]
        return loaded


def concatenate(arrays: Sequence[StoredArray]) -> StoredArray:
    """One array after the other; loads nothing. ValueError where shapes or dtypes differ (strings may differ in width)."""
    if not arrays:
        raise ValueError("no arrays to concatenate")
    kinds = {(array.shape[1:], array.dtype.kind if array.dtype.kind == "U" else array.dtype) for array in arrays}
    if len(kinds) > 1:
        found = ", ".join(sorted({f"{array.dtype} {array.shape[1:]}" for array in arrays}))
        raise ValueError(f"arrays of several kinds cannot be concatenated: {found}")
    parts = tuple(part for array in arrays for part in array.parts)
    rows = None
    if any(array.rows is not None for array in arrays):
        starts = np.cumsum([0, *(sum(part.shape[0] for part in array.parts) for array in arrays)])
        pieces = [np.arange(len(array)) if array.rows is None else array.rows for array in arrays]
        rows = np.concatenate([piece + start for piece, start in zip(pieces, starts, strict=False)]).astype(np.int64)
    return StoredArray(parts, np.result_type(*(array.dtype for array in arrays)), rows)


def open_array(store: Store, ref: EntryRef, name: str) -> StoredArray:
    """The array `name` of an entry; loads nothing. DamagedEntry where the entry or the description of the array is damaged,
    or the entry has no such array."""
    described = json.loads(store.read_bytes(ref, f"{name}/{ARRAY_MANIFEST}"))
    shape, chunk = tuple(described["shape"]), described["chunk_grid"]["configuration"]["chunk_shape"]
    dtype = np.dtype(described["data_type"])
    if strings := described["attributes"].get(_STRINGS):
        dtype, shape = np.dtype(strings), shape[:-1]
    path = store.path(ref) / name
    part = ArrayPart(path, ref, shape, dtype, int(chunk[0]), store.chunk_checksums(ref, name))
    return StoredArray((part,), dtype)


def open_sharded(store: Store, refs: Sequence[EntryRef], name: str) -> StoredArray:
    """The array `name` of several entries, one after the other; raises as `open_array` and `concatenate`."""
    return concatenate([open_array(store, ref, name) for ref in refs])


def check_entry(store: Store, ref: EntryRef) -> None:
    """Reads all of an entry. Raises DamagedEntry where a file or a chunk is absent or differs from what was written."""
    store.folder(ref)
    for name in store.names(ref):
        array, _, file = name.rpartition("/")
        if file == ARRAY_MANIFEST:
            for part in open_array(store, ref, array).parts:
                for number in range(-(-part.shape[0] // part.rows_per_chunk)):
                    part.load_chunk(number)


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], rows_per_chunk: int) -> Any:
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    attributes: dict[str, Any] = {}
    if dtype.kind == "U":
        attributes[_STRINGS] = dtype.str
        shape, dtype = (*shape, dtype.itemsize // 4), np.dtype(np.uint32)
    return zarr.create_array(
        store=str(path),
        shape=shape,
        dtype=dtype,
        chunks=(rows_per_chunk, *(max(1, side) for side in shape[1:])),
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        attributes=attributes,
        # a chunk of zeros is written too, so that an absent one is known to be lost
        config={"write_empty_chunks": True},
    )


def _encode(rows: NDArray[Any]) -> NDArray[Any]:
    if rows.dtype.kind != "U":
        return rows
    return np.ascontiguousarray(rows).view(np.uint32).reshape(*rows.shape, rows.dtype.itemsize // 4)


def _decode_strings(points: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(points).view(dtype).reshape(points.shape[:-1])


class _ChunkCache:
    """The chunks that were decoded last, up to a number of bytes; safe with several threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._bytes, self._lock = most_bytes, 0, threading.Lock()
        self._chunks: OrderedDict[tuple[Any, ...], NDArray[Any]] = OrderedDict()

    def get(self, key: tuple[Any, ...]) -> NDArray[Any] | None:
        with self._lock:
            if key not in self._chunks:
                return None
            self._chunks.move_to_end(key)
            return self._chunks[key]

    def put(self, key: tuple[Any, ...], chunk: NDArray[Any]) -> None:
        if chunk.nbytes > self._most:
            return
        with self._lock:
            if key not in self._chunks:
                self._chunks[key] = chunk
                self._bytes += chunk.nbytes
            while self._bytes > self._most:
                self._bytes -= self._chunks.popitem(last=False)[1].nbytes


_CHUNKS = _ChunkCache(_CACHE_BYTES)
