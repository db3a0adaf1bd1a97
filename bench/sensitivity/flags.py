"""What was measured of the shipped metrics: which of their cards' claims do not hold. The file is made by `bench sensitivity
--flags`, and read by lists, cards and tables.

A flag is of one version of a metric and of its encoder: after a change of either it says nothing until it is measured again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DamagedError
from bench.files import json_files
from bench.results.identity import column

if TYPE_CHECKING:
    from bench.results.schema import ResultRecord

FILE = Path(__file__).parent / "flags.json"
MARK = "!"
"""Beside the name of a metric that has a flag."""
MEANING = f"{MARK} does not follow a corruption that its card claims to see"


@dataclass(frozen=True)
class Examined:
    """One measure on one encoder and one set of test patches, against the corruptions that the cards claim."""

    metric: str
    version: str
    measure: str
    encoder: str
    encoder_version: str
    task: str
    dataset: str
    n: int
    groups: int
    seen: tuple[str, ...]
    not_seen: tuple[str, ...]
    reversed: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.measure} {self.encoder}".strip()

    @property
    def is_flagged(self) -> bool:
        return bool(self.not_seen or self.reversed)

    def fault(self) -> str:
        """What does not hold, in words: `does not see blur; goes back under jpeg`."""
        parts = (("does not see", self.not_seen), ("goes back under", self.reversed))
        return "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)

    def sentence(self) -> str:
        """What does not hold, on what it was measured."""
        return f"{self.label} {self.fault()} ({self.dataset}, {self.n} patches of {self.groups} slides)"


@cache
def examined(file: Path = FILE) -> tuple[Examined, ...]:
    """Everything in the file. DamagedError if it is none of this kind."""
    held = json_files.read_object(file, "flags of metrics")
    try:
        return tuple(_read(row) for row in held["examined"])
    except (KeyError, TypeError) as error:
        raise DamagedError(
            f"{file} has no flags of metrics: {error}. Make it again: bench sensitivity --flags {file}"
        ) from error


def _read(row: dict[str, Any]) -> Examined:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Examined(**values)


def flags_of(metric: str, version: str) -> list[Examined]:
    """What does not hold of one version of a metric."""
    return [one for one in examined() if one.is_flagged and (one.metric, one.version) == (metric, version)]


def flagged_metrics() -> set[str]:
    """Names of metrics that have a flag. A test holds the versions of the file to those of the cards, so that lists need not
    import a metric."""
    return {one.metric for one in examined() if one.is_flagged}


@cache
def _flagged_places() -> frozenset[tuple[str, ...]]:
    found = (one for one in examined() if one.is_flagged)
    return frozenset((one.metric, one.version, one.measure, one.encoder, one.encoder_version) for one in found)


def is_flagged(record: ResultRecord) -> bool:
    """Whether the measure of a record, of these versions of its metric and encoder, has a flag on any data."""
    metric, encoder = _plugin(record, "metric"), _plugin(record, "encoder")
    return (*metric, record.measure, record.encoder, encoder[1]) in _flagged_places()


def claim_note(records: Iterable[ResultRecord]) -> str:
    """The measures among the records of which a claim of their metric's card does not hold, in words; empty where all hold."""
    names = list(dict.fromkeys(column(record) for record in records if is_flagged(record)))
    return f"{MARK} {', '.join(names)}: a claim of the metric's card does not hold (bench info METRIC)" if names else ""


def _plugin(record: ResultRecord, kind: str) -> tuple[str, str]:
    """Name and version of a plug-in behind a record; empty where it has none."""
    held = record.described.get(kind)
    return (str(held.get("name", "")), str(held.get("version", ""))) if isinstance(held, dict) else ("", "")
