"""Tables as text, Markdown, LaTeX, HTML, CSV, JSON and Parquet. Entries are untrusted and are escaped in every format.

CSV and Parquet are written by pandas. Text, Markdown, HTML, LaTeX and JSON are not: pandas needs another package for
Markdown, its HTML has no caption and no `scope` of header cells, which screen readers use, its LaTeX does not align numbers,
and its JSON rounds to ten digits.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.files.csv_files import write_cell
from bench.files.text import write_text
from bench.messages import printable
from bench.results.tables import plain
from leaderboards.tables.latex import latex
from leaderboards.tables.sheets import Sheet

if TYPE_CHECKING:
    import pandas


def write(sheets: Sequence[Sheet], style: str) -> str:
    """All sheets in one of `STYLES`."""
    return STYLES[style](sheets)


def save(sheets: Sequence[Sheet], style: str, path: Path) -> None:
    """All sheets in one of `STYLES` or `BINARY`, as a file."""
    if style in BINARY:
        path.parent.mkdir(parents=True, exist_ok=True)
        BINARY[style](sheets, path)
    else:
        write_text(path, write(sheets, style) + "\n")


def refuse_binary(style: str) -> None:
    """Raises UsageError for a binary format without a file."""
    if style in BINARY:
        raise UsageError(f"{style} is binary: name a file for it, --out FILE.{style}.")


def frame(sheets: Sequence[Sheet]) -> pandas.DataFrame:
    """One row for each number of all sheets, with the columns of all sheets; values that a sheet lacks are NA.

    Texts that a spreadsheet would take for a formula begin with an apostrophe.
    """
    import pandas

    records = [record for sheet in sheets for record in sheet.records]
    names = list(dict.fromkeys(name for record in records for name in record))
    # column by column: a copy of each row would need as much memory as all that is read
    return pandas.DataFrame({name: _column(records, name) for name in names}, columns=names)


def _column(records: Sequence[Mapping[str, Any]], name: str) -> pandas.Series[Any]:
    """A column, of the type of its values: texts, counts and floats stay what they are where some are missing, which pandas
    would convert."""
    import pandas

    values = [record.get(name) for record in records]
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {int}:
        return pandas.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pandas.Series(values, dtype="Float64")
    if kinds and all(issubclass(kind, str) for kind in kinds):
        written = {text: write_cell(text) for text in dict.fromkeys(values)}
        return pandas.Series([written[text] for text in values], dtype="string")
    return pandas.Series([write_cell(record.get(name, math.nan)) for record in records])


def markdown(sheets: Sequence[Sheet]) -> str:
    return "\n\n".join(as_markdown(sheet) for sheet in sheets)


def as_markdown(sheet: Sheet) -> str:
    rows = [[_markdown(entry) for entry in row] for row in sheet.rows]
    rows.insert(1, ["---"] * len(rows[0]))
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"**{_markdown(sheet.title)}**", "", *body, "", *(f"- {_markdown(note)}" for note in sheet.notes)])


def as_html(sheets: Sequence[Sheet]) -> str:
    """One page without external resources."""
    body = "\n".join(_html_table(sheet) for sheet in sheets)
    return f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Leaderboard</title>\n{STYLE}\n{body}\n</html>'


def as_csv(sheets: Sequence[Sheet]) -> str:
    """One table of all records; the columns are those of any."""
    return frame(sheets).to_csv(index=False).rstrip("\n")


def save_parquet(sheets: Sequence[Sheet], path: Path) -> None:
    """One table of all records, typed."""
    frame(sheets).to_parquet(path, index=False)


def as_json(sheets: Sequence[Sheet]) -> str:
    """One object a line."""
    return "\n".join(json.dumps(record) for sheet in sheets for record in sheet.records)


OF_NUMBERS = ("csv", "json", "parquet")
"""Formats that hold the records of tables and nothing else of them."""
STYLES: dict[str, Callable[[Sequence[Sheet]], str]] = {
    "text": plain,
    "markdown": markdown,
    "csv": as_csv,
    "latex": latex,
    "json": as_json,
    "html": as_html,
}
BINARY: dict[str, Callable[[Sequence[Sheet], Path], None]] = {"parquet": save_parquet}
"""Formats that need a file."""
STYLE = (
    "<style>body{font:15px/1.4 system-ui,sans-serif;margin:2em}table{border-collapse:collapse}caption{text-align:left;"
    "font-weight:600;padding:.4em 0}th,td{padding:.25em .7em;border-bottom:1px solid #ccc;text-align:left;"
    "font-variant-numeric:tabular-nums}.scroll{overflow-x:auto}</style>"
)


def _markdown(entry: str) -> str:
    """The entry without any markup, link, picture, HTML or line break."""
    shown = re.sub(r"([\\`*_|~]|^[#+>-](?=\s)|^\[|(?<=\])[(\[:]|!(?=\[))", r"\\\1", printable(entry))
    return shown.replace("&", "&amp;").replace("<", "&lt;")


def _html(entry: str) -> str:
    return html.escape(printable(entry))


def _html_table(sheet: Sheet) -> str:
    head, *body = sheet.rows
    rows = ["<tr>" + "".join(f'<th scope="col">{_html(entry)}</th>' for entry in head) + "</tr>"]
    rows += [
        f'<tr><th scope="row">{_html(row[0])}</th>' + "".join(f"<td>{_html(entry)}</td>" for entry in row[1:]) + "</tr>"
        for row in body
    ]
    notes = "".join(f"<li>{_html(note)}</li>" for note in sheet.notes)
    table = "\n".join(rows)
    return (
        f'<section><div class="scroll"><table>\n<caption>{_html(sheet.title)}</caption>\n{table}\n</table></div>\n'
        f"<ul>{notes}</ul></section>"
    )
