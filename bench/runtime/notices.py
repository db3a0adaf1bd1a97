"""One line for the user from code that has no log at hand: what was found damaged and is made again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bench.messages import echo

_LOG: ContextVar[Callable[[str], None] | None] = ContextVar("log", default=None)


def notice(text: str) -> None:
    """Shows the line: in a job by the log of its run, elsewhere on stderr."""
    log = _LOG.get()
    if log is not None:
        log(text)
    elif sys.stderr is not None:
        echo(text, err=True)


@contextmanager
def notices_to(log: Callable[[str], None]) -> Iterator[None]:
    """Has `notice` call this log."""
    token = _LOG.set(log)
    try:
        yield
    finally:
        _LOG.reset(token)
