"""The story of one experiment: its training mixes, trained and scored over paired seeds, then its comparisons and their verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench import measure, registry, stats
from bench.measurements.experiment_files import Comparison, Experiment
from bench.measuring import Desk
from bench.results import tables
from bench.results.schema import ResultRecord, unit_of
from bench.statistics.equivalence import verdict
from bench.stats import Estimate
from bench.steps import Fitted, GeneratedSet
from bench.types import Tally, TrainingMix

BETWEEN = " - "
"""Stands between the two training mixes of a difference."""


def lines(desk: Desk, fitted: Fitted, generated: GeneratedSet, seed: int) -> Iterator[ResultRecord]:
    """One line for each measure of each training mix, and one for each comparison, of one seed."""
    experiment = desk.components.experiment
    assert experiment is not None
    mixes = _mixes(experiment)
    for line in measure.scores(desk, fitted, generated, seed, mixes.values()):
        yield marked(line, experiment)
    for comparison in experiment.comparison:
        yield marked(_compared(desk, fitted, generated, seed, comparison), experiment)


def planned(desk: Desk, fitted: Fitted, seed: int) -> Iterator[ResultRecord]:
    """The record of each measure of each arm, and of each comparison, as far as it is known before anything is generated."""
    experiment = desk.components.experiment
    assert experiment is not None
    for line in measure.planned_scores(desk, fitted, seed, _mixes(experiment).values()):
        yield marked(line, experiment)
    for comparison in experiment.comparison:
        yield marked(_planned_comparison(desk, fitted, seed, comparison), experiment)


def marked(line: ResultRecord, experiment: Experiment) -> ResultRecord:
    """The record with the experiment's mark, which keeps it out of ordinary tables."""
    return replace(line, described={**line.described, "experiment": {"name": experiment.name}})


def _mixes(experiment: Experiment) -> dict[str, TrainingMix]:
    return {arm.name: arm.mix for arm in experiment.mix}


def of(name: str, made: Iterable[ResultRecord]) -> list[ResultRecord]:
    """The lines that an experiment of this name made."""
    return [line for line in made if line.described.get("experiment", {}).get("name") == name]


def _planned_comparison(desk: Desk, fitted: Fitted, seed: int, comparison: Comparison) -> ResultRecord:
    """The record of a comparison without its number."""
    experiment = desk.components.experiment
    assert experiment is not None
    name, mixes = experiment.measures[0], _mixes(experiment)
    stated = {"claim": comparison.claim, "margin": comparison.margin, "measure": name}
    line = replace(
        measure.blank(desk, fitted, seed),
        measure=f"{name}-difference",
        mix=f"{comparison.mix}{BETWEEN}{comparison.against}",
        direction=desk.components.task.direction,
        n=len(desk.test),
        n_real=len(desk.test),
        groups=measure.slides(desk.test),
    )
    described = {**line.described, "task": registry.describe(desk.components.task), "comparison": stated}
    compared = [measure.arm(desk, mixes[mix]) for mix in (comparison.mix, comparison.against)]
    return replace(line, described=described, protocol=measure.protocol(desk, {"compared": compared, **stated}))


def _compared(desk: Desk, fitted: Fitted, generated: GeneratedSet, seed: int, comparison: Comparison) -> ResultRecord:
    """The difference of the first measure, paired by slide: both models were scored on the same patches."""
    experiment = desk.components.experiment
    assert experiment is not None
    name, mixes = experiment.measures[0], _mixes(experiment)
    line = _planned_comparison(desk, fitted, seed, comparison)
    try:
        first, second = (measure.tallied(desk, mixes[mix], generated, seed)[0] for mix in (comparison.mix, comparison.against))
        return measure.with_estimate(line, _difference(first, second, name, desk), (-1.0, 1.0))
    except Exception as error:  # the task is a plug-in; a training mix that failed has said why in its own line
        return measure.failure(line, error, lambda text: None)


def _difference(first: Tally, second: Tally, name: str, desk: Desk) -> Estimate:
    one, other = (replace(tally, measures={name: tally.measures[name]}) for tally in (first, second))
    return stats.paired_difference(one, other, desk.test.conditions.groups, seed=0)[name]


@dataclass(frozen=True)
class Shown:
    """An experiment's table, ready to be written."""

    heading: str
    rows: list[list[str]]
    """The first is the head."""
    notes: list[str]
    cells: tuple[tables.Cell, ...]
    """All numbers, differences among them."""


def text(experiment: Experiment, made: Sequence[ResultRecord]) -> str:
    """What is shown of an experiment, in columns."""
    found = shown(experiment, made)
    return "\n".join([found.heading, *tables.aligned(found.rows), *found.notes])


def shown(experiment: Experiment, made: Sequence[ResultRecord]) -> Shown:
    """A row a training mix, each measure beside what was reported; a sentence for each comparison."""
    cells: dict[tuple[str, str], tables.Cell] = {}
    grouped: dict[tuple[str, str], list[ResultRecord]] = defaultdict(list)
    for line in made:
        grouped[line.measure, line.mix].append(line)
    for key, rows in grouped.items():
        cells[key] = tables.cells(rows)[0]
    reported = any(arm.reported for arm in experiment.mix)
    heads = [head for name in experiment.measures for head in ((name, f"{name} reported") if reported else (name,))]
    body = [["mix", *heads]]
    for arm in experiment.mix:
        row = [arm.name]
        for name in experiment.measures:
            row.append(_entry(cells, name, arm.name))
            if reported:
                row.append(f"{arm.reported[name]:.4f}" if name in arm.reported else "–")
        body.append(row)
    first = made[0]
    seeds = len({line.seed for line in made if line.mix})
    notes = [
        f"{first.n} test patches of {first.groups} {unit_of(first)}, {seeds} seeds; {table.interval_note(cells.values())}",
        *([f"reported: {experiment.source}; other data, another network size: never ranked with ours"] if reported else []),
        *(["embedded phantom tissue: these numbers say nothing of real patients"] if "embedded" in first.flags else []),
        *sentences(experiment, cells),
        *tables.reasons([cell for cell in cells.values() if tables.lacks_explanation(cell)]),
    ]
    heading = f"{experiment.name} ({first.generator}, {first.task} on {first.dataset}): {experiment.summary}"
    return Shown(heading, body, notes, tuple(cells.values()))


def sentences(experiment: Experiment, cells: dict[tuple[str, str], tables.Cell]) -> list[str]:
    """One sentence for each comparison: the difference, its interval, and the verdict by the stated rule."""
    message = []
    for comparison in experiment.comparison:
        name = experiment.measures[0]
        cell = cells.get((f"{name}-difference", f"{comparison.mix}{BETWEEN}{comparison.against}"))
        if cell is None or cell.value is None:
            continue
        found = verdict(Estimate(cell.value, cell.low, cell.high), comparison.claim, comparison.margin)
        margin = f", margin {comparison.margin:g}" if comparison.margin else ""
        bounds = "no interval" if cell.low is None or cell.high is None else f"[{cell.low:+.4f}, {cell.high:+.4f}]"
        message.append(
            f"{comparison.mix} against {comparison.against}: {name} {cell.value:+.4f} {bounds}: {found} "
            f"(asked: {comparison.claim}{margin})"
        )
    return message


def _entry(cells: dict[tuple[str, str], tables.Cell], measure_name: str, mix: str) -> str:
    cell = cells.get((measure_name, mix))
    if cell is None:  # the training mix failed as a whole
        failed = next((c for (_, name), c in cells.items() if name == mix and c.value is None), None)
        return tables.interval(failed) if failed else "–"
    return tables.interval(cell)
