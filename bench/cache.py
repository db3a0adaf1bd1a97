"""spec (JSON) -> key -> folder. Atomic, checksummed, resumable, safe with several processes.

    folder = cache.entry("samples", spec, make)

`make(work)` runs only where no good entry exists. It fills the folder `work`, in which it finds what an interrupted run
left, and nothing counts as finished until the checksums are written and the folder is renamed into place.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import MissingError

MANIFEST = "entry.json"


def home() -> Path:
    """Where everything is kept: `$BENCH_HOME`, or `~/.cache/histobench`."""
    return Path(os.environ.get("BENCH_HOME", "~/.cache/histobench")).expanduser()


def key_of(spec: Any) -> str:
    """The first 20 hex digits of the sha256 of the spec as canonical JSON."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def digest_of(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a file that is either wholly there or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


@dataclass(frozen=True)
class Entry:
    """One finished entry, as `bench cache list` shows it."""

    kind: str
    key: str
    bytes: int
    made: float
    spec: Any


@dataclass(frozen=True)
class Cache:
    root: Path

    def entry(self, kind: str, spec: Any, make: Callable[[Path], None]) -> Path:
        """Folder that holds what `spec` describes, made by `make` if it is absent or damaged.

        A second process that asks for the same entry waits for the first. Raises MissingError, in one sentence, where the
        cache cannot be written.
        """
        final = self.root / kind / key_of(spec)
        if _is_whole(final):
            return final
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refusal(error) from error
        try:
            with self._lock(final):
                if not _is_whole(final):
                    self._make(final, spec, make)
        except OSError as error:
            if not isinstance(error, PermissionError) and error.errno not in _FULL_OR_READ_ONLY:
                raise
            raise self._refusal(error) from error
        return final

    def _refusal(self, error: OSError) -> MissingError:
        return MissingError(
            f"cannot write to the cache folder {self.root}: {error.strerror}. "
            "Free some space (bench cache prune), or point BENCH_HOME to another folder."
        )

    def has(self, kind: str, spec: Any) -> bool:
        """Whether a finished, undamaged entry exists."""
        return _is_whole(self.root / kind / key_of(spec))

    def _make(self, final: Path, spec: Any, make: Callable[[Path], None]) -> None:
        shutil.rmtree(final, ignore_errors=True)
        work = final.with_name(f"{final.name}.part")
        work.mkdir(parents=True, exist_ok=True)
        make(work)
        files = {str(f.relative_to(work)): digest_of(f) for f in sorted(work.rglob("*")) if f.is_file()}
        files.pop(MANIFEST, None)
        write_text(work / MANIFEST, json.dumps({"spec": spec, "files": files, "made": time.time()}, indent=1))
        work.replace(final)

    @contextmanager
    def _lock(self, final: Path) -> Iterator[None]:
        from filelock import FileLock

        with FileLock(final.with_name(f"{final.name}.lock")):
            yield

    def entries(self) -> list[Entry]:
        """Every finished entry, oldest first."""
        found = []
        for manifest in self.root.glob(f"*/*/{MANIFEST}"):
            folder = manifest.parent
            if folder.suffix == ".part":
                continue
            held = json.loads(manifest.read_text())
            size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            found.append(Entry(folder.parent.name, folder.name, size, held["made"], held["spec"]))
        return sorted(found, key=lambda entry: entry.made)

    def prune(self, keep_bytes: int) -> list[Entry]:
        """Removes the oldest entries until at most `keep_bytes` remain; returns what was removed."""
        entries = self.entries()
        excess = sum(entry.bytes for entry in entries) - keep_bytes
        removed = []
        for entry in entries:
            if excess <= 0:
                break
            shutil.rmtree(self.root / entry.kind / entry.key)
            excess -= entry.bytes
            removed.append(entry)
        return removed


_FULL_OR_READ_ONLY = {28, 30, 122}  # ENOSPC, EROFS, EDQUOT


def _is_whole(folder: Path) -> bool:
    """Whether the entry is finished and every file has the checksum it was written with."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        return all(digest_of(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError):
        return False
