"""The door for every file from outside: only regular files are opened, and whatever else lies there is named.

A pipe, device or socket is never opened, since reading one may wait for ever. A folder, a link that leads nowhere or in a
circle, and a file without permission are named in one sentence.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from bench.errors import DamagedError, MissingError
from bench.files import paths

_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)
NOT_THERE, LEADS_NOWHERE = "does not exist", "is a link to nothing"


def describe_fault(path: Path) -> str:
    """Why the path cannot be read as a file: `is a folder`, `is a link to nothing`, ...; empty if it can."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        return _reason(path, error)
    if stat.S_ISDIR(mode) and not is_folder(path):
        return "is a folder that may not be listed: permission denied"
    if not stat.S_ISREG(mode):
        return _kind(mode)
    return "" if os.access(path, os.R_OK) else "may not be read: permission denied"


def check_regular(path: Path, what: str = "file") -> None:
    """Raises MissingError if there is no such file, and DamagedError if the path is something else or may not be read."""
    if fault := describe_fault(path):
        raise _error(path, what, fault)


def open_regular(path: Path, what: str = "file") -> BufferedReader:
    """The file, opened for reading. Raises as `check_regular` does."""
    check_regular(path, what)
    try:
        return paths.open_regular(Path(path))
    except (OSError, ValueError) as error:
        raise _error(path, what, _reason(path, error)) from error


def read_bytes(path: Path, what: str = "file") -> bytes:
    """The content of the file. Raises as `check_regular` does, and DamagedError where it cannot be read."""
    with open_regular(path, what) as file:
        try:
            return file.read()
        except (OSError, MemoryError) as error:
            raise _error(path, what, _reason(path, error)) from error


def read_text(path: Path, what: str = "file") -> str:
    """The text of a UTF-8 file, without a byte order mark. Raises as `read_bytes` does, and DamagedError on other text."""
    try:
        return read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedError(f"the {what} {path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error


def is_there(path: Path) -> bool:
    """Whether there is anything of this name, also a link to nothing or something that may not be read."""
    return describe_fault(path) != NOT_THERE


def is_folder(path: Path) -> bool:
    """Whether the path is a folder that can be listed. Never raises, unlike `Path.is_dir` where permission is missing."""
    try:
        return stat.S_ISDIR(path.stat().st_mode) and os.access(path, os.R_OK | os.X_OK)
    except (OSError, ValueError):
        return False


def list_folder(path: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it is none. Raises DamagedError where it may not be listed."""
    try:
        return sorted(path.iterdir()) if path.is_dir() else []
    except OSError as error:
        raise DamagedError(f"the folder {path} {_reason(path, error)}.") from error


def _kind(mode: int) -> str:
    return next((text for test, text in _KINDS if test(mode)), "is no regular file")


def _reason(path: Path, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ELOOP:
        return "is a link that leads in a circle"
    if number in (errno.ENOENT, errno.ENOTDIR):
        return LEADS_NOWHERE if Path(path).is_symlink() else NOT_THERE
    if isinstance(error, ValueError):
        return "is no path: it holds a zero byte"
    return f"cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}"


def _error(path: Path, what: str, fault: str) -> MissingError:
    if fault in (LEADS_NOWHERE, NOT_THERE):
        return MissingError(f"the {what} {path} {fault}.")
    return DamagedError(f"the {what} {path} {fault}. Give a regular file.")
