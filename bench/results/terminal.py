"""Tables on a terminal, fitted to its width: in several blocks if the columns do not fit beside each other.

In a pipe or a file, tables are plain text as in `table.txt`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TextIO

from bench.messages import printable
from bench.results.tables import Table, plain

GAP = 2
"""Blanks between two columns."""


def show(tables: Iterable[Table], stream: TextIO | None = None) -> None:
    """Prints the tables on the stream, stdout if none is given."""
    out = stream or sys.stdout
    if out.isatty():
        for number, table in enumerate(tables):
            _show_rich(table, out, is_first=number == 0)
    else:
        print(plain(tables), file=out)  # each entry of it is printable


def _show_rich(table: Table, out: TextIO, is_first: bool) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as Grid
    from rich.text import Text

    console = Console(file=out, highlight=False)
    if not is_first:
        console.print()
    console.print(Text(printable(table.title), style="bold"))
    rows = [[printable(entry) for entry in row] for row in table.rows]
    for number, columns in enumerate(blocks(rows, console.width)):
        if number:
            console.print()
        grid = Grid(box=None, padding=(0, GAP, 0, 0), header_style="bold", pad_edge=False)
        for column in columns:
            grid.add_column(Text(rows[0][column]), overflow="fold")
        for row in rows[1:]:
            grid.add_row(*(Text(row[column], style=_style(column, row[column])) for column in columns))
        console.print(grid)
    for note in table.notes:
        console.print(Padding(Text(printable(note), style="dim"), (0, 0, 0, GAP), expand=False))


def blocks(rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """Indices of the columns of each block that fit into `width` characters. The first column names the rows and is part of
    each block. Columns of one metric (first word of the head) stay together where a block has space for all of them."""
    widths = [max(len(row[column]) for row in rows) + GAP for column in range(len(rows[0]))]
    found: list[list[int]] = [[0]]
    for _, group in groupby(range(1, len(widths)), key=lambda column: rows[0][column].partition(" ")[0]):
        own = list(group)
        is_whole = _fits([0, *own], widths, width)
        if is_whole and len(found[-1]) > 1 and not _fits([*found[-1], *own], widths, width):
            found.append([0])
        for column in own:
            if len(found[-1]) > 1 and not _fits([*found[-1], column], widths, width):
                found.append([0])
            found[-1].append(column)
    return found


def _fits(columns: Sequence[int], widths: Sequence[int], width: int) -> bool:
    return sum(widths[column] for column in columns) - GAP <= width


def _style(column: int, entry: str) -> str:
    """Dim for entries without a number, except names of rows."""
    has_number = any(letter.isdigit() for letter in entry.partition("(")[0])
    return "" if has_number or not column else "dim"
