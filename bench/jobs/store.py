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
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.errors import MissingError
from bench.jobs.entries import MANIFEST, DamagedEntry, Entry, EntryRef, Listing, Pruned, key_of, parse, read_entry, seal

__all__ = ["DamagedEntry", "Entry", "EntryRef", "Listing", "Pruned", "Store", "key_of"]
_FULL_OR_READ_ONLY = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_PRIVATE = re.compile(r"\.[^.]+\.(?P<host>.+)\.(?P<pid>\d+)\.[0-9a-f]{8}")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ABANDONED_AFTER = 7 * 24 * 3600.0  # seconds; for work folders of other machines, whose processes cannot be checked


def default_root() -> Path:
    """Where entries are kept: `$BENCH_HOME`, or `~/.cache/histobench`. Read in the driver only."""
    return Path(os.environ.get("BENCH_HOME", "~/.cache/histobench")).expanduser()


@dataclass(frozen=True)
class Store:
    root: Path

    def path(self, ref: EntryRef) -> Path:
        """Folder of a finished entry."""
        return self.root / ref.kind / ref.key

    def has(self, ref: EntryRef) -> bool:
        """Whether the entry is finished: its `entry.json` is there and well-formed. Reads no contents."""
        try:
            parse((self.path(ref) / MANIFEST).read_bytes())
        except (OSError, ValueError):
            return False
        return True

    def write(self, ref: EntryRef, spec: Any, make: Callable[[Path], None], resumable: bool = False) -> None:
        """Fills a new folder by `make(work)` and puts it in place as the finished entry.

        If another process finishes the same entry first, its entry is kept and this one dropped. A `resumable` make finds in
        `work` what an interrupted one left; if another live process works in that folder, it gets an empty one. MissingError,
        with the next step, if the store cannot be written to.
        """
        for name in (ref.kind, ref.key):
            if not _SAFE_NAME.fullmatch(name) or name.endswith(".part"):
                raise ValueError(f"{name!r} cannot be the name of a folder in the store")
        with self._refusals():
            self.path(ref).parent.mkdir(parents=True, exist_ok=True)
            with self._resumed_folder(ref) if resumable else self._private_folder(ref) as work:
                if not self.has(ref):
                    make(work)
                    seal(work, spec)
                    self._put_in_place(work, ref)

    def read_bytes(self, ref: EntryRef, name: str) -> bytes:
        """Contents of a file, after a check. DamagedEntry where it differs from what was written; KeyError where the entry
        never had such a file."""
        digest = self._digest(ref, name)
        try:
            contents = (self.path(ref) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise DamagedEntry(ref, f"the file {name} is missing") from error
        if hashlib.sha256(contents).hexdigest() != digest:
            raise DamagedEntry(ref, f"the file {name} differs from its checksum")
        return contents

    def read_json(self, ref: EntryRef, name: str) -> Any:
        """Value of a JSON file, after a check; raises as `read_bytes`."""
        return json.loads(self.read_bytes(ref, name))

    def file(self, ref: EntryRef, name: str) -> Path:
        """Path of a file, after a check of its contents; raises as `read_bytes`."""
        digest, path = self._digest(ref, name), self.path(ref) / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise DamagedEntry(ref, f"the file {name} is missing") from error
        if found != digest:
            raise DamagedEntry(ref, f"the file {name} differs from its checksum")
        return path

    def names(self, ref: EntryRef) -> tuple[str, ...]:
        """Files of an entry; an array is named by its `NAME/zarr.json`. DamagedEntry where the entry is not there."""
        return tuple(self._manifest(ref)["files"])

    def digests(self, ref: EntryRef) -> dict[str, str]:
        """File -> sha256 of an entry, as they were written. DamagedEntry where the entry is not there."""
        return dict(self._manifest(ref)["files"])

    def remove(self, ref: EntryRef) -> None:
        """Removes an entry, finished or damaged; nothing happens where there is none."""
        path, aside = self.path(ref), self._private_path(ref)
        with self._refusals(), suppress(FileNotFoundError):
            path.rename(aside)  # first, so that no process reads half an entry
            _delete(aside)

    @contextmanager
    def scratch(self, kind: str) -> Iterator[Path]:
        """An empty folder beside the entries, visible to every worker. It is removed on leaving, or by `prune` if the process
        was killed."""
        ref = EntryRef(kind, "scratch")
        with self._refusals():
            self.path(ref).parent.mkdir(parents=True, exist_ok=True)
            with self._private_folder(ref) as work:
                yield work
        with suppress(OSError):
            self.path(ref).parent.rmdir()

    def entries(self) -> Listing:
        """Every finished entry, and files and folders that are no entries."""
        entries, skipped = [], []
        for path in self._children(self.root):
            if path.is_symlink() or not path.is_dir():
                skipped.append(f"{path}: not a folder of entries")
                continue
            for folder in self._children(path):
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
        """Removes the oldest entries until at most `keep_bytes` remain, and private work folders whose process has ended."""
        self.remove_abandoned()
        listing = self.entries()
        excess = sum(entry.bytes for entry in listing.entries) - keep_bytes
        removed = []
        for entry in listing.entries:
            if excess <= 0:
                break
            self.remove(entry.ref)
            excess -= entry.bytes
            removed.append(entry)
        return Pruned(tuple(removed), listing.skipped)

    def remove_abandoned(self) -> None:
        """Removes the private work folders of processes that were killed: of this machine where the process has ended, of
        other machines after a week. Folders of resumable jobs stay."""
        for path in self._children(self.root):
            for folder in self._children(path) if path.is_dir() and not path.is_symlink() else []:
                if named := _PRIVATE.fullmatch(folder.name):
                    with suppress(FileNotFoundError):
                        is_here = named["host"] == _host()
                        is_old = time.time() - folder.lstat().st_mtime > _ABANDONED_AFTER
                        if not _is_alive(int(named["pid"])) if is_here else is_old:
                            _delete(folder)

    def _manifest(self, ref: EntryRef) -> dict[str, Any]:
        path = self.path(ref) / MANIFEST
        try:
            if not path.exists():
                list(self.path(ref).parent.iterdir())  # makes a network file system look again
            return parse(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise DamagedEntry(ref, f"{MANIFEST} is missing") from error
        except ValueError as error:
            raise DamagedEntry(ref, f"{MANIFEST} is malformed ({error})") from error

    def _digest(self, ref: EntryRef, name: str) -> str:
        files = self._manifest(ref)["files"]
        if name not in files:
            raise KeyError(f"the entry {ref} has no file {name}; it has {', '.join(files) or 'none'}")
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
        raise MissingError(f"cannot put {ref} in place: something keeps writing to {self.path(ref)}. Stop it and run again.")

    def _private_path(self, ref: EntryRef) -> Path:
        name = f".{ref.key}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}"
        return self.root / ref.kind / name

    @contextmanager
    def _private_folder(self, ref: EntryRef) -> Iterator[Path]:
        work = self._private_path(ref)
        work.mkdir()
        try:
            yield work
        finally:
            if work.exists():
                _delete(work)

    @contextmanager
    def _resumed_folder(self, ref: EntryRef) -> Iterator[Path]:
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / ref.kind / f".{ref.key}.lock")
        try:
            lock.acquire(blocking=False)
        except (Timeout, NotImplementedError):  # locked by a live process, or a file system without locks
            with self._private_folder(ref) as work:
                yield work
            return
        try:
            work = self.path(ref).with_name(f"{ref.key}.part")
            work.mkdir(exist_ok=True)
            yield work
            _delete(work)  # another process was first; not reached after an interruption or a failure
            Path(lock.lock_file).unlink(missing_ok=True)  # processes that lock from now on find the finished entry
        finally:
            lock.release()

    @staticmethod
    def _children(folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            ours = error.filename is not None and Path(os.fsdecode(error.filename)).is_relative_to(self.root)
            if error.errno not in _FULL_OR_READ_ONLY and not (isinstance(error, PermissionError) and ours):
                raise
            raise MissingError(
                f"cannot write to the store {self.root}: {error.strerror}. "
                "Free some space (bench cache prune), or point BENCH_HOME to another folder."
            ) from error


def _is_work(name: str) -> bool:
    return name.startswith(".") or name.endswith(".part")


def _host() -> str:
    """This machine and, in a container with process numbers of its own, that container."""
    with suppress(OSError):
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # signal 0 does not test for a process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):  # a container without an init process keeps ended processes as zombies, where there is a /proc
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def _delete(path: Path) -> None:
    """Removes a file or a folder as far as that is possible; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
