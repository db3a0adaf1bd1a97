"""Has a generator become worse? Every number of a baseline against its candidate, in pairs of test slides and seeds.

In the mode `same-weights` both sides have the same fits, and the question is whether code or sampler has changed numbers.
In the mode `same-method` both sides have fits of their own, at least two, and the question is whether the method has become
worse: the variance between fits is part of the error.

regress         surely worse, and not shown to lie within the margin
broken          the candidate has no number where the baseline has one
not-comparable  the two rest on different protocols, or cannot be paired
inconclusive    neither shown worse nor shown within the margin
pass            equal but for rounding, or shown to be at most the margin worse
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from bench.errors import MissingError, UsageError
from bench.results.identity import Quantity, fit_name
from bench.results.protocols import difference
from bench.results.schema import NO_SOURCES, ResultRecord
from bench.results.terms import Flag, Status
from bench.statistics.claims import holm
from leaderboards.comparison.pairs import Difference, paired
from leaderboards.gate.policy import Mode, Policy, unused
from leaderboards.tables.numbers import SeedsByProtocol, equal, grouped

Verdict = Literal["regress", "broken", "not-comparable", "inconclusive", "pass"]
EXIT_CODES: dict[Verdict, int] = {"regress": 5, "broken": 4, "not-comparable": 7, "inconclusive": 6, "pass": 0}
"""By precedence: the gate's verdict is the first that any number has."""
FITS = 2
"""Fewer a side say nothing of a method."""
OTHER_WEIGHTS = "worse, but training was repeated and gave other weights, as another fit does: see the mode same-method"
ROUNDING = 1e-3
"""Of the margin: what a number without an interval may differ by where the same weights are compared. Processors round
differently, which changes a distance by a hundred thousandth of itself."""
POWER = 0.8
"""Of a gate to see a change, where `visible` is stated."""


@dataclass(frozen=True)
class GateResult:
    """What became of one number of the baseline."""

    quantity: Quantity
    direction: str
    verdict: Verdict
    reason: str = ""
    baseline: float | None = None
    """Mean over the baseline's seeds."""
    candidate: float | None = None
    margin: float = 0.0
    """How much worse it may be, in units of the measure."""
    worsening: Difference | None = None
    """Positive where the candidate is worse."""
    worst: float | None = None
    """Upper one-sided bound of the worsening, at the policy's alpha."""
    p: float | None = None
    """That it is not worse at all, after Holm."""
    visible: float | None = None
    """The least true worsening that would be called a regression in 80 of 100 gates like this one."""
    n: int = 0
    has_other_weights: bool = False
    """Whether fits of one name have other weights on the two sides: training was repeated, and came out differently."""


@dataclass(frozen=True)
class Gate:
    gate_results: tuple[GateResult, ...]
    """The worst verdicts first."""
    tested: int
    """Numbers that changed at all, over which p-values are adjusted."""
    new: tuple[Quantity, ...]
    """Numbers of the candidate that the baseline does not have: measured once they are accepted."""
    alpha: float
    mode: Mode = "same-weights"
    unused: tuple[str, ...] = ()
    """Rules of the policy that hold for no number, a sentence each: a typing mistake may leave a number unguarded."""

    @property
    def verdict(self) -> Verdict:
        return self.gate_results[0].verdict

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    def strict_exit_code(self) -> int:
        """The exit code where each rule of the policy must hold for a number: that of a wrong policy, unless something is
        surely worse, broken or not comparable."""
        return UsageError.exit_code if self.unused and self.verdict in ("pass", "inconclusive") else self.exit_code

    def count(self, verdict: Verdict) -> int:
        return sum(gate_result.verdict == verdict for gate_result in self.gate_results)


def measured(baseline: Iterable[ResultRecord], candidate: Iterable[ResultRecord], policy: Policy) -> Gate:
    """The gate over every number of the baseline that the policy looks at."""
    held, made = grouped(baseline, "baseline"), list(candidate)
    asked = _asked(held, policy)
    found = grouped(made, "candidate")
    final = [
        _first(quantity, mine, theirs, made, policy)
        for quantity, takes in asked.items()
        for mine, theirs in _by_protocol(takes, found.get(quantity, {}))
    ]
    open_ = [i for i, result in enumerate(final) if result.verdict == "inconclusive" and result.worsening is not None]
    for i, p in zip(open_, holm([_worse(final[i]) for i in open_]), strict=True):
        final[i] = _describe(final[i], p, len(open_), policy)
    order = list(EXIT_CODES)
    final.sort(key=lambda gate_result: (order.index(gate_result.verdict), gate_result.quantity))
    new = tuple(quantity for quantity in found if quantity not in held and policy.includes(quantity))
    return Gate(tuple(final), len(open_), new, policy.alpha, policy.mode, tuple(unused(policy, {*held, *found})))


