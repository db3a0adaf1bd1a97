"""How a measure responds to a corruption: its values along the ladder, and whether they go where they must.

A measure must get worse with every step: `lower is better` must rise, `higher is better` must fall. Tested are differences in
pairs (`comparison.pairs`), whose intervals leave out slides of both sides at once:

seen        the strongest corruption is surely worse than none, and no step is surely in the wrong direction
reversed    some step is surely in the wrong direction
not seen    neither: the strongest corruption may be no worse than none
undecided   there are no numbers with intervals at two strengths

Strengths without an interval are left out. Where the start has none (extrapolations of 0), the weakest strength stands for
it.

Surely: one-sided p of at most 2.5 %, after Holm's adjustment for the number of steps. Differences below one millionth of the
largest value are rounding and count as none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bench.errors import MissingError
from bench.results.schema import ResultRecord
from bench.results.tables import Cell, cells
from bench.sensitivity.claims import Claims
from bench.statistics.claims import ALPHA
from leaderboards.comparison.pairs import Difference, paired
from leaderboards.sensitivity.ladders import Ladder, corruptions

Verdict = Literal["seen", "reversed", "not seen", "undecided"]
ROUNDING = 1e-6
"""Share of the largest value of a response below which a difference is none."""
DERIVED = ("-lower-reference", "-normalised", "-of-real", "-over-real")
"""Ends of the names of measures that are another form of the measure without it, and respond as it does or not at all."""


@dataclass(frozen=True)
class Measure:
    """What is measured on one set of test patches."""

    task: str
    dataset: str
    measure: str
    encoder: str
    protocol: str

    @property
    def label(self) -> str:
        return f"{self.measure} {self.encoder}".strip()


@dataclass(frozen=True)
class Point:
    """The measure at one strength; None at the start of a corruption in which nothing is unchanged."""

    strength: float | None
    cell: Cell


@dataclass(frozen=True)
class Response:
    """A measure along one ladder."""

    of: Measure
    ladder: Ladder
    direction: str
    metric: str
    """Name of the metric's card, and its version."""
    version: str
    encoder_version: str
    points: tuple[Point, ...]
    """The start first."""
    verdict: Verdict
    reason: str = ""
    """Why it is undecided, or why strengths are left out of the test."""
    sure_from: float | None = None
    """The weakest strength that is surely worse than none."""
    wrong_at: float | None = None
    """The end of the first step that is surely in the wrong direction."""
    claimed: bool = False
    """Whether the card of the metric claims to see the corruption, and the card of the encoder does not exclude it."""

    @property
    def is_flagged(self) -> bool:
        """Whether a claim of the card does not hold here."""
        return self.claimed and self.verdict in ("reversed", "not seen")


