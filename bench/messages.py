"""Parts of error messages that many plug-ins need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from bench.errors import UsageError

_Value = TypeVar("_Value")


def needed(owner: str, column: str, value: _Value | None) -> _Value:
    """The value of a condition column. UsageError, with the name of the column, if it is absent."""
    if value is None:
        raise UsageError(f"{owner} needs conditions with {column}, and these have none: choose a dataset that has them.")
    return value


def listed(names: Iterable[object], most: int = 10) -> str:
    """The first names, comma-separated, and the total number if there are more."""
    words = [str(name) for name in names]
    more = f", ... ({len(words)} in all)" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def shorten(text: str, most: int = 80) -> str:
    """A name or value that a user gave, as a message shows it."""
    return text if len(text) <= most else f"{text[:most]}..."
