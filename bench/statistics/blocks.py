"""Blocks of slides, for leaving one out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.types import Strings

BLOCKS = 20
"""Of slides, for leaving one out."""

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]


def blocks_of(names: list[str], blocks: int = BLOCKS) -> list[list[str]]:
    """Names of slides with equally many patches, assigned to blocks in turn, in the order given."""
    return [names[block::blocks] for block in range(min(blocks, len(names)))]


def scattered(names: Iterable[str]) -> list[str]:
    """Each name once, in an order that no numbering of theirs can run along with.

    Taken by name, every 20th slide would be in one block; where laboratories take turns as slides are numbered, each block
    would be of one laboratory, and leaving it out would show the spread of laboratories in place of that of slides.
    """
    return sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())


def assign_blocks(groups_real: Strings, groups_fake: Strings, blocks: int = BLOCKS) -> dict[str, int]:
    """The block of each slide: the largest first, equal ones in the order of `scattered`, each to the block that holds least.

    Slides with equally many patches are assigned in turn. Slides of both sides come first, then those of the real side, then
    those of the generated side, so that every block holds about the same part of each. A real slide counts by its real
    patches alone: two generators measured on the same slides have the same blocks.
    """
    sizes_real, sizes_fake = (_relative_sizes(groups) for groups in (groups_real, groups_fake))
    both, alone = set(sizes_real) & set(sizes_fake), set(sizes_fake) - set(sizes_real)
    sizes = {**sizes_real, **{name: sizes_fake[name] for name in alone}}
    load = [0.0] * min(blocks, len(sizes))
    assigned: dict[str, int] = {}
    for part in (both, set(sizes_real) - both, alone):
        for name in sorted(scattered(part), key=lambda name: -sizes[name]):
            block = load.index(min(load))
            assigned[name] = block
            load[block] += sizes[name]
    return assigned


def _relative_sizes(groups: Strings) -> dict[str, float]:
    """Patches of each slide over the mean of all slides: exactly 1 where all have the same number."""
    names, counts = np.unique(groups, return_counts=True)
    return {name: count * len(names) / len(groups) for name, count in zip(names.tolist(), counts.tolist(), strict=True)}


@dataclass(frozen=True)
class Blocks:
    """The blocks of the slides of two sides, with what leaving some out does to the number of slides."""

    real: NDArray[np.int64]
    """int64 (n,): block of each real row."""
    fake: NDArray[np.int64]
    """int64 (m,): block of each generated row."""
    count: int
    parts: Floats
    """float64 (2, count): part of the patches of each side that a block holds."""
    squares: Floats
    """float64 (2, count): sum of the squared parts of the slides of a block."""

    @staticmethod
    def of(groups_real: Strings, groups_fake: Strings, blocks: int = BLOCKS) -> Blocks:
        if blocks < 2:
            raise ValueError(f"a jackknife leaves out one of at least 2 blocks, not of {blocks}.")
        assigned = assign_blocks(groups_real, groups_fake, blocks)
        count = max(assigned.values()) + 1
        rows, parts, squares = [], [], []
        for groups in (groups_real, groups_fake):
            names, owner, sizes = np.unique(groups, return_inverse=True, return_counts=True)
            block = np.array([assigned[name] for name in names.tolist()], dtype=np.int64)
            rows.append(block[owner])
            share = sizes / sizes.sum()
            parts.append(np.bincount(block, share, count))
            squares.append(np.bincount(block, share**2, count))
        return Blocks(rows[0], rows[1], count, np.array(parts), np.array(squares))

    @property
    def shares(self) -> Floats:
        """float64 (count,): part of all patches that each block holds, the mean of both sides."""
        return np.asarray(self.parts.mean(axis=0))

    def kept(self, left_out: Iterable[int]) -> tuple[Rows, Rows]:
        """bool (n,) and bool (m,): the rows of both sides that are in none of these blocks."""
        held = np.ones(self.count, bool)
        held[list(left_out)] = False
        return held[self.real], held[self.fake]

    def inverse_slides(self, left_out: Iterable[int] = ()) -> float:
        """One over the effective number of slides (`effective_groups`) that stay, the mean of both sides: what the bias of a
        distance is proportional to."""
        held = np.ones(self.count, bool)
        held[list(left_out)] = False
        return float(np.mean(self.squares[:, held].sum(axis=1) / self.parts[:, held].sum(axis=1) ** 2))

    @property
    def rises(self) -> Floats:
        """float64 (count,): by which part `inverse_slides` rises when a block is left out."""
        whole = self.inverse_slides()
        return np.array([self.inverse_slides([block]) / whole - 1 for block in range(self.count)])

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a jackknife over these blocks: the effective number of blocks, or of slides where that is
        less, minus one (Kish 1965): their count less one where all are alike. docs/validity.md measures how often it holds."""
        return 1 / max(float(np.square(self.shares).sum()), self.inverse_slides()) - 1
