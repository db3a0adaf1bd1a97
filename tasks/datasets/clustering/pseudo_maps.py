"""The graph of jobs, and the folders that come out.

    a slide -> cells with features     all of them -> clusters (-> classifier)     a slide -> cluster of each cell -> patches

A slide is a job at each step. What is finished is in the store, and the same call goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import MissingError, UsageError
from bench.files.paths import delete
from bench.files.text import write_text
from bench.jobs.arrays import open_array
from bench.jobs.graph import Job
from bench.jobs.outcomes import Failed
from bench.jobs.store import EntryRef
from bench.pipeline.data import raise_failure
from bench.pipeline.encoding import describe_encoder
from bench.pipeline.plugins import Plugin
from bench.types import NOT_ANNOTATED
from tasks.datasets.clustering import actions
from tasks.datasets.clustering.actions import SlideToRead, cluster_names
from tasks.datasets.clustering.agreement import agreement
from tasks.datasets.clustering.cells import CellRule
from tasks.datasets.clustering.classifier import ClassifierRule
from tasks.datasets.clustering.regions import RegionRule
from tasks.datasets.prepared.writer import assemble
from tasks.datasets.preparing.jobs import raise_failures
from tasks.datasets.preparing.slide_list import SlideList, stamp_of

if TYPE_CHECKING:
    from bench.run import RunContext

VERSION = "1"
SUMMARY, MAPS = "pseudo-maps.json", "maps"
FEWEST, MOST = 2, NOT_ANNOTATED - 1
"""Clusters of a scale."""
DEFAULT_SCALES = (5, 10, 20, 50, 100)
"""Of the paper."""


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    encoder: Plugin
    clusters: int = 100
    scales: tuple[int, ...] = ()
    """Numbers of clusters, `clusters` among them; empty for those of the paper up to `clusters`."""
    nested: bool = False
    seed: int = 0
    cell: CellRule = field(default_factory=CellRule)
    region: RegionRule = field(default_factory=RegionRule)
    classifier: ClassifierRule | None = None
    resolutions: Mapping[str, float] = field(default_factory=dict)
    confirm_mpp: bool = False
    truth: Path | None = None
    """Folder with a label slide of true classes of each slide, `<slide>.tif`."""
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        if not all(FEWEST <= scale <= MOST for scale in self.all_scales) or self.all_scales[-1] != self.clusters:
            raise UsageError(
                f"there are {FEWEST} to {MOST} clusters, and --scales are no more than --clusters; asked for {self.clusters} "
                f"clusters and the scales {', '.join(map(str, self.all_scales))}."
            )
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"--seed is 0 to {2**31 - 1}, not {self.seed}.")
        if self.region.size < self.cell.side:
            raise UsageError(
                f"a patch of {self.region.size} pixels is smaller than a cell of {self.cell.side}: it would show one cluster. "
                "Give a larger --size or a smaller --cell."
            )

    @property
    def all_scales(self) -> tuple[int, ...]:
        """Ascending."""
        wanted = self.scales or tuple(scale for scale in DEFAULT_SCALES if scale < self.clusters)
        return tuple(sorted({*wanted, self.clusters}))


def make(plan: SlideList, request: Request, context: RunContext, out: Path) -> dict[str, Any]:
    """Writes the folder `out`: `k<scale>/`, a prepared folder for each scale, pictures, and `pseudo-maps.json`, whose content
    is returned. Raises UsageError, MissingError or DamagedError on what cannot be; whatever is finished is kept."""
    steps = _Steps(plan, request, context)
    encoded = steps.encode()
    clusters = steps.cluster(encoded)
    classifier = steps.train(encoded, clusters)
    labelled = steps.label(encoded, clusters, classifier)
    pictures = steps.draw(encoded, clusters)
    held: dict[str, Any] = {
        "encoder": request.encoder.label,
        "slides": len(encoded),
        "cells": {slide: context.store.read_json(job.ref, actions.SEEN)["cells"] for slide, job in encoded.items()},
        "clustered": context.store.read_json(clusters.ref, actions.SEEN)["cells"],
        "sizes": context.store.read_json(clusters.ref, actions.SEEN)["counts"],
        "classifier": None if classifier is None else context.store.read_json(classifier.ref, actions.REPORT),
        "agreement": steps.compare(encoded, labelled),
        "excluded": [list(one) for one in steps.exclusions],
    }
    work = out.with_name(f".{out.name}.part")
    delete(work)
    work.mkdir(parents=True)
    held["patches"] = {
        str(scale): steps.write(scale, encoded, labelled, work / f"k{scale:03d}") for scale in request.all_scales
    }
    for name in (actions.SHEET, actions.POINTS):
        (work / name).write_bytes(context.store.read_bytes(pictures.ref, name))
    (work / MAPS).mkdir()
    for name, job in labelled.items():
        (work / MAPS / f"{name}.png").write_bytes(context.store.read_bytes(job.ref, actions.MAP))
    write_text(work / SUMMARY, json.dumps(held, indent=1, sort_keys=True) + "\n")
    work.rename(out)
    return held


class _Steps:
    """The jobs of one call, step by step: later ones depend on what earlier ones found."""

    def __init__(self, plan: SlideList, request: Request, context: RunContext) -> None:
        self.request, self.context = request, context
        self.slides = {
            slide.slide: SlideToRead(slide, request.resolutions.get(slide.slide), request.confirm_mpp) for slide in plan.slides
        }
        self.exclusions = [*plan.exclusions]
        self.plan = plan

    def encode(self) -> dict[str, Job]:
        """Slide -> its cells, of the slides that have any."""
        request = self.request
        spec = {"version": VERSION, "cell": vars(request.cell), "encoder": describe_encoder(request.encoder.build())}
        jobs = {
            name: Job(
                "cells",
                {**spec, **self._described(name)},
                actions.EncodeCells(slide, request.cell, request.encoder),
                resource="gpu",
                label=f"encode cells of {name}",
            )
            for name, slide in self.slides.items()
        }
        outcomes = self.context.execute([*jobs.values()])
        failed = {name: found for name, job in jobs.items() if isinstance(found := outcomes[job.ref], Failed)}
        reasons = {outcome.error.message for outcome in failed.values() if outcome.error.code == "usage"}
        if len(failed) == len(jobs) > 1 and len(reasons) == 1:  # the encoder, not the slides
            raise UsageError(
                f"no cell can be encoded: {reasons.pop()} A cell is shown in {request.cell.window} pixels: --window."
            )
        raise_failures(failed, self.request.skip_damaged)
        self.exclusions += [(name, outcome.error.message) for name, outcome in failed.items()]
        kept: dict[str, Job] = {}
        for name, job in jobs.items():
            if name in failed:
                continue
            if self.context.store.read_json(job.ref, actions.SEEN)["cells"]:
                kept[name] = job
            else:
                self.exclusions.append((name, "no cell lies on tissue"))
        if not kept:
            raise MissingError(f"no slide has a cell on tissue; {len(self.exclusions)} are left out: {self.exclusions[:3]}.")
        return kept

    def cluster(self, encoded: Mapping[str, Job]) -> Job:
        """The clusters of all cells that were encoded."""
        request = self.request
        cells = sum(self.context.store.read_json(job.ref, actions.SEEN)["clustered"] for job in encoded.values())
        if cells < request.clusters:
            raise UsageError(
                f"{request.clusters} clusters of {cells} cells: there are at least as many cells as clusters. Give fewer "
                "--clusters, a smaller --cell, or more slides."
            )
        spec = {"version": VERSION, "scales": list(request.all_scales), "nested": request.nested, "seed": request.seed}
        needs = tuple(encoded.values())
        action = actions.ClusterCells(_refs(needs), request.all_scales, request.nested, request.seed)
        return self._run(Job("clusters", spec, action, needs, "gpu", label="cluster cells"))

    def train(self, encoded: Mapping[str, Job], clusters: Job) -> Job | None:
        """The classifier, where one labels the cells."""
        request = self.request
        if request.classifier is None:
            return None
        slides, needs = tuple(self.slides[name] for name in encoded), tuple(encoded.values())
        action = actions.TrainClassifier(slides, _refs(needs), clusters.ref, request.cell, request.classifier, request.encoder)
        spec = {"version": VERSION, "classifier": vars(request.classifier)}
        return self._run(Job("classifiers", spec, action, (*needs, clusters), "gpu", label="train the classifier"))

    def label(self, encoded: Mapping[str, Job], clusters: Job, classifier: Job | None) -> dict[str, Job]:
        """Slide -> the clusters of its cells, and its patches."""
        request = self.request
        weights = None if classifier is None else classifier.ref
        jobs = {}
        for name, cells in encoded.items():
            action = actions.LabelCells(
                self.slides[name],
                cells.ref,
                clusters.ref,
                request.cell,
                request.region,
                request.encoder,
                request.classifier,
                weights,
            )
            needs = (cells, clusters) if classifier is None else (cells, clusters, classifier)
            spec = {"version": VERSION, "region": vars(request.region)}
            jobs[name] = Job("cell-labels", spec, action, needs, "gpu", label=f"label cells of {name}")
        self._run_all(jobs.values())
        if not any(self.context.store.read_json(job.ref, actions.SEEN)["regions"] for job in jobs.values()):
            raise UsageError(
                f"no square of {request.region.size} pixels has a map of {request.region.heterogeneity:g} bits or more. Give "
                "a smaller --heterogeneity or --cell, or a larger --size; a classifier may need more --classifier-steps."
            )
        return jobs

    def draw(self, encoded: Mapping[str, Job], clusters: Job) -> Job:
        """The pictures."""
        slides, needs = tuple(self.slides[name] for name in encoded), tuple(encoded.values())
        action = actions.DrawClusters(slides, _refs(needs), clusters.ref, self.request.cell, self.request.seed)
        spec = {"version": VERSION, "seed": self.request.seed}
        return self._run(Job("cluster-pictures", spec, action, (*needs, clusters), label="draw clusters"))

    def compare(self, encoded: Mapping[str, Job], labelled: Mapping[str, Job]) -> dict[str, Any]:
        """Scale -> agreement with the true classes of the slides that have them; empty without `truth`."""
        request = self.request
        if request.truth is None:
            return {}
        files = {name: path for name in labelled if (path := request.truth / f"{name}.tif").is_file()}
        if not files:
            raise MissingError(f"--truth {request.truth} has a file <slide>.tif of no slide, e.g. {next(iter(labelled))}.tif.")
        jobs = {}
        for name, path in files.items():
            action = actions.CountTrueClasses(
                self.slides[name], path, encoded[name].ref, labelled[name].ref, request.all_scales, request.cell
            )
            spec = {"version": VERSION, "truth": stamp_of(path)}
            jobs[name] = Job("true-classes", spec, action, (encoded[name], labelled[name]), label=f"compare {name}")
        self._run_all(jobs.values())
        units = {name: self.slides[name].plan.unit for name in jobs}
        found = {}
        for scale in request.all_scales:
            tables = {
                name: np.asarray(open_array(self.context.store, job.ref, f"counts-{scale}")) for name, job in jobs.items()
            }
            estimate = agreement(tables, units)
            cells = int(sum(table.sum() for table in tables.values()))
            bounds = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "reason": estimate.reason}
            found[str(scale)] = {**bounds, "cells": cells, "units": len(set(units.values()))}
        return found

    def write(self, scale: int, encoded: Mapping[str, Job], labelled: Mapping[str, Job], out: Path) -> dict[str, Any]:
        """A prepared folder with the clusters of one scale."""
        request, store = self.request, self.context.store
        shown = {n for job in labelled.values() for n in store.read_json(job.ref, actions.SEEN)["present"][str(scale)]}
        present = tuple(sorted(shown))
        jobs = {}
        for name, job in labelled.items():
            action = actions.CutRegions(
                self.slides[name], encoded[name].ref, job.ref, request.cell, request.region, scale, present
            )
            spec = {"version": VERSION, "scale": scale, "present": list(present)}
            jobs[name] = Job("pseudo-slides", spec, action, (encoded[name], job), label=f"cut {name} with {scale} clusters")
        self._run_all(jobs.values())
        described = {
            "source": f"pseudo-maps of {self.plan.source}",
            "conditioned_by": [request.encoder.label],
            "encoder": describe_encoder(request.encoder.build()),
            "clusters": scale,
            "present": list(present),
            "scales": list(request.all_scales),
            "nested": request.nested,
            "seed": request.seed,
            "cell": vars(request.cell),
            "region": vars(request.region),
            "labelled_by": "encoder" if request.classifier is None else vars(request.classifier),
            "notes": list(self.plan.notes),
        }
        parts = [store.folder(job.ref) for job in jobs.values()]
        names = cluster_names(len(present))
        assemble(parts, out, request.region.size, request.cell.mpp, names, described, self.exclusions)
        patches = sum(len(store.read_json(job.ref, actions.SEEN)["regions"]) for job in labelled.values())
        return {"classes": len(present), "patches": patches}

    def _described(self, name: str) -> dict[str, Any]:
        slide = self.slides[name]
        return {"slide": slide.plan.described(), "mpp": slide.mpp, "confirm": slide.confirm_mpp}

    def _run(self, job: Job) -> Job:
        self._run_all([job])
        return job

    def _run_all(self, jobs: Iterable[Job]) -> None:
        raise_failure(self.context.execute([*jobs]))


def _refs(jobs: Iterable[Job]) -> tuple[EntryRef, ...]:
    return tuple(job.ref for job in jobs)
