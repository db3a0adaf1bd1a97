"""The numbers as HTML: tables that sort and filter, with every interval drawn."""

from __future__ import annotations

from collections.abc import Sequence

from bench.results.tables import ARROWS, Cell, number
from leaderboards.report import svg
from leaderboards.report.data import Column, Table, rounded, size
from leaderboards.report.html import Html, Section, joined, tag, titled

MARKS = {"encoder-conflict": "*", "underpowered": "†", "sources-unknown": "§", "suspect": "?", "not-comparable": "≠"}
MEANING = {
    "encoder-conflict": "* not independent: the generator was conditioned by this encoder, or the encoder shaped the data",
    "underpowered": "† too few slides or patches for an interval",
    "sources-unknown": "§ nothing tells which images are of one slide: no interval",
    "suspect": "? reported, and not to be trusted: the notes say why",
    "not-comparable": "≠ reported of other data: to be compared with nothing here",
}
LONG = (
    "generator",
    "table",
    "measure",
    "value",
    "low",
    "high",
    "better",
    "patches",
    "slides",
    "seeds",
    "flags",
    "status",
    "protocol",
)


def section(tables: Sequence[Table]) -> Section:
    """The filters, every table, and every number as a row of its own."""
    lead = (
        "A row for each generator. Dot: the value; line: its 95 % interval over slides (or what the table counts in their "
        "place) and seeds, on its column's scale; ",
        "arrow: beyond that scale. ",
        "↓ lower is better, ↑ higher is better. Choose a heading to sort.",
    )
    drawn = [_table(table, f"table-{i}") for i, table in enumerate(tables)]
    return titled("numbers", "Numbers", lead, _filters(tables), *drawn, _every(tables))


def _filters(tables: Sequence[Table]) -> Html:
    families = dict.fromkeys(column.family for table in tables for column in table.columns)
    first = next((name for name in ("fd-normalised", "fd") if name in families), "")
    boards = [tag("option", table.title, value=f"table-{i}") for i, table in enumerate(tables)]
    measures = [tag("option", name, value=name, selected=name == first) for name in families]
    reported = any(column.reported for table in tables for column in table.columns)
    return tag(
        "form",
        _field("Table", tag("select", tag("option", "all", value=""), *boards, id="choose-table")),
        _field("Measure", tag("select", tag("option", "all", value=""), *measures, id="choose-measure")),
        _field(
            "Generator",
            tag(
                "input",
                type="search",
                id="choose-generator",
                placeholder="part of a name",
                autocomplete="off",
                spellcheck="false",
            ),
        ),
        _field(
            "Numbers",
            tag(
                "select",
                tag("option", "measured and reported", value=""),
                tag("option", "measured only", value="measured"),
                id="choose-kind",
            ),
        )
        if reported
        else None,
        tag("p", id="shown", role="status", class_="status"),
        class_="filters",
        role="search",
        aria_label="Filter the numbers",
    )


def _field(name: str, control: Html) -> Html:
    return tag("label", tag("span", name), control)


def _table(table: Table, identifier: str) -> Html:
    heads = [_head("generator", Column("generator", "", "none", 0, 0, ""))]
    heads += [_head(column.name, column) for column in table.columns]
    rows = [
        tag("tr", tag("th", who, scope="row", data_value=who), *(_cell(found.get(c.name), c) for c in table.columns))
        for who, found in table.rows
    ]
    drawn = tag(
        "table",
        tag("caption", table.title, tag("span", "embedded phantom tissue", class_="badge") if table.embedded else None),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
        class_="board",
    )
    flags = {flag for _, found in table.rows for cell in found.values() for flag in cell.flags}
    meant = [*table.apart, *(MEANING[flag] for flag in MEANING if flag in flags)]
    notes = [*(note for note in table.notes if not note.startswith(("*", "†"))), *table.printed]
    return tag(
        "div",
        tag("div", drawn, class_="scroll", tabindex="0", role="region", aria_label=f"Table: {table.title}"),
        tag("ul", *(tag("li", note) for note in meant), class_="notes") if meant else None,
        tag("details", tag("summary", f"Notes on {table.title}"), tag("ul", *(tag("li", n) for n in notes), class_="notes")),
        id=identifier,
        class_="panel",
    )


