"""Tables as a pure function of result records: the same records give the same tables, in any order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.results.control_order import title_with_disorder
from bench.results.identity import OWN, experiment, fit_name, method_of, variants_of
from bench.results.identity import column as column_of
from bench.results.protocols import difference_between, split_by_protocol
from bench.results.schema import ResultRecord
from bench.results.tables import (
    ARROWS,
    Cell,
    cells,
    collapse_skipped,
    fit_notes,
    ignored_conditions,
    interval,
    interval_note,
    one_set,
    plain,
    reasons,
    sizes,
)
from bench.results.terms import FIT_PROMPT_SOURCE, Flag, State, Status
from leaderboards.tables import formats, ties
from leaderboards.tables.consensus import Consensus, conflicted, consensus, sentences
from leaderboards.tables.controls import is_control
from leaderboards.tables.sheets import Sheet

HIDDEN = ("prompt-coverage", "prompt-missing", "prompt-whole", "prompt-reference")
BRIEF = 20
"""Characters of an option's value that tables show to distinguish generators."""


@dataclass(frozen=True)
class Board:
    """One table: one task, one dataset, one prompt source, one protocol set."""

    task: str
    dataset: str
    prompt_source: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, dict[str, Cell]], ...]
    """(generator, column -> cell), best mean rank first."""
    order: Mapping[str, str]
    """column -> generators, best first, with ties; empty where no ties were asked for."""
    states: Mapping[str, str]
    """generator -> state, of those whose records were reproduced or verified."""
    agreed: Consensus | None
    """What encoders agree on, where there are several."""
    protocol_set: int = 1
    """1 for the set with the most numbers; rows of different sets are never ranked together."""
    difference: str = ""
    """How the protocol set differs from the first one of the same task, dataset and prompt source; empty for the first."""
    others: int = 0
    """Other protocol sets of the same task, dataset and prompt source, which have tables of their own."""
    best: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """column -> the best generator that is no control, then those that tie with it; empty where it was not asked for."""


def boards(records: Iterable[ResultRecord], with_ties: bool = True, with_best: bool = False) -> list[Board]:
    """Every table of the records, sorted by task, dataset and prompt source. Reported records are left out.

    Generators without prompts are in the table of every prompt source; two prompt sources never share a table. All records of
    a table are of one protocol set: other sets have tables of their own, which state the difference. Experiments have tables
    of their own. Each number is given once: see `duplicates.each_once`. Without ties the boards have no `order`.
    `best` is found only `with_best`.
    """
    in_order = sorted(records, key=lambda record: (record.stamp.get("made", ""), record.value or 0.0, record.protocol))
    ours = [record for record in in_order if record.state != State.REPORTED and not experiment(record)]
    kept = [record for record in ours if record.measure not in HIDDEN]
    made = []
    by_place: dict[tuple[str, str], list[ResultRecord]] = defaultdict(list)
    for record in kept:
        by_place[record.task, record.dataset].append(record)
    for (task, dataset), found in sorted(by_place.items(), key=lambda item: item[0]):
        here = variants(found)
        prompt_sources = sorted({record.prompt_source for record in here} - {"none"}) or ["none"]
        for prompt_source in prompt_sources:
            parts = split_by_protocol(record for record in here if record.prompt_source in (prompt_source, "none"))
            for number, part in enumerate(parts, start=1):
                apart = difference_between(part, parts[0]) if number > 1 else ""
                board = _board(task, dataset, prompt_source, part, with_ties, with_best)
                made.append(replace(board, protocol_set=number, difference=apart, others=len(parts) - 1))
    return made


def variants(records: Sequence[ResultRecord]) -> list[ResultRecord]:
    """The records, with different names for several versions, options or weights of one generator."""
    made: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    origins: dict[tuple[str, str], str] = {}
    found = list(variants_of(records))
    for record, which in zip(records, found, strict=True):
        origin = record.fit.get("origin", "") if fit_name(record) else ""
        # records of one variant differ in nothing else that distinguishes generators
        if which not in made[record.generator] or (origin and origins[record.generator, which] != origin):
            made[record.generator][which] = _settings(record)
            origins[record.generator, which] = origin
    named = {}
    for generator, known in made.items():
        differing = sorted({key for one in known.values() for key, value in one.items() if _other(known, key, value)})
        apart = ("digest", "source", "weights", "layouts.digest", "layouts.source")
        shown = [key for key in differing if key not in apart] or differing
        for one, text in _briefest(known, shown, differing).items():
            named[generator, one] = f"{generator} ({text})" if text else generator
    names = (named[record.generator, which] for record, which in zip(records, found, strict=True))
    return [
        record if name == record.generator else replace(record, generator=name)
        for record, name in zip(records, names, strict=True)
    ]


