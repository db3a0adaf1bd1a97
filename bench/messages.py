"""What plug-ins say when they refuse: two phrases that many of them need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from bench.errors import UsageError

_Value = TypeVar("_Value")


def needed(owner: str, column: str, value: _Value | None) -> _Value:
    """The value of a condition column, or a usage error that names the column."""
    if value is None:
        raise UsageError(f"{owner} needs conditions with {column}, and these have none: choose a dataset that has them.")
    return value


def listed(names: Iterable[object], most: int = 10) -> str:
    """The first names, and how many there are in all where that is more."""
    words = [str(name) for name in names]
    more = f", ... ({len(words)} in all)" if len(words) > most else ""
    return ", ".join(words[:most]) + more
