"""A folder is made by one command at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UsageError


@contextmanager
def only_writer(out: Path, what: str) -> Iterator[None]:
    """Inside, no other command of this machine makes the folder `out`, whose parent exists. UsageError where one does; `what`
    names such a command, e.g. "import"."""
    from filelock import FileLock, Timeout

    place = out.resolve()
    lock = FileLock(place.with_name(f".{place.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"another {what} writes {out} now. Wait for it, or name another folder.") from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def make_parent(out: Path) -> None:
    """Makes the folder that `out` is made in. UsageError where that cannot be."""
    try:
        out.resolve().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be made: {error.strerror} ({error.filename}).") from error
