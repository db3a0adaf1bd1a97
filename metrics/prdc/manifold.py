"""Neighbourhoods: a ball around each patch that reaches to its k-th nearest other patch of the same side, and who lies in it.

Balls are closed, as in Kynkäänniemi et al. 2019: a point on the border is inside. The prdc package leaves the border out;
that differs where distances tie only, as between duplicates.

The whole table of distances is never held. Neighbourhoods without one section of the rows (a jackknife replicate) come from
the same pass: a ball reaches farther there where neighbours are left out, and few further pairs have to be looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.statistics import Estimate
from bench.types import Features, Strings
from metrics.prdc.distances import (
    CROWDED,
    Cloud,
    Rows,
    Tile,
    Vector,
    clouds,
    double_squares,
    exact_squares,
    lower_bounds,
    pairs_within,
    slices,
    where,
)
from metrics.prdc.nearest import nearest, reaches
from metrics.subsets import Labels, Mask, Sections, Subset, jackknife_together, part_error, with_error

_SPARE = 4
"""Neighbours kept beyond k, so that most balls are known without any section of the rows."""
_KEPT = 128
"""Results that are remembered: small, and asked for again by the other measures of the same pair."""


@dataclass(frozen=True)
class Neighbourhoods:
    """Who lies in whose ball, for n real and m generated patches; column 0 of all, column 1 + s without section s of both
    sides, where the rows of section s itself mean nothing."""

    k: int
    balls_of_real: Rows
    """int64 (n, 1 + sections): generated balls in which each real patch lies."""
    balls_of_fake: Rows
    """int64 (m, 1 + sections): real balls in which each generated patch lies."""
    found_by_real: Rows
    """int64 (n, 1 + sections): generated patches in the ball of each real patch."""


Share = Callable[[Neighbourhoods, Subset, int], float]
"""The measure of the rows of a subset by one column of the neighbourhoods."""

_remembered: dict[str, Neighbourhoods] = {}


def neighbourhoods(real: Features, fake: Features, k: int, sections: Sections | None = None) -> Neighbourhoods:
    """The neighbourhoods of two tables (n, d) and (m, d), n and m above k, by content: a second call costs a digest."""
    labels = _no_sections(real, fake) if sections is None else (sections.real, sections.fake)
    count = 0 if sections is None else sections.count
    digest = hashlib.sha256(f"{k} {count} {real.dtype} {real.shape} {fake.dtype} {fake.shape}".encode())
    for part in (real, fake, *labels):
        digest.update(np.ascontiguousarray(part).data)
    key = digest.hexdigest()
    if key not in _remembered:
        while len(_remembered) >= _KEPT:
            _remembered.pop(next(iter(_remembered)), None)
        _remembered[key] = _measure(real, fake, k, labels, count)
    return _remembered[key]


def whole_value(share: Share, real: Features, fake: Features, k: int) -> float:
    """A measure of all rows."""
    return share(neighbourhoods(real, fake, k), (np.ones(len(real), np.bool_), np.ones(len(fake), np.bool_)), 0)


def manifold_jackknife(
    share: Share, real: Features, fake: Features, k: int, groups_real: Strings, groups_fake: Strings
) -> Estimate:
    """A measure with its interval over slides.

    Replicates leave out blocks of slides; the standard error is that of parts (see `part_error`), and the spread of the
    replicates is brought to it.
    """

    def answers(subsets: Sequence[Subset]) -> list[float]:
        parts = Sections.of(subsets)
        found = neighbourhoods(real, fake, k, parts)
        values = []
        for (x, y), kept in zip(subsets, parts.kept, strict=True):
            left_out = np.flatnonzero(~kept)
            if min(x.sum(), y.sum()) <= k:
                values.append(np.nan)
            elif len(left_out) > 1:
                values.append(whole_value(share, real[x], fake[y], k))
            else:
                values.append(share(found, (x, y), 1 + int(left_out[0]) if len(left_out) else 0))
        return values

    found = jackknife_together(answers, groups_real, groups_fake)
    error = part_error(lambda x, y: whole_value(share, real[x], fake[y], k), groups_real, groups_fake, k + 1)
    return with_error(found, error) if error else found


def _no_sections(real: Features, fake: Features) -> tuple[Labels, Labels]:
    return np.zeros(len(real), np.int64), np.zeros(len(fake), np.int64)


def _measure(real: Features, fake: Features, k: int, labels: tuple[Labels, Labels], count: int) -> Neighbourhoods:
    a, b = clouds(real, fake)
    far_a, far_b = (_reach(side, k, own, count) for side, own in ((a, labels[0]), (b, labels[1])))
    balls_of_real, balls_of_fake, found_by_real = (_Counts.of(len(side), count) for side in (real, fake, real))
    for rows in slices(len(real)):
        for columns in slices(len(fake)):
            tile = lower_bounds(a, b, rows, columns)
            here, there = _Part(a, rows, labels[0][rows]), _Part(b, columns, labels[1][columns])
            _count(here, there, tile, far_a[rows], balls_of_fake, found_by_real)
            _count(there, here, tile.T, far_b[columns], balls_of_real, None)
    return Neighbourhoods(k, balls_of_real.without(), balls_of_fake.without(), found_by_real.without())


def _reach(side: Cloud, k: int, sections: Labels, count: int) -> Vector:
    near = nearest(side, min(k + _SPARE, len(side) - 1) if count else k)
    return reaches(side, near, k, sections, count)


@dataclass(frozen=True)
class _Part:
    """Some rows of one side, with their sections."""

    cloud: Cloud
    rows: slice
    sections: Labels


@dataclass(frozen=True)
class _Counts:
    """A count for each row: of all, of each section, and what is added where a section is left out."""

    total: Rows
    """int64 (n,)."""
    of_section: Rows
    """int64 (n, sections)."""
    added: Rows
    """int64 (n, sections)."""

    @staticmethod
    def of(n: int, count: int) -> _Counts:
        return _Counts(np.zeros(n, np.int64), np.zeros((n, count), np.int64), np.zeros((n, count), np.int64))

    def add(self, rows: slice, row: Rows, section: Labels) -> None:
        """Counts pairs, by the row within `rows` and the section of the other patch."""
        n, count = rows.stop - rows.start, self.of_section.shape[1]
        self.total[rows] += np.bincount(row, minlength=n)
        if count:
            self.of_section[rows] += np.bincount(row * count + section, minlength=n * count).reshape(n, count)

    def add_without(self, rows: slice, row: Rows, is_added: Mask) -> None:
        """Counts pairs that appear where a section is left out, bool (pairs, sections)."""
        n, count = rows.stop - rows.start, self.added.shape[1]
        pair, section = where(is_added)
        self.added[rows] += np.bincount(row[pair] * count + section, minlength=n * count).reshape(n, count)

    def without(self) -> Rows:
        return np.hstack([self.total[:, None], self.total[:, None] - self.of_section + self.added])


def _count(owners: _Part, points: _Part, tile: Tile, reach: Vector, balls: _Counts, found: _Counts | None) -> None:
    """Counts the balls of some owners that hold some points, by point, and the points in each ball, by owner. `reach` is
    (owners, 1 + sections), tile (owners, points)."""
    sides = owners.cloud, points.cloud, owners.rows, points.rows, tile
    owner, point = pairs_within(*sides, reach[:, :1])
    balls.add(points.rows, point, owners.sections[owner])
    if found is not None:
        found.add(owners.rows, owner, points.sections[point])
    if reach.shape[1] == 1:
        return
    more, other = pairs_within(*sides, reach.max(axis=1, keepdims=True))
    known = owner * tile.shape[1] + point
    is_new = ~np.isin(more * tile.shape[1] + other, known, assume_unique=True)
    owner, point = more[is_new], other[is_new]
    squares = _squares(owners, points, owner, point, tile.size)
    is_added = squares[:, None] <= reach[owner, 1:]
    each = np.arange(len(owner))
    is_added[each, owners.sections[owner]] = False
    is_added[each, points.sections[point]] = False
    balls.add_without(points.rows, point, is_added)
    if found is not None:
        found.add_without(owners.rows, owner, is_added)


def _squares(owners: _Part, points: _Part, owner: Rows, point: Rows, size: int) -> Vector:
    if len(owner) > size // CROWDED:
        return double_squares(owners.cloud, points.cloud, owners.rows, points.rows)[0][owner, point]
    return exact_squares(owners.cloud, points.cloud, owner + owners.rows.start, point + points.rows.start)
