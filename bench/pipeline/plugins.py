"""Plug-ins as references in jobs: a worker builds each once, and loads its weights once."""

from __future__ import annotations

import inspect
import types
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from bench import registry
from bench.jobs.outcomes import EarlierFailure, JobError, failure_of
from bench.jobs.store import EntryRef, Store
from bench.types import Fittable

_MODELS_KEPT = 4
"""Models with weights that one process keeps; the least recently used is dropped first."""


@dataclass(frozen=True)
class Plugin:
    """A plug-in by kind, name and options, from which any process builds the same object."""

    kind: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()
    failure: JobError | None = field(default=None, compare=False)
    """The error that building or describing it raised; None for a plug-in that works."""

    def build(self) -> Any:
        """The object, the same one each time in one process. For a plug-in that failed, a stand-in whose methods raise."""
        return _build(self) if self.failure is None else _stand_in(self, self.failure)

    @property
    def label(self) -> str:
        """What result records call it: `timm:resnet18`."""
        return registry.label(self.kind, self.name, self.build())

    def build_anew(self) -> Any:
        """A new object, for a caller that changes its state by training."""
        if self.failure is not None:
            raise EarlierFailure(self.failure)
        return registry.load(self.kind, self.name, **dict(self.options))

    def broken_by(self, error: BaseException) -> Plugin:
        """The same plug-in, each use of which raises this error: its records are planned, and have it as their reason."""
        return replace(self, failure=failure_of(EntryRef(self.kind, self.name), error).error)


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


_PLANNING_ABILITIES = ("set_seeds", "of_seed", "check_conditions")
"""Abilities that planning calls; a generator that failed has none of them."""


def _stand_in(plugin: Plugin, failure: JobError) -> Any:
    """An object of the plug-in's class with its class attributes and the given options, which is enough for planning. Each of
    its methods and properties raises the failure."""
    cls, values = registry.arguments(plugin.kind, plugin.name, dict(plugin.options))

    def refuse(*_: Any, **__: Any) -> Any:
        raise EarlierFailure(failure)

    members: dict[str, Any] = {}
    for name, member in inspect.getmembers_static(cls):
        if not name.startswith("__") and (inspect.isfunction(member) or isinstance(member, property)):
            members[name] = property(refuse) if isinstance(member, property) else refuse
    members |= {name: None for name in _PLANNING_ABILITIES if name in members}
    members |= {"digest": ""} if "digest" in members else {}
    members |= {
        name: option.default for name, option in registry.parameters(cls).items() if option.default is not option.empty
    }
    members |= {**values, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return object.__new__(types.new_class(cls.__name__, (cls,), exec_body=lambda namespace: namespace.update(members)))


@lru_cache(maxsize=_MODELS_KEPT)
def _load_model(plugin: Plugin, weights: WeightsRef, store: Store) -> Any:
    built = plugin.build_anew()
    folder = weights.path(store)
    if folder is not None and isinstance(built, Fittable):
        built.load(folder)
    return built
