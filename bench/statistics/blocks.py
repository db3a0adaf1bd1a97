"""Blocks of slides, for leaving one out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from bench.types import Strings

BLOCKS = 20
"""Of slides, for leaving one out."""


def blocks_of(names: list[str], blocks: int = BLOCKS) -> list[list[str]]:
    """Groups blocks_of to blocks one by one, in the order given: two numbers of the same slides have the same blocks."""
    return [names[block::blocks] for block in range(min(blocks, len(names)))]


def scattered(names: Iterable[str]) -> list[str]:
    """Each name once, in an order that no numbering of theirs can run along with.

    Dealt by name, every 20th slide would be in one block; where laboratories take turns as slides are numbered, each block
    would be of one laboratory, and leaving it out would show the spread of laboratories in place of that of slides.
    """
    return sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())


def block_order(groups_real: Strings, groups_fake: Strings) -> list[str]:
    real, fake = set(groups_real.tolist()), set(groups_fake.tolist())
    return scattered(real & fake) + scattered(real - fake) + scattered(fake - real)
