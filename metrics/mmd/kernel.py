"""Maximum mean discrepancy: the distance of two sets as a kernel sees them (Gretton et al. 2012, JMLR 13, eq. 3 and 5).

One pass over blocks of the kernel sums it by pairs of sections of rows, and apart from that over pairs of patches that are
not to count. The discrepancy of any union of sections, and so every jackknife replicate, is a few sums of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.statistics import Estimate
from bench.types import Strings
from metrics.features import Table
from metrics.subsets import Labels, Mask, Sections, Subset, jackknife_together

Kernel = Callable[[Table, Table], Table]
"""float64 (n, d), (m, d) -> (n, m). Symmetric. A constant that is added to it cancels in every discrepancy."""
Counts = NDArray[np.float64]

_BLOCK = 2**22
"""Kernel values held at once: 32 MiB."""


@dataclass(frozen=True)
class PairSums:
    """Of the pairs of two sides, by sections of rows: sums of the kernel, and numbers of pairs."""

    sums: Table
    """float64 (s, s): over all pairs."""
    pairs: Table
    """float64 (s, s)."""
    left_out_sums: Counts
    """float64 (s,): over the pairs that do not count, both of whose patches are in one section."""
    left_out_pairs: Counts
    """float64 (s,)."""

    def mean(self, kept: Mask) -> float:
        """The mean over the pairs that count of the sections that are kept, bool (s,); NaN where there are none."""
        share = kept.astype(np.float64)
        pairs = share @ self.pairs @ share - self.left_out_pairs @ share
        return float((share @ self.sums @ share - self.left_out_sums @ share) / pairs) if pairs > 0 else np.nan


@dataclass(frozen=True)
class Discrepancy:
    """The squared discrepancy of two sides on any union of sections."""

    real: PairSums
    fake: PairSums
    across: PairSums

    def value(self, kept: Mask) -> float:
        return self.real.mean(kept) + self.fake.mean(kept) - 2 * self.across.mean(kept)


@dataclass(frozen=True)
class Side:
    """One side, its rows in the order of their units."""

    table: Table
    membership: Table
    """float64 (n, s): 1 in the section of each row."""
    runs: dict[int, slice]
    """The rows of each unit; pairs of patches of one unit do not count. Empty where all pairs count."""

    @staticmethod
    def of(table: Table, sections: Labels, count: int, units: Labels | None) -> Side:
        order = np.arange(len(table)) if units is None else np.argsort(units, kind="stable")
        membership = np.zeros((len(table), count))
        membership[np.arange(len(table)), sections[order]] = 1
        runs: dict[int, slice] = {}
        if units is not None:
            found, starts, lengths = np.unique(units[order], return_index=True, return_counts=True)
            triples = zip(found.tolist(), starts.tolist(), lengths.tolist(), strict=True)
            runs = {unit: slice(start, start + length) for unit, start, length in triples}
        return Side(table[order], membership, runs)

    def section_of(self, run: slice) -> int:
        return int(self.membership[run.start].argmax())


def discrepancy(real: Side, fake: Side, kernel: Kernel) -> Discrepancy:
    """All sums of two sides in one pass over the kernel; pairs of one unit, of either side or across, are left out."""
    return Discrepancy(_within(real, kernel), _within(fake, kernel), _across(real, fake, kernel))


def unbiased_estimate(real: Table, fake: Table, kernel: Kernel) -> float:
    """The U-statistic of the squared discrepancy: pairs of a patch with itself are left out. May be below 0."""
    own = np.arange(len(real)), len(real) + np.arange(len(fake))
    return _whole(real, fake, kernel, *own)


def biased_estimate(real: Table, fake: Table, kernel: Kernel) -> float:
    """The V-statistic of the squared discrepancy: pairs of a patch with itself count. At least 0 but for rounding."""
    return _whole(real, fake, kernel, None, None)


def _whole(real: Table, fake: Table, kernel: Kernel, units_real: Labels | None, units_fake: Labels | None) -> float:
    sides = [Side.of(t, np.zeros(len(t), np.int64), 1, units) for t, units in ((real, units_real), (fake, units_fake))]
    return discrepancy(sides[0], sides[1], kernel).value(np.ones(1, np.bool_))


def discrepancy_jackknife(
    real: Table,
    fake: Table,
    kernel: Kernel,
    groups: tuple[Strings, Strings],
    units: tuple[Labels | None, Labels | None],
    scale: Callable[[float], float] = float,
) -> Estimate:
    """The discrepancy with its interval over slides, `groups`, from one pass over the kernel. `scale` is applied to every
    value."""

    def answers(subsets: Sequence[Subset]) -> list[float]:
        parts = Sections.of(subsets)
        sides = Side.of(real, parts.real, parts.count, units[0]), Side.of(fake, parts.fake, parts.count, units[1])
        found = discrepancy(*sides, kernel)
        return [scale(found.value(kept)) for kept in parts.kept]

    return jackknife_together(answers, *groups)


def shared_labels(groups_real: Strings, groups_fake: Strings) -> tuple[Labels, Labels]:
    """A number for each group, the same on both sides, of each row."""
    _, labels = np.unique(np.concatenate([groups_real, groups_fake]), return_inverse=True)
    return labels[: len(groups_real)], labels[len(groups_real) :]


def _within(side: Side, kernel: Kernel) -> PairSums:
    table, member = side.table, side.membership
    count = member.shape[1]
    sums, left_out = np.zeros((count, count)), np.zeros(count)
    units = list(side.runs.values())
    starts = np.array([run.start for run in units], dtype=np.int64)
    for rows in _blocks(len(table), len(table)):
        values = kernel(table[rows], table[rows.start :])  # a pair of an earlier row has been counted with that row
        length = rows.stop - rows.start
        part = member[rows].T @ values
        later = part[:, length:] @ member[rows.stop :]
        sums += part[:, :length] @ member[rows] + later + later.T
        for run in _touched(units, starts, rows):
            here = slice(max(run.start, rows.start) - rows.start, min(run.stop, rows.stop) - rows.start)
            rest = slice(length, max(run.stop - rows.start, length))
            left_out[side.section_of(run)] += float(values[here, here].sum()) + 2 * float(values[here, rest].sum())
    return PairSums(sums, _outer(member, member), left_out, _unit_pairs(side, side))


def _across(real: Side, fake: Side, kernel: Kernel) -> PairSums:
    count = real.membership.shape[1]
    sums, left_out = np.zeros((count, count)), np.zeros(count)
    shared = {unit: run for unit, run in real.runs.items() if unit in fake.runs}
    units, opposite = list(shared.values()), {run.start: fake.runs[unit] for unit, run in shared.items()}
    starts = np.array([run.start for run in units], dtype=np.int64)
    for rows in _blocks(len(real.table), len(fake.table)):
        values = kernel(real.table[rows], fake.table)
        sums += real.membership[rows].T @ values @ fake.membership
        for run in _touched(units, starts, rows):
            here = slice(max(run.start, rows.start) - rows.start, min(run.stop, rows.stop) - rows.start)
            left_out[real.section_of(run)] += float(values[here, opposite[run.start]].sum())
    return PairSums(sums, _outer(real.membership, fake.membership), left_out, _unit_pairs(real, fake))


def _touched(units: list[slice], starts: Labels, rows: slice) -> list[slice]:
    """The runs, which are in the order of their rows, that have a row in a block."""
    first = max(int(np.searchsorted(starts, rows.start, side="right")) - 1, 0)
    found = units[first : int(np.searchsorted(starts, rows.stop, side="left"))]
    return [run for run in found if run.stop > rows.start]


def _outer(a: Table, b: Table) -> Table:
    return np.outer(a.sum(axis=0), b.sum(axis=0))


def _unit_pairs(a: Side, b: Side) -> Counts:
    pairs = np.zeros(a.membership.shape[1])
    for unit, run in a.runs.items():
        if unit in b.runs:
            other = b.runs[unit]
            pairs[a.section_of(run)] += (run.stop - run.start) * (other.stop - other.start)
    return pairs


def _blocks(n: int, columns: int) -> list[slice]:
    rows = max(1, _BLOCK // columns)
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]
