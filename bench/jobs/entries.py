"""What an entry of the store is: its name, its `entry.json`, and the error for one that is damaged."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DamagedError
from bench.files.paths import digest_regular, open_regular, read_regular
from bench.runtime.process import threads

MANIFEST = "entry.json"
ARRAY_MANIFEST = "zarr.json"
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What kinds and keys are: names that lead nowhere else and can be printed."""
CHECKSUM = 8
"""Hex digits of the checksum of a chunk."""
_CHUNK = re.compile(r"c/(\d+)(/0)*$")  # chunks hold whole rows
_LATEST = 2**40
"""Seconds since 1970 that no entry is made after: damage. Far dates cannot be shown."""


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
    in_use: tuple[Entry, ...]
    """Would have been removed, but a running command uses them."""
    skipped: tuple[str, ...]
    """Files and folders in the store that are no entries: path and reason of each. They are kept."""


def seal(work: Path, spec: Any, seconds: float | None = None) -> None:
    """Writes `entry.json`: checksums of all files, the size of all, the number of threads, the seconds that making it took,
    where they are known, and a checksum of itself.

    A chunk of an array carries a checksum of its own, which says that it is undamaged; that it is the chunk of this array
    and place says the copy of that checksum here.
    """
    (work / MANIFEST).unlink(missing_ok=True)  # left by an interruption at this point
    digests: dict[str, str] = {}
    chunks: dict[str, dict[int, str]] = {}
    size = 0
    arrays = {path.parent for path in work.rglob(ARRAY_MANIFEST)}
    for path in sorted(work.rglob("*")):
        if not path.is_file():
            continue
        size += path.stat().st_size
        array = next((parent for parent in path.parents if parent in arrays), None)
        if array is None or path.name == ARRAY_MANIFEST:
            digests[path.relative_to(work).as_posix()] = digest_regular(path)
        elif number := _CHUNK.match(path.relative_to(array).as_posix()):
            chunks.setdefault(array.relative_to(work).as_posix(), {})[int(number[1])] = chunk_checksum(path)
    listed = {array: "".join(found[number] for number in sorted(found)) for array, found in chunks.items()}
    held = {"spec": spec, "files": digests, "chunks": listed, "bytes": size, "made": time.time(), "threads": threads()}
    held |= {} if seconds is None else {"seconds": round(seconds, 4)}
    text = json.dumps({**held, "checksum": _checksum(held)}, indent=1)
    with (work / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def chunk_checksum(path: Path) -> str:
    """The checksum that a chunk of an array ends with (CRC-32C), as `CHECKSUM` hex digits. OSError as `open_regular`."""
    with open_regular(path) as file:
        file.seek(-min(CHECKSUM // 2, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read().hex().rjust(CHECKSUM, "-")


def parse(text: bytes) -> dict[str, Any]:
    """The value of an `entry.json`. ValueError where it is not one, or differs from what was written."""
    try:
        held = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(held, dict) or "spec" not in held:
        raise ValueError("not an object with a spec")
    files, size, made = held.get("files"), held.get("bytes"), held.get("made")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise ValueError("without checksums")
    chunks = held.get("chunks", {})  # entries of earlier versions have none
    if not isinstance(chunks, dict) or not all(isinstance(listed, str) for listed in chunks.values()):
        raise ValueError("without checksums of chunks")
    if type(held.get("threads", 1)) is not int:
        raise ValueError("with an impossible number of threads")
    took = held.get("seconds", 0.0)
    if isinstance(took, bool) or not isinstance(took, int | float) or not 0 <= took < _LATEST:
        raise ValueError("with an impossible duration")
    if isinstance(size, bool) or not isinstance(size, int) or isinstance(made, bool) or not isinstance(made, int | float):
        raise ValueError("without size or time")
    if not 0 <= size < 2**63 or not math.isfinite(made) or not 0 <= made < _LATEST:
        raise ValueError("with an impossible size or time")
    # entries of earlier versions have no checksum of entry.json
    if "checksum" in held and held["checksum"] != _checksum({k: v for k, v in held.items() if k != "checksum"}):
        raise ValueError("it differs from its checksum")
    return held


def read_entry(folder: Path) -> Entry:
    """OSError or ValueError where the folder is no entry."""
    if not SAFE_NAME.fullmatch(folder.name):
        raise ValueError("not the name of an entry")
    if folder.is_symlink():
        raise ValueError("a link")
    held = parse(read_regular(folder / MANIFEST))
    return Entry(folder.parent.name, folder.name, held["bytes"], held["made"], held["spec"])


def _checksum(held: dict[str, Any]) -> str:
    """ValueError where the value is no JSON, or nested too deeply."""
    try:
        read_back = json.loads(json.dumps(held))  # in which all keys are strings
        text = json.dumps(read_back, sort_keys=True, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return hashlib.sha256(text.encode()).hexdigest()
