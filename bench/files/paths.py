"""Files that may be anything: read only where they are regular files, removed whatever they are.

Opening a FIFO waits for ever, and reading a device never ends. What lies in the store, or in a work folder that an interrupted
process left, is therefore opened here.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
from pathlib import Path

_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_BUFFER = 2**18


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file, opened for reading; links are followed. OSError where there is none, or something else."""
    _require_regular(path.stat().st_mode, path)
    descriptor = os.open(path, os.O_RDONLY | _NO_WAIT)
    try:
        _require_regular(os.fstat(descriptor).st_mode, path)  # another one may have taken its place since
    except OSError:
        os.close(descriptor)
        raise
    return io.BufferedReader(io.FileIO(descriptor), _BUFFER)


def read_regular(path: Path) -> bytes:
    """Contents of a regular file; OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def digest_regular(path: Path) -> str:
    """sha256 of a regular file; OSError as `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def delete(path: Path) -> None:
    """Removes a file, link or folder as far as that is possible; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Makes a folder, in place of a file or link that has its name. What is in an existing one stays."""
    if not is_folder(path):
        delete(path)
        path.mkdir(parents=True)


def is_folder(path: Path) -> bool:
    """Whether there is a folder, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether anything is there, a link to nothing included."""
    return os.path.lexists(path)


def _require_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
