"""Names from files that become parts of paths: ids, classes, generators, suites, keys. All of them go through here.

A name that a stranger chose must not lead out of a folder, onto a device, or to another file than the one that it names.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.errors import DamagedError
from bench.messages import printable

LONGEST = 200
"""Bytes of a name; file systems take 255, and endings are added."""
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)
"""What Windows takes for a device, with any ending."""
_DRIVE = re.compile(r"[A-Za-z]:")
_KEY = re.compile(r"[0-9A-Za-z]{1,128}")


def find_fault(name: object) -> str:
    """Why the name cannot be one file or folder inside another; empty if it can."""
    if not isinstance(name, str) or not name:
        return "is no text" if not isinstance(name, str) else "is empty"
    if printable(name) != name:
        return "has characters that cannot be shown"
    if "/" in name or "\\" in name:
        return "has a separator of folders"
    if name in (".", ".."):
        return "means another folder"
    if _DRIVE.match(name):
        return "begins with a drive letter"
    if name[-1] in ". ":
        return "ends in a dot or a blank, which some systems drop"
    if _DEVICES.fullmatch(name):
        return "is a device on some systems"
    if len(name.encode()) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    return ""


def path_part(name: object, what: str) -> str:
    """The name as one file or folder inside another. Raises DamagedError, with `what` it names, if it cannot be one."""
    if fault := find_fault(name):
        raise DamagedError(f"the {what} {_shorten(name)} cannot name a file: it {fault}. Rename it where it comes from.")
    return str(name)


def file_stem(name: str, what: str = "id") -> str:
    """What an id, a class or a generator is called in file names: "/" is written "__". Raises DamagedError as `path_part`."""
    return path_part(name.replace("/", "__"), what)


def path_below(folder: Path, name: object, what: str) -> Path:
    """The file of a relative path with "/" between its parts. Raises DamagedError, with `what` it names, if it does not lie
    below the folder."""
    parts = name.split("/") if isinstance(name, str) else [name]
    if fault := next(filter(None, map(find_fault, parts)), ""):
        raise DamagedError(
            f"the {what} {_shorten(name)} is no path below {folder}: a part of it {fault}. Give it relative to that folder."
        )
    return folder.joinpath(*map(str, parts))


def is_key(text: object) -> bool:
    """Whether the text can be the key of an entry of the store: letters and digits alone."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def _shorten(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 100 else f"{text[:97]}..."
