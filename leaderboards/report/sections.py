"""The sections below the numbers as plain data: map of distances, patches, training mixes, provenance, licences."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.results.tables import Cell, fit_notes, number
from leaderboards.report import figures
from leaderboards.report.conditions import SideBySide, line_up
from leaderboards.report.data import HeatMap, Table, build_heat_map, round_to_interval
from leaderboards.report.findings import Findings
from leaderboards.report.numbers import format_marks
from leaderboards.report.provenance import Origin, Used
from leaderboards.report.scatter import Scatter, place_scatter
from leaderboards.report.training_mixes import MixChart, MixScore

EDGES = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Borders between the colours of the heat map, as normalised distances: one more is twice as far."""


@dataclass(frozen=True)
class ShownFindings:
    """The findings of one table, with their picture."""

    name: str
    """Of its files."""
    found: Findings
    scatter: Scatter | None


@dataclass(frozen=True)
class FindingsSection:
    """What the tables show, in sentences, before any of them."""

    anchor: ClassVar[str] = "findings"
    name: ClassVar[str] = "Findings"
    template: ClassVar[str] = "findings.html.j2"
    first: ClassVar[int] = 3
    """Tables whose findings are shown at once."""

    shown: tuple[ShownFindings, ...]
    more: tuple[ShownFindings, ...]


def describe_findings(findings: Sequence[Findings]) -> FindingsSection | None:
    """None where no table answers a question. Tables with the most findings come first."""
    known = sorted((one for one in findings if one.axes), key=lambda one: -len(one.better))
    made = [ShownFindings(f"scatter-{i}", one, place_scatter(one)) for i, one in enumerate(known, start=1)]
    return FindingsSection(tuple(made[: FindingsSection.first]), tuple(made[FindingsSection.first :])) if made else None


@dataclass(frozen=True)
class HeatCell:
    """A normalised distance, or why there is none."""

    text: str
    title: str
    """Tooltip: the interval, or the reason."""
    step: int | None = None
    """Index of its colour; None without a value."""
    marks: str = ""


@dataclass(frozen=True)
class ShownMap:
    """One table's distances, a row a generator and a column an encoder. As a picture in pixels from the upper left."""

    left: ClassVar[int] = 190
    top: ClassVar[int] = 40
    cell: ClassVar[int] = 110
    line: ClassVar[int] = 34

    name: str
    """Of its files."""
    title: str
    encoders: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell | None, ...]], ...]

    @property
    def width(self) -> int:
        return self.left + self.cell * len(self.encoders) + 10

    @property
    def height(self) -> int:
        return self.top + self.line * len(self.rows) + 10


@dataclass(frozen=True)
class EncodersSection:
    """A map of normalised distances for each table that has any."""

    anchor: ClassVar[str] = "encoders"
    name: ClassVar[str] = "Encoders"
    template: ClassVar[str] = "encoders.html.j2"
    colours: ClassVar[tuple[str, ...]] = (
        f"< {EDGES[0]:g}",
        *(f"{edge:g}" for edge in EDGES[:-1]),
        f"≥ {EDGES[-1]:g}",
    )
    """The smallest distance of each colour."""

    maps: tuple[ShownMap, ...]


def describe_encoders(tables: Sequence[Table]) -> EncodersSection | None:
    """None where no table has normalised distances."""
    maps = [one for table in tables if (one := build_heat_map(table)) is not None]
    return EncodersSection(tuple(_show_map(one, f"encoders-{i}") for i, one in enumerate(maps, start=1))) if maps else None


def _show_map(one: HeatMap, name: str) -> ShownMap:
    rows = tuple((generator, tuple(map(_heat_cell, cells))) for generator, cells in one.rows)
    return ShownMap(name, one.title, one.encoders, rows)


def _heat_cell(cell: Cell | None) -> HeatCell | None:
    if cell is None:
        return None
    if cell.value is None:
        return HeatCell(cell.status, cell.reason)
    text, interval = round_to_interval(cell)
    return HeatCell(text, interval, bisect.bisect_right(EDGES, round(cell.value, 3)), format_marks(cell))


