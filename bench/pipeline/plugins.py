"""Plug-ins as jobs name them: a worker builds each once, and loads weights into it once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from bench import registry
from bench.jobs.store import EntryRef, Store
from bench.types import Fittable

_MODELS_KEPT = 4
"""Models with weights that one process keeps built; the least used is dropped first."""


@dataclass(frozen=True)
class Plugin:
    """A plug-in by kind, name and options, from which any process builds the same object."""

    kind: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def build(self) -> Any:
        """The object, the same one each time in one process."""
        return _build(self)

    @property
    def label(self) -> str:
        """What result records call it: `timm:resnet18`."""
        return registry.label(self.kind, self.name, self.build())

    def build_anew(self) -> Any:
        """An object of its own, for a caller that changes its state (trains it)."""
        return registry.load(self.kind, self.name, **dict(self.options))


@dataclass(frozen=True)
class WeightsRef:
    """Where weights are: a folder inside the package, an entry of the store, or nowhere for a plug-in that has none."""

    folder: Path | None = None
    entry: EntryRef | None = None

    def path(self, store: Store) -> Path | None:
        """The folder to load from. Files of an entry are checked first; DamagedEntry where one is not what was written."""
        if self.entry is None:
            return self.folder
        for name in store.names(self.entry):
            store.file(self.entry, name)
        return store.path(self.entry)


def load_model(plugin: Plugin, weights: WeightsRef, store: Store) -> Any:
    """The plug-in with its weights, ready to use; built once for each pair in a process."""
    if weights == WeightsRef():
        return plugin.build()
    return _load_model(plugin, weights, store)


def forget() -> None:
    """Drops what was built, so that files which changed since are read again. A command begins with this."""
    _build.cache_clear()
    _load_model.cache_clear()


@cache
def _build(plugin: Plugin) -> Any:
    return plugin.build_anew()


@lru_cache(maxsize=_MODELS_KEPT)
def _load_model(plugin: Plugin, weights: WeightsRef, store: Store) -> Any:
    built = plugin.build_anew()
    folder = weights.path(store)
    if folder is not None and isinstance(built, Fittable):
        built.load(folder)
    return built
