"""Which number a line is a take of, and what keeps two takes of one number from being compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.errors import UsageError
from bench.results.protocols import OWN, column, entries
from bench.results.schema import ResultRecord

Takes = dict[str, list[ResultRecord]]
"""protocol -> lines of one number, one a seed."""


@dataclass(frozen=True, order=True)
class Number:
    """What stays the same when a generator is run again."""

    task: str
    dataset: str
    prompt_source: str
    generator: str
    measure: str
    """With its encoder or training mix, e.g. `fd texture`."""
    experiment: str = ""

    def __str__(self) -> str:
        beside = "".join(f", {word}" for word in (self.prompt_source, self.experiment) if word not in ("", "none"))
        return f"{self.generator}: {self.measure} ({self.task} on {self.dataset}{beside})"


def of(line: ResultRecord) -> Number:
    experiment = line.described.get("experiment", {}).get("name", "")
    return Number(line.task, line.dataset, line.prompt_source, line.generator, column(line), experiment)


def grouped(lines: Iterable[ResultRecord], what: str) -> dict[Number, Takes]:
    """Lines by number and protocol, in the order of the numbers. Each number is given once: see `identity.each_once`.

    Reported numbers are no takes of ours, and measures without a direction are no better or worse: both are left out.
    `what` names the lines in the UsageError that is raised where one name stands for generators of several options.
    """
    found: dict[tuple[Number, str, int], ResultRecord] = {}
    for line in sorted(lines, key=lambda r: r.stamp.get("made", "")):
        if line.state == "reported" or line.direction == "none":
            continue
        key = (of(line), line.protocol, line.seed)
        before = found.get(key)
        if before is not None and (other := _otherwise(before, line)):
            raise UsageError(
                f"{what}: {line.generator} was run with more than one set of options ({'; '.join(other)}). "
                "Name the folder or the file of the one run that is meant."
            )
        found[key] = line
    takes: dict[Number, Takes] = {}
    for (number, protocol, _), line in sorted(found.items(), key=lambda item: item[0]):
        takes.setdefault(number, {}).setdefault(protocol, []).append(line)
    return takes


def _otherwise(one: ResultRecord, other: ResultRecord) -> list[str]:
    """In what two generators of one name differ: options, version, content, layouts or weights."""
    weights = [result.keys.get("weights", "none") for result in (one, other)]
    differing = [f"weights: {weights[0]} and {weights[1]}"] if weights[0] != weights[1] else []
    return entries(one.described, other.described, OWN) or differing


def equal(first: list[ResultRecord], second: list[ResultRecord]) -> bool:
    """Whether two takes agree bit by bit: the same seeds, values and values without each block of slides."""
    ours, theirs = ({line.seed: (line.value, line.replicates, line.protocol) for line in lines} for lines in (first, second))
    return ours == theirs and all(line.value is not None for line in first)


def holm(p_values: list[float]) -> list[float]:
    """Holm's (1979) step-down adjustment: at most alpha of families hold a false finding where each is below alpha."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(p_values), 0.0
    for step, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - step) * p_values[i]))
        adjusted[i] = least
    return adjusted
