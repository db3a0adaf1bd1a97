"""Every figure and table of the page as files of its own in `figures/`: SVG for slides and papers, CSV for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.results.tables import Cell
from leaderboards.report import templating
from leaderboards.report.data import Table
from leaderboards.report.inventory import FIGURES, Inventory
from leaderboards.report.numbers import NumbersSection
from leaderboards.report.sections import EncodersSection, FindingsSection, MixesSection
from leaderboards.report.training_mixes import MixChart
from leaderboards.tables import formats
from leaderboards.tables.sheets import Sheet

Rows = Sequence[Mapping[str, object]]
FIELDS = ("value", "low", "high", "n", "groups", "seeds", "fits", "status", "reason")


def write(
    sections: Sequence[templating.Section], tables: Sequence[Table], charts: Sequence[MixChart], files: Inventory
) -> None:
    """`tables` and `charts` are those that the sections show."""
    for section in sections:
        if isinstance(section, FindingsSection):
            for one in (*section.shown, *section.more):
                if one.scatter is not None:
                    _write_figure(files, one.name, "scatter", one.scatter, one.scatter.rows)
        elif isinstance(section, NumbersSection):
            for panel, table in zip(section.panels, tables, strict=True):
                _write_csv(files, panel.file, list(_numbers(table, "")))
        elif isinstance(section, EncodersSection):
            shown = [rows for table in tables if (rows := list(_numbers(table, "fd-normalised")))]
            for drawn, rows in zip(section.maps, shown, strict=True):
                _write_figure(files, drawn.name, "heat", drawn, rows)
        elif isinstance(section, MixesSection):
            for figure, chart in zip(section.figures, charts, strict=True):
                own = [
                    {"mix": score.mix, "measure": chart.measure, "real": score.real, "synthetic": score.synthetic}
                    | {**_fields(score.cell), "reported": score.reported}
                    for score in chart.scores
                ]
                _write_figure(files, figure.name, "curves", figure.curves, own)


def _numbers(table: Table, family: str) -> Iterator[dict[str, object]]:
    """A row for each measured number of a table, or of one measure of it."""
    for generator, found in table.rows:
        for column in table.columns:
            if column.name in found and not column.reported and family in ("", column.family):
                cell = found[column.name]
                about = {"generator": generator, "metric": column.family, "encoder": cell.encoder, "mix": cell.mix}
                yield {**about, "direction": cell.direction, **_fields(cell)}


def _fields(cell: Cell) -> dict[str, object]:
    return {name: getattr(cell, name) for name in FIELDS}


def _write_figure(files: Inventory, name: str, kind: str, shape: Any, rows: Rows) -> None:
    from markupsafe import Markup

    style = Markup(templating.read_asset("figures.css"))
    drawn = templating.render("standalone.html.j2", kind=kind, shape=shape, style=style)
    files.write(f"{FIGURES}/{name}.svg", drawn.strip().encode())
    _write_csv(files, name, rows)


def _write_csv(files: Inventory, name: str, rows: Rows) -> None:
    text = formats.as_csv([Sheet("", [], [], [dict(row) for row in rows])])
    files.write(f"{FIGURES}/{name}.csv", f"{text}\n".encode())
