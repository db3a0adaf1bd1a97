"""Lists and settings that people write in TOML, held to a frozen dataclass; a fault is named with its file and place."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from bench.errors import MissingError, UsageError

T = TypeVar("T")


def read(path: Path, kind: type[T], what: str) -> T:
    """The file as a `kind`; raises MissingError where there is no such file and UsageError where it holds something else."""
    from pydantic import TypeAdapter, ValidationError

    if not path.is_file():
        raise MissingError(f"no {what} {path}.")
    try:
        return TypeAdapter(kind).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
