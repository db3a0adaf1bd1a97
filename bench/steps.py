"""The steps of a run as plain functions: split, check fit, fit, sample, features. Each is cached by what it depends on."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache as remembered
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench import engine, registry
from bench.cache import MANIFEST, Cache, digest_of, key_of
from bench.errors import UsageError
from bench.pipeline.data import MAPS, DataSplits, fitting_set, only
from bench.provenance import sources
from bench.store import load_set, save_set
from bench.types import (
    Conditions,
    Dataset,
    Encoder,
    Features,
    Fittable,
    Generator,
    Images,
    ImageSet,
    LayoutGenerator,
    Progress,
    Shipped,
    Trainable,
    image_seeds,
)

SHARD = 64
Made = TypeVar("Made")


@dataclass(frozen=True)
class Fitted:
    """A generator ready to generate, and how a worker process builds it again."""

    generator: Generator
    name: str
    options: tuple[tuple[str, Any], ...]
    weights: Path | None
    digest: str
    origin: str
    """`shipped`, `fitted`, or `none` where there is nothing to fit."""
    layouts: str = ""
    """Name of the plug-in that drew the maps it is shown; empty for real maps."""


@dataclass(frozen=True)
class GeneratedSet:
    """Generated patches of one seed, with the conditions they were generated for."""

    patches: ImageSet
    seed: int


def check_fit(generator: Generator, dataset: Dataset) -> None:
    """Raises UsageError if the dataset does not provide what the generator needs."""
    provides = set(dataset.provides) | ({"prompts"} if "masks" in dataset.provides else set())
    missing = sorted(set(generator.card.needs) - provides)
    if missing:
        raise UsageError(
            f"{generator.card.name} needs the condition {', '.join(missing)}; {dataset.card.name} provides "
            f"{', '.join(sorted(provides))}. Choose another pair: bench list generators, bench info {dataset.card.name}."
        )


def fit(
    name: str,
    generator: Generator,
    splits: DataSplits,
    seed: int,
    refit: bool,
    cache: Cache,
    progress: Progress,
    log: Callable[[str], None] = lambda text: None,
) -> Fitted:
    """Weights that ship, weights from the cache, or a fit; then loaded, so that what generates is what was saved."""
    options = tuple(registry.describe(generator)["options"].items())
    if not isinstance(generator, Trainable):
        return Fitted(generator, name, options, None, getattr(generator, "digest", ""), "none")
    weights = load_or_train(name, generator, fitting_set(generator, splits), seed, refit, cache, progress, log)
    return Fitted(generator, name, options, weights.folder, weights.digest, weights.origin)


@dataclass(frozen=True)
class Weights:
    """Where the weights of a plug-in are, what they are, and where they come from: `shipped`, `fitted` or `none`."""

    folder: Path | None
    digest: str
    origin: str


def load_or_train(
    name: str,
    plugin: Fittable,
    train: ImageSet,
    seed: int,
    refit: bool,
    cache: Cache,
    progress: Progress,
    log: Callable[[str], None],
) -> Weights:
    """Loads into the plug-in the weights that ship, those from the cache, or those of a fit."""
    weights = plugin.shipped(train.key) if isinstance(plugin, Shipped) and not refit else None
    origin = "shipped" if weights else "fitted"
    if weights is None:
        spec = {"generator": training_config(plugin), "train": train.key, "seed": seed}

        def make(work: Path) -> None:
            if effort := getattr(plugin, "effort", None):
                log(f"{name}: no weights for this training set yet, fitting {effort()}")
            plugin.fit(train, seed, progress, work)
            for left in work.iterdir():
                _remove(left)
            plugin.save(work)

        weights = cache.entry("weights", spec, make)
    plugin.load(weights)
    digest = key_of({name: digest_of(weights / name) for name in weight_files(weights, plugin.card.name)})
    return Weights(weights, digest, origin)


def sampled(
    layouts: LayoutGenerator, weights: Weights, patches: ImageSet, seed: int, cache: Cache, progress: Progress
) -> ImageSet:
    """The conditions with a synthetic layout in place of each real one, and no images yet: they are black."""
    asked = only(patches, MAPS).conditions
    spec = {"layouts": registry.describe(layouts), "weights": weights.digest, "asked": patches.key, "seed": seed}

    def make(work: Path) -> None:
        progress(0, 1, f"draw {layouts.card.name}")
        made = _finite_images(layouts.card.name, lambda: layouts.sample(asked, image_seeds(seed, asked.ids)))
        if not np.array_equal(made.ids, asked.ids) or not np.array_equal(made.groups, asked.groups):
            raise UsageError(f"{layouts.card.name} draws other ids or groups than it was asked for. See: bench check.")
        nothing = np.zeros((len(made), 1, 1, 3), np.uint8)
        save_set(ImageSet(key_of(spec), nothing, made), work)
        progress(1, 1, f"draw {layouts.card.name}")

    held = load_set(cache.entry("layouts", spec, make))
    return replace(held, images=np.broadcast_to(np.uint8(0), (len(held), asked.size, asked.size, 3)))


def weight_files(folder: Path, name: str) -> list[str]:
    """Names of the files that hold the weights of one generator: several may share a folder that was delivered."""
    manifest = folder / f"{name}.manifest.json"
    if manifest.is_file():
        return sorted(json.loads(manifest.read_text())["files"])
    return sorted(f.name for f in folder.iterdir() if f.name != MANIFEST)


def training_config(plugin: Fittable | Generator) -> dict[str, Any]:
    """What decides the weights apart from data and seed; of a plug-in from outside also what it is made of."""
    own: Callable[[], dict[str, Any]] | None = getattr(plugin, "training_config", None)
    return {**own(), **sources.describe(type(plugin))} if own else registry.describe(plugin)


def sample(fitted: Fitted, patches: ImageSet, seed: int, workers: int, cache: Cache, progress: Progress) -> GeneratedSet:
    """Generates every condition once. Shards that an interrupted run finished are kept."""
    generator = fitted.generator
    with_estimate = only(patches, set(generator.card.needs)).conditions
    spec = {
        "generator": registry.describe(generator),
        "weights": fitted.digest,
        "conditions": patches.key,
        "seed": seed,
    }
    pieces = engine.shards(len(patches), SHARD)

    def make(work: Path) -> None:
        todo = [piece for piece in pieces if not _shard(work, piece).exists()]
        progress(len(pieces) - len(todo), len(pieces), f"generate {generator.card.name}")
        job = _Job(fitted, with_estimate, seed, work)
        generate = job.here if workers <= 1 else job
        for done, _ in enumerate(engine.run(generate, todo, workers), start=1):
            progress(len(pieces) - len(todo) + done, len(pieces), f"generate {generator.card.name}")
        np.save(work / "ids.npy", patches.conditions.ids)
        images = np.concatenate([np.load(_shard(work, piece)) for piece in pieces])
        if not images.any():  # libraries other than numpy cast NaN to 0 without a warning
            raise FloatingPointError(f"{fitted.name}: all {len(images)} images are black, as NaN becomes. See: bench check.")
        np.save(work / "images.npy", images)
        for piece in pieces:
            _shard(work, piece).unlink()

    images = np.load(cache.entry("samples", spec, make) / "images.npy", mmap_mode="r")
    return GeneratedSet(ImageSet(key_of(spec), images, patches.conditions), seed)


@dataclass(frozen=True)
class _Job:
    """Generates one shard into its file."""

    fitted: Fitted
    conditions: Conditions
    seed: int
    work: Path

    def here(self, rows: engine.Shard) -> None:
        """With the generator of this process."""
        self._generate(self.fitted.generator.generate, rows)

    def __call__(self, rows: engine.Shard) -> None:
        """With a generator built once in each worker."""
        fitted = self.fitted
        self._generate(_built(fitted.name, fitted.options, fitted.weights).generate, rows)

    def __reduce__(self) -> tuple[Any, ...]:
        # the built generator stays behind: a worker makes its own
        return _Job, (replace(self.fitted, generator=None), self.conditions, self.seed, self.work)  # type: ignore[arg-type]

    def _generate(self, generate: Callable[..., Images], rows: engine.Shard) -> None:
        asked = self.conditions[slice(*rows)]
        generated = _finite_images(self.fitted.name, lambda: generate(asked, image_seeds(self.seed, asked.ids)))
        wanted = (len(asked), asked.size, asked.size, 3)
        if generated.shape != wanted or generated.dtype != np.uint8:
            raise UsageError(
                f"{self.fitted.name} returned {generated.dtype} {generated.shape}; a generator returns uint8 {wanted}. "
                "See: bench check."
            )
        temporary = self.work / f"writing-{rows[0]}.npy"
        np.save(temporary, generated)
        temporary.replace(_shard(self.work, rows))


def _finite_images(name: str, make: Callable[[], Made]) -> Made:
    """What `make` returns; raises FloatingPointError where values that are not finite became integers on the way."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "invalid value encountered in cast", RuntimeWarning)
        try:
            return make()
        except RuntimeWarning as error:
            raise FloatingPointError(
                f"{name} casts NaN or infinite values to whole numbers ({error}): the images would be black there. "
                "See: bench check."
            ) from error


