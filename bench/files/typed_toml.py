"""TOML files of users, validated against a frozen dataclass. Errors name the file and the place."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import MissingError, UsageError

T = TypeVar("T")


def _not_finite(held: Any, place: str = "") -> Iterator[str]:
    """Places of NaN and infinity, which TOML allows and no setting accepts."""
    if isinstance(held, float) and not math.isfinite(held):
        yield place
    inner = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    for name, value in inner:
        yield from _not_finite(value, f"{place}.{name}".lstrip("."))


def read(path: Path, kind: type[T], what: str) -> T:
    """The file as a `kind`. Raises MissingError if there is no such file, and UsageError if its content does not fit."""
    from pydantic import TypeAdapter, ValidationError

    if not path.is_file():
        raise MissingError(f"no {what} {path}.")
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
        if strange := list(_not_finite(held)):
            raise UsageError(f"{path}: {strange[0]} is not a finite number.")
        return TypeAdapter(kind).validate_python(held)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
