"""The records of each quantity by protocol, and the reasons why two records of one quantity cannot be compared."""

from __future__ import annotations

from collections.abc import Iterable

from bench.errors import UsageError
from bench.results.identity import OWN, Quantity, fit_name, method_of, quantity, variant
from bench.results.protocols import entries
from bench.results.schema import ResultRecord
from bench.results.terms import State

SeedsByProtocol = dict[str, list[ResultRecord]]
"""protocol -> records of one quantity, one a fit and seed."""


def grouped(records: Iterable[ResultRecord], what: str) -> dict[Quantity, SeedsByProtocol]:
    """Records by quantity and protocol, in the order of the quantities. Each number is given once: see `duplicates.each_once`.

    Reported numbers are not ours, and measures without a direction are no better or worse: both are left out.
    `what` names the records in the UsageError that is raised where one name stands for generators of several options.
    """
    found: dict[tuple[Quantity, str, str, int], ResultRecord] = {}
    firsts: dict[tuple[Quantity, str], ResultRecord] = {}
    for record in sorted(records, key=lambda r: r.stamp.get("made", "")):
        if record.state == State.REPORTED or record.direction == "none":
            continue
        key = (quantity(record), record.protocol, fit_name(record), record.seed)
        before = firsts.setdefault(key[:2], record)
        if variant(before) != variant(record) and (other := _otherwise(before, record)):
            raise UsageError(
                f"{what}: {record.generator} was run with more than one set of options ({'; '.join(other)}). "
                "Name the folder or the file of the one run that is meant."
            )
        found[key] = record
    held: dict[Quantity, SeedsByProtocol] = {}
    for (where, protocol, *_), record in sorted(found.items(), key=lambda item: item[0]):
        held.setdefault(where, {}).setdefault(protocol, []).append(record)
    return held


def _otherwise(one: ResultRecord, other: ResultRecord) -> list[str]:
    """Differences of two generators of one name: options, version, content, layouts or weights, except fits of one method."""
    weights = [method_of(result) or "none" for result in (one, other)]
    differing = [f"weights: {weights[0]} and {weights[1]}"] if weights[0] != weights[1] else []
    return entries(one.described, other.described, OWN) or differing


def equal(first: list[ResultRecord], second: list[ResultRecord]) -> bool:
    """Whether two repeats agree bit by bit: the same seeds, values and values without each block of slides."""

    def shown(records: list[ResultRecord]) -> list[tuple[int, float | None, tuple[float, ...], str]]:
        return sorted(((one.seed, one.value, one.replicates, one.protocol) for one in records), key=repr)

    ours, theirs = shown(first), shown(second)
    return ours == theirs and all(record.value is not None for record in first)
