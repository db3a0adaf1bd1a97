"""Generated patches: one job for each shard of conditions, and one that lists the shards with a digest of every patch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import MissingError, UsageError
from bench.jobs.arrays import write_array
from bench.jobs.graph import Job, JobContext
from bench.jobs.store import EntryRef, Store
from bench.pipeline.checks import check_layouts
from bench.pipeline.data import MAPS, Patches
from bench.pipeline.plugins import Plugin, WeightsRef, load_model
from bench.pipeline.sets import GeneratedRef, SetRef, load_into_memory, rows_per_chunk, save_set, select
from bench.pipeline.training import Weights
from bench.provenance.digests import digest_of_patch
from bench.types import Conditions, HasDigest, Images, ImageSet, ProvidesSets, ShowsRealPatches, Strings, image_seeds

SHARD = 64
"""Conditions of one job."""


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator with its weights, and what a worker needs to build it."""

    plugin: Plugin
    weights: Weights
    layout_generator: str = ""
    """Name of the layout generator whose layouts it gets in place of real maps; empty for real maps."""

    @property
    def generator(self) -> Any:
        return self.plugin.build()

    @property
    def label(self) -> str:
        """What result records call it: with the plug-in that samples its layouts, where there is one."""
        return " + ".join(filter(None, (self.plugin.label, self.layout_generator)))


@dataclass(frozen=True)
class GeneratedSet:
    """What one generator makes of a set of conditions with one seed."""

    ref: GeneratedRef
    job: Job
    """Lists the shards; finished once all of them are."""
    shards: tuple[Job, ...]
    seed: int

    @property
    def key(self) -> str:
        return self.ref.key

    def __len__(self) -> int:
        return sum(
            action.stop - action.start for action in (job.action for job in self.shards) if isinstance(action, Generate)
        )


def run_seeds(generator: Any, asked: tuple[int, ...]) -> tuple[int, ...]:
    """The run seeds that a generator is measured with: the requested ones, or only the first if it has one set of images.

    Raises MissingError if it has sets and lacks a requested one.
    """
    if not isinstance(generator, ProvidesSets):
        return asked
    held = generator.set_seeds()
    if held and (missing := [seed for seed in asked if seed not in held]):
        raise MissingError(
            f"the generator has sets of the seeds {', '.join(map(str, held))}, "
            f"none of {', '.join(map(str, missing))}. Ask for those: --seeds {','.join(map(str, held))}"
        )
    return asked if held else asked[:1]


def has_one_set(generator: Any) -> bool:
    """Whether a generator has one set of images made elsewhere."""
    return isinstance(generator, ProvidesSets) and not generator.set_seeds()


def with_seed(trained: TrainedGenerator, seed: int) -> TrainedGenerator:
    """The generator with its set of images of a run seed, where it has several sets."""
    generator = trained.generator
    if not isinstance(generator, ProvidesSets) or not generator.set_seeds():
        return trained
    own = generator.of_seed(seed)
    options = tuple(sorted(registry.describe(own)["options"].items()))
    plugin = Plugin(trained.plugin.kind, trained.plugin.name.partition(":")[0], options)
    digest = own.digest if isinstance(own, HasDigest) else ""
    return replace(trained, plugin=plugin, weights=replace(trained.weights, shipped_digest=digest))


def shard_bounds(n: int, size: int = SHARD) -> list[tuple[int, int]]:
    """[0, n) in pieces of at most `size`: first row, and the row after the last."""
    return [(first, min(first + size, n)) for first in range(0, n, size)]


def generate(trained: TrainedGenerator, conditions: Patches, seed: int) -> GeneratedSet:
    """The jobs that generate one image for every condition."""
    trained = with_seed(trained, seed)
    spec = {
        "generator": registry.describe(trained.generator),
        "weights": trained.weights.shipped_digest,
        "conditions": conditions.key,
        "seed": seed,
    }
    shows_real = isinstance(trained.generator, ShowsRealPatches)
    if shows_real:
        spec["units"] = "shown"
    needs = (*conditions.needs, *trained.weights.needs)
    columns = tuple(sorted(trained.generator.card.needs))
    shown = SetRef(conditions.ref.entry, conditions.ref.key, conditions.ref.rows, columns)
    name = trained.plugin.name
    shards = tuple(
        Job(
            "generated",
            {**spec, "rows": [start, stop]},
            Generate(trained.plugin, trained.weights.ref, shown, start, stop, seed),
            needs,
            "gpu",
            label=f"generate {name} seed {seed}, rows {start} to {stop - 1}",
        )
        for start, stop in shard_bounds(len(conditions))
    )
    refs = tuple(job.ref for job in shards)
    listing = Job(
        "samples",
        spec,
        ListSamples(GeneratedRef("", refs, conditions.ref, shows_real)),
        shards,
        label=f"list what {name} generated",
    )
    # the key of the listing is the key of the whole set
    ref = GeneratedRef(listing.ref.key, refs, conditions.ref, shows_real)
    listed = replace(listing, action=ListSamples(ref))
    return GeneratedSet(ref, listed, shards, seed)


