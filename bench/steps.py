"""The steps of a run as plain functions: split, check fit, fit, sample, features. Each is cached by what it depends on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache as remembered
from pathlib import Path
from typing import Any

import numpy as np

from bench import engine, prompts, registry
from bench.cache import MANIFEST, Cache, digest_of, key_of
from bench.errors import MissingError, UsageError
from bench.plan import Cast
from bench.store import load_set, save_set
from bench.types import (
    Conditions,
    Dataset,
    Encoder,
    Features,
    Generator,
    Images,
    ImageSet,
    Progress,
    Shipped,
    Trainable,
    image_seeds,
)

SHARD = 64
SPLITS = ("train", "validation", "test", "holdout")


@dataclass(frozen=True)
class Scene:
    """The data of a run, once as the dataset gives it and once with prompts attached."""

    plain: dict[str, ImageSet]
    prompted: dict[str, ImageSet]
    diet: ImageSet
    """The training patches that downstream models see, with prompts: the conditions that generators paint for them."""


@dataclass(frozen=True)
class Fitted:
    """A generator ready to paint, and how a worker process builds it again."""

    generator: Generator
    name: str
    options: tuple[tuple[str, Any], ...]
    weights: Path | None
    digest: str
    origin: str
    """`shipped`, `fitted`, or `none` where there is nothing to fit."""


@dataclass(frozen=True)
class Painted:
    """Painted patches of one seed, with the conditions they were painted for."""

    patches: ImageSet
    seed: int


def scene(cast: Cast, cache: Cache, progress: Progress) -> Scene:
    """Splits of the dataset, and the same with crops attached, from the cache or made."""
    plain: dict[str, ImageSet] = {}
    for number, name in enumerate(SPLITS):
        plain[name] = split(cast.dataset, name, cache)
        progress(number + 1, len(SPLITS), "data")
    check_groups(plain)
    prompted = {name: prompted_set(plain[name], cast.rule, cache) for name in ("train", "test")}
    rows = spread(prompted["train"].conditions.ids, getattr(cast.task, "patches", 0))
    return Scene(plain, prompted, prompted["train"][rows])


def split(dataset: Dataset, name: str, cache: Cache) -> ImageSet:
    """One split, memory-mapped from the cache."""
    spec = {"dataset": registry.describe(dataset), "split": name}
    return load_set(cache.entry("data", spec, lambda work: save_set(dataset.split(name), work)))


def prompted_set(patches: ImageSet, rule: prompts.PromptRule, cache: Cache) -> ImageSet:
    """The patches with prompts cut by the rule."""
    spec = {"patches": patches.key, "rule": repr(rule)}
    return load_set(cache.entry("prompts", spec, lambda work: save_set(prompts.attach(patches, rule), work)))


def spread(ids: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Row numbers of `count` patches (all for 0), chosen by the hash of their id: the same ones in any order of the set."""
    if not count or count >= len(ids):
        return np.arange(len(ids))
    order = np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in ids.tolist()])
    return np.sort(order[:count])


def check_groups(sets: dict[str, ImageSet]) -> None:
    """Raises UsageError if a slide is in two of train, validation and test, or the holdout is fitted or tested on."""
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test"), ("train", "holdout")):
        both = np.intersect1d(sets[one].conditions.groups, sets[other].conditions.groups)
        if len(both):
            listed = ", ".join(both[:5].tolist())
            raise UsageError(f"{len(both)} slides are in both {one} and {other} ({listed}): the splits leak.")
    again = np.intersect1d(sets["test"].conditions.ids, sets["holdout"].conditions.ids)
    if len(again):
        raise UsageError(f"{len(again)} held-out patches are also test patches ({', '.join(again[:5].tolist())}).")


