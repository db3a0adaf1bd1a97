"""The sections below the numbers as HTML: map of distances, patches, diets, provenance, licences."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from typing import Any

from bench.results.tables import Cell, number
from leaderboards.report import svg
from leaderboards.report.data import HeatMap, Table, heat_map, rounded
from leaderboards.report.html import Html, Section, joined, tag, titled
from leaderboards.report.numbers import marks
from leaderboards.report.provenance import Origin, Used
from leaderboards.report.training_mixes import Meal

EDGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Where one colour of the map of distances ends and the next begins."""
PAGE = 24
"""Patches on one page of the gallery."""


def encoders(tables: Sequence[Table]) -> Section | None:
    """A map of normalised distances for each table that has any."""
    found = [drawn for table in tables if (drawn := heat_map(table)) is not None]
    if not found:
        return None
    lead = (
        "Normalised Fréchet distance: 0 is as far from real test slides as other real slides are, 1 is as far as noise. "
        "Rows of one colour say that judges agree.",
    )
    return titled("encoders", "Encoders", lead, _scale(), *(_map(drawn) for drawn in found))


def _scale() -> Html:
    names = (f"< {EDGES[0]:g}", *(f"{edge:g}" for edge in EDGES[:-1]), f"≥ {EDGES[-1]:g}")
    boxes = [tag("li", name, class_=f"heat-{step}") for step, name in enumerate(names)]
    return tag("ol", *boxes, class_="scale", aria_label="Colours, by the least distance that has each")


def _map(drawn: HeatMap) -> Html:
    heads = [tag("th", name, scope="col") for name in ("generator", *drawn.encoders)]
    rows = [tag("tr", tag("th", who, scope="row"), *map(_warm, cells)) for who, cells in drawn.rows]
    shown = tag(
        "table",
        tag("caption", drawn.title),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
        class_="heat",
    )
    return tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label=f"Map of distances: {drawn.title}")


def _warm(cell: Cell | None) -> Html:
    if cell is None:
        return tag("td", tag("span", "–", aria_label="not measured"))
    if cell.value is None:
        return tag("td", cell.status, title=cell.reason, class_="missing")
    step = bisect.bisect_right(EDGES, round(cell.value, 3))
    value, between = rounded(cell)
    mark = tag("sup", marks(cell)) if marks(cell) else None
    return tag("td", value, mark, title=between, class_=f"heat-{step}")


def patches(gallery: dict[str, Any], absent: Sequence[str]) -> Section | None:
    """The frame that the script fills with patches, and why some are not there."""
    if not gallery and not absent:
        return None
    said = tag("ul", *(tag("li", reason) for reason in absent), class_="notes") if absent else None
    if not gallery:
        return titled("patches", "Patches", ("No patches can be shown.",), said)
    lead = (
        f"Each painted patch beside the real patch of the same condition. Distances are in the features of the encoder "
        f"{gallery['encoder']}, in units of the usual distance between two real training patches. A painted patch need not "
        "equal its real one: these order pictures for looking at, and rank nobody. Choose a patch to enlarge it.",
    )
    names = [tag("option", one["name"], value=str(i)) for i, one in enumerate(gallery["exhibits"])]
    form = tag(
        "form",
        tag("label", tag("span", "Painted by"), tag("select", *names, id="choose-exhibit")),
        tag("label", tag("span", "Order"), tag("select", id="choose-order")),
        tag("p", id="patches-shown", role="status", class_="status"),
        class_="filters",
        aria_label="Choose patches",
    )
    grid = tag("ul", id="grid", class_="grid")
    pager = tag(
        "nav",
        tag("button", "Previous", type="button", id="previous"),
        tag("button", "Next", type="button", id="next"),
        id="pager",
        class_="pager",
        aria_label="Pages of patches",
        data_page=PAGE,
    )
    without = tag("noscript", tag("p", "The patches need JavaScript; their pictures lie in the folder images."))
    return titled("patches", "Patches", lead, form, grid, pager, without, said)