@dataclass(frozen=True)
class Generate:
    """Action: the images of a few conditions."""

    plugin: Plugin
    weights: WeightsRef
    conditions: SetRef
    start: int
    stop: int
    seed: int

    def __call__(self, work: Path, context: JobContext) -> None:
        generator = load_model(self.plugin, self.weights, context.store)
        rows = np.arange(self.start, self.stop)
        conditions = load_into_memory(select(self.conditions.load(context.store), rows)).conditions
        seeds = image_seeds(self.seed, conditions.ids)
        images = _finite(self.plugin.label, lambda: generator.generate(conditions, seeds))
        wanted = (len(conditions), conditions.size, conditions.size, 3)
        if not isinstance(images, np.ndarray) or images.shape != wanted or images.dtype != np.uint8:
            found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
            raise UsageError(f"{self.plugin.label} returned {found}; a generator returns uint8 {wanted}. See: bench check.")
        if len(images) > 1 and not images.any():
            raise FloatingPointError(
                f"{self.plugin.label}: all {len(images)} images are black, as NaN is after a cast to uint8. See: bench check."
            )
        write_array(work, "images", images, rows_per_chunk(images))
        if isinstance(generator, ShowsRealPatches):
            units = self._shown_units(generator, conditions, seeds)
            write_array(work, "units", units, rows_per_chunk(units))
        digests = {str(name): digest_of_patch(images[i]) for i, name in enumerate(conditions.ids.tolist())}
        (work / "digests.json").write_text(json.dumps(digests), encoding="utf-8")

    def _shown_units(self, generator: ShowsRealPatches, conditions: Conditions, seeds: NDArray[np.uint64]) -> Strings:
        units = generator.shown_units(conditions, seeds)
        if units.shape != (len(conditions),) or units.dtype.kind != "U":
            raise UsageError(
                f"{self.plugin.label}: shown_units returned {units.dtype} {units.shape}; str ({len(conditions)},) is "
                "needed, a sampling unit for each image."
            )
        return units


def _finite(name: str, make: Callable[[], Any]) -> Any:
    """What `make` returns. Raises FloatingPointError if it casts values that are not finite to integers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "invalid value encountered in cast", RuntimeWarning)
        try:
            return make()
        except RuntimeWarning as error:
            raise FloatingPointError(
                f"{name} casts NaN or infinite values to integers ({error}): the images would be black there. "
                "See: bench check."
            ) from error


@dataclass(frozen=True)
class ListSamples:
    """Action: which entries hold the shards, and the digest of every patch, in the order of the conditions."""

    generated: GeneratedRef

    def __call__(self, work: Path, context: JobContext) -> None:
        digests: dict[str, str] = {}
        for shard in self.generated.shards:
            digests |= context.store.read_json(shard, "digests.json")
        conditions = self.generated.conditions
        listed = {
            "key": self.generated.key,
            "shards": [[ref.kind, ref.key] for ref in self.generated.shards],
            "conditions": {
                "entry": [conditions.entry.kind, conditions.entry.key],
                "key": conditions.key,
                "rows": conditions.rows,
            },
            "patches": digests,
        }
        (work / "samples.json").write_text(json.dumps(listed), encoding="utf-8")


def generated_ref(listed: dict[str, Any]) -> GeneratedRef:
    """The reference that `ListSamples` wrote."""
    held = listed["conditions"]
    rows = None if held["rows"] is None else tuple(held["rows"])
    conditions = SetRef(EntryRef(*held["entry"]), held["key"], rows)
    return GeneratedRef(listed["key"], tuple(EntryRef(*shard) for shard in listed["shards"]), conditions)


def sample_layouts(trained: TrainedGenerator, conditions: Patches, seed: int) -> Patches:
    """The conditions with a sampled layout in place of each real one. `trained` is a layout generator; images are black."""
    asked = conditions.keep_columns(MAPS)
    spec = {
        "layout generator": registry.describe(trained.generator),
        "weights": trained.weights.shipped_digest,
        "asked": conditions.key,
        "seed": seed,
    }
    action = SampleLayouts(trained.plugin, trained.weights.ref, asked.ref, seed)
    needs = (*conditions.needs, *trained.weights.needs)
    job = Job("layouts", spec, action, needs, "gpu", label=f"sample layouts with {trained.plugin.name}")
    part = conditions.conditions
    black = np.broadcast_to(np.uint8(0), (len(conditions), part.size, part.size, 3))
    ref = SetRef(job.ref, job.ref.key)
    return Patches(job, ref, ImageSet(job.ref.key, black, part), job.ref.key)


@dataclass(frozen=True)
class SampleLayouts:
    """Action: a synthetic layout for each condition."""

    plugin: Plugin
    weights: WeightsRef
    conditions: SetRef
    seed: int

    def __call__(self, work: Path, context: JobContext) -> None:
        layout_generator = load_model(self.plugin, self.weights, context.store)
        asked = load_into_memory(self.conditions.load(context.store)).conditions
        made = layout_generator.sample(asked, image_seeds(self.seed, asked.ids))
        check_layouts(self.plugin.name, made, asked)
        black: Images = np.zeros((len(made), 1, 1, 3), np.uint8)
        save_set(ImageSet(work.name, black, replace(made, clusters=asked.clusters)), work)


def samples_of(store: Store, generated: GeneratedSet) -> dict[str, str]:
    """id -> sha256 of every patch, once it is generated."""
    patches: dict[str, str] = store.read_json(generated.job.ref, "samples.json")["patches"]
    return patches
