"""What the jobs do: cells with features of a slide, clusters of all, the classifier, the cluster of each cell, and patches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.jobs.arrays import open_array, write_array
from bench.jobs.graph import JobContext
from bench.jobs.store import EntryRef, Store
from bench.pipeline.plugins import Plugin
from bench.types import NOT_ANNOTATED, Encoder
from tasks.datasets.clustering.agreement import contingency, true_classes
from tasks.datasets.clustering.cells import CellRule, choose_cells, find_cells, read_windows
from tasks.datasets.clustering.classifier import Cells, ClassifierRule, build, logits, measure_costs, train
from tasks.datasets.clustering.kmeans import Clusters, cluster
from tasks.datasets.clustering.pictures import MOST_POINTS, draw_clusters, draw_points, draw_sheet, embed, nearest_cells
from tasks.datasets.clustering.regions import CellMap, Region, RegionRule, choose_regions, cut_regions
from tasks.datasets.prepared.writer import write_part
from tasks.datasets.preparing.slide_list import SlideSource
from tasks.datasets.slides.reader import Slide, open_slide
from tasks.datasets.slides.tissue import find_tissue

if TYPE_CHECKING:
    import torch

SEEN, REPORT, WEIGHTS = "seen.json", "report.json", "classifier.safetensors"
SHEET, POINTS, MAP = "clusters.png", "features.png", "map.png"
LONGEST = 800
"""Longer side of the picture of a slide, pixels."""
_ROWS, _BATCH = 1024, 256


@dataclass(frozen=True)
class SlideToRead:
    """A slide and what overrides its resolution."""

    plan: SlideSource
    mpp: float | None
    confirm_mpp: bool

    def opened(self) -> Slide:
        return open_slide(self.plan.path, self.mpp, self.confirm_mpp)


@dataclass(frozen=True)
class EncodeCells:
    """Action: the places of all cells of a slide, and the features of those that are clustered."""

    slide: SlideToRead
    rule: CellRule
    encoder: Plugin

    def __call__(self, work: Path, context: JobContext) -> None:
        with self.slide.opened() as slide:
            tissue = find_tissue(slide)
            corners = find_cells(slide, tissue, self.rule)
            seen = {
                "width": slide.info.width,
                "height": slide.info.height,
                "mpp": slide.info.mpp,
                "mpp_source": slide.info.mpp_source,
                "tissue": round(tissue.share, 6),
                "ink": round(tissue.pen_share, 6),
                "cells": len(corners),
                "size": list(slide.size_at(self.rule.mpp)),
            }
            if len(corners):
                chosen = choose_cells(slide, corners, self.rule, self.slide.plan.slide)
                features = encode_cells(slide, corners[chosen], self.rule, self.encoder)
                write_array(work, "corners", corners, _ROWS)
                write_array(work, "chosen", chosen, _ROWS)
                write_array(work, "features", features, _ROWS)
                seen["clustered"] = len(chosen)
        (work / SEEN).write_text(json.dumps(seen), encoding="utf-8")
        context.log(f"{self.slide.plan.slide}: {seen.get('clustered', 0)} of {len(corners)} cells encoded")


def encode_cells(slide: Slide, corners: NDArray[np.int64], rule: CellRule, encoder: Plugin) -> NDArray[np.float32]:
    """float32 (n, dim): features of the windows of cells. UsageError on what is no finite number."""
    built: Encoder = encoder.build()
    found = np.empty((len(corners), 0), np.float32)
    rows: list[int] = []
    waiting: list[NDArray[np.uint8]] = []

    def flush() -> None:
        nonlocal found
        features = np.asarray(built.encode(np.stack(waiting)), dtype=np.float32)
        if features.shape[:1] != (len(waiting),) or not np.isfinite(features).all():
            raise UsageError(
                f"{encoder.label} returned no finite features of {len(waiting)} cells. See: bench check {encoder.label}."
            )
        if not found.shape[1]:
            found = np.empty((len(corners), features.shape[1]), np.float32)
        found[rows] = features
        rows.clear()
        waiting.clear()

    for row, window in read_windows(slide, corners, rule):
        rows.append(row)
        waiting.append(window)
        if len(rows) == _BATCH:
            flush()
    if rows:
        flush()
    return found


@dataclass(frozen=True)
class ClusterCells:
    """Action: the clusters at every scale, of the encoded cells of all slides."""

    cells: tuple[EntryRef, ...]
    scales: tuple[int, ...]
    nested: bool
    seed: int

    def __call__(self, work: Path, context: JobContext) -> None:
        features = np.concatenate([np.asarray(open_array(context.store, ref, "features")) for ref in self.cells])
        context.log(f"clustering {len(features)} cells of {len(self.cells)} slides, {features.shape[1]} features each")
        found = cluster(features, self.scales, self.seed, self.nested)
        write_array(work, "mean", found.mean, _ROWS)
        write_array(work, "deviation", found.deviation, _ROWS)
        for scale, centroids in found.centroids.items():
            write_array(work, f"centroids-{scale}", centroids, _ROWS)
        for scale, parents in found.parents.items():
            write_array(work, f"parents-{scale}", parents, _ROWS)
        counts = {str(scale): np.bincount(found.labels(features, scale), minlength=scale).tolist() for scale in found.scales}
        held = {
            "centroids": sorted(found.centroids),
            "parents": sorted(found.parents),
            "cells": len(features),
            "counts": counts,
        }
        (work / SEEN).write_text(json.dumps(held), encoding="utf-8")


def load_clusters(store: Store, ref: EntryRef) -> Clusters:
    """What `ClusterCells` wrote."""
    held = store.read_json(ref, SEEN)

    def read(name: str) -> NDArray[Any]:
        return np.asarray(open_array(store, ref, name))

    centroids = {scale: read(f"centroids-{scale}") for scale in held["centroids"]}
    parents = {scale: read(f"parents-{scale}") for scale in held["parents"]}
    return Clusters(read("mean"), read("deviation"), centroids, parents)


@dataclass(frozen=True)
class TrainClassifier:
    """Action: the network that gives the finest cluster of a cell, and what it is worth."""

    slides: tuple[SlideToRead, ...]
    cells: tuple[EntryRef, ...]
    clusters: EntryRef
    rule: CellRule
    classifier: ClassifierRule
    encoder: Plugin

    def __call__(self, work: Path, context: JobContext) -> None:
        from safetensors.torch import save_file

        clusters = load_clusters(context.store, self.clusters)
        images, labels, units = [], [], []
        for source, ref in zip(self.slides, self.cells, strict=True):
            corners = np.asarray(open_array(context.store, ref, "corners"))[
                np.asarray(open_array(context.store, ref, "chosen"))
            ]
            with source.opened() as slide:
                images.append(_windows(slide, corners, self.rule))
            labels.append(clusters.labels(np.asarray(open_array(context.store, ref, "features")), clusters.finest))
            units += [source.plan.unit] * len(corners)
        cells = Cells(np.concatenate(images), np.concatenate(labels), np.array(units))
        net, report = train(cells, clusters.finest, self.classifier, context.progress)
        report |= measure_costs(net, self.encoder.build(), cells.images)
        save_file({name: value.contiguous().cpu() for name, value in net.state_dict().items()}, work / WEIGHTS)
        (work / REPORT).write_text(json.dumps(report), encoding="utf-8")


def load_classifier(store: Store, ref: EntryRef, rule: ClassifierRule, window: int, clusters: int) -> torch.nn.Module:
    """The network that `TrainClassifier` wrote."""
    from safetensors.torch import load

    net = build(rule, window, clusters)
    net.load_state_dict(load(store.read_bytes(ref, WEIGHTS)))
    return net


@dataclass(frozen=True)
class LabelCells:
    """Action: the cluster of each cell of a slide at every scale, and which squares become patches."""

    slide: SlideToRead
    cells: EntryRef
    clusters: EntryRef
    rule: CellRule
    region: RegionRule
    encoder: Plugin
    classifier: ClassifierRule | None
    weights: EntryRef | None

    def __call__(self, work: Path, context: JobContext) -> None:
        store = context.store
        clusters = load_clusters(store, self.clusters)
        corners = np.asarray(open_array(store, self.cells, "corners"))
        with self.slide.opened() as slide:
            width, height = slide.size_at(self.rule.mpp)
            thumbnail = slide.thumbnail(LONGEST)
            if self.classifier is None or self.weights is None:
                features = self._features(slide, corners, store)
                labels = {scale: clusters.labels(features, scale) for scale in clusters.scales}
            else:
                net = load_classifier(store, self.weights, self.classifier, self.rule.window, clusters.finest)
                found = _predict(net, slide, corners, self.rule)
                labels = {scale: clusters.coarser(scale)[found] for scale in clusters.scales if scale != clusters.finest}
                labels[clusters.finest] = found
        for scale, found in labels.items():
            write_array(work, f"labels-{scale}", found.astype(np.uint8), _ROWS)
        finest = clusters.finest
        grid = CellMap.of_cells(corners, labels[finest], self.rule.side, width, height)
        extent = (grid.labels.shape[1] * grid.side / width, grid.labels.shape[0] * grid.side / height)
        draw_clusters(thumbnail, grid.labels, extent, finest).save(work / MAP, format="PNG")
        regions = choose_regions(grid, finest, width, height, self.region, self.slide.plan.slide)
        seen: dict[str, Any] = {"regions": [vars(one) for one in regions], "present": {}}
        for scale, found in labels.items():
            maps = CellMap.of_cells(corners, found, self.rule.side, width, height)
            shown = {int(n) for one in regions for n in np.unique(maps.under(*one.positions(self.region.size)))}
            seen["present"][str(scale)] = sorted(shown - {NOT_ANNOTATED})
        (work / SEEN).write_text(json.dumps(seen), encoding="utf-8")
        context.log(f"{self.slide.plan.slide}: {len(corners)} cells labelled, {len(regions)} patches")

    def _features(self, slide: Slide, corners: NDArray[np.int64], store: Store) -> NDArray[np.float32]:
        """Of all cells; those that were clustered are not encoded again."""
        known = np.asarray(open_array(store, self.cells, "chosen"))
        held = np.asarray(open_array(store, self.cells, "features"))
        rest = np.setdiff1d(np.arange(len(corners)), known)
        found = np.empty((len(corners), held.shape[1]), np.float32)
        found[known] = held
        if len(rest):
            found[rest] = encode_cells(slide, corners[rest], self.rule, self.encoder)
        return found


@dataclass(frozen=True)
class CutRegions:
    """Action: the patches of a slide with the clusters of one scale, as a part of a prepared folder."""

    slide: SlideToRead
    cells: EntryRef
    labelled: EntryRef
    rule: CellRule
    region: RegionRule
    scale: int
    present: tuple[int, ...]
    """The clusters that occur anywhere: they are numbered from 0 in this order."""

    def __call__(self, work: Path, context: JobContext) -> None:
        store = context.store
        lookup = np.full(NOT_ANNOTATED + 1, NOT_ANNOTATED, np.int64)
        lookup[list(self.present)] = np.arange(len(self.present))
        corners = np.asarray(open_array(store, self.cells, "corners"))
        labels = lookup[np.asarray(open_array(store, self.labelled, f"labels-{self.scale}"))]
        regions = [Region(**one) for one in store.read_json(self.labelled, SEEN)["regions"]]
        with self.slide.opened() as slide:
            maps = CellMap.of_cells(corners, labels, self.rule.side, *slide.size_at(self.rule.mpp))
            part = cut_regions(self.slide.plan, slide, regions, maps, self.region, self.rule.mpp)
        write_part(work, part, cluster_names(len(self.present)), self.rule.mpp)


def cluster_names(count: int) -> list[str]:
    """Names of the classes."""
    return [f"cluster-{number}" for number in range(count)]


@dataclass(frozen=True)
class CountTrueClasses:
    """Action: numbers of cells by cluster and true class, at every scale."""

    slide: SlideToRead
    truth: Path
    cells: EntryRef
    labelled: EntryRef
    scales: tuple[int, ...]
    rule: CellRule

    def __call__(self, work: Path, context: JobContext) -> None:
        corners = np.asarray(open_array(context.store, self.cells, "corners"))
        with self.slide.opened() as slide:
            truth = true_classes(self.truth, slide, corners, self.rule.side, self.rule.mpp)
        for scale in self.scales:
            labels = np.asarray(open_array(context.store, self.labelled, f"labels-{scale}")).astype(np.int64)
            write_array(work, f"counts-{scale}", contingency(labels, truth, scale), _ROWS)


@dataclass(frozen=True)
class DrawClusters:
    """Action: the sheet of the finest clusters and the map of features."""

    slides: tuple[SlideToRead, ...]
    cells: tuple[EntryRef, ...]
    clusters: EntryRef
    rule: CellRule
    seed: int

    def __call__(self, work: Path, context: JobContext) -> None:
        clusters = load_clusters(context.store, self.clusters)
        owners: list[int] = []
        places, distances, labels, sampled = [], [], [], []
        per_slide = -(-MOST_POINTS // len(self.cells))
        for number, ref in enumerate(self.cells):
            features = np.asarray(open_array(context.store, ref, "features"))
            standard, found = clusters.standardise(features), clusters.labels(features, clusters.finest)
            distances.append(np.square(standard - clusters.centroids[clusters.finest][found]).sum(axis=1))
            labels.append(found)
            owners += [number] * len(found)
            places.append(np.arange(len(found)))
            rows = np.random.default_rng(self.seed + number).permutation(len(found))[:per_slide]
            sampled.append((standard[rows], found[rows]))
        counts = np.bincount(np.concatenate(labels), minlength=clusters.finest)
        names = [self.slides[owner].plan.slide for owner in owners]
        chosen = nearest_cells(np.concatenate(distances), np.concatenate(labels), names, clusters.finest)
        draw_sheet(self._read(chosen, owners, np.concatenate(places), context.store), counts).save(work / SHEET, format="PNG")
        points = embed(np.concatenate([rows for rows, _ in sampled]), self.seed)
        draw_points(points, np.concatenate([found for _, found in sampled]), clusters.finest).save(work / POINTS, format="PNG")

    def _read(
        self, chosen: Sequence[Sequence[int]], owners: Sequence[int], places: NDArray[np.int64], store: Store
    ) -> dict[int, list[NDArray[np.uint8]]]:
        """Cluster -> windows of its cells; each slide is opened once."""
        wanted: dict[int, list[int]] = {}
        for row in (row for rows in chosen for row in rows):
            wanted.setdefault(owners[row], []).append(row)
        windows: dict[int, NDArray[np.uint8]] = {}
        for owner, rows in wanted.items():
            ref = self.cells[owner]
            corners = np.asarray(open_array(store, ref, "corners"))[np.asarray(open_array(store, ref, "chosen"))[places[rows]]]
            with self.slides[owner].opened() as slide:
                windows |= dict(zip(rows, _windows(slide, corners, self.rule), strict=True))
        return {number: [windows[row] for row in rows] for number, rows in enumerate(chosen)}


def _windows(slide: Slide, corners: NDArray[np.int64], rule: CellRule) -> NDArray[np.uint8]:
    """uint8 (n, window, window, 3)."""
    found = np.empty((len(corners), rule.window, rule.window, 3), np.uint8)
    for row, window in read_windows(slide, corners, rule):
        found[row] = window
    return found


def _predict(net: torch.nn.Module, slide: Slide, corners: NDArray[np.int64], rule: CellRule) -> NDArray[np.int64]:
    """int64 (n,): the cluster that the network gives each cell, a few thousand at a time."""
    found = np.empty(len(corners), np.int64)
    for start in range(0, len(corners), _ROWS):
        part = corners[start : start + _ROWS]
        found[start : start + _ROWS] = logits(net, _windows(slide, part, rule)).argmax(axis=1)
    return found
