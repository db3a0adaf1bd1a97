"""Which files of a folder a report wrote. Only these are ever replaced or deleted, and only while they are as it wrote them.

`report.json` lists them with their sha256. A file of that name without such a list is of something else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.files.text import write_bytes, write_text
from bench.provenance.digests import digest_of

NAME = "report.json"
PAGE = "index.html"
PICTURES = "images"
FIGURES = "figures"
MADE_BY = "bench report"
_FILE = re.compile(rf"{re.escape(PAGE)}|{PICTURES}/[0-9a-f]{{20}}\.png|{FIGURES}/[a-z]+-[0-9]+\.(svg|csv)")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Files = dict[str, str]
"""Path below the folder -> sha256."""


@dataclass
class Inventory:
    """The folder of a report, the files that an older report wrote there, and those that are written now."""

    folder: Path
    older: Files
    written: Files = field(default_factory=dict)

    def write(self, name: str, content: bytes) -> None:
        """Writes one file of the report."""
        if name not in self.written:
            write_bytes(self.folder / name, content)
            self.written[name] = hashlib.sha256(content).hexdigest()

    def close(self, data: Mapping[str, Any]) -> None:
        """Writes the list with the data of the report, and deletes what the older report wrote and this one does not have."""
        _write(self.folder, data, self.written)
        for name, digest in self.older.items():
            file = self.folder / name
            if name not in self.written and file.is_file() and digest_of(file) == digest:
                file.unlink()
        for inner in (self.folder / PICTURES, self.folder / FIGURES):
            if inner.is_dir() and not any(inner.iterdir()):
                inner.rmdir()


def open_folder(folder: Path) -> Inventory:
    """The folder, which is new, empty or has a report that this one replaces. Raises UsageError if it has something else."""
    if not folder.exists() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, {}, {})  # an interrupted report is one that the next can replace
        return Inventory(folder, {})
    older = _read(folder / NAME)
    if older is None:
        raise UsageError(f"{folder} is not empty and holds no report: give --out another folder.")
    page = folder / PAGE
    if page.exists() and not (page.is_file() and digest_of(page) == older.get(PAGE)):
        raise UsageError(f"{page} is not as a report wrote it: move it away, or give --out another folder.")
    for inner in (folder / PICTURES, folder / FIGURES):
        if inner.is_symlink():
            raise UsageError(f"{inner} is a link to another folder, which is left alone: give --out another folder.")
    return Inventory(folder, older)


def _write(folder: Path, data: Mapping[str, Any], files: Files) -> None:
    write_text(folder / NAME, json.dumps({"made_by": MADE_BY, **data, "files": files}))


def _read(file: Path) -> Files | None:
    """The files that a report wrote; None if this is no list of a report."""
    try:
        held = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(held, dict) or held.get("made_by") != MADE_BY or not isinstance(held.get("files"), dict):
        return None
    files: Files = held["files"]
    is_ours = all(_FILE.fullmatch(name) and isinstance(d, str) and _DIGEST.fullmatch(d) for name, d in files.items())
    return files if is_ours else None
