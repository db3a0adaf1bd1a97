"""Tables as text, Markdown, CSV, LaTeX, JSON and HTML. What a sheet holds may come from anybody: it is shown, never obeyed."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.results.tables import aligned


@dataclass(frozen=True)
class Sheet:
    """One table, ready to be written."""

    title: str
    rows: list[list[str]]
    """The first is the head."""
    notes: list[str]
    records: list[dict[str, Any]]
    """The same numbers for machines, one record each."""


def write(sheets: Sequence[Sheet], style: str) -> str:
    """All sheets in one of `STYLES`."""
    return STYLES[style](sheets)


def text(sheets: Sequence[Sheet]) -> str:
    return "\n\n".join(as_text(sheet) for sheet in sheets)


def as_text(sheet: Sheet) -> str:
    rows = [[_printable(entry) for entry in row] for row in sheet.rows]
    return "\n".join([_printable(sheet.title), *aligned(rows), *map(_printable, sheet.notes)])


def markdown(sheets: Sequence[Sheet]) -> str:
    return "\n\n".join(as_markdown(sheet) for sheet in sheets)


def as_markdown(sheet: Sheet) -> str:
    rows = [[_markdown(entry) for entry in row] for row in sheet.rows]
    rows.insert(1, ["---"] * len(rows[0]))
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"**{_markdown(sheet.title)}**", "", *body, "", *(f"- {_markdown(note)}" for note in sheet.notes)])


def latex(sheets: Sequence[Sheet]) -> str:
    """A `table` each; nothing beyond plain LaTeX in UTF-8 is needed."""
    return "\n\n".join(_latex_table(sheet) for sheet in sheets)


def as_html(sheets: Sequence[Sheet]) -> str:
    """One page that asks for nothing from elsewhere."""
    body = "\n".join(_html_table(sheet) for sheet in sheets)
    return f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Leaderboard</title>\n{STYLE}\n{body}\n</html>'


def as_csv(sheets: Sequence[Sheet]) -> str:
    """One table of all records; the columns are those of any."""
    records = [record for sheet in sheets for record in sheet.records]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(dict.fromkeys(name for record in records for name in record)))
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in record.items()} for record in records)
    return out.getvalue().rstrip("\n")


def as_json(sheets: Sequence[Sheet]) -> str:
    """One object a line."""
    return "\n".join(json.dumps(record) for sheet in sheets for record in sheet.records)


STYLES: dict[str, Callable[[Sequence[Sheet]], str]] = {
    "text": text,
    "markdown": markdown,
    "csv": as_csv,
    "latex": latex,
    "json": as_json,
    "html": as_html,
}
STYLE = (
    "<style>body{font:15px/1.4 system-ui,sans-serif;margin:2em}table{border-collapse:collapse}caption{text-align:left;"
    "font-weight:600;padding:.4em 0}th,td{padding:.25em .7em;border-bottom:1px solid #ccc;text-align:left;"
    "font-variant-numeric:tabular-nums}.scroll{overflow-x:auto}</style>"
)


def _printable(entry: str) -> str:
    """One line, without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in entry)


def _markdown(entry: str) -> str:
    """Shown as it stands: no markup, no link, no picture, no HTML, no second row."""
    shown = re.sub(r"([\\`*_|~]|^[#+>-](?=\s)|^\[|(?<=\])[(\[:]|!(?=\[))", r"\\\1", _printable(entry))
    return shown.replace("&", "&amp;").replace("<", "&lt;")


_TEX = {
    **{letter: f"\\{letter}" for letter in "{}$&#_%"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "–": "--",
    "…": r"\ldots{}",
    "≈": r"$\approx$",
}


def _latex(entry: str) -> str:
    shown = "".join(_TEX.get(letter, letter) for letter in _printable(entry))
    return "{" + shown + "}" if shown.startswith(("[", "*")) else shown  # both mean something after \\


def _latex_table(sheet: Sheet) -> str:
    head, *body = [" & ".join(map(_latex, row)) + r" \\" for row in sheet.rows]
    notes = [rf"\par\noindent {_latex(note)}" for note in sheet.notes]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_latex(sheet.title)}}}",
            rf"\begin{{tabular}}{{{'l' * len(sheet.rows[0])}}}",
            r"\hline",
            head,
            r"\hline",
            *body,
            r"\hline",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
        ]
    )


def _html(entry: str) -> str:
    return html.escape(_printable(entry))


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


def _plain(value: Any) -> Any:
    """What a spreadsheet takes for a value and not for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") and value != "-" else value
