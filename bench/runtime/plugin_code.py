"""What plug-in code may do to this process and must not: print on stdout, end the program, pretend to be Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from types import FrameType

_STDOUT, _STDERR = 1, 2


class _State:
    """Of this process: whether its signals are watched, whether one has arrived, and whether stdout is sent to stderr."""

    watches = False
    arrived = False
    is_redirected = False


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handler of the signals that ask this process to end: KeyboardInterrupt, known to be from outside."""
    _State.arrived = True
    raise KeyboardInterrupt


def raise_lost_interruption() -> None:
    """Raises KeyboardInterrupt if a signal to end has arrived and the program still runs: Python loses an exception that a
    handler raises while a finalizer or a callback of the garbage collector runs."""
    if _State.watches and _State.arrived and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def is_interruption(error: BaseException) -> bool:
    """Whether the exception is Ctrl-C or another signal to end. A KeyboardInterrupt that a plug-in raises on its own is none:
    the same command would end in it for ever."""
    is_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and is_main and (_State.arrived or not _State.watches)


@contextmanager
def guarded_process() -> Iterator[None]:
    """Inside, Ctrl-C is distinguished from the KeyboardInterrupt of a plug-in, and `os._exit` in this process raises
    SystemExit, since exit code 0 with nothing written would look like success. Processes that are forked may end as they
    like."""
    if _State.watches or threading.current_thread() is not threading.main_thread():
        yield
        return
    driver, leave, before = os.getpid(), os._exit, signal.getsignal(signal.SIGINT)

    def refuse(status: int) -> None:
        if os.getpid() != driver:
            leave(status)
        raise SystemExit(status)

    is_default = before is signal.default_int_handler
    _State.watches, _State.arrived = is_default, False
    os._exit = refuse  # type: ignore[assignment]
    if is_default:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        os._exit = leave
        _State.watches = False
        if is_default:
            signal.signal(signal.SIGINT, before)


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Inside, what is printed on stdout goes to stderr, by processes that are started there too: stdout is for data."""
    if _State.is_redirected or threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.is_redirected = True
    try:
        with ExitStack() as stack:
            stack.enter_context(_descriptor_redirected())
            stack.enter_context(redirect_stdout(sys.stderr))
            yield
    finally:
        _State.is_redirected = False


@contextmanager
def _descriptor_redirected() -> Iterator[None]:
    """The same for what is written to the descriptor of stdout. Nothing changes where one of the two is closed."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    try:
        os.fstat(_STDERR)
        kept = os.dup(_STDOUT)
    except OSError:
        yield
        return
    try:
        os.dup2(_STDERR, _STDOUT)
        yield
    finally:
        with suppress(OSError, ValueError, AttributeError):
            sys.__stdout__.flush()  # type: ignore[union-attr]
        os.dup2(kept, _STDOUT)
        os.close(kept)
