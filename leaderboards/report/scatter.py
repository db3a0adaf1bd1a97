"""Fidelity against faithfulness against utility: geometry of one picture of all generators, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from bench.results.tables import ARROWS, Cell, interval
from leaderboards.report.figures import Tick, choose_axis
from leaderboards.report.findings import Axis, Findings

SHADES = 5
NEAR = 15.0
"""Pixels between the baselines of two labels."""


@dataclass(frozen=True)
class Spot:
    """One generator."""

    name: str
    x: float
    y: float
    across: tuple[float, float] | None
    """Ends of the interval along x; None without one."""
    along: tuple[float, float] | None
    shade: int
    """0, empty, for the least useful to `SHADES` - 1, full, for the most; 0 where utility was not measured."""
    label: tuple[float, float]
    anchor: str
    text: str
    """All numbers, for a tooltip."""


@dataclass(frozen=True)
class Scatter:
    """In pixels from the upper left."""

    width: ClassVar[int] = 720
    height: ClassVar[int] = 400
    left: ClassVar[int] = 70
    right: ClassVar[int] = width - 24
    top: ClassVar[int] = 16
    bottom: ClassVar[int] = height - 52

    title: str
    x_name: str
    y_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    spots: tuple[Spot, ...]
    shading: str
    """What the shade of a dot means; empty where it means nothing."""
    rows: tuple[dict[str, object], ...]
    """The same numbers, a row for each generator and question."""


def place_scatter(found: Findings) -> Scatter | None:
    """None with fewer than two questions, or where no generator has an answer to both."""
    if len(found.axes) < 2:
        return None
    across, along, *third = found.axes
    names = [name for name in across.cells if name in along.cells]
    if not names:
        return None
    x, x_ticks = _scale([across.cells[name] for name in names], Scatter.left, Scatter.right)
    y, y_ticks = _scale([along.cells[name] for name in names], Scatter.bottom, Scatter.top)
    shades = _shades(third[0], names) if third else {}
    spots = [_spot(name, (across, along, *third), x, y, shades.get(name, 0)) for name in names]
    rows = [
        {"generator": name, "question": axis.question, "measure": axis.column, "direction": axis.direction}
        | {field: getattr(axis.cells[name], field) for field in ("value", "low", "high", "n", "groups", "seeds", "fits")}
        for name in names
        for axis in found.axes
        if name in axis.cells
    ]
    shading = f"Fuller dots: higher {third[0].column} ({third[0].question})" if shades else ""
    return Scatter(found.title, _named(across), _named(along), x_ticks, y_ticks, _apart(spots), shading, tuple(rows))


def _named(axis: Axis) -> str:
    arrow = {"lower": "← better", "higher": "better →"}.get(axis.direction, "")
    return f"{axis.question}: {axis.column} {ARROWS.get(axis.direction, '')} {arrow}".strip()


def _scale(cells: Sequence[Cell], start: float, end: float) -> tuple[Callable[[float], float], tuple[Tick, ...]]:
    bounds = [bound for cell in cells for bound in (cell.low, cell.value, cell.high) if bound is not None]
    margin = 0.1 * abs(max(bounds)) or 1.0 if min(bounds) == max(bounds) else 0.0  # an axis has two ends
    low, high, step = choose_axis(min(bounds) - margin, max(bounds) + margin, -7)

    def place(value: float) -> float:
        return round(start + (end - start) * (value - low) / (high - low), 1)

    marks = [low + i * step for i in range(round((high - low) / step) + 1)]
    return place, tuple(Tick(place(mark), f"{mark:.6g}") for mark in marks)


def _shades(axis: Axis, names: Sequence[str]) -> dict[str, int]:
    known = {name: cell.value for name in names if (cell := axis.cells.get(name)) and cell.value is not None}
    least, most = min(known.values(), default=0.0), max(known.values(), default=0.0)
    return {
        name: round((SHADES - 1) * (value - least) / (most - least)) if most > least else 0 for name, value in known.items()
    }


def _spot(name: str, axes: Sequence[Axis], x: Callable[[float], float], y: Callable[[float], float], shade: int) -> Spot:
    mine, yours = axes[0].cells[name], axes[1].cells[name]
    at = x(mine.value or 0.0), y(yours.value or 0.0)
    is_right = at[0] > (Scatter.left + Scatter.right) / 2
    text = "; ".join(f"{axis.column} {interval(axis.cells[name])}" for axis in axes if name in axis.cells)
    return Spot(
        name,
        *at,
        across=None if mine.low is None or mine.high is None else (x(mine.low), x(mine.high)),
        along=None if yours.low is None or yours.high is None else (y(yours.low), y(yours.high)),
        shade=shade,
        label=(at[0] + (-10 if is_right else 10), at[1] - 8),
        anchor="end" if is_right else "start",
        text=f"{name}: {text}",
    )


def _apart(spots: Sequence[Spot]) -> tuple[Spot, ...]:
    """With labels of one side far enough from each other."""
    placed: list[Spot] = []
    for spot in sorted(spots, key=lambda one: one.label[1]):
        taken = [other.label[1] for other in placed if other.anchor == spot.anchor]
        height = max([spot.label[1], *(at + NEAR for at in taken)]) if taken else spot.label[1]
        near = bool(taken) and spot.label[1] - max(taken) < NEAR
        placed.append(replace(spot, label=(spot.label[0], height)) if near else spot)
    return tuple(placed)
