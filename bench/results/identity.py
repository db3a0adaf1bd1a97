"""What two result records must share to be about the same thing, and the words that say how far a number came.

The only place that says so: tables, comparisons, gates and merges group records by what is defined here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.results.schema import ResultRecord

OWN = ("generator", "layouts")
"""Entries of `described` that belong to the generator: two records of one protocol may differ in them."""


class Status(StrEnum):
    """How a planned number ended."""

    OK = "ok"
    ERROR = "error"
    """Something broke: the reason names it."""
    SKIPPED = "skipped"
    """Data or weights are missing, or there is nothing to measure."""
    NOT_COMPARABLE = "not-comparable"
    """Withdrawn, or of another protocol than the numbers around it."""


class State(StrEnum):
    """How far a record is confirmed."""

    REPORTED = "reported"
    MEASURED = "measured"
    REPRODUCED = "reproduced"
    VERIFIED = "verified"


class Reason(StrEnum):
    """First words of the reasons why there is no number, or no interval."""

    MISSING = "missing"
    GATED = "gated"
    DAMAGED = "damaged"
    CORRUPT = "corrupt"
    UNDERPOWERED = "underpowered"
    SOURCES_UNKNOWN = "sources-unknown"
    INVALID = "invalid"
    INVALIDATED = "invalidated"

    def begins(self, reason: str) -> bool:
        """Whether a record's reason is of this kind."""
        return reason == self or reason.startswith(f"{self}:")


ABSENT = (Reason.MISSING, Reason.GATED, Reason.DAMAGED)
"""Reasons that more data or weights would remove."""


class Flag(StrEnum):
    """What a record's `flags` may hold."""

    ENCODER_CONFLICT = "encoder-conflict"
    """The generator or the data was conditioned or shaped by this encoder."""
    EMBEDDED = "embedded"
    """Procedural data."""
    SOURCES_UNKNOWN = "sources-unknown"
    """Nothing tells which images are of one slide, so that there is no interval."""
    UNDERPOWERED = "underpowered"
    """Too few slides or patches for a number or its interval."""
    NOT_COMPARABLE = "not-comparable"
    """Of a reported number: of other tissues or data sets than ours."""


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
