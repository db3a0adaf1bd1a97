"""The page: its content as plain data, and its rendering by templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leaderboards.report import numbers, sections, templating
from leaderboards.report.data import Table
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
    """Data of the gallery for the script; empty without patches."""
    absent: tuple[str, ...]
    """Why patches cannot be shown, a sentence each."""
    origins: tuple[Origin, ...]
    manifests: tuple[tuple[str, str], ...]
    """(path, JSON text) of manifests and suites beside the records."""
    used: tuple[Used, ...]


def render_page(site: Site) -> str:
    """The whole document. Its content security policy allows only its own style and script and the pictures beside it: no
    request can leave the machine."""
    from markupsafe import Markup

    style, script = templating.read_asset("report.css"), templating.read_asset("report.js")
    policy = (
        f"default-src 'none'; img-src 'self' file:; style-src {templating.source_hash(style)}; "
        f"script-src {templating.source_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return templating.render(
        "page.html.j2",
        title=site.title,
        embedded=site.embedded,
        facts=_facts(site),
        sections=_sections(site),
        gallery=templating.clean(site.gallery),
        policy=policy,
        style=Markup(style),
        script=Markup(script),
    )


def _sections(site: Site) -> list[templating.Section]:
    """The sections that are not empty, in the order of the page."""
    every: tuple[templating.Section | None, ...] = (
        numbers.describe_numbers(site.tables),
        sections.describe_encoders(site.tables),
        sections.describe_patches(site.gallery, site.absent),
        sections.describe_mixes(site.charts),
        sections.describe_provenance(site.origins, site.manifests),
        sections.LicencesSection(site.used),
    )
    return [section for section in every if section is not None]


def _facts(site: Site) -> tuple[tuple[str, str], ...]:
    return (
        ("Data", ", ".join(dict.fromkeys(table.dataset for table in site.tables))),
        ("Tasks", ", ".join(dict.fromkeys(table.task for table in site.tables))),
        ("Generators", str(len({one.generator for one in site.origins}))),
        ("Measured", site.made),
    )
