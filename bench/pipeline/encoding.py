"""Features of real and generated patches: one job for each shard of rows and encoder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import registry
from bench.errors import MissingError, UsageError
from bench.jobs.arrays import open_sharded, write_array
from bench.jobs.graph import Job, JobContext
from bench.jobs.store import EntryRef, Store
from bench.pipeline.data import Patches
from bench.pipeline.generation import SHARD as GENERATED_SHARD
from bench.pipeline.generation import GeneratedSet, shard_bounds
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import PatchesRef, load_into_memory, rows_per_chunk, select
from bench.provenance.digests import digest_of_array
from bench.types import Encoder, Features, HoldsFeatures, RegionMetric

SHARD = 256
"""Patches of one job."""


@dataclass(frozen=True)
class FeaturesRef:
    """Names the features of a set of patches in the store."""

    shards: tuple[EntryRef, ...]

    def load(self, store: Store) -> Features:
        """float32 (n, dim), or (n, regions, d) of regions."""
        return np.asarray(open_sharded(store, self.shards, "features"))


@dataclass(frozen=True)
class FeatureSet:
    """Features of one set of patches, and the job that lists them once all are computed."""

    job: Job
    ref: FeaturesRef


def encode(encoder: Plugin, patches: Patches | GeneratedSet) -> FeatureSet:
    """The jobs that encode every patch of a set."""
    key = patches.images_key if isinstance(patches, Patches) else patches.key
    spec = {"encoder": describe_encoder(encoder.build()), **_content(encoder.build()), "images": key}
    bounds = shard_bounds(len(patches), SHARD)
    shards = tuple(
        Job(
            "encoded",
            {**spec, "rows": [start, stop]},
            Encode(encoder, patches.ref, start, stop),
            _needs(patches, start, stop),
            "gpu",
            label=f"encode with {encoder.name}, rows {start} to {stop - 1}",
        )
        for start, stop in bounds
    )
    refs = tuple(job.ref for job in shards)
    ref = FeaturesRef(refs)
    return FeatureSet(Job("features", spec, ListFeatures(ref), shards, label=f"list features of {encoder.name}"), ref)


def encode_regions(metric: Plugin, encoder: Plugin, patches: Patches | GeneratedSet) -> FeatureSet:
    """The jobs that describe the regions of every patch of a set: features float32 (n, regions, d), NaN where a patch shows
    too little of a region."""
    spec = {
        "encoder": describe_encoder(encoder.build()),
        "regions": registry.describe(metric.build()),
        "patches": patches.key,
    }
    shards = tuple(
        Job(
            "encoded",
            {**spec, "rows": [start, stop]},
            EncodeRegions(metric, encoder, patches.ref, start, stop),
            _needs(patches, start, stop),
            "gpu",
            label=f"encode regions with {encoder.name}, rows {start} to {stop - 1}",
        )
        for start, stop in shard_bounds(len(patches), SHARD)
    )
    ref = FeaturesRef(tuple(job.ref for job in shards))
    return FeatureSet(Job("features", spec, ListFeatures(ref), shards, label=f"list regions by {encoder.name}"), ref)


def _needs(patches: Patches | GeneratedSet, start: int, stop: int) -> tuple[Job, ...]:
    """Only the jobs that make these rows, so that encoding starts before generation has ended."""
    if isinstance(patches, Patches):
        return patches.needs
    return patches.shards[start // GENERATED_SHARD : -(-stop // GENERATED_SHARD)]


@dataclass(frozen=True)
class Encode:
    """Action: the features of some rows."""

    encoder: Plugin
    patches: PatchesRef
    start: int
    stop: int

    def __call__(self, work: Path, context: JobContext) -> None:
        encoder: Encoder = self.encoder.build()
        images = np.asarray(select(self.patches.load(context.store), np.arange(self.start, self.stop)).images)
        features = np.asarray(encoder.encode(images))
        name, n = self.encoder.label, len(images)
        if features.ndim != 2 or len(features) != n or features.dtype.kind != "f" or not features.shape[1]:
            raise UsageError(
                f"{name} returned {features.dtype} {features.shape} for {n} images; an encoder returns float32 ({n}, dim). "
                f"See: bench check {name}."
            )
        with np.errstate(over="ignore"):  # a float64 may be beyond what float32 holds: it is infinite then
            features = features.astype(np.float32, copy=False)
        if wrong := int((~np.isfinite(features).all(axis=1)).sum()):
            raise UsageError(f"{name} returned NaN or infinite features for {wrong} of {n} images. See: bench check {name}.")
        write_array(work, "features", features, rows_per_chunk(features))


@dataclass(frozen=True)
class EncodeRegions:
    """Action: the features of the regions of some rows."""

    metric: Plugin
    encoder: Plugin
    patches: PatchesRef
    start: int
    stop: int

    def __call__(self, work: Path, context: JobContext) -> None:
        metric: RegionMetric = self.metric.build()
        part = load_into_memory(select(self.patches.load(context.store), np.arange(self.start, self.stop)))
        found = np.asarray(metric.describe_regions(self.encoder.build(), part))
        wanted = len(part), len(metric.measures(part.conditions.classes))
        if found.shape[:2] != wanted or found.ndim != 3 or found.dtype.kind != "f" or not found.shape[2]:
            raise UsageError(
                f"{self.metric.name} describes regions as {found.dtype} {found.shape}, not float32 (*{wanted}, d)."
            )
        if (np.isnan(found).any(axis=2) != np.isnan(found).all(axis=2)).any() or np.isinf(found).any():
            raise UsageError(
                f"{self.metric.name} with {self.encoder.label} gives regions with some NaN or infinite features: finite ones "
                f"are needed, or NaN throughout where there is no region. See: bench check {self.encoder.label}."
            )
        write_array(work, "features", found.astype(np.float32, copy=False), rows_per_chunk(found))


@dataclass(frozen=True)
class ListFeatures:
    """Action: shape and digest of all features, for the manifest of a run."""

    features: FeaturesRef

    def __call__(self, work: Path, context: JobContext) -> None:
        features = self.features.load(context.store)
        listed = {"shape": list(features.shape), "digest": digest_of_array(features)}
        (work / "features.json").write_text(json.dumps(listed), encoding="utf-8")


def _content(encoder: Encoder) -> dict[str, str]:
    """What keys have beside the description: the digest of features from a file."""
    return {"content": encoder.content} if isinstance(encoder, HoldsFeatures) else {}


def describe_encoder(encoder: Encoder) -> dict[str, object]:
    """The encoder's description, without the digest if its weights are missing; then its records give the reason."""
    try:
        return registry.describe(encoder)
    except MissingError:
        return {"name": encoder.card.name, "version": encoder.card.version, "digest": "no weights"}
