"""Cells of CSV files that people open in a spreadsheet, which computes what looks like a formula, whoever wrote it."""

from __future__ import annotations

import re
from typing import Any

from bench.messages import printable

_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet takes for a formula begins so, in the full-width signs of East Asian keyboards too. A text with
apostrophes before such a sign gets one more, so that `read_cell_text` gives back what was written."""
_ABSENT = "-"


def write_cell(value: Any) -> Any:
    """What is written for a value: a text is printable, and begins with an apostrophe if it looks like a formula."""
    return write_cell_text(printable(value)) if isinstance(value, str) else value


def write_cell_text(text: str) -> str:
    """The text, with an apostrophe before it if a spreadsheet would take it for a formula. `read_cell_text` gives it back."""
    return f"'{text}" if _FORMULA.match(text) and text != _ABSENT else text


def read_cell_text(cell: str) -> str:
    """The text that `write_cell_text` wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
