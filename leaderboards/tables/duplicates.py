"""When two records are of one number, and when they contradict each other: one rule for every command that reads records.

Two records are of one number when their `bench.results.identity.result_key` is the same. They are the same number made again
when value, interval and values without each block of slides differ by at most `TOLERATED` of the larger one: in another run of
the same machine, on another machine, by `bench verify`. The record with the furthest state stays, and of those the one made
first. A record without a number gives way to one with it. Anything else is a contradiction, and stops the reading by the files
and line numbers of both: nobody can say which of the two is true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import NotComparableError
from bench.results import schema
from bench.results.identity import ResultKey, fit_name, result_key
from bench.results.schema import ResultRecord
from bench.results.terms import State

TOLERATED = 1e-3
"""Share of the larger one by which two records of one number may differ: what `bench verify` allows another machine."""
LEAST_SIZE = 1e-3
"""Numbers nearer to 0 are compared as if they were this large, since rounding errors are no share of them."""
SHOWN = 5
"""Contradictions that are listed."""

Found = tuple[str, ResultRecord]
"""Where a record stands, as file:line, and the record."""


@dataclass(frozen=True)
class Once:
    """Records of which each number has one, and what became of the others."""

    records: tuple[Found, ...]
    kept: tuple[int, ...]
    """Index of each of them among those that were given."""
    again: int = 0
    """Records whose number was there already."""
    filled: tuple[str, ...] = ()
    """Where a number took the place of a record without one."""
    farthest: float = 0.0
    """Largest relative difference that the tolerance let pass."""


def each_once(found: Sequence[Found], tolerance: float = TOLERATED) -> Once:
    """One record of each number. Raises NotComparableError where two records of one number differ by more than the share
    `tolerance`, with the files and line numbers of both."""
    held: dict[ResultKey, int] = {}
    clashes: list[str] = []
    filled: list[str] = []
    farthest = 0.0
    for i, (where, record) in enumerate(found):
        key = result_key(record)
        known = held.setdefault(key, i)
        if known == i:
            continue
        apart = difference(found[known][1], record)
        if apart is None:
            filled.append(f"{found[known][0]} and {where}")
        elif apart > tolerance:
            clashes.append(_clash(found[known], found[i]))
        farthest = max(farthest, apart or 0.0)
        held[key] = min(known, i, key=lambda index: (*_rank(found[index][1]), index))
    if clashes:
        more = [f"  and {len(clashes) - SHOWN} more"] if len(clashes) > SHOWN else []
        raise NotComparableError("\n".join([f"{len(clashes)} numbers differ:", *clashes[:SHOWN], *more, ADVICE]))
    kept = tuple(held.values())
    return Once(tuple(found[i] for i in kept), kept, len(found) - len(kept), tuple(filled), farthest)


ADVICE = "Nothing was made of them. bench verify says which run holds: name its folder or file alone, or move the other away."


def difference(one: ResultRecord, other: ResultRecord) -> float | None:
    """The largest relative difference of value and interval, infinite where one has what the other has not; None where one
    of them has no number at all."""
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
    record = one[1]
    words = (record.generator, record.measure, record.encoder or record.mix, f"seed {record.seed}", fit_name(record))
    named = " ".join(filter(None, words))
    text = " and ".join(f"{record.value!r} in {where}" for where, record in (one, other))
    return f"  {named}: {text}" + (
        "" if record.value != other[1].value else " (interval, jackknife replicates or counts differ)"
    )
