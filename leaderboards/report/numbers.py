"""The section of numbers as plain data: filters, sortable tables, and every number as a row of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.results.tables import ARROWS, Cell, number
from leaderboards.report.data import Column, Table, format_counts, round_to_interval
from leaderboards.report.figures import Whisker, place_whisker

MARKS = {"encoder-conflict": "*", "underpowered": "†", "sources-unknown": "§", "suspect": "?", "not-comparable": "≠"}
MEANING = {
    "encoder-conflict": "* not independent: the generator was conditioned by this encoder, or the encoder shaped the data",
    "underpowered": "† too few slides or patches for an interval",
    "sources-unknown": "§ unknown which images are of one slide: no interval",
    "suspect": "? reported and doubtful: see the notes",
    "not-comparable": "≠ reported for other data: not comparable with numbers here",
}
BETTER = {"lower": "lower is better", "higher": "higher is better"}


@dataclass(frozen=True)
class Heading:
    """The head of a column."""

    measure: str
    beside: str = ""
    """Encoder or training mix, and what else distinguishes the column from others of its measure."""
    size: str = ""
    arrow: str = ""
    better: str = ""
    """The arrow in words."""
    family: str = ""
    first: str = "ascending"
    """Sort order of the first click: the best number at the top."""
    reported: bool = False


@dataclass(frozen=True)
class NumberCell:
    """What a table shows of one generator in one column."""

    family: str
    reported: bool
    stated: bool = False
    """Whether there is a record, also one of a failure."""
    number: float | None = None
    """What is sorted by; None where there is no value."""
    status: str = ""
    reason: str = ""
    text: str = ""
    marks: str = ""
    interval: str = ""
    whisker: Whisker | None = None
    size: str = ""
    """Given if it differs from that of the column."""


@dataclass(frozen=True)
class Panel:
    """A table with its notes."""

    identifier: str
    file: str
    """Name of its file of numbers."""
    title: str
    embedded: bool
    heads: tuple[Heading, ...]
    rows: tuple[tuple[str, tuple[NumberCell, ...]], ...]
    """(generator, a cell a column)."""
    legend: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A text with the number that it is sorted by."""

    text: str
    number: float | None


@dataclass(frozen=True)
class NumberRow:
    """Everything about one number."""

    generator: str
    table: str
    measure: str
    values: tuple[Entry, ...]
    """Value, low, high."""
    direction: str
    counts: tuple[Entry, ...]
    """Patches, slides, seeds."""
    flags: str
    status: str
    protocol: str
    family: str
    panel: str
    kind: str
    """`measured` or `reported`."""


@dataclass(frozen=True)
class NumbersSection:
    """Tables, and what they are filtered by."""

    anchor: ClassVar[str] = "numbers"
    name: ClassVar[str] = "Numbers"
    template: ClassVar[str] = "numbers.html.j2"
    row_heads: ClassVar[tuple[str, ...]] = (
        *("generator", "table", "measure", "value", "low", "high", "better"),
        *("patches", "slides", "seeds", "flags", "status", "protocol"),
    )
    """In the order of `NumberRow`."""

    panels: tuple[Panel, ...]
    families: tuple[str, ...]
    first_family: str
    """What the page shows first; empty for all."""
    has_reported: bool
    rows: tuple[NumberRow, ...]


def describe_numbers(tables: Sequence[Table]) -> NumbersSection:
    families = tuple(dict.fromkeys(column.family for table in tables for column in table.columns))
    identified = [(f"table-{i}", table) for i, table in enumerate(tables, start=1)]
    return NumbersSection(
        panels=tuple(_panel(identifier, table) for identifier, table in identified),
        families=families,
        first_family=next((name for name in ("fd-normalised", "fd") if name in families), ""),
        has_reported=any(column.reported for table in tables for column in table.columns),
        rows=tuple(
            _row(identifier, table, column, generator, found[column.name])
            for identifier, table in identified
            for generator, found in table.rows
            for column in table.columns
            if column.name in found
        ),
    )


def _panel(identifier: str, table: Table) -> Panel:
    flags = {flag for _, found in table.rows for cell in found.values() for flag in cell.flags}
    return Panel(
        identifier,
        identifier.replace("table", "numbers"),
        table.title,
        table.embedded,
        heads=(Heading("generator"), *map(_heading, table.columns)),
        rows=tuple(
            (generator, tuple(_cell(found.get(column.name), column) for column in table.columns))
            for generator, found in table.rows
        ),
        legend=(*table.apart, *(MEANING[flag] for flag in MEANING if flag in flags)),
        notes=(*(note for note in table.notes if not note.startswith(("*", "†"))), *table.printed),
    )


def _heading(column: Column) -> Heading:
    measure, _, beside = column.name.partition(" ")
    return Heading(
        measure,
        beside,
        column.size,
        ARROWS.get(column.direction, ""),
        BETTER.get(column.direction, ""),
        column.family,
        "descending" if column.direction == "higher" else "ascending",
        column.reported,
    )


def _cell(cell: Cell | None, column: Column) -> NumberCell:
    if cell is None:
        return NumberCell(column.family, column.reported)
    if cell.value is None:
        return NumberCell(column.family, column.reported, True, status=cell.status, reason=cell.reason)
    text, interval = round_to_interval(cell)
    counts = format_counts(cell)
    return NumberCell(
        column.family,
        column.reported,
        stated=True,
        number=cell.value,
        text=text,
        marks=format_marks(cell),
        interval="" if column.reported and cell.low is None else interval,
        whisker=None if column.reported else place_whisker(cell, column.least, column.most),
        size=counts if counts != column.size and not column.reported else "",
    )


def format_marks(cell: Cell) -> str:
    """The marks of the cell's flags, in the order of the legend."""
    return "".join(mark for flag, mark in MARKS.items() if flag in cell.flags)


def _row(identifier: str, table: Table, column: Column, generator: str, cell: Cell) -> NumberRow:
    groups = str(cell.groups) if cell.unit == "slides" else f"{cell.groups} {cell.unit}"
    status = f"{cell.status}: {cell.reason}" if cell.reason else cell.status
    return NumberRow(
        generator,
        table.title,
        column.name,
        values=tuple(Entry("" if end is None else number(end), end) for end in (cell.value, cell.low, cell.high)),
        direction=cell.direction,
        counts=tuple(
            Entry(text if count else "", count)
            for text, count in ((str(cell.n), cell.n), (groups, cell.groups), (str(cell.seeds), cell.seeds))
        ),
        flags=", ".join(flag for flag in cell.flags if flag != "embedded"),
        status="reported" if column.reported else status,
        protocol=cell.protocol,
        family=column.family,
        panel=identifier,
        kind="reported" if column.reported else "measured",
    )
