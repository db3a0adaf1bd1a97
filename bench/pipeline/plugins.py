"""Plug-ins as references in jobs: a worker builds each once, and loads its weights once."""

from __future__ import annotations

import inspect
import re
import shlex
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from bench import registry
from bench.errors import BrokenPluginError, UsageError
from bench.jobs.outcomes import EarlierFailure, JobError, failure_of
from bench.jobs.store import EntryRef, Store
from bench.types import Card, Fittable, ReadsCheckpoint, StatesFits

_MODELS_KEPT = 4
"""Models with weights that one process keeps; the least recently used is dropped first."""


@dataclass(frozen=True)
class Plugin:
    """A plug-in by kind, name and options, from which any process builds the same object."""

    kind: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()
    failure: JobError | None = field(default=None, compare=False)
    """The error that importing, building or describing it raised; None for a plug-in that works."""
    card: Card | None = field(default=None, compare=False)
    """All that is used of a plug-in that failed in a way that leaves nothing of its class to use; None for others."""

    def build(self) -> Any:
        """The object, the same one each time in one process. For a plug-in that failed, a stand-in whose methods raise."""
        return _build(self) if self.failure is None else _stand_in(self, self.failure)

    @property
    def label(self) -> str:
        """What result records call it: `timm:resnet18`."""
        return registry.label(self.kind, self.name, self.build()) if self.card is None else self.card.name

    def build_anew(self) -> Any:
        """A new object, for a caller that changes its state by training."""
        if self.failure is not None:
            raise EarlierFailure(self.failure)
        return registry.load(self.kind, self.name, **dict(self.options))

    def broken_by(self, error: BaseException) -> Plugin:
        """The same plug-in, each use of which raises this error: its records are planned, and have it as their reason."""
        return replace(self, failure=failure_of(EntryRef(self.kind, self.name), error).error)

    def not_imported(self, error: BrokenPluginError) -> Plugin:
        """The same for a plug-in of which nothing is known but its name. It keeps no options: nothing says what they mean."""
        path, _, name = self.name.partition(":")
        card = Card(name if registry.is_file(self.name) and name else self.name, "unknown", "It cannot be imported.")
        return replace(self.broken_by(error), options=(), card=card)

    def reduced(self) -> Plugin:
        """The same for a plug-in that failed, and whose class raises even where nothing but its members is looked at."""
        return replace(self, card=registry.card(self.kind, self.name))


def has_fits(built: Any) -> bool:
    """Whether another fit seed would give another generator, or one fit is given."""
    if isinstance(built, ReadsCheckpoint) and built.checkpoint is not None:
        return True
    return isinstance(built, Fittable) and not (isinstance(built, StatesFits) and not built.has_fits)


def refuse_plugin_files(held: Any, where: str, allowed: Iterable[Path] = ()) -> None:
    """Raises UsageError if a text in plain data from a file names a plug-in file that is not among the allowed ones.

    Whoever reads names from a manifest, a suite or another file that may be a stranger's calls this before it uses one of
    them. Every text counts, not only names of plug-ins: values of options name plug-ins too.
    """
    known = {path.resolve() for path in allowed}
    for name in _plugin_files(held):
        if Path(name).resolve() not in known:
            raise UsageError(
                f"{where} names the plug-in file {name!r}, and code that a file from elsewhere names is not run by itself. "
                f"Read the code; then give --allow-plugin {shlex.quote(name)}, or install it as a package."
            )


def _plugin_files(held: Any) -> Iterator[str]:
    """Everything in plain data that may become a plug-in file: also the argument in a name, and one of several values."""
    if isinstance(held, str):
        yield from (part for word in re.split("[,:]", held) if (part := word.strip()).endswith(".py"))
    elif isinstance(held, Mapping):
        for name, value in held.items():
            yield from (*_plugin_files(name), *_plugin_files(value))
    elif isinstance(held, list | tuple):
        for value in held:
            yield from _plugin_files(value)


def find_installed(kind: str, name: str) -> type[Any] | None:
    """The class of a plug-in that an installed package provides, for names from records; None for every other name."""
    if registry.is_file(name) or name.partition(":")[0] not in registry.names(kind):
        return None
    return registry.find(kind, name)[0]


@dataclass(frozen=True)
class WeightsRef:
    """Where weights are: a folder inside the package, an entry of the store, or nowhere for a plug-in that has none."""

    folder: Path | None = None
    entry: EntryRef | None = None

    def path(self, store: Store) -> Path | None:
        """The folder to load from. Files of an entry are checked first; DamagedEntry where one is not what was written."""
        if self.entry is None:
            return self.folder
        return store.folder(self.entry)


def load_model(plugin: Plugin, weights: WeightsRef, store: Store) -> Any:
    """The plug-in with its weights, ready to use; built once for each pair in a process."""
    if weights == WeightsRef():
        return plugin.build()
    return _load_model(plugin, weights, store)


def forget() -> None:
    """Drops all built plug-ins, so that changed files are read again. Called at the start of a command."""
    _build.cache_clear()
    _load_model.cache_clear()


@cache
def _build(plugin: Plugin) -> Any:
    return plugin.build_anew()


_PLANNING_ABILITIES = ("set_seeds", "of_seed", "check_conditions", "check_patches")
"""Abilities that planning calls; a generator that failed has none of them."""


def _stand_in(plugin: Plugin, failure: JobError) -> Any:
    """An object of the plug-in's class with its class attributes and the given options, which is enough for planning. Each of
    its methods and properties raises the failure."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise EarlierFailure(failure)

    if plugin.card is not None:
        return _unknown(plugin.card, refuse)
    cls, values = registry.arguments(plugin.kind, plugin.name, dict(plugin.options))
    members: dict[str, Any] = {}
    for name, member in inspect.getmembers_static(cls):
        if not name.startswith("__") and (inspect.isfunction(member) or isinstance(member, property)):
            members[name] = property(refuse) if isinstance(member, property) else refuse
    members |= {name: None for name in _PLANNING_ABILITIES if name in members}
    members |= {"digest": ""} if "digest" in members else {}
    members |= {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    made: Any = object.__new__(types.new_class(cls.__name__, (cls,), exec_body=lambda namespace: namespace.update(members)))
    options = {name: option.default for name, option in registry.parameters(cls).items() if option.default is not option.empty}
    vars(made).update({**options, **values})
    return made


def _unknown(card: Card, refuse: Callable[..., Any]) -> Any:
    """An object with the card and nothing else that works: what planning asks of generators, encoders and metrics raises."""
    members: dict[str, Any] = {name: refuse for name in ("generate", "encode", "minimum_n", "compare")}
    members |= {name: property(refuse) for name in ("dim", "direction")}
    return type("Unknown", (), {**members, "card": card, "__module__": __name__})()


@lru_cache(maxsize=_MODELS_KEPT)
def _load_model(plugin: Plugin, weights: WeightsRef, store: Store) -> Any:
    built = plugin.build_anew()
    folder = weights.path(store)
    if folder is not None and isinstance(built, Fittable):
        built.load(folder)
    return built
