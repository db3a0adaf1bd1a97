"""Tables as a pure function of result lines: the same lines give the same tables, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.results import Result
from bench.table import ARROWS, Cell, aligned, cells, interval, marked_down, reasons
from leaderboards.consensus import conflicted, consensus, sentences

HIDDEN = ("prompt-coverage", "prompt-missing", "prompt-whole")


@dataclass(frozen=True)
class Board:
    """One table: one task, one dataset, one prompt track."""

    task: str
    dataset: str
    track: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, dict[str, Cell]], ...]
    """(generator, column -> cell), best mean rank first."""


def boards(lines: Iterable[Result]) -> list[Board]:
    """Every table that the lines support, sorted by task, dataset and track.

    Generators that are shown no crop stand in the table of every track; two tracks never share a table. Where lines of one
    measure differ in protocol, those of the rarer protocol are shown as not-comparable. Experiments have tables of their own.
    """
    kept = [line for line in newest(lines) if line.measure not in HIDDEN and "experiment" not in line.described]
    made = []
    for task, dataset in sorted({(line.task, line.dataset) for line in kept}):
        here = [line for line in kept if (line.task, line.dataset) == (task, dataset)]
        tracks = sorted({line.track for line in here} - {"none"}) or ["none"]
        made += [_board(task, dataset, track, [r for r in here if r.track in (track, "none")]) for track in tracks]
    return made


def newest(lines: Iterable[Result]) -> list[Result]:
    """One line of each number: where the same number was made twice, the later one."""
    found: dict[tuple[object, ...], Result] = {}
    for line in sorted(lines, key=lambda r: (r.stamp.get("made", ""), r.value or 0.0)):
        who = (line.generator, line.dataset, line.track, line.task, repr(line.described.get("generator")))
        found[(*who, line.measure, line.encoder, line.diet, line.seed, line.protocol)] = line
    return list(found.values())


def _board(task: str, dataset: str, track: str, lines: list[Result]) -> Board:
    made = cells(lines)
    columns = tuple(dict.fromkeys(cell.measure for cell in sorted(made, key=_column_order)))
    usual = {c: Counter(cell.protocol for cell in made if cell.measure == c).most_common(1)[0][0] for c in columns}
    rows: dict[str, dict[str, Cell]] = {}
    for cell in sorted(made, key=lambda c: c.protocol != usual[c.measure], reverse=True):
        if cell.protocol != usual[cell.measure]:
            reason = f"protocol {cell.protocol}, the column's is {usual[cell.measure]}"
            cell = replace(cell, value=None, low=None, high=None, status="not-comparable", reason=reason)
        rows.setdefault(cell.generator, {})[cell.measure] = cell
    ordered = sorted(rows.items(), key=lambda row: (_mean_rank(row[0], rows, columns), row[0]))
    return Board(task, dataset, track, columns, tuple(ordered))


def _column_order(cell: Cell) -> tuple[int, str]:
    kinds = ("fd", "fd-inf", "fd-norm", "fd-floor", "iou", "precision", "recall")
    kind = cell.measure.split(" ")[0]
    return (kinds.index(kind) if kind in kinds else len(kinds), cell.measure)


def _mean_rank(generator: str, rows: dict[str, dict[str, Cell]], columns: tuple[str, ...]) -> float:
    """Mean place over the distance columns in which the generator has a number from an independent judge; last without."""
    places = []
    for column in columns:
        mine = rows[generator].get(column)
        if not column.startswith("fd ") or mine is None or mine.value is None or conflicted(rows, column):
            continue
        values = sorted(c[column].value for c in rows.values() if column in c and c[column].value is not None)  # type: ignore[type-var]
        places.append(values.index(mine.value))
    return sum(places) / len(places) if places else float("inf")


def as_rows(board: Board) -> list[list[str]]:
    """Header and one row a generator, as text."""
    heads = [f"{column} {ARROWS[_direction(board, column)]}".strip() for column in board.columns]
    body = [[name, *(interval(found[c]) if c in found else "–" for c in board.columns)] for name, found in board.rows]
    return [["generator", *heads], *body]


def _direction(board: Board, column: str) -> str:
    return next(found[column].direction for _, found in board.rows if column in found) or "none"


def title(board: Board) -> str:
    embedded = any("embedded" in c.flags for _, found in board.rows for c in found.values())
    return f"{board.task} on {board.dataset}, prompts: {board.track}" + (" (embedded phantom tissue)" if embedded else "")


def as_text(board: Board) -> str:
    return "\n".join([title(board), *aligned(as_rows(board)), *notes(board)])


def as_markdown(board: Board) -> str:
    return "\n".join([f"**{title(board)}**", "", *marked_down(as_rows(board)), "", *notes(board)])


def notes(board: Board) -> list[str]:
    """What the numbers rest on, and the reason of every cell without one."""
    found = [cell for _, row in board.rows for cell in row.values()]
    sizes = sorted({(cell.n, cell.groups, cell.seeds) for cell in found if cell.value is not None})
    said = [f"{n} patches of {groups} slides, {seeds} seeds" for n, groups, seeds in sizes]
    notes = [f"n: {'; '.join(said)}. Intervals: 95 % over slides and seeds."] if said else []
    if any("judge-conflict" in cell.flags for cell in found):
        notes.append("* the generator was conditioned by this encoder: not an independent judge.")
    if any("underpowered" in cell.flags for cell in found):
        notes.append("† too few slides or patches for an interval: docs/coverage.md.")
    if agreed := consensus(dict(board.rows), board.columns):
        notes += sentences(agreed)
    notes += reasons([cell for cell in found if cell.value is None])
    return notes
