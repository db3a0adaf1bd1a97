"""An experiment's table: a row for each arm, each measure beside what was reported, and a verdict for each comparison."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.measurements.experiment_files import BETWEEN, HEADROOM, Comparison, Experiment
from bench.results import tables
from bench.results.identity import experiment as experiment_of
from bench.results.identity import weights_behind
from bench.results.schema import ResultRecord, unit_of
from bench.results.terms import Flag
from bench.statistics import Estimate
from bench.statistics.claims import ALPHA, find_uncertainty, holm, p_of_claim
from bench.statistics.equivalence import INCONCLUSIVE, verdict

ADJUSTED = f"verdicts hold together at {ALPHA:.0%}, adjusted by Holm; intervals are 95 % for each comparison alone"


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
        *tables.fit_notes(cells.values()),
        *([f"reported: {experiment.source}; other data, another network size: never ranked with ours"] if reported else []),
        *(["embedded phantom tissue: these numbers say nothing of real patients"] if Flag.EMBEDDED in first.flags else []),
        *sentences(experiment, grouped),
        *tables.lost_seeds(made),
        *tables.reasons([cell for cell in cells.values() if tables.lacks_explanation(cell)]),
    ]
    where = f"{experiment.name} ({first.generator}, {first.task} on {first.dataset})"
    title = f"{headroom(experiment.measures[0], made)}; {where}: {experiment.summary}"
    return ExperimentTable(title, body, notes, tuple(cells.values()))


def headroom(measure: str, made: Iterable[ResultRecord]) -> str:
    """The words on the headroom that begin an experiment's table: the number with its interval, or that there is none."""
    behind = [record for record in made if record.measure == HEADROOM]
    if not behind:
        return f"{HEADROOM}: not measured"
    cell = tables.cells(behind)[0]
    if cell.value is None:
        return f"{HEADROOM}: not known ({cell.status}, {cell.reason.rstrip('.')})"
    if cell.low is None or cell.high is None:
        return f"{HEADROOM}: {cell.value:+.4f} {measure} without an interval, so that it is not known whether there is any"
    number = f"{cell.value:+.4f} [{cell.low:+.4f}, {cell.high:+.4f}] {measure}"
    lower_is_better = behind[0].described.get("headroom", {}).get("direction") == "lower"
    if (cell.high < 0) if lower_is_better else (cell.low > 0):
        return f"{HEADROOM}: {number}"
    return f"{HEADROOM}: none, {number} from 25 % to 100 % real, so that neither gain nor loss can be seen"


def sentences(experiment: Experiment, records: Mapping[tuple[str, str], Sequence[ResultRecord]]) -> list[str]:
    """One sentence for each comparison: the difference, its interval, and the verdict by the stated rule; verdicts are
    adjusted by Holm for the number of comparisons. `records`: (measure, mix) -> those behind the number."""
    name = experiment.measures[0]
    shown: list[tuple[Comparison, tables.Cell, float]] = []
    for comparison in experiment.comparison:
        behind = records.get((f"{name}-difference", f"{comparison.arm}{BETWEEN}{comparison.against}"), ())
        cell = tables.cells(behind)[0] if behind else None
        if cell is not None and cell.value is not None:
            shown.append((comparison, cell, _p_value(behind, comparison)))
    tested = [p for _, _, p in shown if not math.isnan(p)]
    adjusted = iter(holm(tested))
    message = []
    for comparison, cell, p in shown:
        assert cell.value is not None
        found, after = INCONCLUSIVE, ""
        if not math.isnan(p):
            own = next(adjusted)
            after = f", p = {own:.3f} after Holm over {len(tested)} comparison{'s' if len(tested) > 1 else ''}"
            if own < ALPHA:
                found = verdict(Estimate(cell.value, cell.low, cell.high), comparison.claim, comparison.margin)
        margin = f", margin {comparison.margin:g}" if comparison.margin else ""
        bounds = "no interval" if cell.low is None or cell.high is None else f"[{cell.low:+.4f}, {cell.high:+.4f}]"
        message.append(
            f"{comparison.arm} against {comparison.against}: {name} {cell.value:+.4f} {bounds}: {found} "
            f"(asked: {comparison.claim}{margin}){after}"
        )
    return [*message, ADJUSTED] if tested else message


def _p_value(records: Sequence[ResultRecord], comparison: Comparison) -> float:
    """Of the claim; NaN where the difference has no interval."""
    good = tables.valued(records)
    found = find_uncertainty(
        [record.value for record in good if record.value is not None],
        [record.low for record in good],
        [record.high for record in good],
        [weights_behind(record) for record in good],
        [record.seed for record in good],
        good[0].groups,
    )
    return math.nan if found is None else p_of_claim(found, comparison.claim, comparison.margin)


def _entry(cells: dict[tuple[str, str], tables.Cell], measure_name: str, mix: str) -> str:
    cell = cells.get((measure_name, mix))
    if cell is None:  # the training mix failed as a whole
        failed = next((c for (_, name), c in cells.items() if name == mix and c.value is None), None)
        return tables.interval(failed) if failed else "–"
    return tables.interval(cell)
