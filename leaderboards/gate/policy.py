"""What a gate tolerates: a margin for each measure, and what it does not look at. Read from TOML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, Literal, get_args

from bench.errors import MissingError, UsageError, did_you_mean
from bench.files import typed_toml
from bench.files.regular import is_there
from bench.results.identity import Quantity

Mode = Literal["same-weights", "same-method"]
MODES: tuple[Mode, ...] = get_args(Mode)
FOLDER = Path(__file__).parents[1] / "policies"
DEFAULT = "default"


@dataclass(frozen=True)
class Margin:
    """How much worse measures that match a pattern may become."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    measures: str
    """A pattern of measures with their encoder or training mix, e.g. `fd *`."""
    absolute: float | None = None
    """In units of the measure."""
    relative: float | None = None
    """As a share of the baseline's value."""
    optional: bool = False
    """Whether the rule may match nothing: one that serves many baselines."""

    def of(self, baseline: float) -> float:
        """The larger of the two: a share of next to nothing is less than what another processor rounds differently."""
        return max(self.absolute or 0.0, (self.relative or 0.0) * abs(baseline))


@dataclass(frozen=True)
class Ignore:
    """Patterns of what is not measured."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    generators: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    optional: bool = False
    """Whether patterns may match nothing."""


@dataclass(frozen=True)
class Policy:
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    margin: tuple[Margin, ...]
    """The first that matches holds."""
    mode: Mode = "same-weights"
    """`same-weights`: has code or sampler changed the numbers of the same weights? `same-method`: are other fits of the
    method worse?"""
    alpha: float = 0.05
    """Error of the whole gate in calling a regression, and of each measure in being shown to lie within its margin."""
    seeds: int = 2
    """Below so many a measure is measured by equality alone."""
    ignore: Ignore = field(default_factory=Ignore)

    def includes(self, quantity: Quantity) -> bool:
        """Whether the gate looks at a quantity at all."""
        spared = (*(fnmatchcase(quantity.generator, p) for p in self.ignore.generators),)
        return not any((*spared, *(fnmatchcase(quantity.measure, p) for p in self.ignore.measures)))

    def margin_of(self, quantity: Quantity, baseline: float) -> float:
        """In units of the measure; raises UsageError where no rule matches."""
        for rule in self.margin:
            if fnmatchcase(quantity.measure, rule.measures):
                return rule.of(baseline)
        raise UsageError(f'the policy has no margin for {quantity.measure!r}. Add a last rule: [[margin]] measures = "*".')


def unused(policy: Policy, numbers: Iterable[Quantity]) -> list[str]:
    """What is wrong with each rule that decides no number and is not optional, a sentence each."""
    known = list(numbers)
    text = []
    for kind, patterns in (("generators", policy.ignore.generators), ("measures", policy.ignore.measures)):
        names = [quantity.generator if kind == "generators" else quantity.measure for quantity in known]
        for pattern in patterns if not policy.ignore.optional else ():
            if not any(fnmatchcase(name, pattern) for name in names):
                text.append(f"[ignore] {kind} {pattern!r} matches nothing.{did_you_mean(pattern, set(names))}")
    measured = {quantity.measure for quantity in known if policy.includes(quantity)}
    left = set(measured)
    for place, rule in enumerate(policy.margin, start=1):
        if rule.measures == "*" and place == len(policy.margin):
            break  # it takes what is left, and nothing need be
        matched = {measure for measure in measured if fnmatchcase(measure, rule.measures)}
        if not matched & left and not rule.optional:
            near = did_you_mean(rule.measures, measured)
            why = "every measure that it matches has an earlier rule" if matched else f"it matches no measure.{near}"
            text.append(f"[[margin]] {rule.measures!r} holds for nothing: {why}")
        left -= matched
    return text


def read(asked: str = DEFAULT) -> Policy:
    """The shipped policy of a name, or that of a file; raises MissingError or UsageError, naming the file and the fault."""
    path = _file(asked)
    policy = typed_toml.read(path, Policy, "policy")
    if not 0 < policy.alpha < 0.5 or policy.seeds < 1:
        raise UsageError(
            f"{path}: alpha lies between 0 and 0.5 and seeds is at least 1, found {policy.alpha} and {policy.seeds}."
        )
    for rule in policy.margin:
        given = [margin for margin in (rule.absolute, rule.relative) if margin is not None]
        if not given or not all(0 <= margin < float("inf") for margin in given):
            raise UsageError(f"{path}: {rule.measures!r} needs a margin, absolute or relative or both, of 0 or more.")
    return policy


def _file(asked: str) -> Path:
    if asked.endswith(".toml"):
        if not is_there(Path(asked)):
            raise MissingError(f"no policy {asked}. The shipped one is {FOLDER / DEFAULT}.toml: copy it and change the copy.")
        return Path(asked)
    known = sorted(path.stem for path in FOLDER.glob("*.toml"))
    if asked not in known:
        raise UsageError(
            f"no policy {asked!r}.{did_you_mean(asked, known)} There are: {', '.join(known)}; or give a file.toml."
        )
    return FOLDER / f"{asked}.toml"
