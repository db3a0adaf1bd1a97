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
from dataclasses import make_dataclass
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

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
MOST_KEPT = 2**12
"""Different values of one kind that a parser keeps at a time: more than the records of one run have."""
DIRECTIONS = ("lower", "higher", "none", "")
SHOWN = 60
V = TypeVar("V")
W = TypeVar("W", bound=StrEnum)
_NAMES = FIELDS
_KNOWN, _REQUIRED = frozenset(_NAMES), frozenset(TEXTS)
_UNSTATED = ResultRecord("", "", "", "", "", "", "")
_DEFAULTS: dict[str, Any] = {name: getattr(_UNSTATED, name) for name in _NAMES if name not in _REQUIRED}
_STATUSES, _STATES = {str(word): word for word in Status}, {str(word): word for word in State}
_ORIGINS = {str(word): word for word in FitOrigin}
_ONLY_TEXTS, _ONLY_COUNTS, _ONLY_FLOATS, _ONLY_NUMBERS = {str}, {int}, {float}, {float, type(None)}
_texts_of, _counts_of, _numbers_of = itemgetter(*TEXTS, *MORE_TEXTS), itemgetter(*COUNTS), itemgetter(*NUMBERS)
_values_of = itemgetter(*_NAMES)
_Open: Any = make_dataclass("_Open", _NAMES, slots=True)  # a record with the same slots that is not frozen
_END_OF_OWN, _END_OF_DESCRIBED = b', "described": {', b', "keys": {'
"""Where lines that `schema.write` wrote are cut into what a record has of its own, what describes it, and keys and stamp."""


class Parser:
    """Parses the lines of some files. Objects that are the same in several records are kept once: most of a record says how it
    was made, which hundreds of records of one run share."""

    def __init__(self) -> None:
        from pydantic_core import from_json

        self._from_json = from_json
        self._parts: dict[bytes, dict[str, Any]] = {}
        self._entries: dict[bytes, tuple[dict[str, Any], int]] = {}
        self._mappings: dict[bytes, tuple[dict[str, Any], int]] = {}
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
        held = self._parse_parts(line)
        if is_whole := held is None:
            held = self._parse_whole(line)
        if (found := held.get("schema")) != SCHEMA or type(found) is not int:
            _refuse(f"is not a result record of schema {SCHEMA}: found {_shown(found)}")
        names = len(held)
        if held.keys() != _KNOWN:
            if not (held.keys() <= _KNOWN and held.keys() >= _REQUIRED):
                wrong = sorted((held.keys() - _KNOWN) | (_REQUIRED - held.keys()))
                _refuse(f"unknown or missing fields {_shown(', '.join(wrong))}")
            held = {**_DEFAULTS, **held}
        _check_scalars(held)
        if is_whole:
            names += _count_in_texts(held) + self._share(held)
            _check_names(line, names)
        if fit := held["fit"]:
            _member(_ORIGINS, "fit.origin", fit.get("origin"))
        held["replicates"] = _replicates(held["replicates"])
        held["flags"] = self._flags_of(held["flags"])
        held["encoder"] = _complete_encoder(held["encoder"], held["described"])
        # the constructor of a frozen dataclass does the same in four times the time
        record = _Open(*_values_of(held))
        record.__class__ = ResultRecord
        return cast(ResultRecord, record)

    def _parse_whole(self, line: bytes) -> dict[str, Any]:
        """The object of a line, of which nothing is checked."""
        try:
            held = self._from_json(line, allow_inf_nan=False)
        except ValueError as error:
            _parse_slowly(line)  # says what is wrong in words of its own
            _refuse(f"is not JSON: {re.sub(' at line 1 column', ' at character', str(error))}")
        if not isinstance(held, dict):
            _refuse(f"is not a result record of schema {SCHEMA}: found {type(held).__name__}")
        return held

    def _parse_parts(self, line: bytes) -> dict[str, Any] | None:
        """The same object from the parts of a line, those that lines share parsed once, with mappings checked and shared;
        None where that is not possible, or something is wrong.

        Each part is an object of its own without its braces. If all of them are JSON, so is the line, and its value is theirs
        together: a brace that is put behind a part ends what began at its first, and nothing else may be open there.
        """
        first = line.find(_END_OF_OWN)
        second = line.find(_END_OF_DESCRIBED, first)
        if first < 0 or second < 0:
            return None
        own, of_plugins, of_run = line[:first] + b"}", line[first:second], line[second:]
        try:
            held = self._from_json(own, allow_inf_nan=False)
            described = self._parts.get(of_plugins) or self._parse_part(of_plugins, b"}")
            rest = self._parts.get(of_run) or self._parse_part(of_run, b"")
        except (ValueError, _Fault):
            return None
        names, colons = len(held), own.count(b":")
        if type(held) is not dict or b"\\" in own or (colons != names and colons != names + _count_in_texts(held)):
            return None
        held.update(described)
        held.update(rest)
        return held if len(held) == names + len(described) + len(rest) else None

    def _parse_part(self, text: bytes, end: bytes) -> dict[str, Any]:
        whole = b"{" + text[2:] + end
        held: dict[str, Any] = self._from_json(whole, allow_inf_nan=False)
        _check_names(whole, len(held) + _count_in_texts(held) + self._share(held))
        _keep(self._parts, text, held)
        return held

    def _share(self, held: dict[str, Any]) -> int:
        """Checks the mappings of a record, and puts shared ones in their place; returns how many colons their JSON has."""
        colons = 0
        if "described" in held:
            held["described"], count = self._described(held["described"])
            colons += count
        for name in MAPPINGS:
            if name in held:
                held[name], count = self._texts(held[name], name)
                colons += count
        return colons

    def _described(self, held: Any) -> tuple[dict[str, Any], int]:
        """The object with shared entries, and the number of colons that its JSON has."""
        if not isinstance(held, dict):
            _refuse(f"described is an object, not {_shown(held)}")
        colons = len(held)
        for kind, entry in held.items():
            held[kind], count = self._entry(kind, entry)
            colons += kind.count(":") + count
        return held, colons

    def _entry(self, kind: str, held: Any) -> tuple[dict[str, Any], int]:
        """The shared entry: a record has a few, of which there are few in all records."""
        key = marshal.dumps((kind, held), 2)
        known = self._entries.get(key)
        if known is None:
            if fault := json_files.find_fault(kind) or json_files.find_fault(held, 1):
                _refuse(f"described {fault}")
            _check_described(kind, held)
            known = held, _count_colons(held)
            _keep(self._entries, key, known)
        return known

    def _texts(self, held: Any, name: str) -> tuple[dict[str, Any], int]:
        key = marshal.dumps((name, held), 2)
        known = self._mappings.get(key)
        if known is None:
            if not isinstance(held, dict) or not all(type(value) is str for value in held.values()):
                _refuse(f"{name} is an object of texts, not {_shown(held)}")
            known = held, _count_colons(held)
            _keep(self._mappings, key, known)
        return known

    def _flags_of(self, held: Any) -> tuple[str, ...]:
        if held == ():
            return ()
        if not isinstance(held, list) or not all(type(word) is str for word in held):
            _refuse(f"flags is a list of texts, not {_shown(held)}")
        found = tuple(held)
        return self._flags.setdefault(found, found)


