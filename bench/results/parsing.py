"""The door for result records from files: one strict schema for every command that reads them.

A line is one JSON object (`bench.files.json_files` says what is refused) with the fields of `ResultRecord` and no others, each
of its type: nothing is converted. Numbers are finite, counts and seeds whole numbers from 0 to `LARGEST`. Lines end with LF or
CRLF, and a file may begin with a byte order mark. What is no record is a DamagedError with file and line number, exit code 3.
Whether a record can be true is another question: see `leaderboards.tables.reading`.
"""

from __future__ import annotations

import marshal
import math
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from bench.errors import DamagedError
from bench.files import json_files
from bench.files.regular import open_regular
from bench.results.schema import FIELDS, SCHEMA, ResultRecord
from bench.results.terms import FitOrigin, State, Status

LARGEST = 2**53
"""Largest count or seed: whole numbers beyond are not exact in every reader of JSON."""
LONGEST_LINE = 2**24
"""Bytes of a line."""
MOST_REPLICATES = 1000
"""Blocks of slides that a number may be given without."""
TEXTS = ("generator", "dataset", "prompt_source", "task", "measure", "direction", "protocol")
"""Required, and texts."""
MORE_TEXTS = ("reason", "encoder", "mix", "source", "suspect")
COUNTS = ("seed", "n", "n_real", "groups")
NUMBERS = ("value", "low", "high", "least", "most", "freedom")
MAPPINGS = ("keys", "fit", "stamp")
"""Objects of texts."""
DIRECTIONS = ("lower", "higher", "none", "")
SHOWN = 60
W = TypeVar("W", bound=StrEnum)
_NAMES = FIELDS
_KNOWN, _REQUIRED = frozenset(_NAMES), frozenset(TEXTS)
_UNSTATED = ResultRecord("", "", "", "", "", "", "")
_DEFAULTS: dict[str, Any] = {name: getattr(_UNSTATED, name) for name in _NAMES if name not in _REQUIRED}
_STATUSES, _STATES = {str(word): word for word in Status}, {str(word): word for word in State}
_new, _set = object.__new__, object.__setattr__


class Parser:
    """Parses the lines of some files. Objects that are the same in several records are kept once: most of a record says how it
    was made, which hundreds of records of one run share."""

    def __init__(self) -> None:
        from pydantic_core import from_json

        self._from_json = from_json
        self._known: dict[bytes, tuple[dict[str, Any], int]] = {}
        self._flags: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read_numbered(self, path: Path) -> Iterator[tuple[int, ResultRecord]]:
        """The records of one file with their line numbers."""
        with open_regular(path, "file of result records") as file:
            number = 0
            # not splitlines: it also splits at characters such as U+2028, which other programs may write unescaped
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if line.isspace() or not line:
                    continue
                try:
                    yield number, self.parse(line)
                except _Fault as fault:
                    raise DamagedError(f"{path}:{number}{fault}.") from fault

    def parse(self, line: bytes) -> ResultRecord:
        """The record of a line. Raises _Fault if it is none."""
        if len(line) > LONGEST_LINE:
            _refuse(f"is a line of more than {LONGEST_LINE} bytes")
        try:
            held = self._from_json(line, allow_inf_nan=False)
        except ValueError as error:
            _parse_slowly(line)  # says what is wrong in words of its own
            _refuse(f"is not JSON: {re.sub(' at line 1 column', ' at character', str(error))}")
        if not isinstance(held, dict):
            _refuse(f"is not a result record of schema {SCHEMA}: found {type(held).__name__}")
        if (found := held.get("schema")) != SCHEMA or type(found) is not int:
            _refuse(f"is not a result record of schema {SCHEMA}: found {_shown(found)}")
        if not (held.keys() <= _KNOWN and held.keys() >= _REQUIRED):
            wrong = sorted((held.keys() - _KNOWN) | (_REQUIRED - held.keys()))
            _refuse(f"unknown or missing fields {_shown(', '.join(wrong))}")
        names = len(held)
        held = {**_DEFAULTS, **held}
        _check_scalars(held)
        names += " ".join([held[name] for name in (*TEXTS, *MORE_TEXTS)]).count(":")
        described, count = self._described(held["described"])
        names += count
        for name in MAPPINGS:
            held[name], count = self._texts(held[name], name)
            names += count
        if line.count(b":") != names or b"\\" in line:
            _parse_slowly(line)  # a name may occur twice, of which the fast parser keeps the last
        if fit := held["fit"]:
            _member({str(word): word for word in FitOrigin}, "fit.origin", fit.get("origin"))
        held["described"] = described
        held["replicates"] = _replicates(held["replicates"])
        held["flags"] = self._flags_of(held["flags"])
        held["encoder"] = _complete_encoder(held["encoder"], described)
        record = _new(ResultRecord)
        for name in _NAMES:  # the constructor of a frozen dataclass does the same in twice the time
            _set(record, name, held[name])
        return record

    def _described(self, held: Any) -> tuple[dict[str, Any], int]:
        """The shared object, and the number of colons that its JSON has."""
        key = marshal.dumps(held, 2)
        if key not in self._known:
            if not isinstance(held, dict):
                _refuse(f"described is an object, not {_shown(held)}")
            if fault := json_files.find_fault(held):
                _refuse(f"described {fault}")
            _check_described(held)
            names = _count_colons(held)
            self._known[key] = {kind: self._entry(entry) for kind, entry in held.items()}, names
        return self._known[key]

    def _entry(self, held: dict[str, Any]) -> dict[str, Any]:
        return self._known.setdefault(marshal.dumps(("", held), 2), (held, 0))[0]

    def _texts(self, held: Any, name: str) -> tuple[dict[str, Any], int]:
        key = marshal.dumps((name, held), 2)
        if key not in self._known:
            if not isinstance(held, dict) or not all(type(value) is str for value in held.values()):
                _refuse(f"{name} is an object of texts, not {_shown(held)}")
            self._known[key] = held, _count_colons(held)
        return self._known[key]

    def _flags_of(self, held: Any) -> tuple[str, ...]:
        if held == ():
            return ()
        if not isinstance(held, list) or not all(type(word) is str for word in held):
            _refuse(f"flags is a list of texts, not {_shown(held)}")
        found = tuple(held)
        return self._flags.setdefault(found, found)


