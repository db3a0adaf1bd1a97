"""Result records as tables: fits and seeds combined, direction, interval, n and flags beside every number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bench import statistics
from bench.messages import printable
from bench.results import control_order
from bench.results.identity import Quantity, count_fits, experiment, is_absent, label_of, quantity, weights_behind
from bench.results.protocols import difference_between, split_by_protocol
from bench.results.schema import NO_SOURCES, ResultRecord, population_of, unit_of
from bench.results.terms import Flag, Status
from bench.sensitivity.flags import claim_note

ARROWS = {"lower": "↓", "higher": "↑", "none": ""}
REPORT_ONLY = "none"
ONE_SET = "one-set"
"""Flag of records of a generator with one set of images made elsewhere, which counts as one seed."""
ONE_SET_NOTE = "one seed: one set of images made elsewhere says nothing of variation between seeds"

OF_USE = "use-"
"""Begins the measures that are slopes of what images show over what was asked."""
THESE_WEIGHTS = "one fit: numbers are about these weights, and say nothing of another fit of the method (--fit-seeds 0,1,2)"


@dataclass(frozen=True)
class Table:
    """A table as it is printed for people."""

    title: str
    rows: list[list[str]]
    """The first row is the header."""
    notes: list[str]


@dataclass(frozen=True)
class Cell:
    """One number over all its fits and seeds, or the reason why there is none."""

    generator: str
    prompt_source: str
    measure: str
    """Measure with its encoder or training mix, e.g. `fd texture`."""
    direction: str
    protocol: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int
    seeds: int
    status: Status
    reason: str
    flags: tuple[str, ...]
    unit: str = "slides"
    """What `groups` counts."""
    encoder: str = ""
    mix: str = ""
    population: str = ""
    """The population that the interval describes."""
    fits: int = 0
    """Trainings of the generator behind the number: with one, it is about these weights; 0 if no training is."""


def cells(records: Iterable[ResultRecord]) -> list[Cell]:
    """One cell for each quantity and protocol, in the order of first appearance."""
    return [_cell(key.measure, rows) for (key, _), rows in _by_quantity(records).items()]


def _by_quantity(records: Iterable[ResultRecord]) -> dict[tuple[Quantity, str], list[ResultRecord]]:
    """The records of each quantity and protocol, in the order of first appearance."""
    grouped: dict[tuple[Quantity, str], list[ResultRecord]] = defaultdict(list)
    known: dict[tuple[str, ...], list[ResultRecord]] = {}
    for record in records:
        # what a quantity is made of: records of several seeds have it in common, and a tuple is made in less time
        key = (
            *(record.task, record.dataset, record.prompt_source, record.generator),
            *(record.measure, record.encoder, record.mix, experiment(record), record.protocol),
        )
        rows = known.get(key)
        if rows is None:
            rows = known[key] = grouped[quantity(record), record.protocol]
        rows.append(record)
    return grouped


def valued(records: Iterable[ResultRecord]) -> list[ResultRecord]:
    """The records of one quantity that have a number, each weights and seed once: two trainings that gave the same weights
    are one fit."""
    found: dict[tuple[str, int], ResultRecord] = {}
    for record in records:
        if record.status == Status.OK and record.value is not None:
            found.setdefault((weights_behind(record), record.seed), record)
    return list(found.values())


def _cell(measure: str, rows: list[ResultRecord]) -> Cell:
    first = rows[0]
    sizes = first.described.get("region", {})  # of a distance of regions: the patches that show the region
    good = valued(rows)
    value = low = high = None
    if good:
        combined = statistics.combine_fits(
            [row.value for row in good if row.value is not None],
            [row.low for row in good],
            [row.high for row in good],
            [weights_behind(row) for row in good],
            [row.seed for row in good],
        )
        value, low, high = combined.value, _cut(combined.low, first), _cut(combined.high, first)
    failed = next((row for row in rows if row.status != Status.OK), None)
    return Cell(
        generator=first.generator,
        prompt_source=first.prompt_source,
        measure=measure,
        direction=first.direction,
        protocol=first.protocol,
        value=value,
        low=low,
        high=high,
        n=sizes.get("n", first.n),
        groups=sizes.get("groups", first.groups),
        seeds=len({row.seed for row in good}),
        status=Status.OK if good else first.status,
        reason=failed.reason if failed else first.reason,
        flags=tuple(sorted({flag for row in rows for flag in row.flags})),
        unit=unit_of(first),
        encoder=first.encoder,
        mix=first.mix,
        population=population_of(first),
        fits=count_fits(good),
    )


def _cut(bound: float | None, record: ResultRecord) -> float | None:
    """The bound of an interval, cut to the bounds of the measure."""
    if bound is None:
        return None
    above = bound if record.least is None else max(bound, record.least)
    return above if record.most is None else min(above, record.most)


def number(value: float) -> str:
    """Four significant digits without exponent, at most six after the point; smaller values are 0."""
    if abs(value) < 5e-7:
        return "0"
    digits = max(0, 3 - int(f"{value:e}".split("e")[1]))
    return f"{value:.{min(digits, 6)}f}"


def interval(cell: Cell) -> str:
    """`value [low, high]` with marks: * for an encoder that conditioned the generator, † for too few slides or patches for an
    interval. Without a number: status and first word of the reason."""
    if cell.value is None:
        word = cell.reason.partition(":")[0]
        return f"{cell.status}({word})" if word and len(word) < 40 else cell.status
    mark = ("*" if Flag.ENCODER_CONFLICT in cell.flags else "") + ("†" if Flag.UNDERPOWERED in cell.flags else "")
    bounds = "" if cell.low is None or cell.high is None else f" [{number(cell.low)}, {number(cell.high)}]"
    return f"{number(cell.value)}{mark}{bounds}"


def labelled(records: Iterable[ResultRecord]) -> list[ResultRecord]:
    """The records with labels in place of the names of generators, to be shown."""
    return [replace(record, generator=label_of(record) or record.generator) for record in records]


def drop_single_classes(records: Iterable[ResultRecord]) -> list[ResultRecord]:
    """The records whose measure is not of one class alone: `iou`, not `iou:tumour`."""
    return [record for record in records if ":" not in record.measure]


def make_tables(records: Sequence[ResultRecord], generator: str) -> list[Table]:
    """A table with a row for each measure and a column for each generator of one run, and notes on the marks; one table for
    each protocol set. Measures of single classes are left to `bench leaderboard --measures`.

    `generator` is the name that was given to `bench run -g`.
    """
    parts = split_by_protocol(drop_single_classes(records))
    made = []
    for number, part in enumerate(parts, start=1):
        found = cells(part)
        title = f"{part[0].task} on {part[0].dataset}, prompts: {_prompt_sources(found)}"
        if number > 1:
            title += f", protocol set {number}, not comparable with the first: {difference_between(part, parts[0])}"
        measures, collapsed = collapse_skipped(found, f"bench run -g {generator} -t {part[0].task}")
        shown = [cell for cell in found if cell.measure in measures]
        lost = lost_seeds(record for record in part if quantity(record).measure in measures)
        title = control_order.title_with_disorder(title, found)
        claims = filter(None, [claim_note(record for record in part if quantity(record).measure in measures)])
        made.append(Table(title, _rows(shown), [*_notes(shown), *claims, *lost, *collapsed]))
    return made


def _rows(found: Sequence[Cell]) -> list[list[str]]:
    """A row for each measure, a column for each generator."""
    generators = list(dict.fromkeys(cell.generator for cell in found))
    by_measure: dict[str, dict[str, Cell]] = {cell.measure: {} for cell in found}
    for cell in sorted(found, key=lambda c: c.value is not None):  # a number is shown before a missing one
        by_measure[cell.measure][cell.generator] = cell
    rows = [["", *generators]]
    for measure, row in by_measure.items():
        arrow = ARROWS.get(next(iter(row.values())).direction, "")
        rows.append([f"{measure} {arrow}".strip(), *(interval(row[g]) if g in row else "–" for g in generators)])
    return rows


def collapse_skipped(found: Sequence[Cell], run: str) -> tuple[list[str], list[str]]:
    """The measures to show, in their order, and notes on those of which every cell was skipped: the reason, and the command
    that fills them. `run` is the beginning of that command. If all were skipped, all are shown."""
    by_measure: dict[str, list[Cell]] = defaultdict(list)
    for cell in found:
        by_measure[cell.measure].append(cell)
    collapsed = {name for name, own in by_measure.items() if all(cell.status == Status.SKIPPED for cell in own)}
    if len(collapsed) == len(by_measure):
        return list(by_measure), []
    hidden = [cell for cell in found if cell.measure in collapsed]
    notes = describe_collapsed(hidden, lambda encoders: f"{run} -e {','.join(encoders)} --weights DIR")
    return [name for name in by_measure if name not in collapsed], notes


def describe_collapsed(hidden: Sequence[Cell], command: Callable[[Sequence[str]], str]) -> list[str]:
    """A sentence for each kind of reason of skipped cells that are not shown. `command` gives the command that fills the cells
    of some encoders."""
    together: dict[tuple[str, bool], list[Cell]] = defaultdict(list)
    for cell in hidden:
        together[cell.reason.partition(":")[0], bool(cell.encoder)].append(cell)
    notes = []
    for (kind, is_of_encoder), own in together.items():
        reasons_given = list(dict.fromkeys(cell.reason for cell in own))
        example = "e.g. " if len(reasons_given) > 1 else ""
        note = f"not shown, skipped({kind}) everywhere: {_listed(own)} ({example}{reasons_given[0].rstrip('.')})"
        if is_of_encoder and is_absent(kind):
            fills = command(list(dict.fromkeys(cell.encoder for cell in own)))
            note += f". To fill them: {fills}; bench doctor --encoders says where the weights come from"
        notes.append(note)
    return notes


def _listed(own: Sequence[Cell]) -> str:
    """The measures of some cells, those of several encoders together: `fd, precision of uni, conch; iou synthetic`."""
    by_encoder: dict[str, dict[str, None]] = defaultdict(dict)
    for cell in own:
        beside = f" {cell.encoder}" if cell.encoder else ""
        by_encoder[cell.encoder][cell.measure.removesuffix(beside)] = None
    encoders: dict[str, list[str]] = defaultdict(list)
    for encoder, measures in by_encoder.items():
        encoders[", ".join(measures)].append(encoder)
    return "; ".join(
        f"{measures} of {', '.join(names)}" if names != [""] else measures for measures, names in encoders.items()
    )


def plain(tables: Iterable[Table]) -> str:
    """The tables as text in columns, without control characters."""
    return "\n\n".join("\n".join(plain_lines(table)) for table in tables) or "no records"


def plain_lines(table: Table) -> list[str]:
    rows = [[printable(entry) for entry in row] for row in table.rows]
    return [printable(table.title), *aligned(rows), *map(printable, table.notes)]


def aligned(rows: list[list[str]]) -> list[str]:
    """Columns padded to their widest entry."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(entry.ljust(width) for entry, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def lacks_explanation(cell: Cell) -> bool:
    """Whether the number or its interval is missing for a reason that `interval_note` does not give."""
    return cell.value is None or (cell.low is None and Flag.SOURCES_UNKNOWN not in cell.flags)