def _check_scalars(held: dict[str, Any]) -> None:
    """Checks types and ranges of texts and numbers, and turns words and numbers into members and floats."""
    if not _ONLY_TEXTS.issuperset(map(type, _texts_of(held))):
        name = next(name for name in (*TEXTS, *MORE_TEXTS) if type(held[name]) is not str)
        _refuse(f"{name} is a text, not {_shown(held[name])}")
    counts = _counts_of(held)
    if not _ONLY_COUNTS.issuperset(map(type, counts)) or min(counts) < 0 or max(counts) > LARGEST:
        name = next(name for name in COUNTS if type(held[name]) is not int or not 0 <= held[name] <= LARGEST)
        _refuse(f"{name} is a whole number from 0 to {LARGEST}, not {_shown(held[name])}")
    numbers = _numbers_of(held)
    if not _ONLY_NUMBERS.issuperset(map(type, numbers)) or not math.isfinite(sum(filter(None, numbers))):
        _check_numbers(held)
    if held["direction"] not in DIRECTIONS:
        _refuse(f"direction {_shown(held['direction'])}; known are lower, higher and none")
    held["status"] = status = _member(_STATUSES, "status", held["status"])
    held["state"] = _member(_STATES, "state", held["state"])
    if (held["value"] is None) == (status is Status.OK):
        _refuse("a record has a value exactly when its status is ok")
    if held["freedom"] is not None and held["freedom"] <= 0:
        _refuse(f"freedom is above 0, not {held['freedom']:g}")


def _check_numbers(held: dict[str, Any]) -> None:
    """Turns whole numbers into floats, and refuses what is no finite number."""
    for name in NUMBERS:
        found = held[name]
        if found is None:
            continue
        if type(found) is int and abs(found) <= LARGEST:
            held[name] = found = float(found)
        if type(found) is not float or not math.isfinite(found):
            _refuse(f"{name} is a finite number or null, not {_shown(found)}")


def _check_described(kind: str, entry: Any) -> None:
    """Plug-ins are described by objects with a name and an object of options."""
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
    if _ONLY_FLOATS.issuperset(map(type, held)) and math.isfinite(sum(held)):
        return tuple(held)
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


def _keep(kept: dict[bytes, V], key: bytes, value: V) -> None:
    if len(kept) >= MOST_KEPT:  # records of one run are beside each other: what they share is soon here again
        kept.clear()
    kept[key] = value


def _check_names(text: bytes, colons: int) -> None:
    """Refuses objects in which a name occurs twice, of which the fast parser keeps the last: there is a colon behind each
    name."""
    if text.count(b":") != colons or b"\\" in text:
        _parse_slowly(text)


def _count_in_texts(held: dict[str, Any]) -> int:
    """Colons in the texts of an object, without those of its objects."""
    return " ".join([value for value in held.values() if type(value) is str]).count(":")


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