def _head(name: str, column: Column) -> Html:
    """A heading that sorts, unless its numbers were reported elsewhere: those are shown, and put in no order."""
    measure, _, beside = name.partition(" ")
    arrow = ARROWS.get(column.direction, "")
    words = {"lower": "lower is better", "higher": "higher is better"}
    label = tag("span", measure, f" {arrow}" if arrow else None, class_="name")
    under = [tag("span", text, class_=kind) for text, kind in ((beside, "beside"), (column.size, "size")) if text]
    spoken = tag("span", f", {words[column.direction]}", class_="unseen") if column.direction in words else None
    inner = joined([label, spoken, *under])
    best = "descending" if column.direction == "higher" else "ascending"
    return tag(
        "th",
        inner if column.reported else tag("button", inner, type="button", data_first=best),
        scope="col",
        class_="reported" if column.reported else None,
        data_family=column.family,
        aria_sort=None if column.reported else "none",
    )


def _cell(cell: Cell | None, column: Column) -> Html:
    kind = "reported" if column.reported else None
    if cell is None:
        return tag("td", tag("span", "–", aria_label="not measured"), class_=kind, data_family=column.family)
    if cell.value is None:
        message = tag("span", cell.status, class_="missing", title=cell.reason)
        return tag(
            "td", message, tag("span", cell.reason, class_="why"), class_=kind, data_family=column.family, data_stated=True
        )
    mine = size(cell)
    value, between = rounded(cell)
    parts = [
        tag("span", value, tag("sup", marks(cell)) if marks(cell) else None, class_="value"),
        None if column.reported and cell.low is None else tag("span", between, class_="bounds"),
        None if column.reported else svg.whisker(cell, column.least, column.most),
        tag("span", mine, class_="size") if mine != column.size and not column.reported else None,
    ]
    return tag("td", *parts, class_=kind, data_family=column.family, data_value=cell.value, data_stated=True)


def marks(cell: Cell) -> str:
    return "".join(mark for flag, mark in MARKS.items() if flag in cell.flags)


def _every(tables: Sequence[Table]) -> Html:
    """One row for each number, with all that a line says of it."""
    cells = [
        (table, column, who, found[column.name])
        for table in tables
        for who, found in table.rows
        for column in table.columns
        if column.name in found
    ]
    heads = [
        tag(
            "th",
            tag("button", tag("span", name, class_="name"), type="button", data_first="ascending"),
            scope="col",
            aria_sort="none",
        )
        for name in LONG
    ]
    rows = [_row(table, column, who, cell, f"table-{tables.index(table)}") for table, column, who, cell in cells]
    drawn = tag(
        "table",
        tag("caption", "Every number", class_="unseen"),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
        class_="long",
    )
    box = tag("div", drawn, class_="scroll", tabindex="0", role="region", aria_label="Table: every number")
    return tag("details", tag("summary", f"Every number, one a row ({len(cells)})"), box, id="every", class_="panel")


def _row(table: Table, column: Column, who: str, cell: Cell, identifier: str) -> Html:
    bound = [None if end is None else end for end in (cell.value, cell.low, cell.high)]
    message = [tag("td", "" if end is None else number(end), data_value=end) for end in bound]
    counts = [tag("td", str(count) if count else "", data_value=count) for count in (cell.n, cell.groups, cell.seeds)]
    if cell.groups and cell.unit != "slides":
        counts[1] = tag("td", f"{cell.groups} {cell.unit}", data_value=cell.groups)
    status = cell.status if not cell.reason else f"{cell.status}: {cell.reason}"
    texts = [
        tag("td", text)
        for text in (
            ", ".join(flag for flag in cell.flags if flag != "embedded"),
            "reported" if column.reported else status,
            cell.protocol,
        )
    ]
    first = [tag("th", who, scope="row", data_value=who), tag("td", table.title), tag("td", column.name)]
    return tag(
        "tr",
        *first,
        *message,
        tag("td", cell.direction),
        *counts,
        *texts,
        data_family=column.family,
        data_table=identifier,
        data_kind="reported" if column.reported else "measured",
    )
