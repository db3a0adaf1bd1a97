"""The page: its content as plain data, and its rendering by templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leaderboards.report import numbers, templating
from leaderboards.report.data import Table
from leaderboards.report.findings import Findings
from leaderboards.report.provenance import Origin, Used
from leaderboards.report.sections import (
    LicencesSection,
    describe_encoders,
    describe_findings,
    describe_mixes,
    describe_patches,
    describe_provenance,
)
from leaderboards.report.training_mixes import MixChart


@dataclass(frozen=True)
class Site:
    """Everything that the page shows."""

    title: str
    made: str
    embedded: bool
    findings: tuple[Findings, ...]
    limits: tuple[str, ...]
    """What the encoders of tables of real tissue can and cannot see, where none of them knows tissue."""
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


def render_page(site: Site, sections: Sequence[templating.Section]) -> str:
    """The whole document, with what `list_sections` gives. Its content security policy allows only its own style and script
    and the pictures beside it: no request can leave the machine."""
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
        limits=site.limits,
        sections=sections,
        gallery=templating.clean(site.gallery),
        policy=policy,
        style=Markup(style),
        script=Markup(script),
    )


def list_sections(site: Site) -> list[templating.Section]:
    """The sections that are not empty, in the order of the page."""
    every: tuple[templating.Section | None, ...] = (
        describe_findings(site.findings),
        numbers.describe_numbers(site.tables),
        describe_encoders(site.tables),
        describe_patches(site.gallery, site.absent),
        describe_mixes(site.charts),
        describe_provenance(site.origins, site.manifests),
        LicencesSection(site.used),
    )
    return [section for section in every if section is not None]


def _facts(site: Site) -> tuple[tuple[str, str], ...]:
    return (
        ("Data", ", ".join(dict.fromkeys(table.dataset for table in site.tables))),
        ("Tasks", ", ".join(dict.fromkeys(table.task for table in site.tables))),
        ("Generators", str(len({one.generator for one in site.origins}))),
        ("Measured", site.made),
    )
