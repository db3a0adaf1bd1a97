"""A plug-in under test, the checks that every kind shares, and the function that runs checks and keeps their outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

from bench import registry
from bench.contracts.mock import mock
from bench.errors import BenchError, UsageError
from bench.runtime.plugin_code import is_interruption
from bench.types import Card, Conditions, HasCard, HasSmallInstance, ImageSet, Tolerance

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """One check of one plug-in."""

    name: str
    status: Status
    reason: str = ""


class Broken(Exception):
    """The plug-in does not do what its kind must do."""


class Skip(Exception):
    """The check does not apply to this plug-in."""


@dataclass
class PluginCase:
    """A plug-in under test. Costly results are computed once; an error counts for the check that needs them first."""

    make: Callable[..., Any]
    name: str
    size: int

    @cached_property
    def plugin(self) -> Any:
        return self.make()

    def small(self) -> Any:
        """A new object: the small one of its class if that offers one and no options were given."""
        cls = type(self.plugin)
        return cls.trial() if isinstance(cls, HasSmallInstance) and not self._has_options() else self.make()

    def _has_options(self) -> bool:
        """Whether the plug-in has options with other values than their defaults."""
        known = registry.parameters(type(self.plugin))
        kept = registry.option_values(self.plugin)
        return any(kept[n] != p.default for n, p in known.items() if n in kept and p.default is not p.empty)

    @cached_property
    def real(self) -> ImageSet:
        return mock(self.size)


_Kind = TypeVar("_Kind", bound=PluginCase)
Check = Callable[[_Kind], str | None]
"""Returns what there is to say of a plug-in that passes, or nothing."""


def run_checks(case: _Kind, checks: Sequence[Check[_Kind]], essential: Sequence[Check[_Kind]]) -> list[Outcome]:
    """Outcomes of all checks, in order. Once an essential one fails the rest is skipped: it would fail as well."""
    outcomes: list[Outcome] = []
    broken = ""
    for check in checks:
        outcome = Outcome(check.__name__, "skipped", broken) if broken else _outcome(check, case)
        if check in essential and outcome.status == "failed":
            broken = f"{check.__name__} failed"
        outcomes.append(outcome)
    return outcomes


def _outcome(check: Check[_Kind], case: _Kind) -> Outcome:
    try:
        passed = Outcome(check.__name__, "passed", check(case) or "")
    except Skip as reason:
        return Outcome(check.__name__, "skipped", str(reason))
    except (Broken, BenchError) as reason:
        return Outcome(check.__name__, "failed", str(reason))
    except BaseException as error:  # a plug-in may raise anything; its author needs the place
        if is_interruption(error):
            raise
        return Outcome(check.__name__, "failed", registry.describe_plugin_error(error))
    return passed


def builds(case: PluginCase) -> None:
    """It can be built with its defaults."""
    _ = case.plugin


def card_complete(case: PluginCase) -> None:
    """Its class has a card with name (the registered one), version, summary, licence, and needs that are columns."""
    cls = type(case.plugin)
    if not isinstance(cls, HasCard) or not isinstance(cls.card, Card):
        raise Broken("the class has no attribute card = Card(...)")
    card = cls.card
    if card.tolerance not in get_args(Tolerance):
        raise Broken(f"tolerance of its card is {card.tolerance!r}, not one of {', '.join(get_args(Tolerance))}")
    if empty := [field for field in ("name", "version", "summary", "licence") if not getattr(card, field)]:
        raise Broken(f"the card lacks {', '.join(empty)}")
    columns = {field.name for field in fields(Conditions)}
    if unknown := [column for column in card.needs if column not in columns]:
        raise Broken(f"the card needs {', '.join(unknown)}, which is no column of Conditions")
    if case.name and not _from_file(case.name) and case.name.partition(":")[0].casefold() != card.name.casefold():
        raise Broken(f"it is registered as {case.name!r} and the name on its card is {card.name!r}")


def options_kept(case: PluginCase) -> None:
    """Options are named, annotated, kept as attributes and serialisable for a key; defaults can be given explicitly."""
    known = registry.parameters(type(case.plugin))
    for option, parameter in known.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise Broken(f"its constructor takes {parameter}: name every option")
        if parameter.annotation is parameter.empty:
            raise Broken(f"option {option} has no annotation")
    carried = list(known)[:1] if ":" in case.name and not _from_file(case.name) else []
    defaults = {o: p.default for o, p in known.items() if p.default is not p.empty and o not in carried}
    again = case.make(**defaults)
    try:
        kept = registry.option_values(again)
    except AttributeError as error:
        raise Broken(f"option {error.name} is not kept as an attribute") from error
    if changed := [option for option, value in defaults.items() if option in kept and kept[option] != value]:
        raise Broken(f"{', '.join(changed)} is not kept as it was given")
    try:
        json.dumps(registry.describe(again))
    except TypeError as error:
        raise Broken(f"its options cannot be part of a key: {error}") from error


def unknown_option_refused(case: PluginCase) -> None:
    """An option that it does not have is refused."""
    try:
        case.make(no_such_option=1)
    except (UsageError, TypeError):  # the registry's refusal, and a bare constructor's own
        return
    raise Broken("an unknown option is accepted without an error")


def batches(n: int) -> dict[str, list[list[int]]]:
    """Ways to cut n rows into batches: name -> lists of rows."""
    rows = list(range(n))
    return {
        "one by one": [[row] for row in rows],
        "in sevens": [rows[start : start + 7] for start in range(0, n, 7)],
        "in reverse": [rows[::-1]],
    }


def _from_file(name: str) -> bool:
    return name.partition(":")[0].endswith(".py")


COMMON: tuple[Check[Any], ...] = (builds, card_complete, options_kept, unknown_option_refused)
