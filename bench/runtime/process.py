"""This process and others: standard streams, the signal that ends a process, its threads and limits, and whether another
process still lives."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.errors import RefusedError
from bench.runtime.plugin_code import interrupt

LEAST_ADDRESS_SPACE = 10**9
"""Bytes of virtual memory that the commands need. With less OpenBLAS asks for its buffers again and again, without end, and no
signal of this process ends it."""


def prepare_streams() -> None:
    """Makes stdin, stdout and stderr safe to use, whatever the shell did with them.

    A closed one (`2>&-`) becomes the null device: otherwise the next file that is opened takes its number, and what a library
    writes to stderr goes into an entry of the store. A character that the encoding of a stream lacks is written as `\\u2192`
    and raises nothing. A line that stderr cannot take is lost, and the command goes on; one of stdout, which is data, raises.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, but another thread may have been first
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    lose_what_is_refused("stderr")


class _Losing(io.FileIO):
    """A file that takes everything, and loses what cannot be written: the device is full, or nobody reads the pipe."""

    def write(self, content: Any) -> int:
        with suppress(OSError):
            if (written := super().write(content)) is not None:
                return written  # perhaps a part: the buffer gives the rest again
        return memoryview(content).nbytes


def lose_what_is_refused(*names: str) -> None:
    """Has nothing that this process writes to these streams, `stdout` and `stderr`, raise an OSError: progress and notices are
    not worth a run."""
    for name in names:
        old = getattr(sys, name)
        if not isinstance(old, io.TextIOWrapper) or isinstance(getattr(old.buffer, "raw", None), _Losing):
            continue  # a stream that the caller of Python code has put there, or one that was replaced before
        with suppress(OSError, ValueError):
            old.flush()
            opened = io.BufferedWriter(_Losing(old.fileno(), "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(opened, old.encoding, errors="backslashreplace", line_buffering=True))


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Turns SIGTERM, by which job managers end a process, into a KeyboardInterrupt: what was started is ended then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def ignore_interrupts() -> None:
    """From here on Ctrl-C and SIGTERM do nothing: for the last moments of a process, or to end others without being ended."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def check_address_space() -> None:
    """RefusedError under `ulimit -v` of less than `LEAST_ADDRESS_SPACE`. There is no such limit on Windows."""
    try:
        import resource
    except ImportError:
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise RefusedError(
            f"this process may use {limit // 10**6} MB of virtual memory (ulimit -v), and needs "
            f"{LEAST_ADDRESS_SPACE // 10**6}. Raise the limit: ulimit -v unlimited. To limit what is really used, use a "
            "control group."
        )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def threads() -> int:
    """Threads that numpy and torch use in this process. Sums in another order differ in their last digits."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() else cores()


def host() -> str:
    """This machine and, in a container with process numbers of its own, that container."""
    with suppress(OSError):
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has not ended."""
    if os.name == "nt":  # signal 0 does not test for a process there
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    with suppress(OSError, IndexError):  # a container without an init process keeps ended processes as zombies
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] != "Z"
    return True
