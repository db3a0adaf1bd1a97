"""Which number a line is a take of, and what keeps two takes of one number from being compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError
from bench.results import Result

Takes = dict[str, list[Result]]
"""protocol -> lines of one number, one a seed."""
OWN = ("generator", "layouts")
"""Entries of `described` in which two lines of one protocol may differ."""


@dataclass(frozen=True, order=True)
class Number:
    """What stays the same when a generator is run again."""

    task: str
    dataset: str
    track: str
    generator: str
    measure: str
    """With its encoder or diet, e.g. `fd texture`."""
    experiment: str = ""

    def __str__(self) -> str:
        beside = "".join(f", {word}" for word in (self.track, self.experiment) if word not in ("", "none"))
        return f"{self.generator}: {self.measure} ({self.task} on {self.dataset}{beside})"


def of(line: Result) -> Number:
    experiment = line.described.get("experiment", {}).get("name", "")
    measure = f"{line.measure} {line.encoder or line.diet}".strip()
    return Number(line.task, line.dataset, line.track, line.generator, measure, experiment)


def grouped(lines: Iterable[Result], what: str) -> dict[Number, Takes]:
    """Lines by number and protocol, in the order of the numbers: of a line that was made twice the later one.

    Reported numbers are no takes of ours, and measures without a direction are no better or worse: both are left out.
    `what` names the lines in the UsageError that is raised where one name stands for generators of several options.
    """
    found: dict[tuple[Number, str, int], Result] = {}
    for line in sorted(lines, key=lambda r: r.stamp.get("made", "")):
        if line.state == "reported" or line.direction == "none":
            continue
        key = (of(line), line.protocol, line.seed)
        before = found.get(key)
        if before is not None and (other := entries(before.described, line.described, OWN)):
            raise UsageError(
                f"{what}: {line.generator} was run with more than one set of options ({'; '.join(other)}). "
                "Name the folder or the file of the one run that is meant."
            )
        found[key] = line
    takes: dict[Number, Takes] = {}
    for (number, protocol, _), line in sorted(found.items(), key=lambda item: item[0]):
        takes.setdefault(number, {}).setdefault(protocol, []).append(line)
    return takes


def difference(first: Result, second: Result) -> str:
    """Why two lines of one measure differ in protocol, as far as they tell."""
    kinds = sorted({*first.described, *second.described} - set(OWN))
    if found := entries(first.described, second.described, kinds):
        return "; ".join(found)
    sizes = {"n": (first.n, second.n), "n_real": (first.n_real, second.n_real), "slides": (first.groups, second.groups)}
    sizes = {name: pair for name, pair in sizes.items() if pair[0] != pair[1]}
    if found := [f"{name}: {ours} and {theirs}" for name, (ours, theirs) in sizes.items()]:
        return "; ".join(found)
    for name, ours, theirs in (
        ("test patches", first.keys.get("test"), second.keys.get("test")),
        ("histobench", first.stamp.get("histobench"), second.stamp.get("histobench")),
    ):
        if ours != theirs:
            return f"{name}: {ours} and {theirs}"
    return f"protocol {first.protocol} and {second.protocol}, with nothing else in the lines that tells them apart"


def entries(first: Mapping[str, Any], second: Mapping[str, Any], kinds: Iterable[str]) -> list[str]:
    """Entries of two descriptions that differ, e.g. `dataset.options.size: 64 and 128`."""
    ours, theirs = ({k: v for kind in kinds for k, v in _flat(kind, side.get(kind, {}))} for side in (first, second))
    names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    return [f"{name}: {ours.get(name, 'none')} and {theirs.get(name, 'none')}" for name in names]


def _flat(name: str, held: Any) -> list[tuple[str, Any]]:
    if not isinstance(held, Mapping):
        return [(name, held)]
    return [pair for key, value in held.items() for pair in _flat(f"{name}.{key}", value)]


def equal(first: list[Result], second: list[Result]) -> bool:
    """Whether two takes agree bit by bit: the same seeds, values and values without each block of slides."""
    ours, theirs = ({line.seed: (line.value, line.folds, line.protocol) for line in lines} for lines in (first, second))
    return ours == theirs and all(line.value is not None for line in first)


def holm(p_values: list[float]) -> list[float]:
    """Holm's (1979) step-down adjustment: at most alpha of families hold a false finding where each is below alpha."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(p_values), 0.0
    for step, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - step) * p_values[i]))
        adjusted[i] = least
    return adjusted
