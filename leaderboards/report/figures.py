"""Geometry of the page's figures: intervals of a cell, curves over training mixes. The SVG is in the templates."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from bench.results.tables import Cell
from leaderboards.report.data import round_to_interval
from leaderboards.report.training_mixes import MixChart, MixScore

Scale = Callable[[float], float]
MIXTURES = {
    "real alone": "series-0",
    "real + generated": "series-1",
    "generated alone": "series-2",
    "real + generated under wrong maps": "series-3",
    "real + copies": "series-4",
    "real + augmented": "series-5",
}
"""Kind of training mix -> the style of its curve."""


@dataclass(frozen=True)
class Whisker:
    """The value as a dot and its interval as a line, on the scale of its column; in pixels from the upper left."""

    width: ClassVar[int] = 104
    height: ClassVar[int] = 12
    left: ClassVar[int] = 4
    right: ClassVar[int] = width - left
    middle: ClassVar[float] = height / 2

    dot: float | None
    """None where the value lies beyond the scale."""
    interval: tuple[float, float] | None
    zero: float | None
    """Position of 0, if it is inside the scale."""


def place_whisker(cell: Cell, least: float, most: float) -> Whisker | None:
    """None where there is no value, or no scale to put it on."""
    if cell.value is None or most <= least:
        return None

    def x(value: float) -> float:
        return round(Whisker.left + (Whisker.right - Whisker.left) * (value - least) / (most - least), 1)

    is_beyond = cell.value > most
    has_interval = not is_beyond and cell.low is not None and cell.high is not None
    return Whisker(
        dot=None if is_beyond else x(cell.value),
        interval=(x(cell.low), x(min(cell.high, most))) if has_interval else None,  # type: ignore[arg-type, type-var]
        zero=x(0) if least < 0 < most else None,
    )


@dataclass(frozen=True)
class Tick:
    """A label of an axis and its position."""

    at: float
    text: str


@dataclass(frozen=True)
class Point:
    """A score; `interval` has the heights of its bounds."""

    x: float
    y: float
    interval: tuple[float, float] | None
    text: str


@dataclass(frozen=True)
class Series:
    """The scores of one kind of mix, by the share of patches."""

    style: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Curves:
    """A measure over the patches trained on, a line for each kind of mix; in pixels from the upper left."""

    width: ClassVar[int] = 620
    height: ClassVar[int] = 300
    left: ClassVar[int] = 52
    right: ClassVar[int] = width - 30
    top: ClassVar[int] = 14
    bottom: ClassVar[int] = height - 44

    label: str
    value_ticks: tuple[Tick, ...]
    share_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    legend: tuple[tuple[str, str], ...]
    """(style, kind of mix) of every curve."""


def name_mixture(score: MixScore) -> str:
    """Kind of a training mix, as in the legend of the curves."""
    if not score.synthetic:
        return "real alone"
    if not score.real:
        return "generated alone"
    named = {"shuffled": "generated under wrong maps", "copied": "copies", "augmented": "augmented"}
    return f"real + {named.get(score.synthetic_source, 'generated')}"


def place_curves(chart: MixChart, label: str, ends: tuple[float, float]) -> Curves:
    """`ends`: of the measure's axis, so that figures of one task share it."""
    low, high, step = choose_axis(*ends)
    most = max(score.real + score.synthetic for score in chart.scores)

    def x(share: float) -> float:
        return round(Curves.left + (Curves.right - Curves.left) * share / most, 1)

    def y(value: float) -> float:
        return round(Curves.bottom - (Curves.bottom - Curves.top) * (value - low) / (high - low), 1)

    marks = [low + i * step for i in range(round((high - low) / step) + 1)]
    shares = sorted({score.real + score.synthetic for score in chart.scores})
    return Curves(
        label,
        tuple(Tick(y(mark), f"{mark:.2f}") for mark in marks),
        tuple(Tick(x(share), f"{share:.0%}") for share in shares),
        _place_series(chart, x, y),
        list_legend(chart),
    )


def find_value_range(charts: Iterable[MixChart]) -> tuple[float, float]:
    """The least and the largest value or bound of all."""
    cells = [score.cell for chart in charts for score in chart.scores]
    found = [end for cell in cells for end in (cell.low, cell.value, cell.high) if end is not None]
    return min(found), max(found)


def choose_axis(low: float, high: float, least: int = -2) -> tuple[float, float, float]:
    """Ends of an axis and the step of its marks, at most six of them: 1, 2 or 5 times a power of ten, from 10**least."""
    steps = (base * 10.0**power for power in range(least, 10) for base in (1, 2, 5))
    step = next(step for step in steps if math.ceil(high / step) - math.floor(low / step) <= 5)
    return math.floor(low / step) * step, max(math.ceil(high / step), math.floor(low / step) + 1) * step, step


def _place_series(chart: MixChart, x: Scale, y: Scale) -> tuple[Series, ...]:
    grouped: dict[str, list[MixScore]] = defaultdict(list)
    for score in sorted(chart.scores, key=lambda score: score.real + score.synthetic):
        grouped[name_mixture(score)].append(score)
    kinds = [kind for kind in MIXTURES if kind in grouped]
    found = []
    for number, kind in enumerate(kinds):
        # a little to the side, so that intervals of one share do not hide each other
        aside = 6 * (number - (len(kinds) - 1) / 2)
        points = tuple(_place_point(score, x(score.real + score.synthetic) + aside, y) for score in grouped[kind])
        found.append(Series(MIXTURES[kind], points))
    return tuple(found)


def _place_point(score: MixScore, x: float, y: Scale) -> Point:
    cell = score.cell
    interval = None if cell.low is None or cell.high is None else (y(cell.low), y(cell.high))
    return Point(round(x, 1), y(cell.value or 0.0), interval, f"{score.mix}: {round_to_interval(cell)[0]}")


def list_legend(chart: MixChart) -> tuple[tuple[str, str], ...]:
    """(style, kind of mix) of every curve."""
    kinds = {name_mixture(score) for score in chart.scores}
    return tuple((style, kind) for kind, style in MIXTURES.items() if kind in kinds)
