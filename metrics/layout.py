"""Are sampled layouts of nuclei like real ones in size, number and mix of types, and do they show the requested types?

A layout metric has `measured(conditions)`, called once for each side, and `compare_layouts(real, sampled)` on its results,
which is fast enough to be called for every block of slides that an interval leaves out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.nuclei import UNLABELLED
from bench.messages import listed_names, needed
from bench.types import Card, Conditions, Direction, Index, Strings
from metrics.stain import wasserstein

Table = NDArray[np.float64]
LAYOUT = ("layout-areas", "layout-counts", "layout-mix", "layout-obeyed")
"""Every metric of layouts; all of them are measured on sampled layouts."""


@dataclass(frozen=True)
class InstanceTable:
    """Every nucleus of n layouts; can be sliced by rows like `Conditions`."""

    ids: Strings
    """str (n,): the conditions that the layouts belong to."""
    types: tuple[str, ...]
    """Names of the types 1..t."""
    patch: NDArray[np.int64]
    """int64 (m,): row of each nucleus, ascending."""
    type: NDArray[np.int64]
    """int64 (m,): type of each nucleus, counted from 0."""
    area: Table
    """float64 (m,): pixels."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Index) -> InstanceTable:
        rows = np.arange(len(self))[np.asarray(index) if isinstance(index, list) else index]
        first, last = (np.searchsorted(self.patch, rows, side) for side in ("left", "right"))
        lengths = last - first
        # positions of each chosen row's nuclei, row after row
        where = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        return InstanceTable(
            self.ids[rows], self.types, np.repeat(np.arange(len(rows)), lengths), self.type[where], self.area[where]
        )

    @property
    def counts(self) -> Table:
        """float64 (n, t): nuclei of each type in each layout."""
        shape = len(self), len(self.types)
        cells = self.patch * shape[1] + self.type
        return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """bool (n, t): whether a layout shows a type."""
        return self.counts > 0


def instance_table(conditions: Conditions) -> InstanceTable:
    """Lists the nuclei of the layouts. All pixels of a nucleus have its type; nuclei that are not annotated are left out.
    Raises UsageError without instances or types, or if the classes do not name the types."""
    instances = needed("a layout metric", "instances", conditions.instances)
    types = needed("a layout metric", "types", conditions.types)
    rows, kinds, areas = [], [], []
    for row in range(len(conditions)):
        nuclei = (instances[row] > 0) & (types[row] > 0) & (types[row] != UNLABELLED)
        _, first, area = np.unique(instances[row][nuclei], return_index=True, return_counts=True)
        rows.append(np.full(len(area), row))
        kinds.append(types[row][nuclei][first].astype(np.int64) - 1)
        areas.append(area.astype(np.float64))
    names = conditions.classes[1:]
    kind = np.concatenate([np.zeros(0, np.int64), *kinds])
    if kind.max(initial=-1) >= len(names):
        raise UsageError(
            f"a layout metric reads nuclei whose types the classes name; found type {kind.max() + 1} and the classes "
            f"{', '.join(conditions.classes)}. Choose a dataset of nuclei: bench list datasets."
        )
    return InstanceTable(
        conditions.ids, names, np.concatenate([np.zeros(0, np.int64), *rows]), kind, np.concatenate([[], *areas])
    )


def area_distances(real: InstanceTable, sampled: InstanceTable) -> Table:
    """float64 (t,): for each type the 1-Wasserstein distance between the areas of real and sampled nuclei, divided by the
    standard deviation of the real ones. A type that is never sampled counts as sampled with an area of 0. NaN for types of
    which real layouts show fewer than two nuclei of different areas."""
    return _each_type(real, sampled, lambda side, kind: side.area[side.type == kind])


def count_distances(real: InstanceTable, sampled: InstanceTable) -> Table:
    """float64 (t,): for each type the 1-Wasserstein distance between its numbers in real and in sampled patches, divided by
    the standard deviation of the real ones. NaN for types of which all real patches show equally many."""
    return _each_type(real, sampled, lambda side, kind: side.counts[:, kind])


def mixes(side: InstanceTable) -> Table:
    """float64 (t,): share of each type in all nuclei. Raises UsageError on layouts without a nucleus."""
    numbers = np.bincount(side.type, minlength=len(side.types)).astype(np.float64)
    if not numbers.any():
        raise UsageError(f"{len(side)} layouts show no nucleus at all: they have no mix of types.")
    return numbers / numbers.sum()


def obedience(real: InstanceTable, sampled: InstanceTable) -> Table:
    """float64 (t, 2): for each type the share of patches that show it among those that should, and the share of patches
    without it among the others; NaN if there are none. Requested types are those of the real layout of the same id."""
    asked, shown = _asked_types(real, sampled), sampled.shown
    with np.errstate(invalid="ignore"):
        return np.stack(
            [(shown & asked).sum(axis=0) / asked.sum(axis=0), (~shown & ~asked).sum(axis=0) / (~asked).sum(axis=0)], axis=1
        )


