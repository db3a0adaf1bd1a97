"""JSON from outside, read strictly: one meaning for every reader, and no value that later code cannot hold or write.

Refused are text that is not UTF-8, names that occur twice in one object, NaN, Infinity and numbers beyond the range of a
float (`1e400`), whole numbers of more than `DIGITS` digits, more than `DEEPEST` levels, and half of a surrogate pair.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from bench.errors import DamagedError
from bench.files.regular import read_bytes

DEEPEST = 40
"""Levels of lists and objects."""
DIGITS = 40
SHOWN = 60


def read(path: Path, what: str = "JSON file") -> Any:
    """The content of a JSON file. Raises MissingError where it is absent, and DamagedError, with file and fault, otherwise."""
    return parse(read_bytes(path, what), str(path))


def read_object(path: Path, what: str = "JSON file") -> dict[str, Any]:
    """The same for a file that holds an object."""
    held = read(path, what)
    if not isinstance(held, dict):
        raise DamagedError(f"{path} holds {type(held).__name__} and not an object.")
    return held


def parse(content: bytes, where: str) -> Any:
    """The value of a JSON text. `where` names it in the DamagedError that is raised if it is none."""
    try:
        held = _DECODER.decode(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DamagedError(f"{where} is not JSON: it is not UTF-8 text ({error.reason} at byte {error.start}).") from error
    except RecursionError as error:
        raise DamagedError(f"{where} is not JSON that is read: it has more than {DEEPEST} levels.") from error
    except ValueError as error:
        raise DamagedError(f"{where} is not JSON: {error}.") from error
    if fault := find_fault(held):
        raise DamagedError(f"{where} is not JSON that is read: it {fault}.")
    return held


def find_fault(held: Any, level: int = 0) -> str:
    """What a parsed value holds that is refused, e.g. `has more than 40 levels`; empty if nothing."""
    if isinstance(held, str):
        return "" if is_text(held) else f"holds half of a surrogate pair in {held[:SHOWN]!a}"
    if isinstance(held, float):
        return "" if math.isfinite(held) else "holds a number that is not finite"
    if isinstance(held, int):
        return "" if abs(held) < 10**DIGITS else f"holds a whole number of more than {DIGITS} digits"
    if not isinstance(held, (dict, list)):
        return ""
    if level >= DEEPEST:
        return f"has more than {DEEPEST} levels"
    parts = [*held, *held.values()] if isinstance(held, dict) else held
    return next((fault for part in parts if (fault := find_fault(part, level + 1))), "")


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:SHOWN]!a} occurs twice in one object")
    return made


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
