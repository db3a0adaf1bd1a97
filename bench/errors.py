"""Errors that the user can mend; everything else keeps its traceback.

A message names what was asked, what was found and the next step. The exit code belongs to the error, so that the
command line has no table of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Something that the person at the keyboard can put right."""

    exit_code = 1


class UsageError(BenchError):
    """A name, an option or a combination of them that makes no sense."""

    exit_code = 2


class MissingError(BenchError):
    """Data or weights that are absent, gated or damaged."""

    exit_code = 3
    code: str = "missing"
    """What a cell that ends for want of it is skipped for, in one word."""


class GatedError(MissingError):
    """Weights whose owner wants to be asked first."""

    code = "gated"


class DamagedError(MissingError):
    """Files that are there but cannot be read, or are not what they should be."""

    code = "damaged"


class CorruptError(DamagedError):
    """A file that came with the package and is not what was shipped: the installation is at fault, so that what needs the file
    ends as an error, and not as skipped for want of weights."""

    code = "corrupt"


class NotComparableError(BenchError):
    """Numbers of different protocols that were asked to stand in one ranking."""

    exit_code = 7


class StoppedError(BenchError):
    """Work that ended because a process that shared it has ended; the same command continues it."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the nearest known words, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
