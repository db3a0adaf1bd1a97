"""When two result records are about the same number, and when they belong to the same cell of a table.

This is the only definition: tables, comparisons, gates and merges group records by it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from bench.results.schema import ResultRecord
from bench.results.terms import ABSENT

OWN = ("generator", "layouts")
"""Entries of `described` that belong to the generator: two records of one protocol may differ in them."""


def is_absent(reason: str) -> bool:
    """Whether more data or weights would remove the reason."""
    return any(kind.begins(reason) for kind in ABSENT)


@dataclass(frozen=True, order=True)
class ResultKey:
    """Identifies one number of one generator, independent of its value: two records with one key are the same number."""

    task: str
    dataset: str
    prompt_source: str
    generator: str
    variant: str
    """Version, options, content and weights of the generator and its layouts, as JSON."""
    measure: str
    encoder: str
    mix: str
    experiment: str
    protocol: str
    seed: int
    source: str = ""
    """Of a reported number: paper and table."""


@dataclass(frozen=True, order=True)
class Quantity:
    """A cell of a table: what stays the same if a generator is run with other seeds or another protocol."""

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
    return ResultKey(
        record.task,
        record.dataset,
        record.prompt_source,
        record.generator,
        variant(record),
        record.measure,
        record.encoder,
        record.mix,
        experiment(record),
        record.protocol,
        record.seed,
        record.source,
    )


def quantity(record: ResultRecord) -> Quantity:
    """The quantity that a record is a measurement of."""
    return Quantity(record.task, record.dataset, record.prompt_source, record.generator, column(record), experiment(record))


def variant(record: ResultRecord) -> str:
    """What distinguishes two generators of one name, as JSON."""
    return json.dumps([*(record.described.get(kind) for kind in OWN), record.keys.get("weights", "")], sort_keys=True)


def column(record: ResultRecord) -> str:
    """The measure with its encoder or training mix, e.g. `fd texture`."""
    return f"{record.measure} {record.encoder or record.mix}".strip()


def experiment(record: ResultRecord) -> str:
    """Name of the experiment that a record belongs to; empty for none."""
    held = record.described.get("experiment")
    return str(held.get("name", "")) if isinstance(held, dict) else ""