@dataclass(frozen=True)
class PatchesSection:
    """The container that the script fills with patches, and reasons for missing ones."""

    anchor: ClassVar[str] = "patches"
    name: ClassVar[str] = "Patches"
    template: ClassVar[str] = "patches.html.j2"
    page_size: ClassVar[int] = 24
    """Patches on one page of the gallery."""

    encoder: str
    exhibits: tuple[str, ...]
    """Names of the generated sets; none where no patches can be shown."""
    absent: tuple[str, ...]
    """Why patches cannot be shown, a sentence each."""
    conditions: tuple[SideBySide, ...]


def describe_patches(gallery: dict[str, Any], absent: Sequence[str]) -> PatchesSection | None:
    """None where no patches were asked for."""
    if not gallery and not absent:
        return None
    names = tuple(one["name"] for one in gallery.get("exhibits", ()))
    return PatchesSection(gallery.get("encoder", ""), names, tuple(absent), line_up(gallery.get("exhibits", ())))


@dataclass(frozen=True)
class MixRow:
    """A score in the table beside the curves."""

    mix: str
    value: str
    interval: str
    reported: str


@dataclass(frozen=True)
class MixFigure:
    """Curves of one generator with their legend, and the same in numbers."""

    title: str
    measure: str
    name: str
    """Of its files."""
    curves: figures.Curves
    rows: tuple[MixRow, ...]
    reported_by: str
    notes: tuple[str, ...]
    """Whether the scores are about one set of weights or about the method."""


@dataclass(frozen=True)
class MixesSection:
    """Downstream scores over training mixes."""

    anchor: ClassVar[str] = "mixes"
    name: ClassVar[str] = "Mixes"
    template: ClassVar[str] = "mixes.html.j2"

    figures: tuple[MixFigure, ...]


def describe_mixes(charts: Sequence[MixChart]) -> MixesSection | None:
    """None where no downstream model was trained."""
    shown = [
        _mix_figure(chart, figures.find_value_range(other for other in charts if other.where == chart.where), f"mixes-{i}")
        for i, chart in enumerate(charts, start=1)
    ]
    return MixesSection(tuple(shown)) if shown else None


def _mix_figure(chart: MixChart, ends: tuple[float, float], name: str) -> MixFigure:
    label = f"{chart.measure} of {chart.title}, over the share of patches trained on"
    return MixFigure(
        chart.title,
        chart.measure,
        name,
        figures.place_curves(chart, label, ends),
        tuple(map(_mix_row, chart.scores)),
        chart.reported_by,
        tuple(fit_notes(score.cell for score in chart.scores)),
    )


def _mix_row(score: MixScore) -> MixRow:
    value, interval = round_to_interval(score.cell)
    return MixRow(score.mix, value, interval, "–" if score.reported is None else number(score.reported))


@dataclass(frozen=True)
class ProvenanceSection:
    """Provenance: keys of data, weights and samples in the store, versions, times, options."""

    anchor: ClassVar[str] = "provenance"
    name: ClassVar[str] = "Provenance"
    template: ClassVar[str] = "provenance.html.j2"

    origins: tuple[Origin, ...]
    manifests: tuple[tuple[str, str], ...]
    """(path, text)."""


def describe_provenance(origins: Sequence[Origin], manifests: Sequence[tuple[str, str]]) -> ProvenanceSection:
    return ProvenanceSection(tuple(origins), tuple((path, _indented(text)) for path, text in manifests))


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except ValueError:
        return text


@dataclass(frozen=True)
class LicencesSection:
    """Plug-ins and datasets, with licences and sources from their cards."""

    anchor: ClassVar[str] = "licences"
    name: ClassVar[str] = "Licences"
    template: ClassVar[str] = "licences.html.j2"

    used: tuple[Used, ...]
