"""An experiment's table: a row for each arm, each measure beside what was reported, and a verdict for each comparison."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.measurements.experiment_files import BETWEEN, Experiment
from bench.results import tables
from bench.results.identity import experiment as experiment_of
from bench.results.schema import ResultRecord, unit_of
from bench.results.terms import Flag
from bench.statistics import Estimate
from bench.statistics.equivalence import verdict


def of(name: str, made: Iterable[ResultRecord]) -> list[ResultRecord]:
    """The records that an experiment of this name made."""
    return [record for record in made if experiment_of(record) == name]


@dataclass(frozen=True)
class ExperimentTable(tables.Table):
    """An experiment's table, ready to be written."""

    cells: tuple[tables.Cell, ...]
    """All numbers, differences among them."""


def make_table(experiment: Experiment, made: Sequence[ResultRecord]) -> ExperimentTable:
    """A row for each arm, each measure beside what was reported; a sentence for each comparison."""
    cells: dict[tuple[str, str], tables.Cell] = {}
    grouped: dict[tuple[str, str], list[ResultRecord]] = defaultdict(list)
    for record in made:
        grouped[record.measure, record.mix].append(record)
    for key, rows in grouped.items():
        cells[key] = tables.cells(rows)[0]
    reported = any(arm.reported for arm in experiment.arm)
    heads = [head for name in experiment.measures for head in ((name, f"{name} reported") if reported else (name,))]
    body = [["training mix", *heads]]
    for arm in experiment.arm:
        row = [arm.name]
        for name in experiment.measures:
            row.append(_entry(cells, name, arm.name))
            if reported:
                row.append(f"{arm.reported[name]:.4f}" if name in arm.reported else "–")
        body.append(row)
    first = made[0]
    seeds = len({record.seed for record in made if record.mix})
    notes = [
        f"{first.n} test patches of {first.groups} {unit_of(first)}, {seeds} seeds; {tables.interval_note(cells.values())}",
        *([f"reported: {experiment.source}; other data, another network size: never ranked with ours"] if reported else []),
        *(["embedded phantom tissue: these numbers say nothing of real patients"] if Flag.EMBEDDED in first.flags else []),
        *sentences(experiment, cells),
        *tables.reasons([cell for cell in cells.values() if tables.lacks_explanation(cell)]),
    ]
    title = f"{experiment.name} ({first.generator}, {first.task} on {first.dataset}): {experiment.summary}"
    return ExperimentTable(title, body, notes, tuple(cells.values()))


def sentences(experiment: Experiment, cells: dict[tuple[str, str], tables.Cell]) -> list[str]:
    """One sentence for each comparison: the difference, its interval, and the verdict by the stated rule."""
    message = []
    for comparison in experiment.comparison:
        name = experiment.measures[0]
        cell = cells.get((f"{name}-difference", f"{comparison.arm}{BETWEEN}{comparison.against}"))
        if cell is None or cell.value is None:
            continue
        found = verdict(Estimate(cell.value, cell.low, cell.high), comparison.claim, comparison.margin)
        margin = f", margin {comparison.margin:g}" if comparison.margin else ""
        bounds = "no interval" if cell.low is None or cell.high is None else f"[{cell.low:+.4f}, {cell.high:+.4f}]"
        message.append(
            f"{comparison.arm} against {comparison.against}: {name} {cell.value:+.4f} {bounds}: {found} "
            f"(asked: {comparison.claim}{margin})"
        )
    return message


def _entry(cells: dict[tuple[str, str], tables.Cell], measure_name: str, mix: str) -> str:
    cell = cells.get((measure_name, mix))
    if cell is None:  # the training mix failed as a whole
        failed = next((c for (_, name), c in cells.items() if name == mix and c.value is None), None)
        return tables.interval(failed) if failed else "–"
    return tables.interval(cell)
