"""Classes and objects of the plug-ins of a run. One of several that is broken costs its own records and no others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from bench import registry
from bench.errors import BenchError, BrokenPluginError, UsageError, did_you_mean
from bench.messages import shorten
from bench.pipeline.checks import check_direction
from bench.pipeline.plugins import Plugin, has_fits
from bench.runtime.plugin_code import is_interruption
from bench.types import ConditionMetric, ReadsOneEncoder, RepeatMetric, SweepMetric, TrainingMix

_Answer = TypeVar("_Answer")


class Classes:
    """The classes of generators, encoders and metrics."""

    def __init__(self) -> None:
        self.broken: dict[tuple[str, str], BrokenPluginError] = {}
        """(kind, name) -> why it cannot be used."""

    def find(self, kind: str, name: str) -> Any:
        """The class; None if it is broken, which is tried once."""
        return self._ask(kind, name, lambda: registry.find(kind, name)[0], None)

    def declared_options(self, kind: str, name: str) -> set[str]:
        """The names of its options; none if it is broken."""
        return self._ask(kind, name, lambda: declared_options(kind, name), set())

    def encoder_of(self, metric: str) -> str:
        """The encoder that a metric always reads; empty if it reads any, or is broken."""

        def ask() -> str:
            found = registry.find("metrics", metric)[0]
            name = found.encoder if isinstance(found, ReadsOneEncoder) else ""
            if not isinstance(name, str) or (name and not registry.is_known("encoders", name)):
                raise BrokenPluginError(f"{metric!r} reads the encoder {name!r}, which does not exist.")
            return name

        return self._ask("metrics", metric, lambda: asked_of("metrics", metric, ask), "")

    def require_one(self, kind: str, names: Iterable[str]) -> None:
        """Raises the error of the first if all are broken."""
        errors = [self.broken.get((kind, name)) for name in names]
        if errors and errors[0] is not None and all(errors):
            raise errors[0]

    def _ask(self, kind: str, name: str, ask: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        if (kind, name) in self.broken:
            return otherwise
        try:
            return ask()
        except BrokenPluginError as error:
            self.broken[kind, name] = error
            return otherwise


def asked_of(kind: str, name: str, ask: Callable[[], _Answer]) -> _Answer:
    """What a plug-in answers. BrokenPluginError if it raises anything that is no error of the user."""
    try:
        return ask()
    except BenchError:
        raise
    except BaseException as error:
        if is_interruption(error):
            raise
        raise BrokenPluginError(
            f"the {kind.removesuffix('s').replace('_', ' ')} {shorten(name, 300)!r} is broken: "
            f"{registry.describe_plugin_error(error)}."
        ) from error


def try_plugin(plugin: Plugin, broken: BrokenPluginError | None = None) -> Plugin:
    """The plug-in, built and described once. If that raises, its own records are errors and no others. Errors of the user are
    passed on, and BrokenPluginError of a dataset, on which everything is measured, or a task that does not say what it trains
    on. `broken`: why it cannot be imported."""
    if broken is not None:
        return plugin.not_imported(broken)
    if plugin.kind == "datasets":
        asked_of(plugin.kind, plugin.name, lambda: _try(plugin))
        asked_of(plugin.kind, plugin.name, lambda: _check_dataset(plugin.build()))
        return plugin
    try:
        _try(plugin)
    except BenchError:
        raise
    except BaseException as error:
        if is_interruption(error):
            raise
        plugin = _usable(plugin.broken_by(error))
    if plugin.kind == "tasks":
        asked_of(plugin.kind, plugin.name, lambda: _check_task(plugin.build()))
    return plugin


def _usable(plugin: Plugin) -> Plugin:
    """A plug-in that failed, reduced to its card if even a description of it fails."""
    try:
        registry.describe(plugin.build())
    except Exception:
        return plugin.reduced()
    return plugin


def _try(plugin: Plugin) -> None:
    built = plugin.build()
    with suppress(BenchError):  # missing weights: its records give the reason
        json.dumps(registry.describe(built))
    _ = plugin.label
    has_fits(built)
    if plugin.kind == "metrics" and isinstance(built, ConditionMetric):
        built.directions.items()
    if plugin.kind == "metrics" and isinstance(built, SweepMetric):
        built.sweeps.items()
    if plugin.kind == "metrics" and isinstance(built, RepeatMetric):
        built.measures.items()


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset.provides, str) or not all(isinstance(column, str) for column in dataset.provides):
        raise TypeError(f"provides is {dataset.provides!r}, not a tuple of columns")


def _check_task(task: Any) -> None:
    check_direction("it", task.direction)
    if not isinstance(task.mixes, tuple) or not all(isinstance(mix, TrainingMix) for mix in task.mixes):
        raise TypeError(f"mixes is {task.mixes!r}, not a tuple of TrainingMix")


def declared_options(kind: str, name: str) -> set[str]:
    """The names of the options of a plug-in, without the one that its name carries."""
    cls, given = registry.find(kind, name)
    return set(list(asked_of(kind, name, lambda: registry.parameters(cls)))[len(given) :])


def route(options: Mapping[str, str], owners: Mapping[str, Mapping[str, set[str]]]) -> dict[tuple[str, str], dict[str, str]]:
    """(owner, plug-in) -> its options. A bare name belongs to the only owner that declares it; `owner.name` names the owner.

    All plug-ins of one owner (for example several encoders) that declare the option get it. Raises UsageError on a name that
    nothing declares, and on a bare name that several owners declare.
    """
    routed: dict[tuple[str, str], dict[str, str]] = {}
    for word, value in options.items():
        prefix, dot, name = word.rpartition(".")
        prefix = prefix if prefix in owners else prefix.casefold()
        if dot and prefix not in owners:
            for owner, named in owners.items():
                if prefix in named:
                    kind = "layout generator" if owner == "layouts" else owner
                    raise UsageError(
                        f"option {word!r}: options of the {kind} {prefix} are written -o {owner}.NAME=VALUE: give "
                        f"-o {owner}.{name}={value}."
                    )
            raise UsageError(f"option {word!r}: {prefix!r} owns no options.{did_you_mean(prefix, owners)}")
        takers = {
            owner: [plugin for plugin, declared in plugins.items() if name in declared]
            for owner, plugins in owners.items()
            if not dot or owner == prefix
        }
        takers = {owner: plugins for owner, plugins in takers.items() if plugins}
        if not takers:
            known = sorted({n for plugins in owners.values() for declared in plugins.values() for n in declared})
            raise UsageError(f"nothing in this run has an option {word!r}.{did_you_mean(name, known)} See: bench info NAME.")
        if len(takers) > 1:
            choices = " or ".join(f"-o {owner}.{name}={value}" for owner in takers)
            raise UsageError(f"option {name!r} is declared by {' and '.join(takers)}: write {choices}.")
        for owner, plugins in takers.items():
            for plugin in plugins:
                routed.setdefault((owner, plugin), {})[name] = value
    return routed
