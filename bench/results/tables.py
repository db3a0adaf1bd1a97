"""Result lines as text: seeds combined, direction, interval, n and flags beside every number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench import statistics
from bench.results.identity import Flag, Quantity, Status, quantity
from bench.results.protocols import difference_between, split_by_protocol
from bench.results.schema import NO_SOURCES, ResultRecord, unit_of

ARROWS = {"lower": "↓", "higher": "↑", "none": ""}
REPORT_ONLY = "none"


@dataclass(frozen=True)
class Cell:
    """One number over all its seeds, or the reason why there is none."""

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


def cells(records: Iterable[ResultRecord]) -> list[Cell]:
    """One cell for each quantity and protocol, in the order of first appearance."""
    grouped: dict[tuple[Quantity, str], list[ResultRecord]] = defaultdict(list)
    for record in records:
        grouped[quantity(record), record.protocol].append(record)
    return [_cell(key.measure, rows) for (key, _), rows in grouped.items()]


def _cell(measure: str, rows: list[ResultRecord]) -> Cell:
    first = rows[0]
    good = [row for row in rows if row.status == Status.OK and row.value is not None]
    value = low = high = None
    if good:
        combined = statistics.combine_seeds(
            [row.value for row in good if row.value is not None],
            [row.low for row in good],
            [row.high for row in good],
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
        n=first.n,
        groups=first.groups,
        seeds=len({row.seed for row in good}),
        status=Status.OK if good else first.status,
        reason=failed.reason if failed else first.reason,
        flags=tuple(sorted({flag for row in rows for flag in row.flags})),
        unit=unit_of(first),
    )


def _cut(bound: float | None, line: ResultRecord) -> float | None:
    """The bound of an interval, cut to what the measure can be."""
    if bound is None:
        return None
    above = bound if line.least is None else max(bound, line.least)
    return above if line.most is None else min(above, line.most)


def number(value: float) -> str:
    """Four significant digits, never in exponents, and no more than six after the point; what is less is 0."""
    if abs(value) < 5e-7:
        return "0"
    digits = max(0, 3 - int(f"{value:e}".split("e")[1]))
    return f"{value:.{min(digits, 6)}f}"


def interval(cell: Cell) -> str:
    """`value [low, high]` with marks: * for a encoder that the generator knew, † where there are too few slides or patches for
    an interval; status and the first word of the reason where there is no number."""
    if cell.value is None:
        word = cell.reason.partition(":")[0]
        return f"{cell.status}({word})" if word and len(word) < 40 else cell.status
    mark = ("*" if Flag.ENCODER_CONFLICT in cell.flags else "") + ("†" if Flag.UNDERPOWERED in cell.flags else "")
    bounds = "" if cell.low is None or cell.high is None else f" [{number(cell.low)}, {number(cell.high)}]"
    return f"{number(cell.value)}{mark}{bounds}"


def headlines(lines: Iterable[ResultRecord]) -> list[ResultRecord]:
    """The lines whose measure is not of one class alone: `iou`, not `iou:tumour`."""
    return [line for line in lines if ":" not in line.measure]


def text(lines: Sequence[ResultRecord]) -> str:
    """A table with a row for each measure and a column for each generator of one run, and what the marks mean; one for each
    protocol set where there are several. Measures of single classes are left to `bench leaderboard --measures`."""
    parts = split_by_protocol(headlines(lines))
    if not parts:
        return "no lines"
    message = []
    for number, part in enumerate(parts, start=1):
        made = cells(part)
        generators = list(dict.fromkeys(cell.generator for cell in made))
        by_measure: dict[str, dict[str, Cell]] = defaultdict(dict)
        for cell in sorted(made, key=lambda c: c.value is not None):  # a number is shown before a missing one
            by_measure[cell.measure][cell.generator] = cell
        rows = [["", *generators]]
        for measure in dict.fromkeys(cell.measure for cell in made):
            found = by_measure[measure]
            arrow = ARROWS.get(next(iter(found.values())).direction, "")
            rows.append([f"{measure} {arrow}".strip(), *(interval(found[g]) if g in found else "–" for g in generators)])
        heading = f"{part[0].task} on {part[0].dataset}, prompts: {_prompt_sources(made)}"
        if number > 1:
            heading += f", protocol set {number}, not comparable with the first: {difference_between(part, parts[0])}"
        message += [heading, *aligned(rows), *_notes(made)]
    return "\n".join(message)


def aligned(rows: list[list[str]]) -> list[str]:
    """Columns padded to their widest entry."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(entry.ljust(width) for entry, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def lacks_explanation(cell: Cell) -> bool:
    """Whether the number or its interval is missing for a reason that `interval_note` does not give."""
    return cell.value is None or (cell.low is None and Flag.SOURCES_UNKNOWN not in cell.flags)


def reasons(unfinished: Sequence[Cell]) -> list[str]:
    """Why numbers or intervals are missing, each reason once with the generators that it holds for."""
    whose: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for cell in unfinished:
        if cell.reason and cell.direction != "none":
            whose[cell.measure, cell.status, cell.reason].append(cell.generator)
    return [
        f"{measure} ({', '.join(dict.fromkeys(generators))}): {'' if status == Status.OK else f'{status}, '}{reason}"
        for (measure, status, reason), generators in whose.items()
    ]


def sizes(found: Iterable[Cell]) -> list[str]:
    """`640 patches of 40 slides, 3 seeds`, once for each size that occurs."""
    counted = sorted({(cell.n, cell.groups, cell.unit, cell.seeds) for cell in found})
    return [f"{n} patches of {groups} {unit}, {seeds} seeds" for n, groups, unit, seeds in counted]


def interval_note(found: Iterable[Cell]) -> str:
    """What intervals range over, or why there are none."""
    cells = list(found)
    units = sorted({cell.unit for cell in cells if Flag.SOURCES_UNKNOWN not in cell.flags})
    message = [f"intervals: 95 % over {' or '.join(units)} and seeds"] if units else []
    if any(Flag.SOURCES_UNKNOWN in cell.flags for cell in cells):
        message.append(f"no intervals, {NO_SOURCES}")
    return "; ".join(message)


def _prompt_sources(made: list[Cell]) -> str:
    return ", ".join(sorted({cell.prompt_source for cell in made} - {"none"})) or "none"


def _notes(made: list[Cell]) -> list[str]:
    measured = [cell for cell in made if cell.value is not None and cell.direction != "none"]
    notes = [f"n = {'; n = '.join(sizes(measured))}; {interval_note(measured)}"] if measured else []
    if any(Flag.ENCODER_CONFLICT in cell.flags for cell in made):
        notes.append("* the generator was conditioned by this encoder: not an independent encoder")
    if any(Flag.UNDERPOWERED in cell.flags for cell in made):
        notes.append("† too few slides or patches for an interval")
    if any(Flag.EMBEDDED in cell.flags for cell in made):
        notes.append("embedded phantom tissue: these numbers say nothing of real patients")
    notes += reasons([cell for cell in made if lacks_explanation(cell)])
    return notes
