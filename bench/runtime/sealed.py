"""Folders of files with a checksum each, written whole and checked whole: what a later process goes on from.

    folder/checksums.json    file name -> sha256, written last

A folder that was cut, changed or never finished is recognised, whatever was done to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bench.files import paths

CHECKSUMS = "checksums.json"


class NotIntact(Exception):
    """A folder that is not what was sealed."""


def write_sealed(folder: Path, write: Callable[[Path], None]) -> None:
    """Has `write` fill a folder beside this one, seals it, and puts it in place of what was there."""
    fresh = folder.with_name(f"writing-{folder.name}")
    paths.delete(fresh)
    fresh.mkdir(parents=True)
    write(fresh)
    digests = {path.name: paths.digest_regular(path) for path in sorted(fresh.iterdir())}
    (fresh / CHECKSUMS).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
    paths.delete(folder)
    fresh.replace(folder)


def check_sealed(folder: Path) -> None:
    """Raises NotIntact where a file of the folder is absent, is no file, or differs from what was sealed, and OSError where
    the machine refuses to open it. Files that were added are not looked at."""
    if not paths.is_folder(folder):
        raise NotIntact("it is not a folder")
    try:
        digests = json.loads(paths.read_regular(folder / CHECKSUMS))
    except FileNotFoundError as error:
        raise NotIntact(f"{CHECKSUMS} is missing") from error
    except (ValueError, RecursionError) as error:
        raise NotIntact(f"{CHECKSUMS} is malformed") from error
    if not isinstance(digests, dict) or not digests:
        raise NotIntact(f"{CHECKSUMS} lists no files")
    for name, digest in digests.items():
        if not paths.exists(folder / name):
            raise NotIntact(f"{name} is missing")
        if paths.digest_regular(folder / name) != digest:
            raise NotIntact(f"{name} differs from its checksum")