def _briefest(known: Mapping[str, Mapping[str, str]], shown: list[str], differing: list[str]) -> dict[str, str]:
    """Variant -> its shortest distinguishing text: shortened values, complete values, or digests too."""
    text: dict[str, str] = {}
    for keys, most in ((shown, BRIEF), (shown, None), (differing, None)):
        text = {v: ", ".join(f"{key}={one.get(key, 'none')[:most]}" for key in keys) for v, one in known.items()}
        if len(set(text.values())) == len(known):
            break
    return text


def _settings(record: ResultRecord) -> dict[str, str]:
    """Everything that may distinguish two generators of one name; entries of its layout generator begin with `layouts.`."""
    held, layouts = (record.described.get(kind) or {} for kind in OWN)
    drawn = {f"layouts.{key}": value for key, value in _parts(layouts).items()}
    shown = {
        "fit_prompt_source": str(held.get("fit_prompt_source", FIT_PROMPT_SOURCE)),
        "prompt_donors": str(held.get("prompt_donors", "none")),
    }
    shown["fits"] = record.fit.get("origin", "unknown")
    shown["weights"] = method_of(record)
    return {**_parts(held), **shown, **drawn}


def _parts(held: Mapping[str, Any]) -> dict[str, str]:
    own = {key: str(held[key]) for key in ("version", "digest", "class", "distribution", "source") if key in held}
    return {**own, **{key: str(value) for key, value in held.get("options", {}).items()}}


def _other(known: Mapping[str, Mapping[str, str]], key: str, value: str) -> bool:
    return any(one.get(key) != value for one in known.values())


def _board(
    task: str, dataset: str, prompt_source: str, records: list[ResultRecord], with_ties: bool, with_best: bool
) -> Board:
    made = cells(records)
    behind: dict[tuple[str, str, str], list[ResultRecord]] = defaultdict(list)
    for record in records:
        behind[record.generator, column_of(record), record.protocol].append(record)
    columns = tuple(dict.fromkeys(cell.measure for cell in sorted(made, key=_column_order)))
    rows: dict[str, dict[str, Cell]] = {}
    for cell in made:
        row = rows.setdefault(cell.generator, {})
        if cell.value is not None or cell.measure not in row:  # a cell with a number has priority
            row[cell.measure] = cell
    ranked = _mean_ranks(rows, columns)
    ordered = sorted(rows.items(), key=lambda row: (ranked[row[0]], row[0]))
    order, best = {}, {}
    candidates = [name for name in rows if not is_control(name)]
    for column in columns if with_ties or with_best else ():
        mine = {name: found[column] for name, found in rows.items() if column in found}
        own = {name: behind[name, column, cell.protocol] for name, cell in mine.items()}
        if with_ties:
            order[column] = ties.chain(mine, own)
        if with_best:
            best[column] = ties.with_the_best(mine, own, candidates)
    states = {record.generator: record.state for record in records if record.state != State.MEASURED}
    shown = {(name, c): behind[name, c, cell.protocol] for name, found in ordered for c, cell in found.items()}
    agreed = consensus(dict(ordered), columns, shown)
    return Board(task, dataset, prompt_source, columns, tuple(ordered), order, states, agreed, best=best)


def _column_order(cell: Cell) -> tuple[int, str]:
    kinds = (
        *("fd", "fd-pca16", "fd-inf", "fd-normalised", "fd-lower-reference"),
        *("mind", "kid", "cmmd", "iou", "precision", "recall"),
    )
    kind = cell.measure.split(" ")[0]
    return (kinds.index(kind) if kind in kinds else len(kinds), cell.measure)


def _mean_ranks(rows: dict[str, dict[str, Cell]], columns: tuple[str, ...]) -> dict[str, float]:
    """Generator -> its mean rank over the distance columns with a number from an independent encoder; infinite without any."""
    places: dict[str, list[int]] = {generator: [] for generator in rows}
    for column in columns:
        if not column.startswith("fd ") or conflicted(rows, column):
            continue
        values = {name: cell.value for name, found in rows.items() if (cell := found.get(column)) and cell.value is not None}
        ranks: dict[float, int] = {}
        for rank, value in enumerate(sorted(values.values())):
            ranks.setdefault(value, rank)
        for name, value in values.items():
            places[name].append(ranks[value])
    return {name: sum(found) / len(found) if found else float("inf") for name, found in places.items()}


def behind_cells(board: Board, records: Iterable[ResultRecord]) -> dict[str, dict[str, list[ResultRecord]]]:
    """column -> generator -> the records behind the numbers of a board that `boards` made of these records."""
    ours = [record for record in records if record.state != State.REPORTED and not experiment(record)]
    here = [record for record in ours if (record.task, record.dataset) == (board.task, board.dataset)]
    rows = dict(board.rows)
    found: dict[str, dict[str, list[ResultRecord]]] = {column: {} for column in board.columns}
    for record in variants([record for record in here if record.measure not in HIDDEN]):
        cell = rows.get(record.generator, {}).get(column_of(record))
        if cell and cell.protocol == record.protocol and record.prompt_source in (board.prompt_source, "none"):
            found[cell.measure].setdefault(record.generator, []).append(record)
    return found


