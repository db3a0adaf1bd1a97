"""The page as HTML, section by section. Every text goes through `tag`, which escapes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from leaderboards.report import html, numbers, sections
from leaderboards.report.data import Table
from leaderboards.report.html import Html, Section, tag
from leaderboards.report.provenance import Origin, Used
from leaderboards.report.training_mixes import MixChart


@dataclass(frozen=True)
class Site:
    """Everything that the page shows."""

    title: str
    made: str
    embedded: bool
    tables: tuple[Table, ...]
    charts: tuple[MixChart, ...]
    gallery: dict[str, Any]
    """What the script draws the gallery from; empty without patches."""
    absent: tuple[str, ...]
    """Why patches cannot be shown, a sentence each."""
    origins: tuple[Origin, ...]
    manifests: tuple[tuple[str, str], ...]
    """(path, JSON text) of what runs wrote beside their lines."""
    used: tuple[Used, ...]


def page(site: Site) -> str:
    """The whole document. Its policy allows the one style and the one script that stand in it, pictures beside it, and
    nothing else: no request can leave the machine."""
    style, style_hash = html.inlined("style", asset("report.css"))
    script, script_hash = html.inlined("script", asset("report.js"))
    policy = (
        f"default-src 'none'; img-src 'self' file:; style-src {style_hash}; script-src {script_hash}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", site.title),
        style,
    )
    parts = (
        numbers.section(site.tables),
        sections.encoders(site.tables),
        sections.patches(site.gallery, site.absent),
        sections.mixes(site.charts),
        sections.provenance(site.origins, site.manifests),
        sections.licences(site.used),
    )
    shown = [part for part in parts if part is not None]
    body = tag(
        "body",
        tag("a", "Skip to the numbers", href="#numbers", class_="skip"),
        _header(site, shown),
        tag("main", *(content for _, _, content in shown)),
        tag("footer", tag("p", "Made by ", tag("code", "bench report"), ". This page asks nothing of any network.")),
        sections.dialog(),
        html.data("gallery", site.gallery),
        script,
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def asset(name: str) -> str:
    return (resources.files("leaderboards.report") / "assets" / name).read_text(encoding="utf-8")


def _header(site: Site, shown: Iterable[Section]) -> Html:
    generators = {one.generator for one in site.origins}
    datasets = dict.fromkeys(table.dataset for table in site.tables)
    facts = (
        ("Data", ", ".join(datasets)),
        ("Tasks", ", ".join(dict.fromkeys(table.task for table in site.tables))),
        ("Generators", str(len(generators))),
        ("Measured", site.made),
    )
    warning = tag(
        "p",
        tag("strong", "Embedded phantom tissue."),
        " Procedural data: these numbers show that the machinery works, and say nothing of real patients.",
        class_="warning",
        role="note",
    )
    return tag(
        "header",
        tag("p", "histobench report", class_="kicker"),
        tag("h1", site.title),
        warning if site.embedded else None,
        tag("dl", *(tag("div", tag("dt", name), tag("dd", text)) for name, text in facts), class_="facts"),
        tag(
            "nav",
            tag("ul", *(tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name, _ in shown)),
            aria_label="Sections",
        ),
    )
