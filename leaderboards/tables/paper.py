"""Each paper's table in its own layout: reported numbers beside those measured here, in columns of their own.

Reported numbers are never ranked. `‡` marks doubtful ones, and rows of other tissues or datasets are `not-comparable(…)`. All
measured numbers of a table with one task and dataset are of one protocol set; those of other sets are in a table of their own,
with the difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench import registry
from bench.measurements import experiment_files
from bench.measurements.experiment_files import Experiment
from bench.pipeline import plugins
from bench.results import experiment_tables, tables
from bench.results.identity import experiment as experiment_of
from bench.results.protocols import difference_between, split_by_protocol
from bench.results.schema import ResultRecord
from bench.results.tables import ARROWS
from bench.results.terms import Flag, Status
from bench.types import ProvidesExperiments
from leaderboards.suites.suite import Cell, Pick, Suite, Table
from leaderboards.tables import build
from leaderboards.tables.sheets import Sheet

ABSENT = "–"


@dataclass(frozen=True)
class Entry:
    """A cell of the table."""

    measured: tables.Cell | None
    record: ResultRecord | None
    """One of the records of the measured number."""
    reported: ResultRecord | None

    @property
    def empty(self) -> bool:
        return self.measured is None and self.reported is None

    @property
    def direction(self) -> str:
        shown = self.measured or self.reported
        return shown.direction if shown else "none"


Grid = list[list[Entry]]


def sheets(
    suite: Suite, cells: Sequence[Cell], measured: Sequence[ResultRecord], reported: Sequence[ResultRecord], preset: str = ""
) -> list[Sheet]:
    """A sheet for each table of the suite. The first one has the reasons of cells without numbers and the notes of the preset.
    Further protocol sets follow in sheets of their own, without reported numbers."""
    sets = _protocol_sets(build.variants(measured))
    ours = sets[0].records if sets else []
    noted = [suite.preset[preset].note] if preset in suite.preset and suite.preset[preset].note else []
    unfinished = [f"{cell.name}: {cell.status}: {cell.reason}" for cell in cells if cell.status != Status.OK]
    made = [_sheet(suite, layout, cells, ours, reported) for layout in suite.table]
    made = [replace(sheet, notes=sheet.notes + (noted + unfinished if i == 0 else [])) for i, sheet in enumerate(made)]
    for number, found in enumerate(sets[1:], start=2):
        for layout in suite.table:
            sheet = _sheet(suite, layout, (), found.records, ())
            if sheet.records:
                head = f"{sheet.title}, protocol set {number}"
                records = [{**record, "protocol_set": number} for record in sheet.records]
                made.append(replace(sheet, title=head, notes=[*found.differences, *sheet.notes], records=records))
    return made


@dataclass(frozen=True)
class _ProtocolSet:
    """The records of one protocol set of each task, data set and experiment."""

    records: list[ResultRecord]
    differences: list[str]
    """How they differ from the first set, a sentence for each task and dataset."""


def _protocol_sets(measured: Sequence[ResultRecord]) -> list[_ProtocolSet]:
    places: dict[tuple[str, str, str], list[ResultRecord]] = defaultdict(list)
    for record in measured:
        places[record.task, record.dataset, experiment_of(record)].append(record)
    made: list[_ProtocolSet] = []
    for (task, dataset, _), records in sorted(places.items()):
        parts = split_by_protocol(records)
        for number, part in enumerate(parts):
            if number == len(made):
                made.append(_ProtocolSet([], []))
            made[number].records.extend(part)
            if number:
                why = difference_between(part, parts[0])
                made[number].differences.append(f"{task} on {dataset}, not comparable with protocol set 1: {why}.")
    return made


def _sheet(
    suite: Suite, layout: Table, cells: Sequence[Cell], measured: Sequence[ResultRecord], reported: Sequence[ResultRecord]
) -> Sheet:
    experiment = _experiment(layout)
    rows, columns = (layout.rows, layout.columns) if experiment is None else _mixes(layout, experiment)
    ours, theirs = (_of(experiment, records) for records in (measured, reported))
    grid = [[_entry(row, column, ours, theirs) for column in columns] for row in rows]
    shown = [i for i in range(len(columns)) if not all(row[i].empty for row in grid)]
    beside = [i for i in shown if any(row[i].reported for row in grid)]
    texts = [[_measured(found[i], _end(row, columns[i], cells)) for i in shown] for row, found in zip(rows, grid, strict=True)]
    collapsed = _collapsed([[row[i] for i in shown] for row in grid], texts)
    head = ["", "data"]
    for place, i in enumerate(shown):
        arrow = ARROWS[next(row[i].direction for row in grid if not row[i].empty)]
        label = f"{columns[i].label} {arrow}".strip()
        if place not in collapsed:
            head.append(label)
        if i in beside:
            head.append(f"{label} reported" if place in collapsed else "reported")
    body = []
    for row, found, entries in zip(rows, grid, texts, strict=True):
        shown_row = [row.label, _data(found)]
        for place, i in enumerate(shown):
            shown_row += [
                *([entries[place]] if place not in collapsed else []),
                *([_reported(found[i])] if i in beside else []),
            ]
        body.append(shown_row)
    hidden = {shown[place] for place in collapsed}
    notes = [*_notes(suite, grid, hidden), *(_verdicts(experiment, ours) if experiment else [])]
    return Sheet(f"{suite.name}: {layout.title}", [head, *body], notes, _records(suite, layout, rows, columns, grid))


def _collapsed(grid: Grid, texts: Sequence[Sequence[str]]) -> set[int]:
    """Columns without a measured number in any row, at least one of which was skipped; none where that holds for all."""
    found = set()
    for place in range(len(texts[0]) if texts else 0):
        entries, shown = [row[place].measured for row in grid], [row[place] for row in texts]
        empty = all(cell is None or cell.status == Status.SKIPPED for cell in entries)
        words = {text.partition("(")[0] for text in shown}
        if empty and Status.SKIPPED in words and words <= {Status.SKIPPED, ABSENT}:
            found.add(place)
    return found if texts and len(found) < len(texts[0]) else set()


def _experiment(layout: Table) -> Experiment | None:
    if not layout.experiment:
        return None
    plugins.refuse_plugin_files(layout.task, f"the table {layout.title!r}")
    task = registry.find("tasks", layout.task)[0]
    folder = task.experiments if isinstance(task, ProvidesExperiments) else None
    return experiment_files.find(layout.experiment, folder, layout.task)


def _mixes(layout: Table, experiment: Experiment) -> tuple[tuple[Pick, ...], tuple[Pick, ...]]:
    """A row a training mix, a column a measure."""
    rows = tuple(Pick(arm.name, mix=arm.name) for arm in experiment.arm)
    return rows, tuple(Pick(name, task=layout.task, measure=name) for name in experiment.measures)


def _of(experiment: Experiment | None, records: Sequence[ResultRecord]) -> list[ResultRecord]:
    """The records of the experiment; without one, those of none."""
    return [record for record in records if experiment_of(record) == (experiment.name if experiment else "")]


def _entry(row: Pick, column: Pick, measured: Sequence[ResultRecord], reported: Sequence[ResultRecord]) -> Entry:
    """The first matching record: fields that a row leaves open, e.g. the generator of a mix of real patches, do not matter."""
    mine = [record for record in measured if _asked(record, row) and _asked(record, column)]
    theirs = next((record for record in reported if _asked(record, row) and _asked(record, column)), None)
    found = sorted(tables.cells(mine), key=lambda cell: cell.value is None)
    if not found:
        return Entry(None, None, theirs)
    cell = found[0]
    record = next(record for record in mine if (record.generator, record.protocol) == (cell.generator, cell.protocol))
    return Entry(cell, record, theirs)


def _asked(record: ResultRecord, pick: Pick) -> bool:
    """Whether the record belongs to the row or column. The names of variants have a distinguishing text in brackets."""
    wanted = ("task", "prompt_source", "measure", "encoder", "mix")
    named = pick.generator in ("", record.generator, _plain(record.generator))
    return named and all(getattr(pick, name) in ("", getattr(record, name)) for name in wanted)


def _plain(generator: str) -> str:
    """The name without the text that distinguishes variants."""
    return generator.partition(" (")[0]


def _data(found: Sequence[Entry]) -> str:
    """The datasets of the measured numbers of a row."""
    return ", ".join(dict.fromkeys(entry.record.dataset for entry in found if entry.record)) or ABSENT


def _end(row: Pick, column: Pick, cells: Sequence[Cell]) -> str:
    """Status of the run that should have made this number."""
    task = row.task or column.task
    for cell in cells:
        if (
            not cell.folder
            and (cell.generator, cell.task) == (row.generator, task)
            and row.prompt_source in ("", "none", cell.prompt_source)
        ):
            return f"{cell.status}({cell.reason.partition(':')[0][:40]})"
    return ABSENT


def _measured(entry: Entry, end: str) -> str:
    return end if entry.measured is None else tables.interval(entry.measured)


def _reported(entry: Entry) -> str:
    record = entry.reported
    if record is None or record.value is None:
        return ABSENT
    if Flag.NOT_COMPARABLE in record.flags:
        return f"not-comparable({record.value:g})"
    return f"{record.value:g}" + ("‡" if record.suspect else "")


def _notes(suite: Suite, grid: Grid, hidden: set[int]) -> list[str]:
    """Notes on the numbers, and why others are missing; `hidden`: columns that are not shown."""
    entries = [entry for row in grid for entry in row]
    found = [entry.measured for entry in entries if entry.measured]
    text = [f"reported: {suite.source}; other data and other samples: never ranked with ours."] if suite.source else []
    doubtful = [record for entry in entries if (record := entry.reported) and record.suspect]
    text += [
        f"‡ {record.dataset}, {record.generator}, {record.encoder or record.mix}: {record.suspect}." for record in doubtful
    ]
    if any(entry.reported and Flag.NOT_COMPARABLE in entry.reported.flags for entry in entries):
        text.append(
            "not-comparable: the paper's rows are of several tissues and data sets, and their numbers of images unknown."
        )
    text += build.marks(found)
    if any(Flag.EMBEDDED in cell.flags for cell in found):
        text.append("embedded phantom tissue: these numbers say nothing of real patients.")
    missing = [
        [replace(cell, generator=_plain(cell.generator)) for row in grid if (cell := row[i].measured) and cell.value is None]
        for i in range(len(grid[0]) if grid else 0)
    ]
    unseen = [cell for i, own in enumerate(missing) if i in hidden for cell in own]
    text += tables.reasons([cell for i, own in enumerate(missing) if i not in hidden for cell in own])
    return text + tables.describe_collapsed(unseen, lambda encoders: f"bench suite {suite.name} --weights DIR")


def _verdicts(experiment: Experiment, records: Sequence[ResultRecord]) -> list[str]:
    """The experiment's comparisons, of each generator and data set that has them."""
    text = []
    for generator, dataset in sorted({(record.generator, record.dataset) for record in records}):
        grouped: dict[tuple[str, str], list[ResultRecord]] = {}
        for record in records:
            if (record.generator, record.dataset) == (generator, dataset):
                grouped.setdefault((record.measure, record.mix), []).append(record)
        own = [record for rows in grouped.values() for record in rows]
        first = experiment_tables.headroom(experiment.measures[0], own)
        found = (first, *experiment_tables.sentences(experiment, grouped))
        text += [f"{generator} on {dataset}: {sentence}." for sentence in found]
    return text


def _records(suite: Suite, layout: Table, rows: Sequence[Pick], columns: Sequence[Pick], grid: Grid) -> list[dict[str, Any]]:
    """One record a number, measured or reported."""
    records = []
    for row, found in zip(rows, grid, strict=True):
        for column, entry in zip(columns, found, strict=True):
            where = {"suite": suite.name, "table": layout.title, "row": row.label, "column": column.label}
            if entry.measured and entry.record:
                cell = {**asdict(entry.measured), "flags": " ".join(entry.measured.flags)}
                records.append({**where, "state": entry.record.state, "dataset": entry.record.dataset, **cell})
            if record := entry.reported:
                held = {
                    "generator": record.generator,
                    "prompt_source": record.prompt_source,
                    "measure": record.measure,
                    "value": record.value,
                }
                marks = {"flags": " ".join(record.flags), "suspect": record.suspect, "source": record.source}
                records.append({**where, "state": record.state, "dataset": record.dataset, **held, **marks})
    return records