def reasons(unfinished: Sequence[Cell]) -> list[str]:
    """Why numbers or intervals are missing, each reason once with its generators."""
    whose: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for cell in unfinished:
        if cell.reason and (cell.direction != "none" or cell.status == Status.ERROR):
            whose[cell.measure, cell.status, cell.reason].append(cell.generator)
    return [
        f"{measure} ({', '.join(dict.fromkeys(generators))}): {'' if status == Status.OK else f'{status}, '}{reason}"
        for (measure, status, reason), generators in whose.items()
    ]


def ignored_conditions(made: Iterable[Cell]) -> list[str]:
    """Which generators ignore a condition, as it is read: the slope of what is shown over what was asked may be 0."""
    whose: dict[str, list[str]] = defaultdict(list)
    for cell in made:
        if cell.measure.startswith(OF_USE) and cell.low is not None and cell.high is not None and cell.low <= 0 <= cell.high:
            whose[cell.generator].append(cell.measure)
    return [
        f"{name} ignores its condition, as it is read: the interval of {', '.join(found)} holds 0"
        for name, found in whose.items()
    ]


def lost_seeds(records: Iterable[ResultRecord]) -> list[str]:
    """Which numbers are of fewer seeds or fits than were asked for, and why: `fd (blur): without seed 1: error, reason`."""
    whose: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (key, _), rows in _by_quantity(records).items():
        found = {_seeds(row) for row in valued(rows)}
        missing = {_seeds(row): row for row in rows if _seeds(row) not in found} if found else {}
        for (fit, seed), row in missing.items():
            of_fit = f" of fit {fit}" if len({fit for fit, _ in map(_seeds, rows)}) > 1 else ""
            whose[row.generator, f"seed {seed}{of_fit}: {row.status}, {row.reason}"].append(key.measure)
    return [
        f"{', '.join(dict.fromkeys(measures))} ({generator}): without {lost}" for (generator, lost), measures in whose.items()
    ]