def _by_protocol(takes: SeedsByProtocol, found: SeedsByProtocol) -> Iterator[tuple[SeedsByProtocol, SeedsByProtocol]]:
    """Each protocol of the baseline with the candidate's takes of it, or with those that the baseline has no protocol of:
    where a number was measured in two ways, each is measured."""
    for protocol, records in takes.items():
        theirs = {protocol} if protocol in found else set(found) - set(takes)
        yield {protocol: records}, {other: records for other, records in found.items() if other in theirs}


def _asked(held: dict[Quantity, SeedsByProtocol], policy: Policy) -> dict[Quantity, SeedsByProtocol]:
    """The numbers of a baseline that are measured, with their records that have values."""
    valued: dict[Quantity, SeedsByProtocol] = {}
    for quantity, by_protocol in held.items():
        known = {p: [record for record in records if record.value is not None] for p, records in by_protocol.items()}
        if kept := {protocol: records for protocol, records in known.items() if records}:
            valued[quantity] = kept
    if not valued:
        raise MissingError(
            "the baseline holds no measured number. Make one: bench gate accept --baseline FILE --candidate RUN"
        )
    lines_held = [record for takes in valued.values() for records in takes.values() for record in records]
    if all(Flag.SOURCES_UNKNOWN in record.flags for record in lines_held):
        raise MissingError(f"no number of the baseline can be measured. {NO_SOURCES}, and run it again.")
    if not any(record.replicates for record in lines_held):
        raise MissingError(
            "no line of the baseline keeps its values without each block of slides, which pairs are made of: it is older "
            "than they are, or has too few slides. Run it again, and accept that: bench gate accept --reason TEXT"
        )
    asked = {quantity: takes for quantity, takes in valued.items() if policy.includes(quantity)}
    if not asked:
        raise UsageError(f"the policy ignores each of the {len(valued)} numbers of the baseline.")
    return asked


def _first(
    quantity: Quantity, takes: SeedsByProtocol, found: SeedsByProtocol, made: Sequence[ResultRecord], policy: Policy
) -> GateResult:
    """What a number shows by itself; `inconclusive` where the test decides."""
    protocol = next((p for p in takes if p in found), "")
    records = takes[protocol or next(iter(takes))]
    before = sum(_value(record) for record in records) / len(records)
    margin = policy.margin_of(quantity, before)
    gate_result = GateResult(quantity, records[0].direction, "broken", baseline=before, margin=margin, n=records[0].n)
    if not found:
        return replace(gate_result, reason=_absence(quantity, made))
    if not protocol:
        reason = f"protocols differ: {difference(records[0], next(iter(found.values()))[0])}"
        return replace(gate_result, verdict="not-comparable", reason=reason)
    if policy.mode == "same-weights" and (other := _other_fits(records, found[protocol])):
        return replace(gate_result, verdict="not-comparable", reason=other)
    theirs = _counterparts(records, found[protocol], policy.mode)
    seeds = {record.seed for record in records}
    if missing_fits := [fit for fit, own in theirs.items() if not own]:
        return replace(gate_result, reason=f"the candidate lacks the fit {', '.join(missing_fits)}")
    for own in theirs.values():
        if missing := sorted(seeds - {record.seed for record in own}):
            return replace(gate_result, reason=f"the candidate lacks seed {', '.join(map(str, missing))}")
    now = [record for own in theirs.values() for record in own if record.seed in seeds]
    if failed := [record for record in now if record.value is None]:
        return replace(gate_result, reason=f"{failed[0].status} for seed {failed[0].seed}: {failed[0].reason}")
    gate_result = replace(gate_result, candidate=sum(map(_value, now)) / len(now))
    return _beside(gate_result, records, now, policy)


def _other_fits(before: list[ResultRecord], now: list[ResultRecord]) -> str:
    """Why the two sides are not of the same weights; empty where they are, or where one of them does not say and the other has
    one fit."""
    ours, theirs = ({name for record in side if (name := fit_name(record))} for side in (before, now))
    if ours & theirs or ((not ours or not theirs) and len(ours | theirs) < 2):
        return ""
    named = [", ".join(sorted(names)) or "not stated" for names in (ours, theirs)]
    return (
        f"other weights: the baseline's fits are {named[0]}, the candidate's {named[1]}. The mode same-method compares methods"
    )


def _counterparts(before: list[ResultRecord], now: list[ResultRecord], mode: Mode) -> dict[str, list[ResultRecord]]:
    """The candidate's records by fit: of the same weights those of the baseline's fits, of the same method all that it has.
    Records that do not say of which fit they are belong to the only fit of the other side."""
    known = all(fit_name(record) for record in (*before, *now))
    if not known:
        return {"": now}
    fits = dict.fromkeys(fit_name(record) for record in (before if mode == "same-weights" else now))
    return {fit: [record for record in now if fit_name(record) == fit] for fit in fits}