class LayoutAreas:
    """The mean of `area_distances` over the types that real layouts show."""

    card = Card(
        "layout-areas",
        "1",
        "Distance between the areas of real and sampled nuclei, type by type, in real standard deviations.",
        licence="Apache-2.0",
        source="this package, metrics/layout.py",
        cost="O(m log m) for m nuclei",
        needs=("instances", "types"),
        notes="Depends on areas only, not on shapes and places. Rare types weigh as much as common ones and are noisier: "
        "compare with the control copy-masks.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)

    def measured(self, conditions: Conditions) -> InstanceTable:
        return instance_table(conditions)

    def compare_layouts(self, real: InstanceTable, sampled: InstanceTable) -> float:
        return _mean(self.card.name, area_distances(real, sampled))


class LayoutCounts:
    """The mean of `count_distances` over the types whose number differs between real patches."""

    card = Card(
        "layout-counts",
        "1",
        "Distance between the numbers of nuclei in real and sampled patches, type by type, in real standard deviations.",
        licence="Apache-2.0",
        source="this package, metrics/layout.py",
        cost="O(n log n)",
        needs=("instances", "types"),
        notes="Each type separately: co-occurrence of types is not measured. Partly annotated patches show fewer nuclei than "
        "sampled ones.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)

    def measured(self, conditions: Conditions) -> InstanceTable:
        return instance_table(conditions)

    def compare_layouts(self, real: InstanceTable, sampled: InstanceTable) -> float:
        return _mean(self.card.name, count_distances(real, sampled))


class LayoutMix:
    """Total variation distance between the shares of the types: the share of nuclei that would need another type."""

    card = Card(
        "layout-mix",
        "1",
        "Total variation distance between the mixes of types of all real and all sampled nuclei.",
        licence="Apache-2.0",
        source="this package, metrics/layout.py",
        cost="O(m)",
        needs=("instances", "types"),
        notes="Pooled over patches, so that common types decide. Sampled layouts without a nucleus are at the distance 1.",
    )
    direction: Direction = "lower"
    bounds = (0.0, 1.0)

    def measured(self, conditions: Conditions) -> InstanceTable:
        return instance_table(conditions)

    def compare_layouts(self, real: InstanceTable, sampled: InstanceTable) -> float:
        _same_types(real, sampled)
        wanted = mixes(real)
        return float(np.abs(wanted - mixes(sampled)).sum() / 2) if len(sampled.type) else 1.0


class LayoutObeyed:
    """Share of (patch, type) pairs that are as requested: shown if requested, otherwise absent."""

    card = Card(
        "layout-obeyed",
        "1",
        "Share of patches and types where a sampled layout shows the requested types and no others.",
        licence="Apache-2.0",
        source="this package, metrics/layout.py",
        cost="O(m)",
        needs=("instances", "types"),
        notes="Requested types are those of the real layout of the same id. For a type that nearly all or nearly no patches "
        "show, a constant answer is nearly always right: see `obedience` for both shares, type by type.",
    )
    direction: Direction = "higher"
    bounds = (0.0, 1.0)

    def measured(self, conditions: Conditions) -> InstanceTable:
        return instance_table(conditions)

    def compare_layouts(self, real: InstanceTable, sampled: InstanceTable) -> float:
        return float((_asked_types(real, sampled) == sampled.shown).mean())


def _each_type(real: InstanceTable, sampled: InstanceTable, values: Callable[[InstanceTable, int], Table]) -> Table:
    """Distance of the values of each type over their real standard deviation; no value counts as 0."""
    _same_types(real, sampled)
    distances = np.full(len(real.types), np.nan)
    for kind in range(len(real.types)):
        ours, theirs = values(real, kind), values(sampled, kind)
        if len(ours) > 1 and ours.any() and (spread := ours.std(ddof=1)) > 0:
            found = theirs if len(theirs) else np.zeros(1)
            distances[kind] = wasserstein(ours[:, None], found[:, None])[0] / spread
    return distances


def _mean(metric: str, distances: Table) -> float:
    if np.isnan(distances).all():
        raise UsageError(
            f"{metric}: no type of nuclei differs from one real patch to another: there is no scale to measure on."
        )
    return float(np.nanmean(distances))


def _asked_types(real: InstanceTable, sampled: InstanceTable) -> NDArray[np.bool_]:
    """bool (n, t): the types that the real layout of each sampled one's id shows."""
    _same_types(real, sampled)
    row = {name: i for i, name in enumerate(real.ids.tolist())}
    if strangers := [name for name in sampled.ids.tolist() if name not in row]:
        raise UsageError(f"layouts were sampled for ids of which there is no real layout: {listed_names(strangers)}.")
    if not len(sampled):
        raise UsageError("no layout was sampled: there is nothing to ask.")
    return real.shown[[row[name] for name in sampled.ids.tolist()]]


def _same_types(real: InstanceTable, sampled: InstanceTable) -> None:
    if real.types != sampled.types or not real.types:
        raise UsageError(f"layouts of the same types are compared, found real {real.types} and sampled {sampled.types}.")
    if not (len(real) and len(sampled)):
        raise UsageError(f"layouts are compared with layouts, found {len(real)} real and {len(sampled)} sampled.")
