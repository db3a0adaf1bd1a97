"""Fits of a generator: trainings of one method that differ in nothing but their fit seed.

A fit is one set of weights. Numbers of one fit are about these weights; only several fits say how far another training of the
same method would come out. What is trained on nothing random (controls, folders of images) has no fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.config import Components, RunConfig
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import EarlierFailure, JobError, failure_of
from bench.jobs.store import EntryRef, Store, key_of
from bench.pipeline.data import MAPS, DataSplits, Patches
from bench.pipeline.generation import GeneratedSet, TrainedGenerator
from bench.pipeline.plugins import Plugin, WeightsRef, has_fits
from bench.pipeline.training import Weights, training_patches, weights_of
from bench.results.terms import FitOrigin
from bench.runtime.plugin_code import is_interruption

NO_FIT = {"origin": FitOrigin.NONE.value}
"""What records say of numbers in which no training of a generator has a part."""


@dataclass(frozen=True)
class Fit:
    """The weights that a generator, and the layout generator before it, work with."""

    seed: int
    generator: Weights | None
    """None for a generator that has no fits."""
    layouts: Weights | None
    """Of the layout generator; None where there is none, or it has no fits."""
    is_first: bool
    """Whether numbers that are the same for every fit are measured with it."""
    name: str = ""
    """What the manifest adds to the names of plug-ins where there are several fits: ` (fit 1)`."""

    @property
    def parts(self) -> tuple[Weights, ...]:
        return tuple(weights for weights in (self.generator, self.layouts) if weights is not None)

    def described(self) -> dict[str, str]:
        """Its part of a record, without the digest of trained weights, which is known once they are there."""
        if not self.parts:
            return dict(NO_FIT)
        origins = {weights.origin for weights in self.parts}
        if "trained" not in origins:
            return {"origin": (FitOrigin.GIVEN if "given" in origins else FitOrigin.SHIPPED).value}
        return {"origin": FitOrigin.TRAINED.value, "seed": str(self.seed)}

    def digest(self, store: Store) -> str:
        """Digest of the files of all weights; empty where any of them are not there."""
        found = [weights.digest(store) for weights in self.parts]
        return "" if not all(found) else found[0] if len(found) == 1 else key_of({"weights": found})

    @property
    def method(self) -> str:
        """Key of what its weights have in common with those of other fits of the same method: of shipped ones their digest,
        since nobody trained any like them here. Empty without fits."""
        found = [weights.method or weights.shipped_digest for weights in self.parts]
        return "" if not found else found[0] if len(found) == 1 else key_of({"methods": found})


@dataclass(frozen=True)
class Generated:
    """What one generator makes with one fit and seed: for the test conditions, and for those of downstream models."""

    trained: TrainedGenerator
    fit: Fit
    seed: int
    test: GeneratedSet | None
    pool: GeneratedSet | None
    test_conditions: Patches
    """What `test` is generated for: the test patches, or sampled layouts in their place."""
    pool_conditions: Patches
    """What `pool` is generated for, likewise."""

    @property
    def name(self) -> str:
        """What manifests call the generator: as the command line does, with the fit where there are several."""
        return f"{self.trained.plugin.name}{self.fit.name}"


@dataclass(frozen=True)
class Fail:
    """Action of a job that stands for a plug-in that could not even be prepared: it raises what was raised then."""

    error: JobError

    def __call__(self, work: Path, context: JobContext) -> None:
        raise EarlierFailure(self.error)


def fits_of(
    plugin: Plugin, components: Components, splits: DataSplits
) -> Iterator[tuple[TrainedGenerator, TrainedGenerator | None, Fit]]:
    """The generator with the weights of each fit, and the layout generator before it with those of the same fit seed."""
    config = components.config
    layouts = components.layout_generator if plugin == components.generator_plugins[0] else None
    varied = [one for one in (plugin, layouts) if one is not None and has_fits(one.build())]
    seeds = (config.fit_seeds or (0,)) if varied else (0,)
    for seed in seeds:
        trained, sampler = with_weights(plugin, splits, config, seed if plugin in varied else 0), None
        if layouts is not None:
            sampler = with_weights(layouts, splits, config, seed if layouts in varied else 0)
            trained = replace(trained, layout_generator=layouts.label)
        of_generator = trained.weights if plugin in varied else None
        of_layouts = sampler.weights if sampler is not None and layouts in varied else None
        name = f" (fit {seed})" if len(seeds) > 1 else ""
        yield trained, sampler, Fit(seed, of_generator, of_layouts, seed == seeds[0], name)


def with_weights(plugin: Plugin, splits: DataSplits, config: RunConfig, fit_seed: int = 0) -> TrainedGenerator:
    """A generator or layout generator with its weights, or the job that trains them, or one that fails as it failed here."""
    try:
        train = (
            splits.plain["train"].keep_columns(MAPS)
            if plugin.kind == "layout_generators"
            else training_patches(plugin, splits)
        )
        return TrainedGenerator(plugin, weights_of(plugin, train, fit_seed, config.trains_anew))
    except BaseException as error:  # a plug-in: what it breaks are its own records
        if is_interruption(error):
            raise
        failed = failure_of(EntryRef("weights", plugin.name), error).error
        spec = {"plugin": plugin.name, "failed": failed.message}
        job = Job("weights", spec, Fail(failed), label=f"prepare {plugin.name}")
        return TrainedGenerator(plugin, Weights("trained", WeightsRef(entry=job.ref), job))