def _seeds(record: ResultRecord) -> tuple[str, int]:
    """Of its fit, empty without one, and of its images."""
    return record.fit.get("seed", ""), record.seed


def sizes(found: Iterable[Cell]) -> list[str]:
    """`640 patches of 40 slides, 3 seeds`, once for each size that occurs; with the fits where there are several."""
    counted = sorted({(cell.n, cell.groups, cell.unit, cell.seeds, cell.fits if cell.fits > 1 else 0) for cell in found})
    return [
        f"{n} patches of {groups} {unit}, {seeds} seeds" + (f", {fits} fits" if fits else "")
        for n, groups, unit, seeds, fits in counted
    ]


def interval_note(found: Iterable[Cell]) -> str:
    """What the intervals are over, or why there are none."""
    cells = list(found)
    units = sorted({cell.unit for cell in cells if Flag.SOURCES_UNKNOWN not in cell.flags})
    beside = ", fits and seeds" if any(cell.fits > 1 for cell in cells) else " and seeds"
    message = [f"intervals: 95 % over {' or '.join(units)}{beside}"] if units else []
    populations = sorted({cell.population for cell in cells if cell.population and Flag.SOURCES_UNKNOWN not in cell.flags})
    message += [f"they describe {' or '.join(populations)}"] if populations else []
    if any(Flag.SOURCES_UNKNOWN in cell.flags for cell in cells):
        message.append(f"no intervals, {NO_SOURCES}")
    return "; ".join(message)


