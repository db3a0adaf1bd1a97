"""Numbers as plain data: tables, properties of their columns, and the heat map of distances. No markup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.results import tables
from bench.results.schema import ResultRecord
from bench.results.tables import Cell
from leaderboards.tables import build
from leaderboards.tables.labels import name_rows

NORMALISED = "fd-normalised"
ROUNDING = 1e-9


@dataclass(frozen=True)
class Column:
    """A measure with its encoder or training mix, and the properties that its cells share."""

    name: str
    family: str
    """The measure without encoder or mix; columns are filtered by it."""
    direction: str
    least: float
    """Ends of the scale of its intervals; a value much larger than all others lies beyond it."""
    most: float
    size: str
    """Patches, slides and seeds of the majority of its cells."""
    reported: bool = False


@dataclass(frozen=True)
class Table:
    """One task, dataset and prompt source: a row a generator, best mean rank first; those with reported numbers alone last."""

    task: str
    dataset: str
    prompt_source: str
    embedded: bool
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, dict[str, Cell]], ...]
    notes: tuple[str, ...]
    printed: tuple[str, ...] = ()
    """Sources of reported numbers, and why some are doubtful."""
    protocol_set: int = 0
    """Number of the protocol set if the task, dataset and prompt source have several, otherwise 0."""
    apart: tuple[str, ...] = ()
    """How the protocol set differs from the first, or that there are others."""

    @property
    def title(self) -> str:
        return _title(self.task, self.dataset, self.prompt_source, self.protocol_set)


def title_of(board: build.Board) -> str:
    """That of its table."""
    return _title(board.task, board.dataset, board.prompt_source, board.protocol_set if board.others else 0)


def _title(task: str, dataset: str, prompt_source: str, protocol_set: int) -> str:
    prompts = "" if prompt_source == "none" else f", prompts from: {prompt_source}"
    return f"{task} on {dataset}{prompts}" + (f", protocol set {protocol_set}" if protocol_set else "")


def build_tables(records: Sequence[ResultRecord], reported: Sequence[ResultRecord]) -> list[Table]:
    """Every table that the records support; see `tables_of`."""
    return tables_of(build.boards(name_rows(records)), reported)


def tables_of(boards: Sequence[build.Board], reported: Sequence[ResultRecord]) -> list[Table]:
    """A table for each board, those without any number last. Reported numbers of a task stand beside its first protocol set,
    in columns of their own. A column in which everything was skipped is a note, not a column."""
    made = [
        _table(board, [record for record in reported if record.task == board.task and board.protocol_set == 1])
        for board in boards
    ]
    return sorted(made, key=lambda table: not table.columns)


def _table(board: build.Board, reported: list[ResultRecord]) -> Table:
    rows = {name: dict(found) for name, found in board.rows}
    columns = [
        _column(name, name.split(" ")[0], [found[name] for found in rows.values() if name in found])
        for name in build.measured_columns(board)
    ]
    for cell, record in _printed(reported):
        rows.setdefault(cell.generator, {})[cell.measure] = cell
        if cell.measure not in {column.name for column in columns}:
            family = record.measure
            columns.append(Column(cell.measure, family, cell.direction, 0.0, 1.0, "", True))
    embedded = any("embedded" in cell.flags for _, found in board.rows for cell in found.values())
    sources = sorted({f"Reported: {record.source}." for record in reported if record.source})
    doubts = sorted(
        {f"? {record.generator}, {record.measure} {record.encoder}: {record.suspect}" for record in reported if record.suspect}
    )
    separate = tuple(build.apart(board))
    message = tuple(note for note in build.notes(board) if note not in separate)
    return Table(
        board.task,
        board.dataset,
        board.prompt_source,
        embedded,
        tuple(columns),
        tuple(rows.items()),
        message,
        (*sources, *doubts),
        board.protocol_set if board.others else 0,
        separate,
    )


def _printed(reported: list[ResultRecord]) -> list[tuple[Cell, ResultRecord]]:
    """Reported records as cells of columns of their own. A generator without prompts is in the column of every prompt source,
    as with measured numbers."""
    found = []
    for record in reported:
        (cell,) = tables.cells([record])
        marks = ("suspect",) if record.suspect else ()
        prompt_sources = sorted({one.prompt_source for one in reported if _alike(one, record)} - {"none"}) or ["none"]
        for prompt_source in prompt_sources if record.prompt_source == "none" else [record.prompt_source]:
            of = f"reported on {record.dataset}" + ("" if prompt_source == "none" else f", prompts: {prompt_source}")
            name = " ".join(filter(None, (record.measure, record.encoder or record.mix, f"({of})")))
            found.append((replace(cell, measure=name, flags=(*cell.flags, *marks)), record))
    return found


def _alike(one: ResultRecord, other: ResultRecord) -> bool:
    return (one.measure, one.encoder, one.mix, one.dataset) == (other.measure, other.encoder, other.mix, other.dataset)


def _column(name: str, family: str, cells: list[Cell]) -> Column:
    known = [cell for cell in cells if cell.value is not None]
    sizes = [format_counts(cell) for cell in known]
    usual = max(sizes, key=sizes.count, default="")
    direction = next((cell.direction for cell in cells), "none")
    return Column(name, family, direction, *_scale(known), usual)


def _scale(cells: list[Cell]) -> tuple[float, float]:
    """From 0, or the smallest negative value, to the largest bound that is less than four times the next one."""
    ends = sorted(max(end for end in (cell.value, cell.high) if end is not None) for cell in cells)
    while len(ends) > 2 and ends[-1] > 4 * ends[-2] > 0:
        ends.pop()
    most = ends[-1] if ends else 1.0
    lows = (end for cell in cells for end in (cell.low, cell.value) if end is not None)
    return min([0.0, *lows]), most if most > 0 else 1.0


def format_counts(cell: Cell) -> str:
    """`640 patches, 40 slides, 3 seeds`, and the fits where there are several."""
    counts = (
        (cell.n, "patch", "patches"),
        (cell.groups, cell.unit.removesuffix("s"), cell.unit),
        (cell.seeds, "seed", "seeds"),
        (cell.fits if cell.fits > 1 else 0, "fit", "fits"),
    )
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count)


def round_to_interval(cell: Cell) -> tuple[str, str]:
    """`0.0082` and `0.0056 to 0.0108`: two digits of the interval's width, and at most four of the value. Values that differ
    from 0 by rounding errors only, such as the distance of a set from itself, are 0."""
    if cell.value is None:
        return cell.status, ""
    if cell.low is None or cell.high is None or cell.high <= cell.low:
        return _signed(tables.number(cell.value)), "no interval" if cell.low is None else "no width"
    if max(abs(cell.value), abs(cell.low), abs(cell.high)) < ROUNDING:
        return "0", "0 to 0"
    value, low, high = round_numbers(cell.value, cell.low, cell.high)
    return value, f"{low} to {high}"


def round_numbers(value: float, low: float, high: float) -> tuple[str, ...]:
    """The three with two digits of the interval's width, and at most four of the value. `high` is above `low`."""
    digits = max(0, 1 - math.floor(math.log10(high - low)))
    digits = min(digits, max(0, 3 - math.floor(math.log10(abs(value) or 1.0))))
    return tuple(_signed(f"{end:.{digits}f}") for end in (value, low, high))


def _signed(text: str) -> str:
    """With a minus sign in place of a hyphen, and without a sign for zero."""
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")


@dataclass(frozen=True)
class HeatMap:
    """Normalised distances: 0 is as far as other real slides are, 1 as far as noise."""

    title: str
    encoders: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


def build_heat_map(shown: Table) -> HeatMap | None:
    """None where nothing was measured over encoders."""
    names = [column.name for column in shown.columns if column.family == NORMALISED and not column.reported]
    rows = [(who, tuple(found.get(name) for name in names)) for who, found in shown.rows]
    rows = [row for row in rows if any(row[1])]
    if not names or not rows:
        return None
    return HeatMap(shown.title, tuple(name.partition(" ")[2] for name in names), tuple(rows))
