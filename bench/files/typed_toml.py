"""TOML files of users, validated against a frozen dataclass. Errors name the file and the place."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import MissingError, UsageError
from bench.files.regular import is_there, read_bytes

T = TypeVar("T")

LARGEST = 2**20
"""Bytes of a file."""
DEEPEST = 20
"""Levels of tables and lists."""
DOTS = 200
"""In a line: the parser takes minutes for a name of tens of thousands of parts."""


def _find_faults(held: Any, place: str = "", level: int = 0) -> Iterator[str]:
    """Places of NaN and infinity, which TOML allows and no setting accepts, and of tables in too many levels."""
    if isinstance(held, float) and not math.isfinite(held):
        yield f"{place} is not a finite number"
    inner = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    if inner and level >= DEEPEST:
        yield f"{place} has more than {DEEPEST} levels"
        return
    for name, value in inner:
        yield from _find_faults(value, f"{place}.{name}".lstrip("."), level + 1)


def load(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file. Raises MissingError if there is no such file, and UsageError if it is not TOML."""
    if not is_there(path):
        raise MissingError(f"no {what} {path}.")
    content = read_bytes(path, what)
    if len(content) > LARGEST:
        raise UsageError(f"{path} has {len(content)} bytes; a {what} has at most {LARGEST}.")
    if any(line.count(b".") > DOTS for line in content.split(b"\n")):
        raise UsageError(
            f"{path} is not TOML that is read: a line has more than {DOTS} dots, and names more levels than that."
        )
    try:
        held = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not TOML: it is not UTF-8 text ({error.reason} at byte {error.start}).") from error
    except RecursionError as error:
        raise UsageError(f"{path} is not TOML that is read: it has more than {DEEPEST} levels.") from error
    except ValueError as error:  # also of numbers and dates out of range
        raise UsageError(f"{path} is not TOML: {error}.") from error
    if fault := next(_find_faults(held), ""):
        raise UsageError(f"{path}: {fault}.")
    return held


def read(path: Path, kind: type[T], what: str) -> T:
    """The file as a `kind`. Raises MissingError if there is no such file, and UsageError if its content does not fit."""
    from pydantic import TypeAdapter, ValidationError

    held = load(path, what)
    try:
        return TypeAdapter(kind).validate_python(held)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
