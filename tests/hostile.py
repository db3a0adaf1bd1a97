"""Damaged and malicious files, and limits within which every reader has to answer."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, settings

CASES = Path(__file__).parents[2] / "shared" / "cases"
"""Small inputs that broke a reader; tests of them are skipped where the folder is absent."""
FUZZ = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
"""The same inputs in every run, none of them shrunk."""
NOT_FILES = ("folder", "link to nothing", "loop of links", "pipe", "socket", "device")


def put(kind: str, path: Path) -> Path:
    """Puts something that is no regular file in the place of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "link to nothing":
        path.symlink_to(path.with_name("nothing"))
    elif kind == "loop of links":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket has at most a hundred letters
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)
    return path


@contextlib.contextmanager
def within(seconds: int = 20) -> Iterator[None]:
    """Raises TimeoutError where the body takes longer: a reader that waits for a pipe waits for ever."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damage(content: bytes, places: list[tuple[int, int]], length: int | None = None) -> bytes:
    """The content with other bytes at some places, and cut to a length."""
    held = bytearray(content)
    for place, value in places:
        held[place % len(held)] = value
    return bytes(held if length is None else held[: length % (len(held) + 1)])