@remembered
def _built(name: str, options: tuple[tuple[str, Any], ...], weights: Path | None) -> Generator:
    head = name if registry.is_file(name) else name.partition(":")[0]
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in options}
    generator: Generator = registry.load("generators", head, **given)
    if weights is not None and isinstance(generator, Trainable):
        generator.load(weights)
    return generator


def features(encoder: Encoder, patches: ImageSet, cache: Cache, progress: Progress) -> Features:
    """float32 (n, dim), from the cache or encoded; raises UsageError, and keeps nothing, where the encoder returns another
    number of rows or values that are not finite."""
    spec = {"encoder": registry.describe(encoder), "images": patches.key}

    def make(work: Path) -> None:
        progress(0, 1, f"encode {encoder.card.name}")
        np.save(work / "features.npy", _checked(encoder, encoder.encode(np.asarray(patches.images)), len(patches)))
        progress(1, 1, f"encode {encoder.card.name}")

    found: Features = np.load(cache.entry("features", spec, make) / "features.npy", mmap_mode="r")
    return found


def _checked(encoder: Encoder, found: Features, n: int) -> Features:
    """The features, or a usage error that says what an encoder returns."""
    name, found = encoder.card.name, np.asarray(found)
    if found.ndim != 2 or len(found) != n or found.dtype.kind != "f":
        raise UsageError(
            f"{name} returned {found.dtype} {found.shape} for {n} images; an encoder returns float32 ({n}, dim). "
            f"See: bench check {name}."
        )
    if wrong := int((~np.isfinite(found).all(axis=1)).sum()):
        raise UsageError(f"{name} returned NaN or infinite features for {wrong} of {n} images. See: bench check {name}.")
    return found


def _shard(work: Path, rows: engine.Shard) -> Path:
    return work / f"shard-{rows[0]:08d}.npy"


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
