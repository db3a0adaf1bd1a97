"""What a report found, in sentences: who is better, by how much, and what is not decided. No markup.

Three questions are asked of each table, by one measure each: fidelity (are the patches like real ones?), faithfulness (do they
show what was asked?) and utility (does a model trained on them work on real patches?). The best generator in each is compared
with all others by the paired difference over slides, fits and seeds, adjusted by Holm for the comparisons of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.results.schema import ResultRecord
from bench.results.tables import Cell, interval, number
from bench.statistics.claims import holm
from leaderboards.comparison.compare import ALPHA, format_p, two_sided
from leaderboards.comparison.pairs import Difference, paired_each
from leaderboards.report.data import round_numbers
from leaderboards.tables import build
from leaderboards.tables.consensus import conflicted
from leaderboards.tables.controls import competitors

QUESTIONS: dict[str, tuple[str, ...]] = {
    "fidelity": ("fd", "fd-pca16", "kid", "cmmd", "mind"),
    "faithfulness": ("map-iou", "nuclei-kept", "region-fd", "use-area"),
    "utility": ("iou", "dice", "pq-pooled", "pq"),
}
"""Question -> measures that answer it, the first that a table has."""
ALONE = "synthetic"
"""The training mix of utility: generated patches alone."""


@dataclass(frozen=True)
class Axis:
    """The measure that answers one question in one table."""

    question: str
    column: str
    direction: str
    cells: Mapping[str, Cell]
    """Of the generators that are ranked, those with a number."""


@dataclass(frozen=True)
class Findings:
    """Of one table."""

    title: str
    headline: str
    better: tuple[str, ...]
    """Who is better, and by how much."""
    undecided: tuple[str, ...]
    """What is not decided, and why."""
    axes: tuple[Axis, ...]
    is_about_weights: bool
    """Whether a generator has one fit, so that its method is not described."""


def find(board: build.Board, title: str, records: Sequence[ResultRecord], undownloaded: Sequence[str]) -> Findings:
    """`records` are those that the board was made of; `undownloaded` names encoders that need no download: others are asked
    first."""
    axes = find_axes(board, undownloaded)
    behind = build.behind_cells(board, records)
    asked: list[tuple[Axis, str, str]] = []
    for axis in axes:
        best, *others = sorted(axis.cells, key=lambda name: (_worth(axis, name), name))
        asked += [(axis, best, other) for other in others]
    found = paired_each([(behind[axis.column][best], behind[axis.column][other]) for axis, best, other in asked])
    adjusted = iter(holm([two_sided(gap) for gap in found if isinstance(gap, Difference)]))
    better, undecided = [], []
    beaten: dict[str, list[str]] = {axis.question: [] for axis in axes}
    for (axis, best, other), gap in zip(asked, found, strict=True):
        about = f"{axis.question.capitalize()} ({axis.column})"
        if isinstance(gap, str):
            undecided.append(f"{about}: {best} and {other} cannot be paired: {gap}.")
            continue
        p_value = next(adjusted)
        if p_value < ALPHA:
            better.append(f"{about}: {best} is better than {other} by {_by(gap)}.")
            beaten[axis.question].append(other)
        else:
            undecided.append(f"{about}: {best} and {other} differ by {_by(gap)}, {format_p(p_value)}.")
    undecided += [f"{question.capitalize()}: not measured." for question in QUESTIONS if question not in beaten]
    if not asked:
        better += [
            f"{axis.question.capitalize()} ({axis.column}): {name} alone, {interval(cell)}."
            for axis in axes
            for name, cell in axis.cells.items()
        ]
    fits = [cell.fits for axis in axes for cell in axis.cells.values()]
    return Findings(title, _headline(axes, beaten), tuple(better), tuple(undecided), axes, 1 in fits)


def _headline(axes: Sequence[Axis], beaten: Mapping[str, Sequence[str]]) -> str:
    """Who is better in what, in one sentence."""
    parts = []
    for axis in axes:
        if len(axis.cells) < 2:
            continue
        best = min(axis.cells, key=lambda name: (_worth(axis, name), name))
        worse = beaten[axis.question]
        others = "all others" if len(worse) == len(axis.cells) - 1 else ", ".join(worse)
        parts.append(f"{axis.question}: {best} before {others}" if worse else f"{axis.question}: no difference is shown")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else "One generator alone: nothing to compare."


def find_axes(board: build.Board, undownloaded: Sequence[str]) -> tuple[Axis, ...]:
    """One for each question that the table answers."""
    rows = dict(board.rows)
    ranked = competitors(rows)
    made = []
    for question, measures in QUESTIONS.items():
        columns = [column for column in board.columns if column.split(" ")[0] in measures and not conflicted(rows, column)]
        if question == "utility":
            columns = [column for column in columns if column.partition(" ")[2] == ALONE]
        columns.sort(key=lambda column: (column.partition(" ")[2] in undownloaded, measures.index(column.split(" ")[0])))
        for column in columns:
            known = {name: cell for name in ranked if (cell := rows[name].get(column)) and cell.value is not None}
            if known:
                made.append(Axis(question, column, next(iter(known.values())).direction, known))
                break
    return tuple(made)


def _worth(axis: Axis, name: str) -> float:
    value = axis.cells[name].value
    assert value is not None
    return value if axis.direction == "lower" else -value


def _by(gap: Difference) -> str:
    """The size of the difference, positive, with its interval."""
    low, high = gap.interval if gap.value >= 0 else (-gap.interval[1], -gap.interval[0])
    if high <= low:
        return number(abs(gap.value))
    value, least, most = round_numbers(abs(gap.value), low, high)
    return f"{value} [{least}, {most}]"