def _beside(gate_result: GateResult, before: list[ResultRecord], now: list[ResultRecord], policy: Policy) -> GateResult:
    """Two takes of the same seeds and protocol."""
    same = policy.mode == "same-weights"
    worsening = paired(now, before, same) if gate_result.direction == "lower" else paired(before, now, same)
    if equal(before, now):
        known = worsening if isinstance(worsening, Difference) else None
        return replace(gate_result, verdict="pass", reason="equal, bit by bit", worsening=known, worst=0.0)
    if isinstance(worsening, str):
        change = _largest_change(before, now)
        if same and change <= ROUNDING * gate_result.margin:
            return replace(
                gate_result, verdict="pass", reason=f"equal but for rounding: no seed differs by more than {change:.2g}"
            )
        short = [record.reason for record in (*before, *now) if Flag.UNDERPOWERED in record.flags and not record.replicates]
        verdict: Verdict = "inconclusive" if short else "not-comparable"
        return replace(gate_result, verdict=verdict, reason=short[0] if short else worsening)
    if not same and (few := [fits for fits in worsening.fits if 0 < fits < FITS]):
        reason = (
            f"these weights: {few[0]} fit a side says nothing of the method, {FITS} are needed (bench run --fit-seeds 0,1,2)"
        )
        return replace(gate_result, verdict="inconclusive", reason=reason)
    changed = same and _are_known_to_differ(before, now)
    gate_result = replace(gate_result, has_other_weights=changed)
    return replace(gate_result, verdict="inconclusive", worsening=worsening, worst=_bound(worsening, policy.alpha))


def _largest_change(before: list[ResultRecord], now: list[ResultRecord]) -> float:
    """The largest difference of a seed's value; infinite where the two sides have other seeds."""
    ours, theirs = ({(record.seed, fit_name(record)): _value(record) for record in side} for side in (before, now))
    return max((abs(ours[key] - theirs[key]) for key in ours), default=0.0) if ours.keys() == theirs.keys() else math.inf


def _are_known_to_differ(before: list[ResultRecord], now: list[ResultRecord]) -> bool:
    """Whether a fit of one name has other weights on the two sides."""
    ours, theirs = ({fit_name(record): record.fit.get("weights") for record in side} for side in (before, now))
    return any(ours[fit] != theirs[fit] for fit in set(ours) & set(theirs) if ours[fit] and theirs[fit])


def _describe(gate_result: GateResult, p: float, tested: int, policy: Policy) -> GateResult:
    """The verdict of the test."""
    worsening, worst = gate_result.worsening, gate_result.worst
    assert worsening is not None and worst is not None
    gate_result = replace(gate_result, p=p)
    if worsening.seeds < policy.seeds:
        return replace(gate_result, reason=f"{worsening.seeds} of the {policy.seeds} seeds that the policy asks for")
    gate_result = replace(gate_result, visible=_visible(worsening, gate_result.margin, tested, policy.alpha))
    if worst < gate_result.margin:
        return replace(gate_result, verdict="pass")
    if p < policy.alpha and gate_result.has_other_weights:
        return replace(gate_result, reason=OTHER_WEIGHTS)
    if p < policy.alpha:
        return replace(gate_result, verdict="regress")
    return replace(gate_result, reason="neither shown to be worse nor shown to lie within the margin")


def _absence(quantity: Quantity, made: Sequence[ResultRecord]) -> str:
    """Why the candidate lacks a number, if one of its records gives a reason."""
    near = [
        record
        for record in made
        if (record.generator, record.task, record.dataset) == (quantity.generator, quantity.task, quantity.dataset)
    ]
    beside = quantity.measure.partition(" ")[2]
    for record in near:
        if record.status != Status.OK and (record.encoder or record.mix) == beside:
            return f"{record.status}: {record.reason}"
    return "the candidate lacks this number" if near else f"the candidate has no {quantity.generator} here"


def _worse(gate_result: GateResult) -> float:
    """p-value of the hypothesis that the candidate is not worse."""
    assert gate_result.worsening is not None
    return gate_result.worsening.above(0.0)


def _bound(worsening: Difference, alpha: float) -> float:
    return worsening.value + _quantile(worsening.freedom, 1 - alpha) * worsening.error


def _visible(worsening: Difference, margin: float, tested: int, alpha: float) -> float:
    """A true worsening that is seen with `POWER`: its estimate passes both thresholds of a regression.

    The first is Holm's strictest, alpha over all numbers tested; the second that the bound reaches the margin. The error is
    taken as found here.
    """
    sure = _quantile(worsening.freedom, 1 - alpha / tested) * worsening.error
    beyond = margin - _quantile(worsening.freedom, 1 - alpha) * worsening.error
    return max(sure, beyond) + _quantile(worsening.freedom, POWER) * worsening.error


def _quantile(freedom: float, share: float) -> float:
    """Student's."""
    from scipy.special import stdtrit  # not at the top: `bench --help` should not wait for it

    return float(stdtrit(freedom, share)) if math.isfinite(freedom) else NormalDist().inv_cdf(share)


def _value(record: ResultRecord) -> float:
    assert record.value is not None
    return record.value
