"""When two result records are about the same number, and when they belong to the same cell of a table.

This is the only definition: tables, comparisons, gates and merges group records by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.results.schema import ResultRecord
from bench.results.terms import ABSENT, FitOrigin

OWN = ("generator", "layouts")
"""Entries of `described` that belong to the generator: two records of one protocol may differ in them."""


def is_absent(reason: str) -> bool:
    """Whether more data or weights would remove the reason."""
    return any(kind.begins(reason) for kind in ABSENT)


class ResultKey(NamedTuple):
    """Identifies one number of one generator, independent of its value: two records with one key are the same number."""

    task: str
    dataset: str
    prompt_source: str
    generator: str
    variant: str
    """Version, options, content and method of the generator and its layouts, as JSON; weights where the method is unknown."""
    measure: str
    encoder: str
    mix: str
    experiment: str
    protocol: str
    seed: int
    source: str = ""
    """Of a reported number: paper and table."""
    fit: str = ""
    """The training behind the number; empty where none has a part in it."""


@dataclass(frozen=True, order=True)
class Quantity:
    """A cell of a table: what stays the same if a generator is trained and run again with other seeds or another protocol."""

    task: str
    dataset: str
    prompt_source: str
    generator: str
    measure: str
    """With its encoder or training mix, e.g. `fd texture`."""
    experiment: str = ""

    def __str__(self) -> str:
        beside = "".join(f", {word}" for word in (self.prompt_source, self.experiment) if word not in ("", "none"))
        return f"{self.generator}: {self.measure} ({self.task} on {self.dataset}{beside})"


def result_key(record: ResultRecord) -> ResultKey:
    """The key of a record."""
    return next(result_keys([record]))


def result_keys(records: Sequence[ResultRecord]) -> Iterator[ResultKey]:
    """The key of each record."""
    return (
        ResultKey(
            record.task,
            record.dataset,
            record.prompt_source,
            record.generator,
            which,
            record.measure,
            record.encoder,
            record.mix,
            experiment(record),
            record.protocol,
            record.seed,
            record.source,
            fit_name(record),
        )
        for record, which in zip(records, variants_of(records), strict=True)
    )


def quantity(record: ResultRecord) -> Quantity:
    """The quantity that a record is a measurement of."""
    return Quantity(record.task, record.dataset, record.prompt_source, record.generator, column(record), experiment(record))


def variant(record: ResultRecord) -> str:
    """What distinguishes two generators of one name, as JSON. Fits of one method are repetitions of one generator."""
    return json.dumps([*(record.described.get(kind) for kind in OWN), method_of(record)], sort_keys=True)


def variants_of(records: Sequence[ResultRecord]) -> Iterator[str]:
    """`variant` of each. Records from files share the entries of `described`, and the text of each is made once."""
    made: dict[tuple[Any, ...], str] = {}
    for record in records:
        # ids are those of one entry each as long as the records are there
        key = (*[id(record.described.get(kind)) for kind in OWN], method_of(record))
        known = made.get(key)
        if known is None:
            known = made[key] = variant(record)
        yield known


def label_of(record: ResultRecord) -> str:
    """What tables call the generator, as `--label` named it; empty for its own name. No part of its identity."""
    return record.stamp.get("label", "")


def method_of(record: ResultRecord) -> str:
    """Key of what the weights behind a number have in common with other fits of the method; of the weights themselves where
    they were shipped, or where a record of an earlier version does not say."""
    return record.keys.get("method") or record.keys.get("weights", "")


def fit_name(record: ResultRecord) -> str:
    """The training behind a number, among those of its method: `trained 1`, `shipped`; empty where none has a part in it, and
    where a record of an earlier version does not say."""
    if record.fit.get("origin", FitOrigin.NONE) == FitOrigin.NONE:
        return ""
    return " ".join(filter(None, (record.fit["origin"], record.fit.get("seed", ""))))


def weights_behind(record: ResultRecord) -> str:
    """What two numbers of the same weights have in common: the digest of the files, or the name of the fit where that is not
    known; empty where no training has a part in the number. Two trainings that gave the same bytes are one fit."""
    if not record.fit:  # of an earlier version: one fit, of whatever the key of the weights names
        weights = record.keys.get("weights", "")
        held = record.described.get("generator")
        return "" if isinstance(held, dict) and held.get("digest") == weights else weights
    return record.fit.get("weights") or fit_name(record)


def count_fits(records: Iterable[ResultRecord]) -> int:
    """How many fits the records are of; 0 where no training has a part in them."""
    return len({weights for record in records if (weights := weights_behind(record))})


def column(record: ResultRecord) -> str:
    """The measure with its encoder or training mix, e.g. `fd texture`."""
    return f"{record.measure} {record.encoder or record.mix}".strip()


def experiment(record: ResultRecord) -> str:
    """Name of the experiment that a record belongs to; empty for none."""
    held = record.described.get("experiment")
    return str(held.get("name", "")) if isinstance(held, dict) else ""
