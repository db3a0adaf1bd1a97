"""Sets of patches in the store: written once by a job, read by row wherever they are needed.

A reference (`SetRef`, `GeneratedRef`) is what a job sends to a worker. It names entries of the store. `load` gives arrays that
read their rows when they are indexed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.jobs.arrays import StoredArray, open_array, open_sharded, write_array
from bench.jobs.store import EntryRef, Store
from bench.types import Conditions, ImageSet, Prompts, Strings

_FIXED = ("classes", "size", "mpp")
_PROMPT_ARRAYS = ("canvases", "boxes", "sources")
_CHUNK_BYTES = 2**20
"""Bytes of a chunk before compression: reading one row decodes one chunk."""
_IN_MEMORY = ("origins", "corners", "clusters")
_ALWAYS = frozenset({"clusters"})
"""Columns that no selection of columns hides: they say what intervals range over, and nothing of what a patch shows."""


class PatchesRef(Protocol):
    """Names a set of patches in the store."""

    @property
    def key(self) -> str:
        """Names the content, for keys of what is made from it."""
        ...

    def load(self, store: Store) -> ImageSet:
        """The set; arrays load their rows when indexed. DamagedEntry where the entry is not what was written."""
        ...

    def units(self, store: Store) -> Strings:
        """str (n,): the sampling unit of each image in intervals."""
        ...


@dataclass(frozen=True)
class SetRef:
    """A set that is one entry, or some rows of it."""

    entry: EntryRef
    key: str
    rows: tuple[int, ...] | None = None
    """None for all."""
    columns: tuple[str, ...] | None = None
    """Optional condition columns that are kept; None for all."""

    def load(self, store: Store) -> ImageSet:
        patches = load_set(store, self.entry)
        if self.columns is not None:
            patches = keep_columns(patches, set(self.columns))
        return patches if self.rows is None else select(patches, np.asarray(self.rows, dtype=np.int64))

    def units(self, store: Store) -> Strings:
        """str (n,): `Conditions.units`."""
        return self.load(store).conditions.units


@dataclass(frozen=True)
class GeneratedRef:
    """Generated patches: one entry for each shard, with the conditions that they were generated for."""

    key: str
    shards: tuple[EntryRef, ...]
    conditions: SetRef
    shows_real: bool = False
    """Whether the images are real patches: each shard then has the `units` that its images show."""

    def load(self, store: Store) -> ImageSet:
        return ImageSet(self.key, open_sharded(store, self.shards, "images"), self.conditions.load(store).conditions)  # type: ignore[arg-type]

    def units(self, store: Store) -> Strings:
        """str (n,): those that the images show where they are real patches, else those of the conditions."""
        return np.asarray(open_sharded(store, self.shards, "units")) if self.shows_real else self.conditions.units(store)


def save_set(patches: ImageSet, folder: Path) -> None:
    """Writes images, every column that is present, and `set.json`."""
    conditions = patches.conditions
    arrays: dict[str, Any] = {"images": patches.images}
    arrays |= {name: getattr(conditions, name) for name in ("ids", "groups", *sorted(conditions.columns() - {"prompts"}))}
    described: dict[str, Any] = {"key": patches.key, **{name: getattr(conditions, name) for name in _FIXED}}
    described["columns"] = sorted(conditions.columns() - {"prompts"})
    if conditions.prompts is not None:
        described["prompt_source"] = conditions.prompts.prompt_source
        arrays |= {f"prompts-{name}": getattr(conditions.prompts, name) for name in _PROMPT_ARRAYS}
    for name, values in arrays.items():
        write_array(folder, name, values, rows_per_chunk(values))
    (folder / "set.json").write_text(json.dumps(described), encoding="utf-8")


def load_set(store: Store, ref: EntryRef) -> ImageSet:
    """Reads what `save_set` wrote. `origins` and `corners` are read into memory, all other arrays when they are indexed."""
    described = store.read_json(ref, "set.json")

    def column(name: str) -> Any:
        return open_array(store, ref, name)

    prompts = None
    if "prompt_source" in described:
        prompts = Prompts(described["prompt_source"], *(column(f"prompts-{name}") for name in _PROMPT_ARRAYS))
    conditions = Conditions(
        ids=np.asarray(column("ids")),
        groups=np.asarray(column("groups")),
        **{name: np.asarray(column(name)) if name in _IN_MEMORY else column(name) for name in described["columns"]},
        classes=tuple(described["classes"]),
        size=described["size"],
        mpp=described["mpp"],
        prompts=prompts,
    )
    return ImageSet(described["key"], column("images"), conditions)


def select(patches: ImageSet, rows: NDArray[np.int64]) -> ImageSet:
    """The chosen rows, with the key that indexing the set gives; arrays of the store are not read."""
    key = ImageSet.part_key_of(patches.key, rows)
    conditions = patches.conditions
    taken: dict[str, Any] = {name: _take(getattr(conditions, name), rows) for name in ("ids", "groups")}
    for name in conditions.columns() - {"prompts"}:
        taken[name] = _take(getattr(conditions, name), rows)
    if conditions.prompts is not None:
        arrays = (_take(getattr(conditions.prompts, name), rows) for name in _PROMPT_ARRAYS)
        taken["prompts"] = Prompts(conditions.prompts.prompt_source, *arrays)
    return ImageSet(key, _take(patches.images, rows), replace(conditions, **taken))


def keep_columns(patches: ImageSet, columns: set[str]) -> ImageSet:
    """The set with only these optional columns, and those that are always kept."""
    hidden = {column: None for column in patches.conditions.columns() - columns - _ALWAYS}
    return replace(patches, conditions=replace(patches.conditions, **hidden))  # type: ignore[arg-type]


def load_into_memory(patches: ImageSet) -> ImageSet:
    """The set with every array in memory."""
    conditions = patches.conditions
    loaded: dict[str, Any] = {name: np.asarray(getattr(conditions, name)) for name in conditions.columns() - {"prompts"}}
    if conditions.prompts is not None:
        arrays = (np.asarray(getattr(conditions.prompts, name)) for name in _PROMPT_ARRAYS)
        loaded["prompts"] = Prompts(conditions.prompts.prompt_source, *arrays)
    return ImageSet(patches.key, np.asarray(patches.images), replace(conditions, **loaded))


def rows_per_chunk(values: Any) -> int:
    """Rows that together take about `_CHUNK_BYTES`."""
    row = max(1, int(np.prod(values.shape[1:], dtype=np.int64)) * np.dtype(values.dtype).itemsize)
    return int(min(max(1, _CHUNK_BYTES // row), max(1, len(values))))


def _take(values: Any, rows: NDArray[np.int64]) -> Any:
    return values.take(rows) if isinstance(values, StoredArray) else values[rows]