def check_fit(generator: Generator, dataset: Dataset) -> None:
    """Raises UsageError if the dataset does not provide what the generator needs."""
    provides = set(dataset.provides) | ({"prompts"} if "masks" in dataset.provides else set())
    missing = sorted(set(generator.card.needs) - provides)
    if missing:
        raise UsageError(
            f"{generator.card.name} needs the condition {', '.join(missing)}; {dataset.card.name} provides "
            f"{', '.join(sorted(provides))}. Choose another pair: bench list generators, bench info {dataset.card.name}."
        )


def shown(generator: Generator, scene: Scene, name: str) -> ImageSet:
    """A split with the condition columns that the generator declares, and no other: what it sees is what it says."""
    needs = set(generator.card.needs)
    patches = scene.prompted[name] if "prompts" in needs else scene.plain[name]
    return only(patches, needs)


def only(patches: ImageSet, needs: set[str]) -> ImageSet:
    """The set without the optional columns that are not needed."""
    hidden = {column: None for column in patches.conditions.columns() - needs}
    return replace(patches, conditions=replace(patches.conditions, **hidden))  # type: ignore[arg-type]


def fitting_set(generator: Generator, scene: Scene) -> ImageSet:
    """The real patches a generator may learn from: training patches, or what a control says it is shown."""
    wanted = getattr(generator, "shown", "train")
    if wanted == "target":
        train, test = (shown(generator, scene, name) for name in ("train", "test"))
        return joined(train, test)
    return only(scene.plain[wanted], set(generator.card.needs)) if wanted != "train" else shown(generator, scene, "train")


def joined(one: ImageSet, other: ImageSet) -> ImageSet:
    """Two sets in a row, with the columns both have; prompts are left behind."""
    first, second = one.conditions, other.conditions
    columns = (first.columns() & second.columns()) - {"prompts"}
    merged: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("ids", "groups", *sorted(columns))
    }
    conditions = Conditions(**merged, classes=first.classes, size=first.size, mpp=first.mpp)
    return ImageSet(f"{one.key}+{other.key}", np.concatenate([one.images, other.images]), conditions)


def fit(
    name: str,
    generator: Generator,
    scene: Scene,
    seed: int,
    refit: bool,
    cache: Cache,
    progress: Progress,
    say: Callable[[str], None] = lambda text: None,
) -> Fitted:
    """Weights that ship, weights from the cache, or a fit; then loaded, so that what paints is what was saved."""
    options = tuple(registry.describe(generator)["options"].items())
    if not isinstance(generator, Trainable):
        return Fitted(generator, name, options, None, getattr(generator, "digest", ""), "none")
    train = fitting_set(generator, scene)
    weights = generator.shipped(train.key) if isinstance(generator, Shipped) and not refit else None
    origin = "shipped" if weights else "fitted"
    if weights is None:
        spec = {"generator": recipe(generator), "train": train.key, "seed": seed}

        def make(work: Path) -> None:
            if effort := getattr(generator, "effort", None):
                say(f"{name}: no weights for this training set yet, fitting {effort()}")
            generator.fit(train, seed, progress, work)
            for left in work.iterdir():
                _remove(left)
            generator.save(work)

        weights = cache.entry("weights", spec, make)
    generator.load(weights)
    digest = key_of({name: digest_of(weights / name) for name in weight_files(weights, generator.card.name)})
    return Fitted(generator, name, options, weights, digest, origin)


def weight_files(folder: Path, name: str) -> list[str]:
    """Names of the files that hold the weights of one generator: several may share a folder that was delivered."""
    manifest = folder / f"{name}.manifest.json"
    if manifest.is_file():
        return sorted(json.loads(manifest.read_text())["files"])
    return sorted(f.name for f in folder.iterdir() if f.name != MANIFEST)


def recipe(generator: Generator) -> dict[str, Any]:
    """What decides the weights apart from data and seed."""
    own: Callable[[], dict[str, Any]] | None = getattr(generator, "recipe", None)
    return own() if own else registry.describe(generator)


