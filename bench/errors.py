"""Errors that the user can correct; all other errors keep their traceback.

A message names what was asked, what was found and the next step. The exit code belongs to the error, so that the
command line has no table of its own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST_LINE = 2000
"""Characters of a line of a message."""
_LONG_NUMBER = re.compile(r"\d{61,}")


def limit_length(text: str) -> str:
    """The text of a message with numbers of more than 60 digits and lines of more than `LONGEST_LINE` characters cut, and what
    was cut counted: a file or an option of a stranger may have values of any length."""
    text = _LONG_NUMBER.sub(lambda found: f"{found[0][:20]}... ({len(found[0])} digits)", text)
    return "\n".join(
        line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 40]}... ({len(line)} characters)"
        for line in text.split("\n")
    )


class BenchError(Exception):
    """An error that the user can correct."""

    exit_code = 1

    def __init__(self, *words: object) -> None:
        super().__init__(*(limit_length(word) if isinstance(word, str) else word for word in words))


class UsageError(BenchError):
    """A name, an option or a combination of them that makes no sense."""

    exit_code = 2


class BrokenPluginError(UsageError):
    """A plug-in that cannot be imported or has no valid card, or that ends the program."""


class MissingError(BenchError):
    """Data or weights that are absent, gated or damaged."""

    exit_code = 3
    code: str = "missing"
    """First word of the reason of numbers that are skipped because of this error."""


class GatedError(MissingError):
    """Weights that need permission of their owner."""

    code = "gated"


class DamagedError(MissingError):
    """Files that exist but cannot be read, or have wrong content."""

    code = "damaged"


class CorruptError(DamagedError):
    """A file that was installed with the package and has been changed. The installation is at fault, so that numbers that need
    the file are errors, and not skipped because of missing weights."""

    code = "corrupt"


class RefusedError(BenchError):
    """The machine refused something: no space, too many open files, no memory, a store that cannot be written to. No plug-in
    is at fault, and the same command goes on once there is space."""

    exit_code = 3


class NotComparableError(BenchError):
    """Numbers of different protocols that were to be ranked or compared together."""

    exit_code = 7


class StoppedError(BenchError):
    """Work that ended because a process that shared it has ended; the same command continues it."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the nearest known words, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
