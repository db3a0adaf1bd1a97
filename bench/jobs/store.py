"""The content-addressed store: finished entries on disk, written atomically, read with their checksums.

An entry is a folder `root/kind/key` with an `entry.json` that lists the sha256 of its files. The chunks of zarr arrays are not
listed: each carries a checksum of its own (arrays.py). Names that start with a dot, and names that end in `.part`, are folders
of work in progress.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.errors import BenchError, MissingError, RefusedError
from bench.files import paths
from bench.jobs.entries import (
    MANIFEST,
    SAFE_NAME,
    DamagedEntry,
    Entry,
    EntryRef,
    Listing,
    Pruned,
    key_of,
    parse,
    read_entry,
    seal,
)
from bench.runtime import process
from bench.runtime.claims import Claims, is_abandoned
from bench.runtime.notices import notice
from bench.runtime.refusals import refusal_of

__all__ = ["DamagedEntry", "Entry", "EntryRef", "Listing", "Pruned", "Store", "key_of"]
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_PRIVATE = re.compile(r"\.[^.]+\.(?P<host>.+)\.(?P<pid>\d+)\.[0-9a-f]{8}")
_IN_USE = ".in-use"
"""Folder of claims: the entries that running commands use."""


def default_root() -> Path:
    """Where entries are kept: `$BENCH_HOME`, or `~/.cache/histobench` where it is not set or empty. Read in the driver only.
    MissingError where there is no home folder either."""
    given = os.environ.get("BENCH_HOME", "").strip() or "~/.cache/histobench"
    try:
        return Path(given).expanduser().absolute()
    except RuntimeError as error:  # a container whose user has no entry in passwd and no HOME
        raise MissingError(
            f"no folder for the store: {given} needs a home folder, and this user has none. Set BENCH_HOME to a folder "
            "that can be written to."
        ) from error


@dataclass(frozen=True)
class Store:
    root: Path

    def path(self, ref: EntryRef) -> Path:
        """Folder of a finished entry."""
        return self.root / ref.kind / ref.key

    def has(self, ref: EntryRef) -> bool:
        """Whether the entry is finished: its `entry.json` is there and well-formed. Reads no contents."""
        try:
            parse(paths.read_regular(self.path(ref) / MANIFEST))
        except (OSError, ValueError) as error:
            if refusal_of(error):  # the entry may be there
                raise
            return False
        return True

    def write(self, ref: EntryRef, spec: Any, make: Callable[[Path], None], resumable: bool = False) -> None:
        """Fills a new folder by `make(work)` and puts it in place as the finished entry.

        If another process finishes the same entry first, its entry is kept and this one dropped. A `resumable` make finds in
        `work` what an interrupted one left; if another live process works in that folder, it gets an empty one. What was left
        and makes it fail is discarded, and it is called again with an empty folder. RefusedError, with the next step, if the
        store cannot be written to.
        """
        for name in (ref.kind, ref.key):
            if not SAFE_NAME.fullmatch(name) or name.endswith(".part"):
                raise ValueError(f"{name!r} cannot be the name of a folder in the store")
        with self._refusals():
            self._make_folder(ref.kind)
            with self._resumed_folder(ref) if resumable else self._private_folder(ref) as work:
                if not self.has(ref):
                    started = time.monotonic()
                    self._make(make, work)
                    seal(work, spec, time.monotonic() - started)
                    self._put_in_place(work, ref)

    def read_bytes(self, ref: EntryRef, name: str) -> bytes:
        """Contents of a file, after a check. DamagedEntry where it differs from what was written, or the entry has no
        such file: it may have been lost before the entry was finished."""
        digest = self._digest(ref, name)
        with _damage_named(ref, name):
            contents = paths.read_regular(self.path(ref) / name)
        if hashlib.sha256(contents).hexdigest() != digest:
            raise DamagedEntry(ref, f"the file {name} differs from its checksum")
        return contents

    def read_json(self, ref: EntryRef, name: str) -> Any:
        """Value of a JSON file, after a check; raises as `read_bytes`."""
        return json.loads(self.read_bytes(ref, name))

    def file(self, ref: EntryRef, name: str) -> Path:
        """Path of a file, after a check of its contents; raises as `read_bytes`."""
        digest, path = self._digest(ref, name), self.path(ref) / name
        with _damage_named(ref, name):
            found = paths.digest_regular(path)
        if found != digest:
            raise DamagedEntry(ref, f"the file {name} differs from its checksum")
        return path

    def folder(self, ref: EntryRef) -> Path:
        """Folder of an entry, after a check of all its files; raises as `read_bytes`."""
        for name in self.names(ref):
            self.file(ref, name)
        return self.path(ref)

    def names(self, ref: EntryRef) -> tuple[str, ...]:
        """Files of an entry; an array is named by its `NAME/zarr.json`. DamagedEntry where the entry is not there."""
        return tuple(self._manifest(ref)["files"])

    def digests(self, ref: EntryRef) -> dict[str, str]:
        """File -> sha256 of an entry, as they were written. DamagedEntry where the entry is not there."""
        return dict(self._manifest(ref)["files"])

    def threads(self, ref: EntryRef) -> int | None:
        """Threads of the process that made an entry; None in entries of earlier versions. DamagedEntry where the entry is not
        there."""
        return cast(int | None, self._manifest(ref).get("threads"))

    def chunk_checksums(self, ref: EntryRef, array: str) -> str | None:
        """The checksums of an array's chunks, one after the other (`entries.CHECKSUM` hex digits each), as they were written;
        None in entries of earlier versions. DamagedEntry where the entry is not there."""
        return cast(str | None, self._manifest(ref).get("chunks", {}).get(array))

    def remove(self, ref: EntryRef) -> None:
        """Removes an entry, finished or damaged; nothing happens where there is none."""
        path, aside = self.path(ref), self._private_path(ref)
        with self._refusals(), suppress(FileNotFoundError):
            path.rename(aside)  # first, so that no process reads half an entry
            paths.delete(aside)

    @contextmanager
    def scratch(self, kind: str) -> Iterator[Path]:
        """An empty folder beside the entries, visible to every worker. It is removed on leaving, or by `prune` if the process
        was killed."""
        ref = EntryRef(kind, "scratch")
        with self._refusals():
            self._make_folder(kind)
            with self._private_folder(ref) as work:
                yield work
        with suppress(OSError):
            self.path(ref).parent.rmdir()

    def entries(self) -> Listing:
        """Every finished entry, and files and folders that are no entries."""
        entries: list[Entry] = []
        skipped: list[str] = []
        for path in self._children(self.root, skipped):
            if path.name == _IN_USE:
                continue
            if not paths.is_folder(path):
                skipped.append(f"{path}: not a folder of entries")
                continue
            for folder in self._children(path, skipped):
                if _is_work(folder.name):
                    continue
                try:
                    entries.append(read_entry(folder))
                except OSError as error:
                    skipped.append(f"{folder}: no entry ({error.strerror or error})")
                except ValueError as error:
                    skipped.append(f"{folder}: no entry ({error})")
        return Listing(tuple(sorted(entries, key=lambda entry: (entry.made, entry.ref))), tuple(skipped))

    def prune(self, keep_bytes: int) -> Pruned:
        """Removes the oldest entries that no running command uses until at most `keep_bytes` remain, and private work folders
        whose process has ended."""
        self.remove_abandoned()
        listing = self.entries()
        excess = sum(entry.bytes for entry in listing.entries) - keep_bytes
        removed, in_use = [], []
        claims = Claims(self.root / _IN_USE)
        for entry in listing.entries:
            if excess <= 0:
                break
            if str(entry.ref) in claims.names():  # asked anew each time: a command may have started
                in_use.append(entry)
                continue
            self.remove(entry.ref)
            excess -= entry.bytes
            removed.append(entry)
        return Pruned(tuple(removed), tuple(in_use), listing.skipped)

    def hold(self, refs: Iterable[EntryRef]) -> None:
        """Tells `prune` that this process uses these entries, finished or not, until `release` or its end."""
        with suppress(OSError):  # an entry that is pruned nevertheless is made again
            Claims(self.root / _IN_USE).claim(map(str, refs))

    def renew(self) -> None:
        """Tells other machines that this process still uses what it holds."""
        Claims(self.root / _IN_USE).renew()

    def release(self) -> None:
        """This process uses no entry any more."""
        Claims(self.root / _IN_USE).release()

    def remove_abandoned(self) -> None:
        """Removes the private work folders of processes that were killed: of this machine where the process has ended, of
        other machines after a week. Folders of resumable jobs stay."""
        Claims(self.root / _IN_USE).names()
        for path in self._children(self.root):
            for folder in self._children(path) if paths.is_folder(path) else []:
                if (named := _PRIVATE.fullmatch(folder.name)) and is_abandoned(folder, named["host"], int(named["pid"])):
                    paths.delete(folder)

    def _manifest(self, ref: EntryRef) -> dict[str, Any]:
        path = self.path(ref) / MANIFEST
        with _damage_named(ref, MANIFEST):
            if not path.exists():
                list(self.path(ref).parent.iterdir())  # makes a network file system look again
            text = paths.read_regular(path)
        try:
            return parse(text)
        except ValueError as error:
            raise DamagedEntry(ref, f"{MANIFEST} is malformed ({error})") from error

    def _digest(self, ref: EntryRef, name: str) -> str:
        files = self._manifest(ref)["files"]
        if name not in files:
            raise DamagedEntry(ref, f"it has no file {name}, only {', '.join(files) or 'none'}")
        return cast(str, files[name])

    def _put_in_place(self, work: Path, ref: EntryRef) -> None:
        for _ in range(10):
            try:
                work.rename(self.path(ref))
                return
            except OSError as error:
                if error.errno not in _OCCUPIED:
                    raise
            if self.has(ref):
                return  # the folder `work` is removed by the caller
            self.remove(ref)
        raise RefusedError(f"cannot put {ref} in place: something keeps writing to {self.path(ref)}. Stop it and run again.")

    def _make_folder(self, kind: str) -> None:
        try:
            (self.root / kind).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if refusal_of(error) or isinstance(error, PermissionError):
                raise
            raise RefusedError(
                f"cannot write to the store {self.root}: {error.filename} is in the way ({error.strerror}), where a folder is "
                "needed. Move it away, or point BENCH_HOME to another folder."
            ) from error

    @staticmethod
    def _make(make: Callable[[Path], None], work: Path) -> None:
        """Calls `make`; once more with an empty folder if it fails on what was left there."""
        is_resumed = any(work.iterdir())
        try:
            make(work)
        except Exception as error:
            if not is_resumed or isinstance(error, BenchError) or refusal_of(error):
                raise
            notice(
                f"{work}, left by an interrupted process, cannot be used ({type(error).__name__}: {error}): it is discarded "
                "and made again"
            )
        else:
            return
        for left in work.iterdir():
            paths.delete(left)
        make(work)

    def _private_path(self, ref: EntryRef) -> Path:
        name = f".{ref.key}.{process.host()}.{os.getpid()}.{secrets.token_hex(4)}"
        return self.root / ref.kind / name

    @contextmanager
    def _private_folder(self, ref: EntryRef) -> Iterator[Path]:
        work = self._private_path(ref)
        work.mkdir()
        try:
            yield work
        finally:
            paths.delete(work)

    @contextmanager
    def _resumed_folder(self, ref: EntryRef) -> Iterator[Path]:
        from filelock import FileLock, Timeout

        place = self.root / ref.kind / f".{ref.key}.lock"
        if paths.exists(place) and not place.is_file() or place.is_symlink():
            notice(f"{place} is not a lock: it is removed")
            paths.delete(place)
        lock = FileLock(place)
        try:
            lock.acquire(blocking=False)
        except (Timeout, NotImplementedError, OSError) as error:  # locked by a live process, or a file system without locks
            if refusal_of(error) or isinstance(error, PermissionError):
                raise
            with self._private_folder(ref) as work:
                yield work
            return
        try:
            work = self.path(ref).with_name(f"{ref.key}.part")
            if paths.exists(work) and not paths.is_folder(work):
                notice(f"{work} is not a work folder: it is removed")
                paths.delete(work)
            work.mkdir(exist_ok=True)
            yield work
            paths.delete(work)  # another process was first; not reached after an interruption or a failure
            Path(lock.lock_file).unlink(missing_ok=True)  # processes that lock from now on find the finished entry
        finally:
            lock.release()

    @staticmethod
    def _children(folder: Path, skipped: list[str] | None = None) -> list[Path]:
        """What lies in a folder. What cannot be listed is named in `skipped`; a folder that is not there has nothing."""
        try:
            return sorted(folder.iterdir())
        except OSError as error:
            if skipped is not None and paths.exists(folder):
                skipped.append(f"{folder}: not a folder of entries ({error.strerror or error})")
            return []

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except BenchError:
            raise
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is not None and refusal.what == "space":
                raise RefusedError(refusal.sentence(f"cannot write to the store {self.root}")) from error
            ours = isinstance(error, PermissionError) and error.filename is not None
            if not ours or not Path(os.fsdecode(error.filename)).is_relative_to(self.root):  # type: ignore[attr-defined]
                raise
            raise RefusedError(
                f"cannot write to the store {self.root}: {error}. Change its permissions, or point BENCH_HOME to another "
                "folder."
            ) from error


def _is_work(name: str) -> bool:
    return name.startswith(".") or name.endswith(".part")


@contextmanager
def _damage_named(ref: EntryRef, name: str) -> Iterator[None]:
    """DamagedEntry in place of what the system says of a file that is missing or cannot be read."""
    try:
        yield
    except OSError as error:
        if refusal_of(error):
            raise
        found = (
            "is missing" if isinstance(error, FileNotFoundError | NotADirectoryError) else f"cannot be read ({error.strerror})"
        )
        raise DamagedEntry(ref, f"the file {name} {found}") from error
