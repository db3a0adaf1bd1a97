"""Pictures of numbers as inline SVG: intervals of a cell, curves over training mixes. Colours come from the style sheet."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from bench.results.tables import Cell
from leaderboards.report.data import rounded
from leaderboards.report.html import Html, joined, tag
from leaderboards.report.training_mixes import MixChart, MixScore

WIDTH, HEIGHT = 104, 12
PLOT = (620, 300)
LEFT, RIGHT, TOP, BOTTOM = 52, 30, 14, 44
Scale = Callable[[float], float]
MIXTURES = {
    "real alone": "series-0",
    "real + generated": "series-1",
    "generated alone": "series-2",
    "real + generated under wrong maps": "series-3",
    "real + copies": "series-4",
    "real + augmented": "series-5",
}


def whisker(cell: Cell, least: float, most: float) -> Html:
    """The value as a dot and its interval as a line, on the scale of its column. Silent for screen readers: the numbers
    stand beside it."""
    if cell.value is None or most <= least:
        return Html("")

    def x(value: float) -> float:
        return round(4 + (WIDTH - 8) * (value - least) / (most - least), 1)

    middle = HEIGHT / 2
    parts = [tag("line", class_="scale", x1=4, x2=WIDTH - 4, y1=middle, y2=middle)]
    if least < 0 < most:
        parts.append(tag("line", class_="zero", x1=x(0), x2=x(0), y1=1, y2=HEIGHT - 1))
    if cell.value > most:
        parts.append(tag("polyline", class_="beyond", points=f"{WIDTH - 9},2 {WIDTH - 4},{middle} {WIDTH - 9},{HEIGHT - 2}"))
    else:
        if cell.low is not None and cell.high is not None:
            parts.append(tag("line", class_="whisker", x1=x(cell.low), x2=x(min(cell.high, most)), y1=middle, y2=middle))
        parts.append(tag("circle", class_="dot", cx=x(cell.value), cy=middle, r=3))
    return tag("svg", *parts, class_="interval", viewBox=f"0 0 {WIDTH} {HEIGHT}", aria_hidden="true", focusable="false")


def mixture(score: MixScore) -> str:
    """What a training mix is made of, as the legend of the curves calls it."""
    if not score.synthetic:
        return "real alone"
    if not score.real:
        return "generated alone"
    named = {"shuffled": "generated under wrong maps", "copied": "copies", "augmented": "augmented"}
    return f"real + {named.get(score.synthetic_source, 'generated')}"


def curves(chart: MixChart, label: str, ends: tuple[float, float]) -> Html:
    """The measure over the patches trained on, as a share of the pool; a line for each kind of mix. `ends`: of the measure's
    axis, so that pictures of one task share it."""
    low, high, step = nice(*ends)
    most = max(score.real + score.synthetic for score in chart.scores)

    def x(share: float) -> float:
        return round(LEFT + (PLOT[0] - LEFT - RIGHT) * share / most, 1)

    def y(value: float) -> float:
        return round(PLOT[1] - BOTTOM - (PLOT[1] - BOTTOM - TOP) * (value - low) / (high - low), 1)

    parts: list[Html] = [tag("title", label)]
    for i in range(round((high - low) / step) + 1):
        height = y(low + i * step)
        parts.append(tag("line", class_="grid", x1=LEFT, x2=PLOT[0] - RIGHT, y1=height, y2=height))
        parts.append(tag("text", f"{low + i * step:.2f}", x=LEFT - 8, y=height + 4, text_anchor="end"))
    foot = PLOT[1] - BOTTOM
    for share in sorted({score.real + score.synthetic for score in chart.scores}):
        parts.append(tag("text", f"{share:.0%}", x=x(share), y=foot + 18, text_anchor="middle"))
    parts.append(tag("text", "patches trained on, as a share of the pool", x=PLOT[0] / 2, y=PLOT[1] - 4, text_anchor="middle"))
    return tag("svg", *parts, *_all_series(chart, x, y), class_="curves", viewBox=f"0 0 {PLOT[0]} {PLOT[1]}", role="img")


def ends(charts: Iterable[MixChart]) -> tuple[float, float]:
    """The least and the largest value or bound of all."""
    cells = [score.cell for chart in charts for score in chart.scores]
    found = [end for cell in cells for end in (cell.low, cell.value, cell.high) if end is not None]
    return min(found), max(found)


def nice(low: float, high: float) -> tuple[float, float, float]:
    """Ends of an axis and the step of its marks, at most six of them: 1, 2 or 5 hundredths, tenths, …"""
    steps = (base * 10.0**power for power in range(-2, 6) for base in (1, 2, 5))
    step = next(step for step in steps if math.ceil(high / step) - math.floor(low / step) <= 5)
    return math.floor(low / step) * step, max(math.ceil(high / step), math.floor(low / step) + 1) * step, step


def _all_series(chart: MixChart, x: Scale, y: Scale) -> Iterator[Html]:
    training: dict[str, list[MixScore]] = defaultdict(list)
    for score in sorted(chart.scores, key=lambda score: score.real + score.synthetic):
        training[mixture(score)].append(score)
    kinds = [kind for kind in MIXTURES if kind in training]
    for place, kind in enumerate(kinds):
        # a little to the side, so that intervals of one share do not hide each other
        aside = 6 * (place - (len(kinds) - 1) / 2)
        yield _series(kind, [(x(score.real + score.synthetic) + aside, score) for score in training[kind]], y)


def _series(kind: str, points: list[tuple[float, MixScore]], y: Scale) -> Html:
    path = " ".join(f"{px:.1f},{y(score.cell.value or 0.0)}" for px, score in points)
    marks = [tag("polyline", points=path, class_="curve")]
    for px, score in points:
        cell = score.cell
        if cell.low is not None and cell.high is not None:
            marks.append(tag("line", class_="whisker", x1=round(px, 1), x2=round(px, 1), y1=y(cell.low), y2=y(cell.high)))
        text = tag("title", f"{score.mix}: {rounded(cell)[0]}")
        marks.append(tag("circle", text, class_="dot", cx=round(px, 1), cy=y(cell.value or 0.0), r=4.5))
    return tag("g", *marks, class_=MIXTURES[kind])


def legend(chart: MixChart) -> Html:
    kinds = dict.fromkeys(mixture(score) for score in chart.scores)
    return tag("ul", *(tag("li", _swatch(MIXTURES[kind]), kind) for kind in MIXTURES if kind in kinds), class_="legend")


def _swatch(series: str) -> Html:
    dot = tag("circle", class_="dot", cx=6, cy=6, r=4.5)
    return tag("svg", tag("g", joined([dot]), class_=series), viewBox="0 0 12 12", class_="swatch", aria_hidden="true")
