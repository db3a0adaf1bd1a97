"""What a score is worth in a corruption: the strength at which corrupted test patches get the same score.

The response is made monotone by isotonic regression (Barlow and others 1972; the pool-adjacent-violators algorithm), each
strength weighted alike, and inverted by linear interpolation. The ends of the score's interval are translated likewise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.results.schema import ResultRecord
from bench.results.tables import Cell, cells
from leaderboards.sensitivity.ladders import Ladder
from leaderboards.sensitivity.responses import Response, place_of, values

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Strength:
    """A strength, or the end of what was measured beyond which it lies."""

    value: float
    beyond: str = ""
    """`weaker` or `stronger` than the value; empty for the value itself."""

    def __str__(self) -> str:
        """E.g. `71`, `weaker than 95`."""
        shown = f"{self.value:.3g}"
        return f"{self.beyond} than {shown}" if self.beyond else shown


@dataclass(frozen=True)
class Equivalent:
    """A generator's score in units of one corruption."""

    response: Response
    cell: Cell
    """The score."""
    strength: Strength
    ends: tuple[Strength, Strength] | None
    """Of the score's interval, the weaker one first; None without an interval."""

    def __str__(self) -> str:
        """`71 [83, 60]`; `weaker than 95` where that holds of the score and of its interval."""
        shown = str(self.strength)
        if self.ends is None or {str(end) for end in self.ends} == {shown}:
            return shown
        return f"{shown} [{self.ends[0]}, {self.ends[1]}]"


def equivalents(scores: Iterable[ResultRecord], responses: Sequence[Response]) -> tuple[list[Equivalent], list[str]]:
    """The equivalents of each generator's score in every corruption that its measure claims to see and sees.

    And a sentence for each measure of which there are scores and responses of two protocols: other data, n or options, in
    which a strength means something else.
    """
    known: dict[str, Ladder] = {response.ladder.corruption: response.ladder for response in responses}
    rows: dict[tuple[str, ...], list[ResultRecord]] = {}
    for record in scores:
        name = place_of(record, known)
        is_ladder = any(name in response.ladder.generators for response in responses)
        if not is_ladder and record.value is not None and not record.mix:
            key = (record.generator, record.prompt_source, record.measure, record.encoder, record.protocol)
            rows.setdefault(key, []).append(record)
    found, refused = [], []
    for own in rows.values():
        same = [r for r in responses if (r.of.measure, r.of.encoder) == (own[0].measure, own[0].encoder)]
        matching = [response for response in same if response.of.protocol == own[0].protocol]
        if same and not matching:
            refused.append(
                f"{own[0].generator}: {same[0].of.label} is of another protocol than the corruptions (other test patches, n, "
                "or options): measure both on the same data"
            )
        for response in matching:
            if response.verdict == "seen" and response.claimed:
                found.append(translate(cells(own)[0], response))
    return found, list(dict.fromkeys(refused))


def translate(cell: Cell, response: Response) -> Equivalent:
    """The equivalent of a score that has a value."""
    assert cell.value is not None
    strengths, fitted = monotone(response)
    ends = None
    if cell.low is not None and cell.high is not None:
        turned = (cell.low, cell.high) if response.direction == "lower" else (cell.high, cell.low)
        ends = (_invert(turned[0], strengths, fitted, response), _invert(turned[1], strengths, fitted, response))
    return Equivalent(response, cell, _invert(cell.value, strengths, fitted, response), ends)


def monotone(response: Response) -> tuple[Floats, Floats]:
    """float64 (k,): the strengths, and the measure at each by isotonic regression. Without the start where no strength leaves
    patches unchanged."""
    from sklearn.isotonic import isotonic_regression

    fitted = isotonic_regression(values(response), increasing=response.direction == "lower")
    strengths = [point.strength for point in response.points]
    first = 1 if strengths[0] is None else 0
    return np.array(strengths[first:], dtype=np.float64), np.asarray(fitted[first:], dtype=np.float64)


def _invert(score: float, strengths: Floats, fitted: Floats, response: Response) -> Strength:
    """The weakest strength at which the fitted response reaches the score."""
    sign = 1.0 if response.direction == "lower" else -1.0
    score, rising = sign * score, sign * fitted
    if score < rising[0]:  # nothing is weaker than no corruption
        return Strength(float(strengths[0]), "" if strengths[0] == response.ladder.unchanged else "weaker")
    if score > rising[-1]:
        return Strength(float(strengths[-1]), "stronger")
    kept = np.concatenate([[True], np.diff(rising) > 0])  # of equal values the weakest strength
    return Strength(float(np.interp(score, rising[kept], strengths[kept])))


def by_generator(found: Iterable[Equivalent]) -> Iterator[tuple[str, list[Equivalent]]]:
    """The equivalents of each generator, in the order of first appearance."""
    grouped: dict[str, list[Equivalent]] = {}
    for one in found:
        grouped.setdefault(one.cell.generator, []).append(one)
    yield from grouped.items()