def fit_notes(made: Iterable[Cell]) -> list[str]:
    """Of which generators the numbers are about these weights, and of which about the method."""
    known = [cell for cell in made if cell.value is not None and cell.fits]
    one = sorted({cell.generator for cell in known if cell.fits == 1})
    several = sorted({(cell.generator, cell.fits) for cell in known if cell.fits > 1})
    notes = [f"{', '.join(one)}: {THESE_WEIGHTS}"] if one else []
    return notes + [f"{name}: mean over {fits} fits, intervals hold the variance between fits" for name, fits in several]


def one_set(made: Iterable[Cell]) -> str:
    """Which generators have one set of images, and what that means; empty where none has."""
    names = sorted({cell.generator for cell in made if ONE_SET in cell.flags})
    return f"{', '.join(names)}: {ONE_SET_NOTE}" if names else ""


def _prompt_sources(made: list[Cell]) -> str:
    return ", ".join(sorted({cell.prompt_source for cell in made} - {"none"})) or "none"


def _notes(made: list[Cell]) -> list[str]:
    measured = [cell for cell in made if cell.value is not None and cell.direction != "none"]
    notes = [f"n = {'; n = '.join(sizes(measured))}; {interval_note(measured)}"] if measured else []
    if any(Flag.ENCODER_CONFLICT in cell.flags for cell in made):
        notes.append("* the generator was conditioned by this encoder: not an independent encoder")
    if any(Flag.UNDERPOWERED in cell.flags for cell in made):
        notes.append("† too few slides or patches for an interval")
    if named := one_set(made):
        notes.append(named)
    if any(cell.generator == "real" for cell in measured):
        notes.append("real: patches of real slides that are neither in the test set nor seen by a generator")
    notes += fit_notes(made)
    notes += ignored_conditions(made)
    if any(Flag.EMBEDDED in cell.flags for cell in made):
        notes.append("embedded phantom tissue: these numbers say nothing of real patients")
    notes += reasons([cell for cell in made if lacks_explanation(cell)])
    return notes
