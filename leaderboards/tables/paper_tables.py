"""The tables of a board for a paper: one a metric, with the best marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leaderboards.tables import build
from leaderboards.tables.build import Board
from leaderboards.tables.sheets import Mark, Sheet

RULE = (
    "Bold: the best generator that is no control. = the paired difference from it over slides and seeds may be 0 at 95 %, or, "
    "where records cannot be paired, the intervals overlap. Not adjusted for the number of comparisons."
)


def by_metric(board: Board, claim: str = "") -> list[Sheet]:
    """Each metric of the board in tables of its own, without columns in which everything was skipped, which a note of the last
    table names. Other notes are those of the table's columns; the rule of the marks replaces the order of each column.
    `claim`, which columns do not do what their metrics' cards claim, is added to the notes of these columns."""
    columns, skipped = build.collapse(board)
    metrics = dict.fromkeys(_metric_of(column) for column in columns)
    sheets = []
    for metric in metrics:
        own = [column for column in columns if _metric_of(column) == metric]
        noted = claim if any(column in claim for column in own) else ""
        sheets.append(_sheet(_only(board, own), metric, noted))
    if not sheets:
        return [build.sheet(board)]
    return [*sheets[:-1], replace(sheets[-1], notes=[*sheets[-1].notes, *skipped])]


def _metric_of(column: str) -> str:
    return column.partition(" ")[0]


def _only(board: Board, columns: Sequence[str]) -> Board:
    """The board with these columns, and the generators that have an entry in one of them."""
    rows = tuple((name, {column: row[column] for column in columns if column in row}) for name, row in board.rows)
    is_distance = any(column.startswith("fd ") for column in columns)
    return replace(
        board,
        columns=tuple(columns),
        rows=tuple(row for row in rows if row[1]),
        order={},
        agreed=board.agreed if is_distance else None,
        best={column: board.best.get(column, ()) for column in columns},
    )


def _sheet(board: Board, name: str, claim: str) -> Sheet:
    rows = build.as_rows(board)
    names = [row[0] for row in rows]
    marks = {
        (names.index(generator), place): Mark.TIED if rank else Mark.BEST
        for place, column in enumerate(board.columns, start=1)
        for rank, generator in enumerate(board.best[column])
    }
    notes = [*build.notes(board), *([f"{claim}."] if claim else []), *([RULE] if marks else [])]
    return Sheet(f"{build.title(board)}: {name}", rows, notes, [], marks)
