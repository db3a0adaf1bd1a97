"""Provenance of numbers as plain data: keys, versions and options, and licences of the plug-ins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench import registry
from bench.errors import BenchError
from bench.results.schema import ResultRecord
from bench.types import Card

KINDS = {
    "generator": "generators",
    "layouts": "layout_generators",
    "dataset": "datasets",
    "encoder": "encoders",
    "metric": "metrics",
    "task": "tasks",
}
"""Entry of a record's `described` -> kind of plug-in, in the order of the page."""


@dataclass(frozen=True)
class Used:
    """A plug-in or dataset behind the numbers, with licence and source from its card."""

    kind: str
    name: str
    versions: str
    licence: str
    source: str


def list_used(records: Iterable[ResultRecord]) -> list[Used]:
    """Every generator, layout generator, dataset, encoder, metric and task that the records name, each once."""
    named: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        for entry, kind in KINDS.items():
            about = record.described.get(entry, {})
            if name := about.get("name"):
                named[kind, str(name)].add(str(about.get("version", "")))
        named["tasks", record.task] |= set()
    return [_used(kind, name, versions) for (kind, name), versions in sorted(named.items(), key=_by_kind)]


def _by_kind(entry: tuple[tuple[str, str], set[str]]) -> tuple[int, str]:
    return list(KINDS.values()).index(entry[0][0]), entry[0][1]


def _used(kind: str, name: str, versions: set[str]) -> Used:
    card = _card(kind, name)
    licence, source = ("unknown: not installed here", "") if card is None else (card.licence or "not stated", card.source)
    return Used(kind.replace("_", " "), name, ", ".join(sorted(filter(None, versions))), licence, source)


def _card(kind: str, name: str) -> Card | None:
    if name not in registry.names(kind):
        return None
    try:
        return registry.card(kind, name)
    except (BenchError, ImportError):
        return None


@dataclass(frozen=True)
class Origin:
    """Provenance of the numbers of one generator."""

    generator: str
    dataset: str
    weights: str
    test: str
    train: str
    samples: tuple[str, ...]
    made: str
    software: str
    options: dict[str, object] = field(default_factory=dict)


def list_origins(records: Iterable[ResultRecord]) -> list[Origin]:
    """One for each generator, dataset, weights and options."""
    grouped: dict[tuple[str, ...], list[ResultRecord]] = defaultdict(list)
    for record in records:
        options = repr(record.described.get("generator", {}).get("options", {}))
        grouped[record.generator, record.dataset, record.keys.get("weights", ""), options].append(record)
    return [_origin(found) for _, found in sorted(grouped.items())]


def _origin(records: list[ResultRecord]) -> Origin:
    first = records[0]
    made = sorted({record.stamp.get("made", "")[:16].replace("T", " ") for record in records})
    software = ", ".join(f"{name} {value}" for name, value in first.stamp.items() if name != "made" and value != "absent")
    samples = tuple(sorted({record.keys["samples"] for record in records if "samples" in record.keys}))
    keys = [first.keys.get(name, "") for name in ("weights", "test", "train")]
    when = made[0] if len(made) == 1 else f"{made[0]} to {made[-1]}"
    options = first.described.get("generator", {}).get("options", {})
    return Origin(first.generator, first.dataset, keys[0], keys[1], keys[2], samples, when, software, options)
