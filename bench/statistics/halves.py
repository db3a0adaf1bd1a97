"""Halves of the test slides: what lies between one half and the other is how far real tissue is from other real tissue.

One halving says little: which slides meet by chance decides the distance. The mean over all halvings is what is wanted. To
second order in how far slides lie from each other it is also the mean over the few halvings of a Hadamard matrix, where any
two slides are on one side as often as in all halvings (balanced repeated replication: McCarthy 1969).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.types import Strings

Rows = NDArray[np.bool_]

FEWEST = 20
"""Halvings, where there are so many."""

LEAST = 0.4
"""Of the patches, on each side of a halving."""

_DESIGNS = 8
"""Ways to put groups into cells that are tried."""

_ENUMERATED = 8
"""Up to so many slides every halving is taken: 35 of 7 or 8 slides."""

_PRIMES = (23, 19, 11, 7)
"""Orders less one of the matrices (Paley 1933): primes that are 3 modulo 4."""


def halvings(groups: Strings) -> list[Rows]:
    """bool (n,) each: the rows of one half of the groups; the other rows are the other half.

    With up to eight groups these are all ways to put half of them, rounded down, on one side. With more the groups are first
    put into cells, 8, 12, 20 or 24 of them, as equal in patches as they can be, and the halvings are those of a Hadamard
    matrix over the cells, with the groups in other cells again until there are `FEWEST`. Which group is where follows from
    the hash of its name. Halvings with less than `LEAST` of the patches on one side are left out; where that would be all,
    those stay that are nearest to equal. Empty for a single group.
    """
    found: list[tuple[float, Rows]] = []
    for half in _candidates(groups):
        share = float(half.mean())
        found.append((min(share, 1 - share), half))
    wanted = min(LEAST, max((share for share, _ in found), default=0.0))
    return [half for share, half in found if share >= wanted]


def _candidates(groups: Strings) -> Iterator[Rows]:
    """Halvings, however many patches are on either side: whole designs, until `FEWEST` have enough or many were tried."""
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) <= _ENUMERATED:
        yield from (np.isin(groups, names[list(chosen)]) for chosen in _all_halves(len(names)))
        return
    prime = next(prime for prime in _PRIMES if prime < len(names))
    accepted = 0
    for seed in range(_DESIGNS):
        cell_of = _cells(dict(zip(names.tolist(), sizes.tolist(), strict=True)), prime + 1, seed)
        cells = np.array([cell_of[name] for name in groups.tolist()])
        design = [np.isin(cells, list(half)) for half in _hadamard_halves(prime)]
        yield from design
        accepted += sum(LEAST <= half.mean() <= 1 - LEAST for half in design)
        if accepted >= FEWEST:
            return


def _all_halves(count: int) -> list[tuple[int, ...]]:
    """Every choice of half of the numbers below `count`, rounded down; of two halves of equal size only one."""
    chosen = list(combinations(range(count), count // 2)) if count > 1 else []
    return [half for half in chosen if count % 2 or 0 in half]


def _hadamard_halves(prime: int) -> list[set[int]]:
    """`prime` choices of half of the numbers from 0 to `prime`; any two numbers are together in as many as any other two."""
    squares = {i * i % prime for i in range(1, prime)}
    return [{prime} | {(square + shift) % prime for square in squares} for shift in range(prime)]


def _cells(sizes: dict[str, int], count: int, seed: int) -> dict[str, int]:
    """Group -> cell: the largest group first, equal ones in hashed order, always to the cell with the fewest patches."""

    def rank(name: str) -> tuple[int, bytes]:
        return -sizes[name], hashlib.sha256(f"{seed}/{name}".encode()).digest()

    numbers = np.random.default_rng(seed).permutation(count).tolist()
    held = [0] * count
    cell_of: dict[str, int] = {}
    for name in sorted(sizes, key=rank):
        cell = min(range(count), key=lambda i: held[i])
        held[cell] += sizes[name]
        cell_of[name] = numbers[cell]
    return cell_of
