"""What was measured of each generator: the values of metrics, and of the targets that metrics should foretell.

A row is one generator with one prompt source; corruptions of several strengths are a row each, of one family. A column is one
measure on one encoder under one protocol: where there are several protocols, the one of most generators. Targets:

gain M        the score M of the downstream model trained on real and generated patches, less that of real patches alone
M synthetic   the score of the model trained on generated patches alone
faithfulness  every measure of a metric whose name ends in `faithfulness`; it is a metric too for the other targets
reader-...    scores that readers gave

Values are turned so that higher is better.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.errors import MissingError, UsageError, did_you_mean
from bench.results.identity import column, experiment
from bench.results.schema import ResultRecord
from bench.results.tables import cells
from bench.results.terms import Status
from leaderboards.sensitivity.ladders import Ladder, corruptions
from leaderboards.sensitivity.responses import place_of, tested

READER = "reader-"
FAITHFUL = "faithfulness"
"""End of the names of metrics that compare patches with their conditions."""
BOTH, ALONE, GENERATED = "real+synthetic", "real", "synthetic"
"""Training mixes of downstream models."""


@dataclass(frozen=True, order=True)
class Row:
    """One generator."""

    generator: str
    """With its strength, for a corruption."""
    prompt_source: str
    family: str
    """The corruption, or the generator itself: rows of one family are no independent evidence."""


Values = dict[Row, float]


@dataclass(frozen=True)
class Study:
    """Everything about one task and dataset."""

    task: str
    dataset: str
    metrics: Mapping[str, Values]
    """Measure with its encoder -> row -> value, higher is better."""
    targets: Mapping[str, Values]
    generators: int
    """Rows that have a target and a metric."""
    families: int


def studies(records: Iterable[ResultRecord], targets: Sequence[str] = ()) -> list[Study]:
    """One for each task and dataset with a target and a metric. `targets`: names in place of all.

    MissingError where there is none, UsageError on a target that nothing measures.
    """
    known = corruptions()
    grouped: dict[tuple[str, str], list[ResultRecord]] = defaultdict(list)
    held = [record for record in records if record.status == Status.OK and record.value is not None and not experiment(record)]
    scores = [
        record for record in held if record.mix and record.direction in ("lower", "higher") and ":" not in record.measure
    ]
    for record in (*tested(held), *scores):
        grouped[record.task, record.dataset].append(record)
    made = [_study(task, dataset, own, known) for (task, dataset), own in sorted(grouped.items())]
    if targets:
        there = sorted({name for study in made for name in study.targets})
        if unknown := [name for name in targets if name not in there]:
            raise UsageError(f"no target {unknown[0]!r}.{did_you_mean(unknown[0], there)} There are: {', '.join(there)}.")
        made = [_with_targets(study, targets) for study in made]
    found = [study for study in made if study.families > 1 and study.targets]
    if not found:
        raise MissingError(
            "no two generators here have a metric and a downstream score, a faithfulness or a readers' score. Make some: "
            "bench suite evidence"
        )
    return found


def _with_targets(study: Study, targets: Sequence[str]) -> Study:
    return _counted(study.task, study.dataset, study.metrics, {n: v for n, v in study.targets.items() if n in targets})


def _study(task: str, dataset: str, records: Sequence[ResultRecord], known: Mapping[str, Ladder]) -> Study:
    columns: dict[str, dict[str, dict[Row, list[ResultRecord]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for record in records:
        columns[column(record)][record.protocol][_row(record, known)].append(record)
    metrics: dict[str, Values] = {}
    scores: dict[str, Values] = {}
    targets: dict[str, Values] = {}
    for name, by_protocol in columns.items():
        most = Counter({protocol: len(rows) for protocol, rows in by_protocol.items()}).most_common(1)[0][0]
        rows = by_protocol[most]
        first = next(iter(rows.values()))[0]
        values = {row: _value(own) for row, own in rows.items()}
        if first.mix:
            scores[name] = values
        elif first.measure.startswith(READER):
            targets[name] = values
        else:
            metrics[name] = values
            if str(first.described.get("metric", {}).get("name", "")).endswith(FAITHFUL):
                targets[name] = values
    return _counted(task, dataset, metrics, {**_downstream(scores), **targets})


def _counted(task: str, dataset: str, metrics: Mapping[str, Values], targets: Mapping[str, Values]) -> Study:
    measured = {row for values in metrics.values() for row in values}
    rows = {row for values in targets.values() for row in values if row in measured}
    return Study(task, dataset, metrics, targets, len(rows), len({row.family for row in rows}))


def _downstream(scores: Mapping[str, Values]) -> dict[str, Values]:
    """The gain of adding generated patches to real ones, and the score of generated ones alone, for each score of the task."""
    found = {}
    for name, values in scores.items():
        measure, _, mix = name.partition(" ")
        if mix == GENERATED:
            found[name] = values
        if mix == BOTH and (alone := scores.get(f"{measure} {ALONE}")):
            # the score of real patches alone is of no generator: any row's stands for those that were not scored again
            usual = sum(alone.values()) / len(alone)
            found[f"gain {measure}"] = {row: value - alone.get(row, usual) for row, value in values.items()}
    return dict(sorted(found.items()))


def _row(record: ResultRecord, known: Mapping[str, Ladder]) -> Row:
    name = str(record.described.get("generator", {}).get("name", ""))
    return Row(place_of(record, known), record.prompt_source, name if name in known else record.generator)


def _value(records: list[ResultRecord]) -> float:
    """The mean over fits and seeds, higher is better."""
    found = cells(records)[0].value
    assert found is not None
    return found if records[0].direction == "higher" else -found