def dialog() -> Html:
    """The enlarged patch; the browser's own dialog keeps the focus inside and gives it back."""
    buttons = [
        tag("button", word, type="button", id=identifier)
        for word, identifier in (("Previous patch", "before"), ("Next patch", "after"), ("Close", "close"))
    ]
    return tag(
        "dialog",
        tag("h2", id="enlarged-title"),
        tag("div", id="enlarged-pictures", class_="pictures"),
        tag("dl", id="enlarged-facts", class_="facts"),
        tag("p", *buttons, class_="pager"),
        id="enlarged",
        aria_labelledby="enlarged-title",
    )


def diets(meals: Sequence[Meal]) -> Section | None:
    if not meals:
        return None
    lead = (
        "What a downstream model reached on real test patches, over what it was trained on. Upright lines: 95 % intervals "
        "over slides (or what the table counts in their place) and seeds. Pictures of one task and data set share their axis.",
    )
    figures = [_meal(meal, svg.ends(other for other in meals if other.where == meal.where)) for meal in meals]
    return titled("diets", "Diets", lead, tag("div", *figures, class_="figures"))


def _meal(meal: Meal, ends: tuple[float, float]) -> Html:
    label = f"{meal.measure} of {meal.title}, over the share of patches served"
    heads = ["diet", meal.measure, "95 % interval", *(["reported"] if meal.reported_by else [])]
    rows = []
    for dish in meal.dishes:
        cells = [tag("td", text) for text in rounded(dish.cell)]
        if meal.reported_by:
            cells.append(tag("td", "–" if dish.reported is None else number(dish.reported), class_="reported"))
        rows.append(tag("tr", tag("th", dish.diet, scope="row"), *cells))
    drawn = tag(
        "table",
        tag("caption", label, class_="unseen"),
        tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
        tag("tbody", *rows),
    )
    box = tag("div", drawn, class_="scroll", tabindex="0", role="region", aria_label=f"Table: {label}")
    source = tag(
        "p", f"Reported: {meal.reported_by}. Other data, another network size: never ranked with ours.", class_="small"
    )
    numbers = tag("details", tag("summary", "In numbers"), box, source if meal.reported_by else None)
    caption = tag("figcaption", tag("h3", meal.title), tag("p", f"{meal.measure} ↑"))
    return tag("figure", caption, svg.legend(meal), svg.curves(meal, label, ends), numbers)


def provenance(origins: Sequence[Origin], manifests: Sequence[tuple[str, str]]) -> Section:
    """What the numbers rest on: keys by which the cache knows data, weights and samples, versions, times, options."""
    heads = ("generator", "dataset", "measured", "weights", "test data", "training data", "options, samples, software")
    rows = [
        tag(
            "tr",
            tag("th", one.generator, scope="row"),
            tag("td", one.dataset),
            tag("td", one.made),
            *(tag("td", tag("code", key or "–")) for key in (one.weights, one.test, one.train)),
            tag("td", tag("details", tag("summary", "show"), tag("ul", *(tag("li", said) for said in _more(one))))),
        )
        for one in origins
    ]
    box = _listing(heads, rows, "Keys of data, weights and samples, and what measured them", "provenance")
    held = [tag("details", tag("summary", name), tag("pre", _indented(text), tabindex="0")) for name, text in manifests]
    lead = ("Equal keys are equal bytes. Numbers are compared within one protocol only; each stands in “Every number”.",)
    return titled("provenance", "Provenance", lead, box, *held)


def _listing(heads: Sequence[str], rows: Sequence[Html], caption: str, label: str) -> Html:
    """A plain table that scrolls inside its own box."""
    table = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
        tag("tbody", *rows),
        class_="plain",
    )
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=f"Table: {label}")


def _more(one: Origin) -> list[str]:
    options = [f"{name} = {value}" for name, value in one.options.items()]
    return [*options, *(f"samples {key}" for key in one.samples), one.software]


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except ValueError:
        return text


def licences(used: Sequence[Used]) -> Section:
    heads = ("kind", "name", "version", "licence", "source")
    rows = [
        tag(
            "tr",
            tag("td", one.kind),
            tag("th", one.name, scope="row"),
            tag("td", one.versions),
            tag("td", one.licence),
            tag("td", one.source),
        )
        for one in used
    ]
    box = _listing(heads, rows, "Licences of what was used", "licences")
    lead = ("As the cards of generators, data, encoders, metrics and tasks state them.",)
    return titled("licences", "Licences", lead, joined([box]))
