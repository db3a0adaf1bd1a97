"""What can happen to a file on disk, done to a real one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _flip(path: Path) -> None:
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)


def _replace(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        _remove(path)
        make(path)

    return act


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b"") and None,
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) and None,
    "one bit": _flip,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0") and None,
    "text": lambda path: path.write_bytes(b"not found") and None,
    "binary": lambda path: path.write_bytes(bytes(range(256))) and None,
    "list": lambda path: path.write_bytes(b"[]") and None,
    "nested": lambda path: path.write_bytes(b"[" * 100_000) and None,
    "missing": _remove,
    "folder": _replace(lambda path: path.mkdir()),
    "full folder": _replace(lambda path: (path / "x").mkdir(parents=True)),
    "link to nothing": _replace(lambda path: path.symlink_to("nothing")),
    "link to itself": _replace(lambda path: path.symlink_to(path.name)),
    "link to a device": _replace(lambda path: path.symlink_to("/dev/zero")),
    "fifo": _replace(os.mkfifo),
}
"""Name -> what it does to a file. A reader that opens a FIFO or a device without a look waits for ever."""
