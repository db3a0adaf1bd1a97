"""What layouts of polygons share: their classes, what is outside of them, and maps that are drawn when they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, UsageError, did_you_mean
from bench.files import json_files
from bench.messages import listed_names
from tasks.datasets.importing import polygons
from tasks.datasets.importing.pairing import OUTSIDE_IGNORED, Computed, ImportOptions
from tasks.datasets.pixels import IGNORE

LARGEST_JSON = 2**29
"""Bytes of a JSON file."""


@dataclass(frozen=True)
class ClassTable:
    """Names of annotated classes, and the numbers that they get."""

    classes: tuple[str, ...]
    """Of the class numbers 0, 1, ...; for nuclei 0 is background."""
    outside: int
    """Class where no polygon is."""

    @classmethod
    def make(cls, names: Sequence[str], options: ImportOptions) -> ClassTable:
        """Classes in the order of `--classes`, or of the source. Raises UsageError if `--classes` and the source disagree."""
        found = list(dict.fromkeys(names))
        if not found:
            raise DamagedError(f"{options.source} has no annotation with a class.")
        if options.kind == "nuclei":
            if options.outside != OUTSIDE_IGNORED:
                raise UsageError("--outside is for class maps: in maps of nuclei what is outside is background.")
            return cls(("background", *_ordered(found, options.classes)), 0)
        named = options.outside not in (OUTSIDE_IGNORED, *found)
        ordered = _ordered([options.outside, *found] if named else found, options.classes)
        outside = IGNORE if options.outside == OUTSIDE_IGNORED else ordered.index(options.outside)
        return cls(tuple(ordered), outside)

    def number(self, name: str) -> int:
        """The number of a class."""
        return self.classes.index(name)

    def statements(self, options: ImportOptions) -> tuple[str, ...]:
        """The assumptions about pixels outside and about overlaps."""
        outside = (
            "not annotated (255): --outside CLASS makes them a class" if self.outside == IGNORE else self.classes[self.outside]
        )
        return (
            f"pixels that no polygon covers are {outside}",
            "a pixel belongs to a polygon that its centre lies in; of polygons that overlap the smaller one is seen",
        )


def _ordered(found: list[str], asked: tuple[str, ...]) -> list[str]:
    if not asked:
        return found
    if unknown := [name for name in asked if name not in found]:
        raise UsageError(
            f"--classes names {unknown[0]!r}.{did_you_mean(unknown[0], found)} "
            f"Those of the source are {listed_names(found, 30)}."
        )
    if absent := [name for name in found if name not in asked]:
        raise UsageError(
            f"--classes lacks {listed_names(absent, 30)} of the source. "
            f"Give all of {listed_names(found, 30)} in the wanted order."
        )
    return list(asked)


def polygon_map(make: Callable[[tuple[int, int]], Sequence[polygons.Shape]], table: ClassTable, where: str) -> Computed:
    """A map of polygons that `make` gives for height and width."""

    def draw(size: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        return polygons.draw(make(size), size, table.outside, where)

    return Computed(where, draw)


def read_json(path: Path) -> Any:
    """The content of a JSON file of limited size."""
    if path.stat().st_size > LARGEST_JSON:
        raise DamagedError(f"{path} has more than {LARGEST_JSON} bytes, more than is read.")
    return json_files.read(path)
