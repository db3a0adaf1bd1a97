"""Ties between neighbours in a column."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from bench.results.schema import ResultRecord
from bench.results.tables import Cell
from leaderboards.comparison.pairs import Difference, paired_each

PAIRED, OVERLAP, APART, UNKNOWN = "=", "≈", ",", "?"
LEGEND = (
    f"Best first; {PAIRED} neighbours whose paired difference over slides and seeds may be 0 at 95 %, "
    f"{OVERLAP} neighbours whose intervals overlap, where records cannot be paired"
)


def chain(cells: Mapping[str, Cell], records: Mapping[str, Sequence[ResultRecord]]) -> str:
    """Generators of one column, best first, e.g. `real, ldm-embed = ldm-prompt, noise`; empty without two numbers that differ.

    Only neighbours are compared, without adjustment for their number.
    """
    known = {name: cell for name, cell in cells.items() if cell.value is not None}
    first = next(iter(known.values()), None)
    if first is None or first.direction not in ("lower", "higher") or len({cell.value for cell in known.values()}) < 2:
        return ""
    worst_last = 1 if first.direction == "lower" else -1
    names = sorted(known, key=lambda name: (worst_last * (known[name].value or 0.0), name))
    text = names[0]
    neighbours = list(zip(names, names[1:], strict=False))
    found = paired_each([(records[before], records[after]) for before, after in neighbours])
    for (before, after), difference in zip(neighbours, found, strict=True):
        link = between(known[before], known[after], difference)
        text += f"{'' if link == APART else ' '}{link} {after}"
    return text


def with_the_best(
    cells: Mapping[str, Cell], records: Mapping[str, Sequence[ResultRecord]], candidates: Container[str]
) -> tuple[str, ...]:
    """The best of the candidates in one column, then those that tie with it; empty without two numbers of candidates that
    differ. Each is compared with the best alone, without adjustment for their number."""
    known = {name: cell for name, cell in cells.items() if cell.value is not None and name in candidates}
    first = next(iter(known.values()), None)
    if first is None or first.direction not in ("lower", "higher") or len({cell.value for cell in known.values()}) < 2:
        return ()
    worst_last = 1 if first.direction == "lower" else -1
    best, *others = sorted(known, key=lambda name: (worst_last * (known[name].value or 0.0), name))
    found = paired_each([(records[best], records[other]) for other in others])
    tied = [
        other
        for other, difference in zip(others, found, strict=True)
        if known[other].value == known[best].value or between(known[best], known[other], difference) in (PAIRED, OVERLAP)
    ]
    return (best, *tied)


def between(first: Cell, second: Cell, found: Difference | str) -> str:
    """`PAIRED` (by the paired difference `found`, if there is one) or `OVERLAP` (of intervals) for a tie, otherwise `APART`;
    `UNKNOWN` without intervals."""
    if not isinstance(found, str) and found.seeds == min(first.seeds, second.seeds):
        low, high = found.interval
        return PAIRED if low <= 0 <= high else APART
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return UNKNOWN
    return OVERLAP if first.low <= second.high and second.low <= first.high else APART


def notes(chains: Mapping[str, str]) -> list[str]:
    """The meaning of the signs, then one line for each column."""
    text = [f"{column}: {chain}." for column, chain in chains.items() if chain]
    if not text:
        return []
    unknown = ", ? neighbours without intervals" if any(f" {UNKNOWN} " in chain for chain in chains.values()) else ""
    return [f"{LEGEND}{unknown}:", *text]
