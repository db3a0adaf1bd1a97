"""Two generators compared measure by measure, in pairs of the same test slides and seeds, in sentences to quote.

With two or more fits on each side the sentences are about the methods; with one fit they are about these weights, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from bench.messages import printable
from bench.results.identity import Quantity
from bench.results.protocols import difference
from bench.results.schema import ResultRecord
from bench.results.tables import number
from bench.results.terms import Flag
from bench.statistics.claims import holm
from leaderboards.comparison.pairs import Difference, paired
from leaderboards.tables.numbers import SeedsByProtocol, equal, grouped

ALPHA = 0.05


@dataclass(frozen=True)
class Side:
    """One of the two: what it is called in sentences, and its lines."""

    name: str
    records: tuple[ResultRecord, ...]


@dataclass(frozen=True)
class Comparison:
    """The first minus the second in one measure."""

    where: Quantity
    """Of no generator; its prompt source is that of the one that is shown crops."""
    direction: str
    difference: Difference
    n: int
    equal: bool
    """Whether both gave the same bits: then there is nothing to test."""
    adjusted: float = 1.0
    """Two-sided p-value after Holm over the measures that are not equal."""
    conflict: bool = False
    """Whether one of the two was conditioned by the encoder that it is measured with."""

    @property
    def tie(self) -> bool:
        return self.adjusted >= ALPHA


@dataclass(frozen=True)
class Comparisons:
    first: str
    second: str
    made: tuple[Comparison, ...]
    refused: tuple[tuple[Quantity, str], ...]
    """Shared measures that could not be compared, and why."""
    alone: tuple[tuple[str, tuple[str, ...]], ...]
    """(side, measures that only this side has)."""

    @property
    def tested(self) -> int:
        return sum(not comparison.equal for comparison in self.made)


def compared(first: Side, second: Side, measures: Sequence[str] = ()) -> Comparisons:
    """Every shared measure, or those that match one of the patterns; without patterns all but those of single classes."""
    ours, theirs = (_takes(side, measures) for side in (first, second))
    made: list[Comparison] = []
    refused: list[tuple[Quantity, str]] = []
    for where in sorted(set(ours) & set(theirs)):
        for found in _pairs(where, ours[where], theirs[where]):
            if isinstance(found, Comparison):
                made.append(found)
            else:
                refused.append((where, found))
    sides = ((first.name, set(ours) - set(theirs)), (second.name, set(theirs) - set(ours)))
    alone = tuple((name, tuple(sorted({where.measure for where in only}))) for name, only in sides if only)
    return Comparisons(first.name, second.name, _adjusted(made), tuple(refused), alone)


def _takes(side: Side, measures: Sequence[str]) -> dict[Quantity, list[tuple[str, SeedsByProtocol]]]:
    """By number, without generator and prompt source: (prompt source, takes) for each prompt source it was measured in."""
    found: dict[Quantity, list[tuple[str, SeedsByProtocol]]] = {}
    for name, takes in grouped(side.records, side.name).items():
        if any(fnmatchcase(name.measure, p) for p in measures) if measures else ":" not in name.measure.partition(" ")[0]:
            found.setdefault(replace(name, generator="", prompt_source=""), []).append((name.prompt_source, takes))
    return found


def _pairs(
    where: Quantity, ours: list[tuple[str, SeedsByProtocol]], theirs: list[tuple[str, SeedsByProtocol]]
) -> list[Comparison | str]:
    """A comparison for each pair of prompt sources that may stand in one table, and for each protocol that both have."""
    fitting = [(a, b) for a, b in product(ours, theirs) if a[0] == b[0] or "none" in (a[0], b[0])]
    if not fitting:
        prompt_sources = [", ".join(prompt_source for prompt_source, _ in side) for side in (ours, theirs)]
        return [f"prompt sources differ: {prompt_sources[0]} and {prompt_sources[1]}"]
    found: list[Comparison | str] = []
    for (prompt_source, mine), (other, yours) in fitting:
        here = replace(where, prompt_source=other if prompt_source == "none" else prompt_source)
        shared = sorted(set(mine) & set(yours))
        if not shared:
            first, second = (next(iter(takes.values()))[0] for takes in (mine, yours))
            found.append(f"protocols differ: {difference(first, second)}")
        found += [_pair(here, mine[protocol], yours[protocol]) for protocol in shared]
    return found


def _pair(where: Quantity, ours: list[ResultRecord], theirs: list[ResultRecord]) -> Comparison | str:
    for records in (ours, theirs):
        if failed := [record for record in records if record.value is None]:
            return f"{failed[0].generator} has {failed[0].status} for seed {failed[0].seed}: {failed[0].reason}"
    found = paired(ours, theirs)
    if isinstance(found, str):
        return found
    conflict = any(Flag.ENCODER_CONFLICT in record.flags for record in (*ours, *theirs))
    return Comparison(where, ours[0].direction, found, ours[0].n, equal(ours, theirs), conflict=conflict)


def _adjusted(made: list[Comparison]) -> tuple[Comparison, ...]:
    tested = [comparison for comparison in made if not comparison.equal]
    p_values = [two_sided(comparison.difference) for comparison in tested]
    adjusted = iter(holm(p_values))
    return tuple(c if c.equal else replace(c, adjusted=next(adjusted)) for c in made)


def two_sided(found: Difference) -> float:
    """p-value of the hypothesis that there is no difference."""
    if not found.value:
        return 1.0
    above = found.above(0.0)
    return min(1.0, 2 * min(above, 1 - above))


def sentence(found: Comparisons, one: Comparison) -> str:
    """One comparison as a reader may quote it."""
    gap, measure = one.difference, one.where.measure
    sizes = f"n = {one.n} patches of {gap.groups} {gap.unit}, {gap.seeds} seed{'s' if gap.seeds > 1 else ''}"
    sizes += f", {gap.fits[0]} and {gap.fits[1]} fits" if max(gap.fits) > 1 else ""
    weights = [name for name, fits in zip((found.first, found.second), gap.fits, strict=True) if fits == 1]
    about = f"these weights, one fit of {' and one of '.join(weights)}: other fits may differ" if weights else ""
    if one.equal:
        basis = "; ".join(filter(None, (sizes, about)))
        return f"{found.first} and {found.second} have the same {measure}, bit by bit ({basis})."
    notes = [sizes, f"{format_p(one.adjusted)} after Holm over {found.tested} measure{'s' if found.tested > 1 else ''}"]
    notes += ["not an independent encoder"] if one.conflict else []
    notes += [about] if about else []
    notes += [gap.reason] if gap.reason else []
    basis = "; ".join([", ".join(notes[:2]), *notes[2:]])
    low, high = gap.interval
    if one.tie:
        bounds = f"{_signed(gap.value)} [{_signed(low)}, {_signed(high)}]"
        return f"{found.first} and {found.second} tie in {measure}: difference {bounds} ({basis})."
    higher = gap.value > 0
    word = "higher" if higher else "lower"
    worth = "better" if word == one.direction else "worse"
    least, most = (low, high) if higher else (-high, -low)
    by = f"{number(abs(gap.value))} [{_signed(least)}, {_signed(most)}]"
    return f"{found.first} has a {word} ({worth}) {measure} than {found.second} by {by} ({basis})."


def text(found: Comparisons) -> str:
    """Every sentence, under a heading for each task, dataset and prompt source, then what was not compared."""
    records: list[str] = []
    for place in dict.fromkeys(_place(one.where) for one in found.made):
        records += [place, *(f"  {sentence(found, one)}" for one in found.made if _place(one.where) == place), ""]
    if found.refused:
        records += ["not compared:", *(f"  {_place(where)}, {where.measure}: {reason}" for where, reason in found.refused), ""]
    records += [f"only {name} has: {', '.join(measures)}" for name, measures in found.alone]
    return "\n".join(map(printable, records)).rstrip()


def _place(where: Quantity) -> str:
    beside = f", {where.experiment}" if where.experiment else ""
    prompts = f", prompts: {where.prompt_source}" if where.prompt_source not in ("", "none") else ""
    return f"{where.task} on {where.dataset}{beside}{prompts}"


def _signed(value: float) -> str:
    """Four significant digits, with the sign of what is negative."""
    return f"-{number(-value)}" if value < 0 else number(value)


def format_p(value: float) -> str:
    """`p < .001`, `p = .077`."""
    return "p < .001" if value < 0.001 else f"p = {value:.3f}".replace("0.", ".", 1)


def as_rows(found: Comparisons) -> list[dict[str, Any]]:
    """Each comparison as JSON: the quantity, the difference with its interval, the verdict and the sentence."""
    return [
        {
            **asdict(one.where),
            "direction": one.direction,
            "difference": one.difference.value,
            "low": one.difference.interval[0],
            "high": one.difference.interval[1],
            "p_holm": one.adjusted,
            "comparisons": found.tested,
            "verdict": "equal" if one.equal else "tie" if one.tie else _better(one),
            "n": one.n,
            "slides": one.difference.groups,
            "seeds": one.difference.seeds,
            "fits": one.difference.fits,
            "about": "methods" if one.difference.is_of_methods else "weights",
            "conflict": one.conflict,
            "sentence": sentence(found, one),
        }
        for one in found.made
    ]


def _better(one: Comparison) -> str:
    return "first" if (one.difference.value > 0) == (one.direction == "higher") else "second"