def responses(records: Iterable[ResultRecord], claims: Claims | None = None) -> list[Response]:
    """Every response that the records show, in the order of measures and corruptions. MissingError where there is none."""
    known = corruptions()
    grouped: dict[Measure, dict[str, list[ResultRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in tested(records):
        key = Measure(record.task, record.dataset, record.measure, record.encoder, record.protocol)
        grouped[key][place_of(record, known)].append(record)
    found = [
        response
        for key, rows in grouped.items()
        for ladder in _measured(rows, known)
        if (response := respond(key, ladder, rows, claims or Claims())) is not None
    ]
    if not found:
        raise MissingError("no records of corruptions here. Make some: bench sensitivity --task cam16-seg")
    return found


def tested(records: Iterable[ResultRecord]) -> list[ResultRecord]:
    """The records that responses rest on: of whole measures of images, each in one form."""
    held = list(records)
    measures = {record.measure for record in held}

    def is_tested(record: ResultRecord) -> bool:
        is_form = any(record.measure.endswith(end) and record.measure.removesuffix(end) in measures for end in DERIVED)
        return ":" not in record.measure and record.direction in ("lower", "higher") and not record.mix and not is_form

    return [record for record in held if is_tested(record)]


def place_of(record: ResultRecord, known: Mapping[str, Ladder]) -> str:
    """`jpeg:80` for a record of that corruption and strength, and the generator's name for any other."""
    described = record.described.get("generator", {})
    ladder = known.get(str(described.get("name", "")))
    if ladder is None:
        return record.generator
    return f"{ladder.corruption}:{float(described['options'][ladder.option]):g}"


def _measured(rows: Mapping[str, object], known: Mapping[str, Ladder]) -> list[Ladder]:
    """The ladders with the strengths that there are records of."""
    strengths: dict[str, list[float]] = defaultdict(list)
    for name in rows:
        corruption, colon, strength = name.rpartition(":")
        if colon and corruption in known and float(strength) != known[corruption].unchanged:
            strengths[corruption].append(float(strength))
    found = []
    for corruption, own in strengths.items():
        ladder = known[corruption]
        if len(own) > 1 and ladder.start in rows:
            order = tuple(sorted(own, reverse=ladder.strengths[0] > ladder.strengths[-1]))
            found.append(Ladder(corruption, ladder.option, order, ladder.unchanged, ladder.unit, ladder.needs))
    return sorted(found, key=lambda ladder: list(known).index(ladder.corruption))


def respond(key: Measure, ladder: Ladder, rows: Mapping[str, Sequence[ResultRecord]], claims: Claims) -> Response | None:
    """The response of one measure to one corruption; None where the measure does not exist for it (of prompts, where no
    prompts are shown)."""
    held = [list(rows[name]) for name in ladder.generators]
    if all(record.value is None for one in held for record in one):
        return None
    first = held[1][0]
    strengths = (ladder.unchanged, *ladder.strengths)
    points = tuple(Point(strength, cells(one)[0]) for strength, one in zip(strengths, held, strict=True))
    described: Mapping[str, Any] = first.described
    metric, encoder = described.get("metric", {}), described.get("encoder", {})
    made = Response(
        of=key,
        ladder=ladder,
        direction=first.direction,
        metric=str(metric.get("name", key.measure)),
        version=str(metric.get("version", "")),
        encoder_version=str(encoder.get("version", "")),
        points=points,
        verdict="undecided",
        claimed=claims.claims(str(metric.get("name", "")), key.measure, key.encoder, ladder.corruption),
    )
    usable = [i for i, one in enumerate(held) if all(len(record.replicates) > 1 for record in one)]
    left_out = [i for i in range(len(held)) if i not in usable]
    reason = "; ".join(
        f"{ladder.generators[i]}: {points[i].cell.reason or 'no interval'}" for i in (left_out[:1] if left_out else [])
    )
    if len(usable) < 2:
        return replace(made, reason=reason)
    kept = replace(made, points=tuple(points[i] for i in usable), reason=reason)
    start, *others = (held[i] for i in usable)
    gaps = [paired(later, start) for later in others]
    steps = [paired(later, earlier) for earlier, later in zip([start, *others], others, strict=False)]
    if refused := next((gap for gap in [*gaps, *steps] if isinstance(gap, str)), ""):
        return replace(made, reason=refused)
    decided = [[one for one in some if not isinstance(one, str)] for some in (gaps, steps)]
    verdict, sure_from, wrong_at = _test(kept, *decided)
    return replace(kept, verdict=verdict, sure_from=sure_from, wrong_at=wrong_at)


def _test(made: Response, gaps: list[Difference], steps: list[Difference]) -> tuple[Verdict, float | None, float | None]:
    """Verdict, the weakest strength that is surely worse, the first that is surely better than the one before it."""
    sign = 1.0 if made.direction == "lower" else -1.0
    least = ROUNDING * max(abs(point.cell.value or 0.0) for point in made.points)
    worse = holm([p_above(gap, sign, least) for gap in gaps])
    wrong = holm([p_above(step, -sign, least) for step in steps])
    strengths = [point.strength for point in made.points[1:]]
    sure = [strength for strength, p in zip(strengths, worse, strict=True) if p <= ALPHA / 2]
    back = [strength for strength, p in zip(strengths, wrong, strict=True) if p <= ALPHA / 2]
    if back:
        return "reversed", sure[0] if sure else None, back[0]
    return ("seen" if worse[-1] <= ALPHA / 2 else "not seen"), sure[0] if sure else None, None


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment. Not that of `bench.statistics.claims`: statsmodels collects garbage at every call,
    which takes minutes for the hundreds of responses of a run."""
    found = np.array(p_values)
    order = np.argsort(found)
    adjusted = np.maximum.accumulate((len(found) - np.arange(len(found))) * found[order]).clip(max=1.0)
    return [float(p) for p in adjusted[np.argsort(order)]]


def p_above(gap: Difference, sign: float, least: float) -> float:
    """p-value of the hypothesis that the difference, times the sign, is at most `least`."""
    if gap.error * 10 < least and abs(gap.value) <= least:
        return 1.0
    turned = Difference(sign * gap.value, gap.error, gap.freedom, gap.seeds, gap.groups)
    return turned.above(least)


def values(response: Response) -> np.ndarray[Any, np.dtype[np.float64]]:
    """float64 (k,): the measure along the ladder, the start first; NaN where there is none."""
    return np.array([np.nan if point.cell.value is None else point.cell.value for point in response.points])
