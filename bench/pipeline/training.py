"""Weights of a plug-in that is trained first: those that ship with the package, or those of a training job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench import registry
from bench.errors import DamagedError, UsageError
from bench.files.json_files import read_object
from bench.files.names import path_part
from bench.files.paths import delete, read_regular
from bench.files.regular import is_there
from bench.jobs.entries import MANIFEST, parse
from bench.jobs.graph import Job, JobContext
from bench.jobs.store import EntryRef, Store, key_of
from bench.pipeline.data import DataSplits, Patches
from bench.pipeline.plugins import Plugin, WeightsRef
from bench.pipeline.sets import SetRef, keep_columns, load_into_memory
from bench.provenance import sources
from bench.provenance.digests import digest_of
from bench.types import (
    ChoosesTrainingPatches,
    Fittable,
    HasDigest,
    HasTrainingConfig,
    ReadsCheckpoint,
    ShipsWeights,
    StatesEffort,
    TrainsOnSeveralDevices,
    TrainsSharedStage,
)

Origin = Literal["shipped", "given", "trained", "none"]
"""`given`: read from a file that an option names."""


@dataclass(frozen=True)
class Weights:
    """Where the weights of a plug-in come from. `job` makes them where they are trained."""

    origin: Origin
    ref: WeightsRef = WeightsRef()
    job: Job | None = None
    shipped_digest: str = ""
    method: str = ""
    """Key of everything that decides trained weights but the seed; empty for others."""

    @property
    def needs(self) -> tuple[Job, ...]:
        return () if self.job is None else (self.job,)

    @property
    def listing(self) -> Job | None:
        """The job that lists the files of trained weights. Its entry remains when the weights are removed or lost: numbers
        that are in the store keep saying of which weights they are."""
        if self.job is None:
            return None
        return Job("weight-files", {"weights": self.job.ref.key}, ListFiles(self.job.ref), (self.job,), label="list weights")

    def files(self, store: Store) -> dict[str, str]:
        """Name -> sha256 of the files of trained weights. Empty if there are none, or not yet."""
        if self.listing is None or self.ref.entry is None:
            return {}
        if store.has(self.ref.entry):
            return dict(sorted(store.digests(self.ref.entry).items()))
        return dict(store.read_json(self.listing.ref, "files.json")) if store.has(self.listing.ref) else {}

    def digest(self, store: Store) -> str:
        """Digest of the weight files. Empty if there are none, or not yet."""
        if self.ref.entry is None:
            return self.shipped_digest
        found = self.files(store)
        return key_of(found) if found else ""


def weights_of(plugin: Plugin, train: Patches, seed: int, retrain: bool) -> Weights:
    """The weights of a file that an option names, the shipped ones for this training set, or the job that trains them on the
    patches `train`. Raises UsageError where weights of a file are to be trained."""
    built = plugin.build()
    if isinstance(built, ReadsCheckpoint) and built.checkpoint is not None:
        if retrain:
            raise UsageError(
                f"{plugin.name} has the weights of {built.checkpoint}, which are one fit: leave out --fit and --fit-seeds."
            )
        return Weights("given", shipped_digest=built.digest if isinstance(built, HasDigest) else "")
    if not isinstance(built, Fittable):
        return Weights("none", shipped_digest=built.digest if isinstance(built, HasDigest) else "")
    if not retrain and isinstance(built, ShipsWeights) and (folder := built.shipped(train.key)) is not None:
        files = {name: digest_of(folder / name) for name in weight_files(folder, built.card.name)}
        return Weights("shipped", WeightsRef(folder=folder), shipped_digest=key_of(files))
    job = training_job(plugin, built, train, seed)
    return Weights("trained", WeightsRef(entry=job.ref), job, method=method_key(built, train))


@dataclass(frozen=True)
class ListFiles:
    """Action: the sha256 of each file of trained weights."""

    weights: EntryRef

    def __call__(self, work: Path, context: JobContext) -> None:
        files = dict(sorted(context.store.digests(self.weights).items()))
        (work / "files.json").write_text(json.dumps(files), encoding="utf-8")


def method_key(built: Fittable, train: Patches) -> str:
    """Key of training config, shared stage and training patches: what fits of one method have in common."""
    stage = {**built.stage_config(), **sources.describe(type(built))} if isinstance(built, TrainsSharedStage) else {}
    return key_of({"plugin": training_config(built), "stage": stage, "train": train.key, "images": train.images_key})


def training_job(plugin: Plugin, built: Fittable, train: Patches, seed: int) -> Job:
    """Trains the plug-in. A first stage that several plug-ins share is a job of its own, run once."""
    stage: tuple[Job, ...] = ()
    collective = isinstance(built, TrainsOnSeveralDevices)
    if isinstance(built, TrainsSharedStage):
        spec = {"config": {**built.stage_config(), **sources.describe(type(built))}, "images": train.images_key, "seed": seed}
        stage = (
            Job(
                "first-stage",
                spec,
                TrainStage(plugin, train.ref, seed),
                train.needs,
                resource="gpu",
                resumable=True,
                collective=collective,
                label=f"first stage of {plugin.name}",
            ),
        )
    spec = {"plugin": training_config(built), "train": train.key, "seed": seed}
    action = Train(plugin, train.ref, seed, stage[0].ref if stage else None)
    return Job(
        "weights",
        spec,
        action,
        (*train.needs, *stage),
        resource="gpu",
        resumable=True,
        collective=collective,
        label=f"train {plugin.name}",
    )


def training_config(plugin: Any) -> dict[str, Any]:
    """Everything that decides the weights except data and seed; for a plug-in from outside, its code too."""
    if isinstance(plugin, HasTrainingConfig):
        return {**plugin.training_config(), **sources.describe(type(plugin))}
    return registry.describe(plugin)


@dataclass(frozen=True)
class TrainStage:
    """Action: trains the stage that several plug-ins share."""

    plugin: Plugin
    train: SetRef
    seed: int

    def __call__(self, work: Path, context: JobContext) -> None:
        built = self.plugin.build_anew()
        images = load_into_memory(keep_columns(self.train.load(context.store), set()))
        built.train_stage(images, self.seed, context.progress, work)


@dataclass(frozen=True)
class Train:
    """Action: trains a plug-in on real patches and saves its weights. `work` outlives an interruption."""

    plugin: Plugin
    train: SetRef
    seed: int
    stage: EntryRef | None = None

    def __call__(self, work: Path, context: JobContext) -> None:
        built = self.plugin.build_anew()
        if isinstance(built, StatesEffort):
            context.log(f"{self.plugin.name}: no weights for this training set yet; training {built.effort()}")
        if self.stage is not None:
            built.use_stage(context.store.folder(self.stage))
        train = load_into_memory(self.train.load(context.store))
        built.fit(train, self.seed, context.progress, work)
        for left in work.iterdir():
            delete(left)
        built.save(work)


def training_patches(plugin: Plugin, splits: DataSplits) -> Patches:
    """The real patches that a generator may be trained on, with the condition columns that it declares: the training split, or
    those that a control declares (`ChoosesTrainingPatches`)."""
    built = plugin.build()
    needs = set(built.card.needs)
    chosen = built.training_patches if isinstance(built, ChoosesTrainingPatches) else "train"
    if chosen in ("target", "train+target"):
        return splits.join("train", "test", needs, with_splits=chosen == "train+target")
    prompted = "prompts" in needs and chosen == "train"
    return (splits.prompted if prompted else splits.plain)[chosen].keep_columns(needs)


def weight_files(folder: Path, name: str) -> list[str]:
    """Names of the files that hold the weights of one plug-in: several plug-ins may share a folder."""
    manifest = folder / f"{name}.manifest.json"
    if is_there(manifest):
        return sorted(read_weights_manifest(manifest)["files"])
    entry = folder / MANIFEST
    if entry.is_file():  # of the store: what was added to the folder is no part of the weights
        return sorted(parse(read_regular(entry))["files"])
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def read_weights_manifest(path: Path) -> dict[str, Any]:
    """What `bench fit` wrote beside weights. Raises DamagedError unless it has a training config, the key of a training set
    and the names of files with their digests."""
    held = read_object(path, "manifest of weights")
    kinds = {"training_config": dict, "train_key": str, "files": dict}
    if wrong := [name for name, kind in kinds.items() if not isinstance(held.get(name), kind)]:
        raise DamagedError(f"{path} is no manifest of weights: {', '.join(wrong)} is absent or of another type. Fit again.")
    for name, digest in held["files"].items():
        path_part(name, f"file in {path}")
        if not isinstance(digest, str):
            raise DamagedError(f"{path} is no manifest of weights: the digest of {name} is no text. Fit again.")
    return held
