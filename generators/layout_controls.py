"""Controls for layouts: their rank in a table is known in advance, so that they test the measures.

copy-masks     training layouts that show the requested types: real, but not new
random-discs   ellipses of the requested types at random places: the right types, but no tissue structure
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.files.array_files import open_npy
from bench.histology.nuclei import UNLABELLED
from bench.messages import needed
from bench.types import Card, Conditions, ImageSet, Progress
from generators.mask_diffusion.adapter import conditions_of
from generators.mask_diffusion.instance_encoding import types_present

Layout = tuple[NDArray[np.uint8], NDArray[np.int32]]
"""Type map and instance map of one patch, (size, size) each."""


class CopyMasks:
    """A training layout with exactly the requested types, or with the fewest wrong ones; the seed chooses among equals."""

    card = Card(
        "copy-masks",
        "1",
        "Training layouts that show the requested types: a generator that memorises.",
        licence="Apache-2.0",
        needs=("masks", "instances"),
        notes="Chosen with replacement. Pixels that are not annotated become background.",
    )
    has_fits = False

    def __init__(self) -> None:
        self._store: tuple[NDArray[np.uint8], NDArray[np.int32]] | None = None

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        masks = needed(self.card.name, "masks", train.conditions.masks)
        self._store = masks, needed(self.card.name, "instances", train.conditions.instances)
        progress(len(train), len(train), "layouts stored")

    def save(self, folder: Path) -> None:
        masks, instances = self._layouts()
        np.save(folder / "masks.npy", masks)
        np.save(folder / "instances.npy", instances)

    def load(self, folder: Path) -> None:
        files = folder / "masks.npy", folder / "instances.npy"
        if absent := [file for file in files if not file.is_file()]:
            raise MissingError(f"no layouts at {absent[0]}. Fit the control again.")
        masks, instances = (open_npy(file) for file in files)
        self._store = masks, instances

    def sample(self, asked: Conditions, seeds: NDArray[np.uint64]) -> Conditions:
        """A copied layout for each row of `asked`."""
        wanted = types_present(needed(self.card.name, "masks", asked.masks), asked.classes)
        masks, instances = self._layouts()
        if masks.shape[1:] != (asked.size, asked.size):
            raise UsageError(f"{self.card.name} has layouts of {masks.shape[1:]} px; {asked.size} px were requested.")
        shown = types_present(masks, asked.classes)

        def copy_layout(row: int) -> Layout:
            wrong = (shown != wanted[row]).sum(axis=1)
            fitting = np.flatnonzero(wrong == wrong.min())
            chosen = fitting[np.random.default_rng(int(seeds[row])).integers(len(fitting))]
            covered = np.where(masks[chosen] == UNLABELLED, 0, masks[chosen]).astype(np.uint8)
            return covered, np.where(covered > 0, instances[chosen], 0).astype(np.int32)

        return _sample_rows(asked, copy_layout)

    def _layouts(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        if self._store is None:
            raise UsageError(f"{self.card.name} has no layouts: call fit or load first.")
        return self._store


class RandomDiscs:
    """`nuclei` ellipses with half axes of 2 to 8 px at random places, requested types in equal shares, later ones on top."""

    card = Card(
        "random-discs",
        "1",
        "Ellipses of the requested types at random places: layouts without tissue structure.",
        licence="Apache-2.0",
        needs=("masks",),
        notes="Every requested type occurs if there are at least as many nuclei as types. Numbers, sizes and mix of types "
        "are not those of tissue.",
    )

    def __init__(self, nuclei: int = 16) -> None:
        if nuclei < 1:
            raise UsageError(f"random-discs: nuclei is a whole number of at least 1, not {nuclei}.")
        self.nuclei = nuclei

    def sample(self, asked: Conditions, seeds: NDArray[np.uint64]) -> Conditions:
        """Random ellipses for each row of `asked`; none if it requests no type."""
        wanted = types_present(needed(self.card.name, "masks", asked.masks), asked.classes)
        y, x = np.mgrid[: asked.size, : asked.size]

        def place_ellipses(row: int) -> Layout:
            masks, instances = np.zeros((asked.size,) * 2, dtype=np.uint8), np.zeros((asked.size,) * 2, dtype=np.int32)
            types = np.flatnonzero(wanted[row]) + 1
            rng = np.random.default_rng(int(seeds[row]))
            for number in range(self.nuclei if len(types) else 0):
                down, right = rng.uniform(0, asked.size, 2)
                angle, (a, b) = rng.uniform(0, np.pi), rng.uniform(2, 8, 2)
                u = (x - right) * np.cos(angle) + (y - down) * np.sin(angle)
                v = (y - down) * np.cos(angle) - (x - right) * np.sin(angle)
                inside = (u / a) ** 2 + (v / b) ** 2 <= 1
                masks[inside], instances[inside] = types[-1 - number % len(types)], number + 1
            return masks, instances

        return _sample_rows(asked, place_ellipses)


def _sample_rows(asked: Conditions, layout: Callable[[int], Layout]) -> Conditions:
    masks = np.zeros((len(asked), asked.size, asked.size), dtype=np.uint8)
    instances = np.zeros(masks.shape, dtype=np.int32)
    for row in range(len(asked)):
        masks[row], instances[row] = layout(row)
    return conditions_of(asked, masks, instances)