def sheet(board: Board, with_text: bool = True) -> Sheet:
    """The table with everything that any format needs; without text, what the formats of numbers need (`formats.OF_NUMBERS`):
    rows and notes are empty."""
    where = {"task": board.task, "dataset": board.dataset, "board": board.prompt_source}
    which = {"protocol_set": board.protocol_set}
    records: list[dict[str, Any]] = []
    for name, found in board.rows:
        own = {"state": board.states.get(name, State.MEASURED), **which}
        records += [
            {**where, **vars(cell), **_parts_of(cell.measure), "flags": " ".join(cell.flags), **own} for cell in found.values()
        ]
    if agreed := board.agreed:
        records += [
            {
                **where,
                "generator": place.generator,
                "measure": "mean rank fd",
                "metric": "mean rank fd",
                "direction": "lower",
                "value": place.rank,
                "low": place.low,
                "high": place.high,
                **which,
            }
            for place in agreed.places
        ]
    if not with_text:
        return Sheet(title(board), [], [], records)
    return Sheet(title(board), as_rows(board), notes(board), records)


def _parts_of(measure: str) -> dict[str, str]:
    """What was measured, without its encoder or training mix, and the class that it is of: `iou` and `tumour`."""
    metric, _, of_class = measure.partition(" ")[0].partition(":")
    return {"metric": metric, "class": of_class}


def as_rows(board: Board) -> list[list[str]]:
    """Header and one row a generator, as text; without columns in which everything was skipped."""
    columns, _ = collapse(board)
    heads = [f"{column} {ARROWS[_direction(board, column)]}".strip() for column in columns]
    body = [[name, *(interval(found[c]) if c in found else "–" for c in columns)] for name, found in board.rows]
    return [["generator", *heads], *body]


def collapse(board: Board) -> tuple[list[str], list[str]]:
    """The columns to show, and a note on those in which everything was skipped."""
    found = [row[column] for column in board.columns for _, row in board.rows if column in row]
    return collapse_skipped(found, f"bench run -g NAME -t {board.task}")


def measured_columns(board: Board) -> list[str]:
    """The columns in which not everything was skipped."""
    return [c for c in board.columns if any(row[c].status != Status.SKIPPED for _, row in board.rows if c in row)]


def _direction(board: Board, column: str) -> str:
    return next(found[column].direction for _, found in board.rows if column in found) or "none"


def title(board: Board) -> str:
    embedded = any(Flag.EMBEDDED in c.flags for _, found in board.rows for c in found.values())
    which = f", protocol set {board.protocol_set}" if board.others else ""
    text = f"{board.task} on {board.dataset}, prompts: {board.prompt_source}{which}"
    text += " (embedded phantom tissue)" if embedded else ""
    return title_with_disorder(text, (cell for _, row in board.rows for cell in row.values()))


def as_text(board: Board) -> str:
    return plain([sheet(board)])


def as_markdown(board: Board) -> str:
    return formats.as_markdown(sheet(board))


def notes(board: Board) -> list[str]:
    """Notes: sizes, marks, ties, and the reason of every cell without a number."""
    found = [cell for _, row in board.rows for cell in row.values()]
    notes = [*apart(board), *marks(found), *ties.notes(board.order)]
    if board.agreed:
        notes += sentences(board.agreed)
    if board.states:
        notes.append("; ".join(f"{name}: {state}" for name, state in sorted(board.states.items())) + ".")
    columns, collapsed = collapse(board)
    return notes + reasons([cell for cell in found if cell.value is None and cell.measure in columns]) + collapsed


def apart(board: Board) -> list[str]:
    """Notes on other protocol sets: that they have tables of their own, and the difference."""
    if board.difference:
        return [f"Not comparable with protocol set 1: {board.difference}."]
    sets = f"{board.others} other protocol set{'s' if board.others > 1 else ''}"
    return [f"Numbers of {sets} are in tables of their own and are not ranked with these."] if board.others else []


def marks(found: list[Cell]) -> list[str]:
    """Notes on patches, slides and seeds, and on the marks."""
    measured = [cell for cell in found if cell.value is not None]
    note = interval_note(measured)
    notes = [f"n: {'; '.join(sizes(measured))}. {note[:1].upper()}{note[1:]}."] if measured else []
    if any(Flag.ENCODER_CONFLICT in cell.flags for cell in found):
        notes.append("* the generator was conditioned by this encoder: not an independent encoder.")
    if named := one_set(found):
        notes.append(f"{named}.")
    notes += [f"{note}." for note in (*fit_notes(found), *ignored_conditions(found))]
    if any(Flag.UNDERPOWERED in cell.flags for cell in found):
        notes.append("† too few slides or patches for an interval: docs/coverage.md.")
    return notes
