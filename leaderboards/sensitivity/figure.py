"""The figure of responses: a row of panels for each measure, a panel for each corruption, a line for each encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import MissingError, UsageError
from bench.files.text import write_bytes
from leaderboards.sensitivity.responses import Response

FORMATS = ("png", "svg", "pdf")
WIDE, HIGH = 1.35, 0.95
"""Inches of a panel."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of encoders; Okabe and Ito 2008, which colour-blind readers distinguish."""


def check_figure(path: Path) -> None:
    """Raises UsageError before any work if the name of a figure has no known ending."""
    if path.suffix.lstrip(".") not in FORMATS:
        raise UsageError(f"--figure {path}: the name ends in one of {', '.join('.' + name for name in FORMATS)}.")


def pyplot() -> Any:
    """matplotlib without a window. MissingError, with the command that installs it, where it is not there."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingError("figures need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "histobench"  # the same figure has the same bytes
    from matplotlib import pyplot as found

    return found


def save(figure: Any, path: Path) -> None:
    """Writes a figure of matplotlib, without the time at which it was made."""
    import io

    held = io.BytesIO()
    kind = path.suffix.lstrip(".")
    empty: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(held, format=kind, dpi=110, metadata=empty.get(kind))
    write_bytes(path, held.getvalue())


def draw(responses: Sequence[Response], path: Path) -> None:
    """Draws the responses that have numbers. How much worse each measure gets is divided by the largest change of that measure
    and encoder under any corruption, so that a row shows which corruptions it sees most, on a scale of square roots, so that
    small changes show too; bands are the intervals of the values."""
    plots = pyplot()
    own = [response for response in responses if response.verdict != "undecided"]
    if not own:
        raise MissingError("no response has numbers with intervals: there is nothing to draw.")
    rows = list(dict.fromkeys((r.of.task, r.of.dataset, r.of.measure) for r in own))
    columns = list(dict.fromkeys(r.ladder.corruption for r in own))
    encoders = list(dict.fromkeys(r.of.encoder for r in own))
    colours = {encoder: COLOURS[i % len(COLOURS)] for i, encoder in enumerate(encoders)}
    scales = {r.of: 0.0 for r in own}
    for response in own:
        scales[response.of] = max(scales[response.of], float(np.abs(_change(response)[0]).max()))
    width = WIDE * len(columns) + 1.6
    figure, panels = plots.subplots(
        len(rows), len(columns), figsize=(width, HIGH * len(rows) + 1.2), squeeze=False, sharey=True, layout="constrained"
    )
    ladders = {r.ladder.corruption: r.ladder for r in own}
    for axes in panels.flat:
        axes.axhline(0, color="#999999", linewidth=0.6)
        axes.set(ylim=(-0.35, 1.25), yticks=[0, 1])
        axes.tick_params(labelsize=6, length=2)
        axes.set_facecolor("#f2f2f2")
    for response in own:
        row = rows.index((response.of.task, response.of.dataset, response.of.measure))
        axes = panels[row, columns.index(response.ladder.corruption)]
        if response.claimed:
            axes.set_facecolor("white")
        change, low, high = (_root(part / (scales[response.of] or 1.0)) for part in _change(response))
        places = [response.ladder.unchanged, *response.ladder.strengths]
        colour, at = colours[response.of.encoder], [places.index(point.strength) for point in response.points]
        axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        style = ":" if response.verdict == "not seen" else "-"
        marker = "x" if response.verdict == "reversed" else "."
        axes.plot(at, change, style, marker=marker, color=colour, markersize=4, linewidth=1)
    are_several = len({row[:2] for row in rows}) > 1
    for row, name in enumerate(rows):
        label = f"{name[2]}\n{name[1]}" if are_several else name[2]
        panels[row, 0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    for column, corruption in enumerate(columns):
        ladder = ladders[corruption]
        panels[0, column].set_title(corruption, fontsize=8)
        for axes in panels[:, column]:
            axes.set_xticks(range(len(ladder.strengths) + 1), [""] * (len(ladder.strengths) + 1))
        names = ["none", *(f"{strength:g}" for strength in ladder.strengths)]
        panels[-1, column].set_xticks(range(len(names)), names, rotation=60)
        panels[-1, column].set_xlabel(ladder.unit, fontsize=7)
    handles = [plots.Line2D([], [], color=colours[name], label=name or "no encoder") for name in encoders]
    handles += [
        plots.Line2D([], [], color="#555555", linestyle=":", label="not seen"),
        plots.Line2D([], [], color="#555555", marker="x", label="reversed"),
        plots.Rectangle((0, 0), 1, 1, facecolor="#f2f2f2", edgecolor="#cccccc", label="the card claims nothing"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=7, frameon=False)
    save(figure, path)
    plots.close(figure)


def _root(share: Any) -> Any:
    """The square root, negative for negative shares; at most a little more than 1."""
    return np.clip(np.sign(share) * np.sqrt(np.abs(share)), -1.2, 1.2)


def _change(response: Response) -> tuple[Any, Any, Any]:
    """float64 (k,) each: how much worse than none the measure is along the ladder, and the ends of its values' intervals; an
    end that is not known is the value."""
    sign = 1.0 if response.direction == "lower" else -1.0
    cells = [point.cell for point in response.points]
    start = cells[0].value or 0.0
    ends = [
        np.array([(cell.value if end is None else end) or 0.0 for cell, end in zip(cells, part, strict=True)]) - start
        for part in ([c.value for c in cells], [c.low for c in cells], [c.high for c in cells])
    ]
    value, low, high = (sign * end for end in ends)
    return value, np.minimum(low, high), np.maximum(low, high)
