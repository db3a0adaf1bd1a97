"""Tables in LaTeX for papers: rules of booktabs, numbers aligned at their points by siunitx.

Entries are untrusted and escaped. A number and what follows it (its marks and interval) are two columns, so that numbers alone
are aligned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.messages import printable
from bench.results.terminal import blocks
from leaderboards.tables.sheets import Mark, Sheet

PREAMBLE = "% needs \\usepackage{booktabs,siunitx}"
TIED_SIGN = "="
SETUP = (
    r"\small\setlength{\tabcolsep}{4pt}"
    r"\sisetup{text-series-to-math=true, reset-text-series=false, mode=text, group-digits=none}"
)
"""Bold numbers stay bold in columns of siunitx."""
WIDTH = 105
"""Characters of a row that fit on a page of A4 with margins of 2.5 cm."""
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?=$|[ *†‡!])(.*)", re.DOTALL)
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
    "\N{REPLACEMENT CHARACTER}": "?",
}


def latex(sheets: Sequence[Sheet]) -> str:
    """A `table` for each sheet, or several where its columns do not fit beside each other, in LaTeX with UTF-8.

    A comment names the packages that they need.
    """
    return "\n\n".join([PREAMBLE, *(_table(part) for sheet in sheets for part in _parts(sheet))])


def escape(entry: str) -> str:
    """The entry as LaTeX that prints it and runs nothing."""
    shown = "".join(_TEX.get(letter, letter) for letter in printable(entry))
    return "{" + shown + "}" if shown.startswith(("[", "*")) else shown  # both mean something after \\


@dataclass(frozen=True)
class _Entry:
    """One entry of the body: a number and what follows it, or a text."""

    text: str
    number: str = ""
    after: str = ""


@dataclass(frozen=True)
class _Column:
    head: str
    entries: tuple[_Entry, ...]
    marks: tuple[Mark | None, ...]

    @property
    def has_numbers(self) -> bool:
        return any(entry.number for entry in self.entries)

    @property
    def has_after(self) -> bool:
        return any(entry.after for entry in self.entries) or Mark.TIED in self.marks

    def specification(self) -> str:
        if not self.has_numbers:
            return "l"
        shown = [entry.number for entry in self.entries if entry.number]
        if any("e" in number for number in shown):
            return "S" + ("@{\\,}l" if self.has_after else "")
        sign = "-" if any(number.startswith("-") for number in shown) else ""
        whole = max(len(number.lstrip("-").partition(".")[0]) for number in shown)
        places = max(len(number.partition(".")[2]) for number in shown)
        return f"S[table-format={sign}{whole}.{places}]" + ("@{\\,}l" if self.has_after else "")

    def heading(self) -> str:
        if not self.has_numbers:
            return escape(self.head)
        return rf"\multicolumn{{2}}{{c}}{{{escape(self.head)}}}" if self.has_after else f"{{{escape(self.head)}}}"

    def cell(self, row: int) -> str:
        entry, mark = self.entries[row], self.marks[row]
        if not self.has_numbers:
            return escape(entry.text)
        if not entry.number:
            text = escape(entry.text)
            return rf"\multicolumn{{2}}{{c}}{{{text}}}" if self.has_after else f"{{{text}}}"
        number = rf"\bfseries {entry.number}" if mark is Mark.BEST else entry.number
        if not self.has_after:
            return number
        tied = f"$^{{{TIED_SIGN}}}$" if mark is Mark.TIED else ""
        return f"{number} & {tied}{escape(entry.after)}"


def _parts(sheet: Sheet) -> list[Sheet]:
    """The sheet in parts that fit on a page; each begins with its first column, and the last has the notes."""
    places = blocks(sheet.rows, WIDTH)
    if len(places) == 1:
        return [sheet]
    parts = []
    for number, columns in enumerate(places, start=1):
        rows = [[row[column] for column in columns] for row in sheet.rows]
        marks = {(row, columns.index(column)): mark for (row, column), mark in sheet.marks.items() if column in columns}
        notes = sheet.notes if number == len(places) else ["Notes are below the last part."]
        title = f"{sheet.title}, part {number} of {len(places)}"
        parts.append(replace(sheet, title=title, rows=rows, notes=notes, marks=marks))
    return parts


def _table(sheet: Sheet) -> str:
    heads, *body = sheet.rows
    columns = [
        _Column(
            head,
            tuple(_entry(row[place]) for row in body),
            tuple(sheet.marks.get((number, place)) for number in range(1, len(body) + 1)),
        )
        for place, head in enumerate(heads)
    ]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(sheet.title)}}}",
        SETUP,
        rf"\begin{{tabular}}{{{''.join(column.specification() for column in columns)}}}",
        r"\toprule",
        " & ".join(column.heading() for column in columns) + r" \\",
        r"\midrule",
        *(" & ".join(column.cell(row) for column in columns) + r" \\" for row in range(len(body))),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    notes = [rf"\par\noindent {escape(note)}" for note in sheet.notes]
    return "\n".join([*lines, r"\par\raggedright\footnotesize", *notes, r"\end{table}"])


def _entry(text: str) -> _Entry:
    found = _NUMBER.fullmatch(text)
    return _Entry(text, found[1], found[2].strip()) if found else _Entry(text)
