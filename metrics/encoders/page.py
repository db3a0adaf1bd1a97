"""The panel as a page.

    python -m metrics.encoders.page

prints the table that docs/encoders.md shows, its sources, and what could not be checked.
"""

from __future__ import annotations

import sys

from metrics.encoders.panel import ROWS, SOURCES
from metrics.encoders.row import Row

COLUMNS = ("encoder", "weights", "input", "features", "parameters", "licence", "mpp")


def page() -> str:
    """Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    lines += [f"| {' | '.join(_cells(row))} |" for row in ROWS]
    lines += ["", "Sources of parameter counts and architectures:", ""]
    lines += [f"- {name}: {text}" for name, text in SOURCES.items()]
    lines += ["", "Not checked against an outside source:", ""]
    lines += [f"- `{row.name}`: {row.unverified}" for row in ROWS if not row.verified]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    gate = ", **gated**" if row.origin.gated else ""
    cut = f"{row.shorter} px, its centre {row.side}" if row.shorter else f"{row.side} px"
    means = "" if row.filter == "tensorflow" else f"; mean {_three(row.norm[0])}, std {_three(row.norm[1])}"
    return (
        f"`{row.name}`",
        f"[{row.origin.name}]({row.origin.page}){gate}; {row.loader}",
        f"{cut}, {row.filter}{means}",
        f"{row.dim}, {row.pooling}",
        f"{row.published or 'unknown'} ({', '.join(row.counted)})",
        row.licence,
        "" if row.mpp is None else f"{row.mpp:g}",
    )


def _three(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3g}" for value in values)


if __name__ == "__main__":
    sys.stdout.write(page() + "\n")