def sample(fitted: Fitted, patches: ImageSet, seed: int, workers: int, cache: Cache, progress: Progress) -> Painted:
    """Paints every condition once. Shards that an interrupted run finished are kept."""
    generator = fitted.generator
    told = only(patches, set(generator.card.needs)).conditions
    spec = {
        "generator": registry.describe(generator),
        "weights": fitted.digest,
        "conditions": patches.key,
        "seed": seed,
    }
    pieces = engine.shards(len(patches), SHARD)

    def make(work: Path) -> None:
        todo = [piece for piece in pieces if not _shard(work, piece).exists()]
        progress(len(pieces) - len(todo), len(pieces), f"paint {generator.card.name}")
        job = _Job(fitted, told, seed, work)
        paint = job.here if workers <= 1 else job
        for done, _ in enumerate(engine.run(paint, todo, workers), start=1):
            progress(len(pieces) - len(todo) + done, len(pieces), f"paint {generator.card.name}")
        np.save(work / "ids.npy", patches.conditions.ids)
        np.save(work / "images.npy", np.concatenate([np.load(_shard(work, piece)) for piece in pieces]))
        for piece in pieces:
            _shard(work, piece).unlink()

    images = np.load(cache.entry("samples", spec, make) / "images.npy", mmap_mode="r")
    return Painted(ImageSet(key_of(spec), images, patches.conditions), seed)


@dataclass(frozen=True)
class _Job:
    """Paints one shard into its file."""

    fitted: Fitted
    conditions: Conditions
    seed: int
    work: Path

    def here(self, rows: engine.Shard) -> None:
        """With the generator of this process."""
        self._paint(self.fitted.generator.generate, rows)

    def __call__(self, rows: engine.Shard) -> None:
        """With a generator built once in each worker."""
        fitted = self.fitted
        self._paint(_built(fitted.name, fitted.options, fitted.weights).generate, rows)

    def __reduce__(self) -> tuple[Any, ...]:
        # the built generator stays behind: a worker makes its own
        return _Job, (replace(self.fitted, generator=None), self.conditions, self.seed, self.work)  # type: ignore[arg-type]

    def _paint(self, generate: Callable[..., Images], rows: engine.Shard) -> None:
        asked = self.conditions[slice(*rows)]
        painted = generate(asked, image_seeds(self.seed, asked.ids))
        wanted = (len(asked), asked.size, asked.size, 3)
        if painted.shape != wanted or painted.dtype != np.uint8:
            raise UsageError(
                f"{self.fitted.name} returned {painted.dtype} {painted.shape}; a generator returns uint8 {wanted}. "
                "See: bench check."
            )
        temporary = self.work / f"writing-{rows[0]}.npy"
        np.save(temporary, painted)
        temporary.replace(_shard(self.work, rows))


@remembered
def _built(name: str, options: tuple[tuple[str, Any], ...], weights: Path | None) -> Generator:
    head = name.partition(":")[0] if not name.partition(":")[0].endswith(".py") else name
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in options}
    generator: Generator = registry.load("generators", head, **given)
    if weights is not None and isinstance(generator, Trainable):
        generator.load(weights)
    return generator


def features(encoder: Encoder, patches: ImageSet, cache: Cache, progress: Progress) -> Features:
    """float32 (n, dim), from the cache or encoded."""
    spec = {"encoder": registry.describe(encoder), "images": patches.key}

    def make(work: Path) -> None:
        progress(0, 1, f"encode {encoder.card.name}")
        np.save(work / "features.npy", encoder.encode(np.asarray(patches.images)))
        progress(1, 1, f"encode {encoder.card.name}")

    found: Features = np.load(cache.entry("features", spec, make) / "features.npy", mmap_mode="r")
    if found.shape[0] != len(patches):
        raise MissingError(f"{encoder.card.name} gave {len(found)} rows for {len(patches)} images. See: bench check.")
    return found


def _shard(work: Path, rows: engine.Shard) -> Path:
    return work / f"shard-{rows[0]:08d}.npy"


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
