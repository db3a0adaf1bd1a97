"""What two result records must share to be about the same thing, and the words that say how far a number came.

The only place that says so: tables, comparisons, gates and merges group records by what is defined here.
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
    """Names one number of one generator, whatever it came out as: two records with one key say the same thing twice."""

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
    """What stays the same when a generator is run again, with other seeds or another protocol: a cell of a table."""

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
    """What tells two generators of one name apart, as JSON."""
    return json.dumps([*(record.described.get(kind) for kind in OWN), record.keys.get("weights", "")], sort_keys=True)


def column(record: ResultRecord) -> str:
    """The measure with its encoder or training mix, e.g. `fd texture`."""
    return f"{record.measure} {record.encoder or record.mix}".strip()


def experiment(record: ResultRecord) -> str:
    """Name of the experiment that a record belongs to; empty for none."""
    held = record.described.get("experiment")
    return str(held.get("name", "")) if isinstance(held, dict) else ""
