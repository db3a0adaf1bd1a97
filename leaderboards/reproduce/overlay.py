"""A store for what is recomputed, which takes some entries from the store of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.jobs.store import EntryRef, Store


@dataclass(frozen=True)
class Overlay(Store):
    """A store for recomputed entries under `root`, which reads entries of some kinds, and some entries, from another store."""

    base: Store = Store(Path())
    kinds: frozenset[str] = frozenset()
    taken: frozenset[EntryRef] = frozenset()

    def path(self, ref: EntryRef) -> Path:
        return self.base.path(ref) if self._is_taken(ref) else super().path(ref)

    def has(self, ref: EntryRef) -> bool:
        return self.base.has(ref) if self._is_taken(ref) else super().has(ref)

    def write(self, ref: EntryRef, spec: Any, make: Callable[[Path], None], resumable: bool = False) -> None:
        if self._is_taken(ref):
            self.base.write(ref, spec, make, resumable)
        else:
            super().write(ref, spec, make, resumable)

    def remove(self, ref: EntryRef) -> None:
        """A damaged entry of the other store is kept, since it is what is checked."""
        if not self._is_taken(ref):
            super().remove(ref)

    def hold(self, refs: Iterable[EntryRef]) -> None:
        """Entries of the other store are used too."""
        self.base.hold(refs)

    def _is_taken(self, ref: EntryRef) -> bool:
        return ref.kind in self.kinds or ref in self.taken
