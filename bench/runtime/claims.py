"""Which names running processes use: one file for each process, one name a line.

A claim ends when its process says so or ends. The process of another machine cannot be looked at: its claim ends after a week
in which it was not renewed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.files import paths
from bench.runtime import process

ABANDONED_AFTER = 7 * 24 * 3600.0
"""Seconds without a change after which what belongs to a process of another machine is taken for left behind."""
_OWNER = re.compile(r"(?P<host>.+)\.(?P<pid>\d+)")


@dataclass
class Claims:
    """The claims in one folder."""

    folder: Path
    _read: dict[tuple[str, int, int], frozenset[str]] = field(default_factory=dict)
    """Names in each file, read again only where it has changed."""

    def claim(self, names: Iterable[str]) -> None:
        """Adds names to those that this process uses. OSError where they cannot be written."""
        paths.make_folder(self.folder)
        with self._own.open("a", encoding="utf-8") as file:
            file.write("".join(f"{name}\n" for name in names))

    def renew(self) -> None:
        """Tells other machines that this process lives."""
        with suppress(OSError):
            os.utime(self._own)

    def release(self) -> None:
        """This process uses nothing any more."""
        with suppress(OSError):
            self._own.unlink()

    def names(self) -> frozenset[str]:
        """All names that running processes use. Files of processes that have ended are removed."""
        found: dict[tuple[str, int, int], frozenset[str]] = {}
        with suppress(OSError):
            for path in self.folder.iterdir():
                named = _OWNER.fullmatch(path.name)
                if named is None or is_abandoned(path, named["host"], int(named["pid"])):
                    paths.delete(path)
                    continue
                with suppress(OSError):
                    status = path.lstat()
                    key = (path.name, status.st_mtime_ns, status.st_size)
                    found[key] = self._read[key] if key in self._read else _names_in(path)
        self._read = found
        return frozenset().union(*found.values())

    @property
    def _own(self) -> Path:
        return self.folder / f"{process.host()}.{os.getpid()}"


def is_abandoned(path: Path, host: str, pid: int) -> bool:
    """Whether the process that this file or folder belongs to has ended; of another machine, whether a week has passed."""
    if host == process.host():
        return not process.is_alive(pid)
    try:
        return time.time() - path.lstat().st_mtime > ABANDONED_AFTER
    except OSError:
        return False


def _names_in(path: Path) -> frozenset[str]:
    return frozenset(paths.read_regular(path).decode("utf-8", "replace").splitlines())
