"""Folders of results: their names, and whether they can be written."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bench.errors import UsageError
from bench.messages import shorten

_TRIES = 20
LONGEST_NAME = 200
"""Of a folder, in letters, all of them ASCII: file systems take 255, and files are written under longer names first."""


def folder_name(*parts: str, key: str) -> str:
    """`part--part--key`, of letters that every file system takes. Long parts are cut: the key tells them apart."""
    most = (LONGEST_NAME - len(key)) // len(parts) - 2
    safe = [re.sub(r"[^A-Za-z0-9._-]+", "_", part).strip("_") for part in parts]
    return "--".join([*(part if len("--".join([*safe, key])) <= LONGEST_NAME else part[-most:] for part in safe), key])


def check_writable(folder: Path, option: str, files: Iterable[str] = ()) -> None:
    """Raises UsageError unless files can be written into the folder, which is made for the test and removed if it is new.
    `files`: names that must not be those of folders."""
    made: list[Path] = []
    try:
        for left in reversed(range(_TRIES)):
            try:
                for part in reversed((folder, *folder.parents)):
                    if not part.exists():
                        part.mkdir(exist_ok=True)
                        made.append(part)
                with tempfile.TemporaryFile(dir=folder):
                    pass
                break
            except FileNotFoundError:  # another run that tests the same folder has just removed it
                if not left:
                    raise
        if taken := [name for name in files if (folder / name).is_dir()]:
            raise IsADirectoryError(f"{taken[0]} in it is a folder")
    except (OSError, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"{option} {shorten(str(folder))!r} cannot be written: {found}. Give a folder that can be made and written into."
        ) from error
    finally:
        for part in reversed(made):
            with suppress(OSError):  # another run may have begun to use it
                part.rmdir()