def _check_scalars(held: dict[str, Any]) -> None:
    """Checks types and ranges of texts and numbers, and turns words and numbers into members and floats."""
    for name in TEXTS:
        if type(held[name]) is not str:
            _refuse(f"{name} is a text, not {_shown(held[name])}")
    for name in MORE_TEXTS:
        if type(held[name]) is not str:
            _refuse(f"{name} is a text, not {_shown(held[name])}")
    for name in COUNTS:
        found = held[name]
        if type(found) is not int or not 0 <= found <= LARGEST:
            _refuse(f"{name} is a whole number from 0 to {LARGEST}, not {_shown(found)}")
    for name in NUMBERS:
        found = held[name]
        if found is None:
            continue
        if type(found) is int and abs(found) <= LARGEST:
            held[name] = found = float(found)
        if type(found) is not float or not math.isfinite(found):
            _refuse(f"{name} is a finite number or null, not {_shown(found)}")
    if held["direction"] not in DIRECTIONS:
        _refuse(f"direction {_shown(held['direction'])}; known are lower, higher and none")
    held["status"] = status = _member(_STATUSES, "status", held["status"])
    held["state"] = _member(_STATES, "state", held["state"])
    if (held["value"] is None) == (status is Status.OK):
        _refuse("a record has a value exactly when its status is ok")
    if held["freedom"] is not None and held["freedom"] <= 0:
        _refuse(f"freedom is above 0, not {held['freedom']:g}")


def _check_described(held: dict[str, Any]) -> None:
    """Plug-ins are described by objects with a name and an object of options."""
    for kind, entry in held.items():
        if not isinstance(entry, dict):
            _refuse(f"described.{_plain(kind)} is an object, not {_shown(entry)}")
        if not isinstance(entry.get("options", {}), dict):
            _refuse(f"described.{_plain(kind)}.options is an object, not {_shown(entry['options'])}")
        for name in ("name", "version", "digest", "unit", "population"):
            if not isinstance(entry.get(name, ""), str):
                _refuse(f"described.{_plain(kind)}.{name} is a text, not {_shown(entry[name])}")


def _replicates(held: Any) -> tuple[float, ...]:
    if held == ():
        return ()
    if not isinstance(held, list):
        _refuse(f"replicates is a list, not {_shown(held)}")
    if len(held) > MOST_REPLICATES:
        _refuse(f"replicates has {len(held)} numbers; at most {MOST_REPLICATES} are read")
    if set(map(type, held)) - {float} or not math.isfinite(sum(held)):
        for value in held:
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST and not math.isfinite(value):
                _refuse(f"replicates is a list of finite numbers, not of {_shown(value)}")
    return tuple(map(float, held))


def _complete_encoder(named: str, described: dict[str, Any]) -> str:
    """The encoder with the network of its library: older records have `timm` for each of its networks."""
    encoder = described.get("encoder")
    if encoder is None or encoder.get("name") != named or not (found := encoder.get("options", {}).get("name")):
        return named
    return f"{named}:{found}"


def _member(words: dict[str, W], field: str, found: Any) -> W:
    """The member of an enum in a field of a record."""
    member = words.get(found) if isinstance(found, str) else None
    if member is None:
        _refuse(f"{field} {_shown(found)}; known are {', '.join(words)}")
    return member


def _count_colons(held: object) -> int:
    """Colons in the JSON of a value: one behind each name, and those in texts."""
    if isinstance(held, str):
        return held.count(":")
    if isinstance(held, dict):
        return len(held) + sum(_count_colons(name) + _count_colons(value) for name, value in held.items())
    return sum(map(_count_colons, held)) if isinstance(held, list) else 0


def _plain(text: str) -> str:
    return ascii(text)[1:-1][:SHOWN]


def _shown(found: Any) -> str:
    """The value as a message names it: short, and without control characters."""
    if isinstance(found, int) and abs(found) > 10**json_files.DIGITS:
        return f"a number of more than {json_files.DIGITS} digits"
    text = ascii(found)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


class _Fault(Exception):
    """Why a line is no record, to be read behind its place."""


def _refuse(what: str) -> NoReturn:
    raise _Fault(f" {what}" if what.startswith("is ") else f": {what}")


def _parse_slowly(line: bytes) -> None:
    """Refuses what the fast parser lets pass."""
    try:
        json_files.parse(line, "")
    except DamagedError as error:
        raise _Fault(str(error).rstrip(".")) from error
