"""When two records are of one number, and when they contradict each other: one rule for every command that reads records.

Two records are of one number if they have the same `bench.results.identity.result_key`. They agree if value, interval and
values without each block of slides differ by at most `TOLERATED` of the larger one, as between two runs, two machines, or
after `bench verify`. The record with the furthest state is kept, and of those the earliest one. A record without a number is
replaced by one with a number. Everything else is a contradiction, which is an error with the files and line numbers of both
records, since it is unknown which one is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import NotComparableError
from bench.messages import printable
from bench.results import schema
from bench.results.identity import ResultKey, fit_name, result_keys
from bench.results.schema import ResultRecord
from bench.results.terms import State

TOLERATED = 1e-3
"""Largest difference of two records of one number, as a share of the larger one: the tolerance of `bench verify`."""
LEAST_SIZE = 1e-3
"""Smaller absolute values are compared as if they were this large, since rounding errors are not relative to them."""
SHOWN = 5
"""Largest number of contradictions that are listed."""

Found = tuple[Path, int, ResultRecord]
"""File and line of a record, and the record."""


@dataclass(frozen=True)
class Once:
    """One record for each number, and counts of the dropped ones."""

    records: tuple[Found, ...]
    kept: tuple[int, ...]
    """Index of each of them in the input."""
    again: int = 0
    """Number of duplicates that were dropped."""
    filled: tuple[str, ...] = ()
    """Places of records without a number that were replaced."""
    farthest: float = 0.0
    """Largest relative difference between duplicates."""


def each_once(found: Sequence[Found], tolerance: float = TOLERATED) -> Once:
    """One record of each number. Raises NotComparableError where two records of one number differ by more than the share
    `tolerance`, with the files and line numbers of both."""
    records = [record for *_, record in found]
    kept: list[int | None] = list(range(len(found)))
    firsts: dict[ResultKey, int] = {}
    clashes: list[str] = []
    filled: list[str] = []
    farthest = 0.0
    doubtful = _share_a_hash(records)
    for i, key in zip(doubtful, result_keys([records[i] for i in doubtful]), strict=True):
        first = firsts.setdefault(key, i)
        known = kept[first]
        if first == i or known is None:
            continue
        apart = difference(records[known], records[i])
        if apart is None:
            filled.append(f"{place_of(found[known])} and {place_of(found[i])}")
        elif apart > tolerance:
            clashes.append(_clash(found[known], found[i]))
        farthest = max(farthest, apart or 0.0)
        kept[i] = None
        kept[first] = min(known, i, key=lambda index: (*_rank(records[index]), index))
    if clashes:
        more = [f"  and {len(clashes) - SHOWN} more"] if len(clashes) > SHOWN else []
        raise NotComparableError("\n".join([f"{len(clashes)} numbers differ:", *clashes[:SHOWN], *more, ADVICE]))
    once = tuple(i for i in kept if i is not None)
    return Once(tuple(found[i] for i in once), once, len(found) - len(once), tuple(filled), farthest)


def _share_a_hash(records: Sequence[ResultRecord]) -> list[int]:
    """Which of the records have a key that another one may have too. Keys of all need more memory than their hashes."""
    hashes = np.fromiter(map(hash, result_keys(records)), np.int64, len(records))
    values, counts = np.unique(hashes, return_counts=True)
    return [int(i) for i in np.flatnonzero(np.isin(hashes, values[counts > 1]))]


ADVICE = "Nothing was made of them. bench verify says which run holds: name its folder or file alone, or move the other away."


def place_of(found: Found) -> str:
    """As messages name it."""
    return f"{found[0]}:{found[1]}"


def difference(one: ResultRecord, other: ResultRecord) -> float | None:
    """The largest relative difference of value and interval; infinite if only one of them has a bound; None if one of them has
    no number."""
    if (one.value is None) != (other.value is None):
        return None
    if (one.n, one.n_real, one.groups) != (other.n, other.n_real, other.groups) or len(one.replicates) != len(
        other.replicates
    ):
        return math.inf
    pairs = zip(
        (one.value, one.low, one.high, *one.replicates), (other.value, other.low, other.high, *other.replicates), strict=True
    )
    return max((_share(a, b) for a, b in pairs), default=0.0)


def _share(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    return abs(one - other) / max(abs(one), abs(other), LEAST_SIZE)


def _rank(record: ResultRecord) -> tuple[bool, int, str, str]:
    """The record to keep comes first: with a number, of the furthest state, of the earliest stamp."""
    return (record.value is None, -tuple(State).index(record.state), record.stamp.get("made", ""), schema.to_json(record))


def _clash(one: Found, other: Found) -> str:
    record = one[2]
    words = (record.generator, record.measure, record.encoder or record.mix, f"seed {record.seed}", fit_name(record))
    named = " ".join(filter(None, words))
    text = " and ".join(f"{found[2].value!r} in {place_of(found)}" for found in (one, other))
    note = "" if record.value != other[2].value else " (interval, jackknife replicates or counts differ)"
    return printable(f"  {named}: {text}{note}")
