"""What an entry of the store is: its name, its `entry.json`, and the error for one that is damaged."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DamagedError

MANIFEST = "entry.json"
ARRAY_MANIFEST = "zarr.json"


def key_of(spec: Any) -> str:
    """The first 20 hex digits of the sha256 of the spec as canonical JSON. TypeError or ValueError where it is not JSON."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True, order=True)
class EntryRef:
    """The name of an entry, whether it exists or not."""

    kind: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.key}"


class DamagedEntry(DamagedError):
    """An entry whose content differs from what was written, or that has disappeared."""

    def __init__(self, ref: EntryRef, what: str) -> None:
        super().__init__(ref, what)
        self.ref, self.what = ref, what

    def __str__(self) -> str:
        return f"the entry {self.ref} of the store is damaged: {self.what}"


@dataclass(frozen=True)
class Entry:
    """One finished entry, as `bench cache list` shows it."""

    kind: str
    key: str
    bytes: int
    made: float
    """Seconds since 1970."""
    spec: Any

    @property
    def ref(self) -> EntryRef:
        return EntryRef(self.kind, self.key)


@dataclass(frozen=True)
class Listing:
    entries: tuple[Entry, ...]
    """Oldest first."""
    skipped: tuple[str, ...]
    """Files and folders in the store that are no entries: path and reason of each."""


@dataclass(frozen=True)
class Pruned:
    removed: tuple[Entry, ...]
    skipped: tuple[str, ...]
    """Files and folders in the store that are no entries: path and reason of each. They are kept."""


def seal(work: Path, spec: Any) -> None:
    """Writes `entry.json`: checksums of all files but chunks of arrays, and the size of all."""
    (work / MANIFEST).unlink(missing_ok=True)  # left by an interruption at this point
    digests, size = {}, 0
    arrays = {path.parent for path in work.rglob(ARRAY_MANIFEST)}
    for path in sorted(work.rglob("*")):
        if not path.is_file():
            continue
        size += path.stat().st_size
        # the chunks carry checksums of their own; zarr.json says how to read them and carries none
        if path.name == ARRAY_MANIFEST or arrays.isdisjoint(path.parents):
            with path.open("rb") as file:
                digests[path.relative_to(work).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    text = json.dumps({"spec": spec, "files": digests, "bytes": size, "made": time.time()}, indent=1)
    with (work / MANIFEST).open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def parse(text: bytes) -> dict[str, Any]:
    """The value of an `entry.json`. ValueError where it is not one."""
    held = json.loads(text)
    if not isinstance(held, dict) or "spec" not in held:
        raise ValueError("not an object with a spec")
    files, size, made = held.get("files"), held.get("bytes"), held.get("made")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise ValueError("without checksums")
    if isinstance(size, bool) or not isinstance(size, int) or isinstance(made, bool) or not isinstance(made, int | float):
        raise ValueError("without size or time")
    return held


def read_entry(folder: Path) -> Entry:
    """OSError or ValueError where the folder is no entry."""
    if folder.is_symlink():
        raise ValueError("a link")
    held = parse((folder / MANIFEST).read_bytes())
    return Entry(folder.parent.name, folder.name, held["bytes"], held["made"], held["spec"])
