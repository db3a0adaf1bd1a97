"""Every measurement of a run: the records planned for generators, seeds, encoders, metrics, training mixes and arms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench import registry
from bench.config import Components
from bench.errors import BenchError
from bench.histology.training_mixes import TRAINING_MIXES
from bench.jobs.store import Store
from bench.measurements import prompts
from bench.measurements.conditions import lacks_weights, plan_conditions
from bench.measurements.distributions import FORMS, REFERENCES, DistributionMeasurement, Form, plan_regions
from bench.measurements.downstream import DownstreamMeasurement, is_of_generated, plan_downstream
from bench.measurements.experiment_files import Comparison
from bench.measurements.experiments import (
    HEADROOM_MIXES,
    ArmDifference,
    describe_claim,
    difference_record,
    headroom_record,
    mark_experiment,
    plan_difference,
)
from bench.measurements.layouts import LayoutMeasurement
from bench.measurements.protocol import (
    FailedMeasurement,
    Measurement,
    blank_record,
    content_of,
    plan_or_fail,
    protocol_key,
)
from bench.measurements.sweeps.measurement import plan_sweeps
from bench.measurements.sweeps.repeats import plan_repeats
from bench.pipeline.checks import check_direction
from bench.pipeline.data import DataSplits, Patches
from bench.pipeline.encoding import FeatureSet, describe_encoder, encode
from bench.pipeline.fits import NO_FIT, Fit, Generated, fits_of
from bench.pipeline.generation import GeneratedSet, TrainedGenerator, generate, run_seeds, sample_layouts
from bench.pipeline.plugins import Plugin
from bench.pipeline.training import Weights
from bench.results.schema import ResultRecord
from bench.results.terms import Flag
from bench.runtime.plugin_code import is_interruption
from bench.statistics import VERSION
from bench.types import ChecksConditions, ChecksPatches, Normalisable, RegionMetric, RepeatMetric, TrainedMetric, TrainingMix


@dataclass(frozen=True)
class RunPlan:
    """Everything that a run will do."""

    measurements: tuple[Measurement, ...]
    generated: tuple[Generated, ...]
    weights: tuple[tuple[str, Plugin, Weights], ...]
    """Of each fit of each generator and layout generator, with its name in the manifest."""

    def with_digest(self, record: ResultRecord, store: Store) -> ResultRecord:
        """The record with the digest of the weights that it rests on, now that they are there."""
        for made in self.generated if record.fit and record.fit != NO_FIT else ():
            if made.trained.label == record.generator and made.fit.described() == record.fit:
                digest = made.fit.digest(store)
                return replace(record, fit={**record.fit, "weights": digest}) if digest else record
        return record


def plan_run(components: Components, splits: DataSplits, log: Callable[[str], None]) -> RunPlan:
    """The measurements of a run. A plug-in that raises while it is prepared gives error records, and affects no others."""
    planner = _Planner(components, splits, log)
    plans = [planner.plan(plugin) for plugin in components.generator_plugins]
    return RunPlan(
        tuple(measurement for plan in plans for measurement in plan.measurements),
        tuple(made for plan in plans for made in plan.generated),
        tuple(weights for plan in plans for weights in plan.weights),
    )


@dataclass(frozen=True)
class _Planner:
    components: Components
    splits: DataSplits
    log: Callable[[str], None]

    def plan(self, plugin: Plugin) -> RunPlan:
        """The part of the plan for one generator. If it raises, its records are planned as failures."""
        try:
            return self.plan_generator(plugin)
        except BenchError:
            raise
        except BaseException as error:
            if is_interruption(error) or plugin.card is not None:
                raise
            return self.plan(plugin.broken_by(error) if plugin.failure is None else plugin.reduced())

    def plan_generator(self, plugin: Plugin) -> RunPlan:
        components, asked = self.components, self.components.config.seeds
        seeds = run_seeds(plugin.build(), asked)
        if dropped := asked[len(seeds) :]:
            self.log(
                f"{plugin.label}: one set of images counts as one seed, measured as seed {seeds[0]}; nothing for seed "
                f"{', '.join(map(str, dropped))}. A folder with seed0/, seed1/ has one set for each seed."
            )
        fits = tuple(fits_of(plugin, components, self.splits))
        generated = tuple(self.generate(trained, layouts, fit, seed) for trained, layouts, fit in fits for seed in seeds)
        measured = (measurement for made in generated for measurement in self.measurements(made))
        weights = {
            f"{one.plugin.name}{fit.name if any(one.weights is part for part in fit.parts) else ''}": one
            for trained, layouts, fit in fits
            for one in (trained, layouts)
            if one is not None
        }
        shown = tuple((name, one.plugin, one.weights) for name, one in weights.items())
        return RunPlan((*self.prompts(*fits[0]), *measured), generated, shown)

    def generate(self, trained: TrainedGenerator, layout_generator: TrainedGenerator | None, fit: Fit, seed: int) -> Generated:
        """The jobs that generate: for every test condition, except in experiments, and for the pool of downstream models if
        any of them is trained on generated patches."""
        test, pool = self._conditions_for(trained)
        if layout_generator is not None:
            test, pool = (sample_layouts(layout_generator, part, seed) for part in (test, pool))
        with_test = self.components.experiment is None
        with_pool = self.components.config.downstream and trained.plugin == self.components.generator_plugins[0]
        if isinstance(trained.generator, ChecksPatches):
            trained.generator.check_patches(test.conditions)
        if isinstance(trained.generator, ChecksConditions):
            wanted = [part.conditions.ids for is_wanted, part in ((with_test, test), (with_pool, pool)) if is_wanted]
            trained.generator.check_conditions(np.unique(np.concatenate(wanted)))  # at once, since one folder holds both
        made_test = generate(trained, test, seed) if with_test else None
        return Generated(trained, fit, seed, made_test, generate(trained, pool, seed) if with_pool else None, test, pool)

    def _conditions_for(self, trained: TrainedGenerator) -> tuple[Patches, Patches]:
        """Test patches and pool, with prompts if the generator needs prompts."""
        if "prompts" in trained.generator.card.needs:
            return self.splits.prompted["test"], self.splits.pool
        return self.splits.test, self.splits.training

    def measurements(self, made: Generated) -> Iterator[Measurement]:
        """What is measured of one generator, fit and seed. Numbers in which no fit has a part are measured with the first."""
        if self.components.experiment is not None:
            yield from self.experiment(made)
            return
        if made.test is not None:
            yield from self.distributions(made, made.test)
            yield from self.conditions(made, made.test)
            yield from self.sweeps(made, made.test)
            yield from self.layouts(made)
        if made.pool is not None:
            mixes = (mix for mix in self.components.task.mixes if made.fit.is_first or is_of_generated(mix))
            yield from (self.downstream(made, mix) for mix in mixes)

    def prompts(self, trained: TrainedGenerator, _: TrainedGenerator | None, fit: Fit) -> Iterator[Measurement]:
        """What the prompts of the test patches show, once for each generator that is shown them."""
        if "prompts" not in trained.generator.card.needs:
            return
        patches = self.splits.prompted["test"]
        blank = replace(self.blank_record(trained, fit, 0), fit=dict(NO_FIT))
        record = replace(blank, direction="none", n=len(patches), groups=self.groups)
        records = tuple(
            replace(record, measure=measure, protocol=self.protocol({"measure": measure})) for measure in prompts.MEASURES
        )
        if self.components.experiment is not None:
            records = tuple(mark_experiment(record, self.components.experiment) for record in records)
        yield prompts.PromptMeasurement(records, patches.ref.entry, patches.needs)

    def distributions(self, made: Generated, test: GeneratedSet) -> Iterator[Measurement]:
        """Every metric over every encoder, real test patches against generated ones."""
        base = self.with_sizes(self.blank_record(made.trained, made.fit, made.seed), test)
        for evaluation in self.components.evaluations:
            encoder = evaluation.encoder.build()
            is_conflict = self.is_shaped_by(made, evaluation.encoder)
            described = {**base.described, "encoder": describe_encoder(encoder)}
            record = replace(base, encoder=evaluation.encoder.label, described=described)
            real, generated = encode(evaluation.encoder, self.splits.test), encode(evaluation.encoder, test)
            for metric in evaluation.metrics:
                cls = type(metric.build())  # of the class: members of a broken object raise
                if isinstance(cls, RegionMetric | RepeatMetric):
                    flagged = replace(record, flags=(*record.flags, Flag.ENCODER_CONFLICT)) if is_conflict else record
                    named = replace(flagged, measure=metric.label, direction="none")
                    if isinstance(cls, RegionMetric):
                        yield plan_or_fail(named, plan_regions, flagged, metric, evaluation.encoder, self.splits, test)
                        continue
                    with_encoder = metric, evaluation.encoder, made, self.splits, test
                    found = plan_or_fail(named, plan_repeats, flagged, *with_encoder)
                    yield from [found] if isinstance(found, FailedMeasurement) else found
                    continue
                forms: tuple[Form, ...] = ("value",)
                if isinstance(metric.build(), Normalisable) and metric.build().normalised:
                    forms = ("value", *FORMS)
                for form in (form for form in forms if made.fit.is_first or form != "lower-reference"):
                    # a lower reference is measured on real patches only: no conflict with the generator
                    flags = (Flag.ENCODER_CONFLICT,) if is_conflict and form != "lower-reference" else ()
                    flagged = replace(record, flags=(*record.flags, *flags))
                    flagged = replace(flagged, fit=dict(NO_FIT)) if form == "lower-reference" else flagged
                    named = replace(flagged, measure=metric.label, direction="none")
                    yield plan_or_fail(
                        named, self.distribution, flagged, form, evaluation.encoder, metric, real, generated, made
                    )

    def is_shaped_by(self, made: Generated, encoder: Plugin) -> bool:
        """Whether the generator or the data was conditioned by an encoder. A card that names only a library, such as `timm`,
        stands for all of its networks."""
        known = (*made.trained.generator.card.conditioned_by, *self.components.dataset.card.conditioned_by)
        names = [registry.card("encoders", name).name if registry.is_file(name) else name for name in known]
        return bool({encoder.label, encoder.build().card.name}.intersection(names))

    def distribution(
        self,
        record: ResultRecord,
        form: Form,
        encoder: Plugin,
        metric: Plugin,
        real: FeatureSet,
        generated: FeatureSet,
        made: Generated,
    ) -> DistributionMeasurement:
        """One metric over one encoder in one form."""
        built = metric.build()
        check_direction(metric.name, built.direction)
        described = {**record.described, "metric": registry.describe(built)}
        protocol = {"encoder": described["encoder"], "metric": described["metric"], "interval": VERSION}
        if form != "value":
            protocol |= {"form": form, "references": REFERENCES}
        train = encode(encoder, self.splits.plain["train"]) if isinstance(built, TrainedMetric) else None
        # the manifest lists every patch behind a number, so the measurement also needs the listing of generated patches
        listing = (made.test.job,) if made.test is not None and form != "lower-reference" else ()
        sets = {"real": real, "generated": generated if form != "lower-reference" else None, "train": train}
        return DistributionMeasurement(
            record=replace(
                record,
                measure=metric.label if form == "value" else f"{metric.label}-{form}",
                direction=built.direction,
                described=described,
                protocol=self.protocol(protocol),
            ),
            form=form,
            metric=metric,
            test=self.splits.test.ref,
            generated_for=made.test.ref if made.test is not None and form != "lower-reference" else self.splits.test.ref,
            **{name: found.ref if found is not None else None for name, found in sets.items()},  # type: ignore[arg-type]
            seed=made.seed,
            needs=(*(found.job for found in sets.values() if found is not None), *listing),
        )

    def conditions(self, made: Generated, test: GeneratedSet) -> Iterator[Measurement]:
        """Whether generated patches kept their conditions."""
        record = self.with_sizes(self.blank_record(made.trained, made.fit, made.seed), test)
        for metric in self.components.condition_metrics:
            if (absent := lacks_weights(metric, record)) is not None:
                yield absent
                continue
            described = registry.describe(metric.build())

            def protocol(measure: str, described: dict[str, Any] = described) -> str:
                return self.protocol({"metric": described, "measure": measure, "train": self.splits.plain["train"].key})

            base = replace(record, described={**record.described, "metric": described})
            named = replace(base, measure=metric.label, direction="none", protocol=protocol(metric.label))
            yield plan_or_fail(named, plan_conditions, base, metric, test, self.splits, protocol)

    def sweeps(self, made: Generated, test: GeneratedSet) -> Iterator[Measurement]:
        """Whether generated patches change with their conditions."""
        record = self.with_sizes(self.blank_record(made.trained, made.fit, made.seed), test)
        for metric in self.components.sweep_metrics:
            if (absent := lacks_weights(metric, record)) is not None:
                yield absent
                continue
            described = registry.describe(metric.build())
            base = replace(record, described={**record.described, "metric": described})
            named = replace(base, measure=metric.label, direction="none", protocol=self.protocol({"metric": described}))
            found = plan_or_fail(named, plan_sweeps, base, metric, made, test, self.splits, self.protocol)
            yield from [found] if isinstance(found, FailedMeasurement) else found

    def layouts(self, made: Generated) -> Iterator[Measurement]:
        """Sampled layouts against the real layouts of the test patches, where layouts are sampled."""
        is_repeated = made.fit.layouts is None and not made.fit.is_first
        if not made.trained.layout_generator or is_repeated:
            return
        blank = self.blank_record(made.trained, made.fit, made.seed)
        blank = blank if made.fit.layouts is not None else replace(blank, fit=dict(NO_FIT))
        record = replace(blank, n=len(made.test_conditions), n_real=len(self.splits.test), groups=self.groups)
        for metric in self.components.layout_metrics:
            named = replace(record, measure=metric.label, direction="none")
            yield plan_or_fail(named, self.layout, record, metric, made)

    def layout(self, record: ResultRecord, metric: Plugin, made: Generated) -> LayoutMeasurement:
        """One layout metric."""
        built, described = metric.build(), registry.describe(metric.build())
        check_direction(metric.name, built.direction)
        named = replace(
            record,
            measure=metric.label,
            direction=built.direction,
            described={**record.described, "metric": described},
            protocol=self.protocol({"metric": described, "interval": VERSION}),
        )
        needs = (*self.splits.test.needs, *made.test_conditions.needs)
        return LayoutMeasurement(named, metric, self.splits.test.ref, made.test_conditions.ref, needs)

    def downstream(self, made: Generated, mix: TrainingMix) -> DownstreamMeasurement | FailedMeasurement:
        """The task's model trained on a mix, scored on real test patches."""
        record, task = self.score_record(made, mix), self.components.task_plugin
        return plan_or_fail(
            replace(record, measure=task.label), plan_downstream, record, task, mix, self.splits, made.pool, made.seed
        )

    def score_record(self, made: Generated, mix: TrainingMix) -> ResultRecord:
        """The record of one training mix, without its measure."""
        task = self.components.task
        record = self.blank_record(made.trained, made.fit, made.seed)
        return replace(
            record,
            fit=record.fit if is_of_generated(mix) else dict(NO_FIT),
            mix=mix.name,
            direction=task.direction,
            n=len(self.splits.test),
            n_real=len(self.splits.test),
            groups=self.groups,
            protocol=self.protocol(self.mix_protocol(mix)),
            keys={**record.keys, **({"samples": made.pool.key} if made.pool is not None else {})},
            described={**record.described, "task": registry.describe(task)},
        )

    def experiment(self, made: Generated) -> Iterator[Measurement]:
        """Every arm, and every comparison of two arms."""
        experiment = self.components.experiment
        if experiment is None or made.pool is None:
            return
        mixes = {arm.name: arm.mix for arm in experiment.arm}
        for mix in mixes.values():
            if not (made.fit.is_first or is_of_generated(mix)):
                continue
            arm = self.downstream(made, mix)
            if isinstance(arm, FailedMeasurement):
                yield replace(arm, record=mark_experiment(arm.record, experiment))
            else:
                yield replace(arm, records=tuple(mark_experiment(record, experiment) for record in arm.records))
        for comparison in experiment.comparison:
            pair = mixes[comparison.arm], mixes[comparison.against]
            if not (made.fit.is_first or any(map(is_of_generated, pair))):
                continue
            yield self.paired(made, self.difference(made, comparison, experiment.measures[0], pair), pair)
        if made.fit.is_first:
            yield self.paired(made, self.headroom(made, experiment.measures[0]), HEADROOM_MIXES)

    def paired(self, made: Generated, record: ResultRecord, pair: tuple[TrainingMix, TrainingMix]) -> ArmDifference:
        """The first measure of an experiment on one training mix minus that on another."""
        experiment, task = self.components.experiment, self.components.task_plugin
        assert experiment is not None
        marked, measure = mark_experiment(record, experiment), experiment.measures[0]
        return plan_difference(marked, measure, task, pair, self.splits, made.pool, made.seed)

    def headroom(self, made: Generated, measure: str) -> ResultRecord:
        compared = [self.mix_protocol(mix) for mix in HEADROOM_MIXES]
        protocol = self.protocol({"compared": compared, "headroom": measure})
        return replace(headroom_record(self.score_record(made, HEADROOM_MIXES[0]), measure), protocol=protocol)

    def difference(
        self, made: Generated, comparison: Comparison, measure: str, pair: tuple[TrainingMix, TrainingMix]
    ) -> ResultRecord:
        compared = [self.mix_protocol(mix) for mix in pair]
        protocol = self.protocol({"compared": compared, **describe_claim(comparison, measure)})
        of_generated = max(pair, key=is_of_generated)
        record = replace(self.score_record(made, pair[0]), fit=self.score_record(made, of_generated).fit)
        return replace(difference_record(record, comparison, measure), protocol=protocol)

    def blank_record(self, trained: TrainedGenerator, fit: Fit, seed: int) -> ResultRecord:
        """A record without measure and value."""
        return blank_record(self.components, self.splits, trained, fit, seed)

    def with_sizes(self, record: ResultRecord, test: GeneratedSet) -> ResultRecord:
        keys = {**record.keys, "samples": test.key}
        return replace(record, n=len(test), n_real=len(self.splits.test), groups=self.groups, keys=keys)

    @property
    def groups(self) -> int:
        return len(set(self.splits.test.conditions.units.tolist()))

    def protocol(self, what: dict[str, Any]) -> str:
        return protocol_key(self.splits.test, what)

    def mix_protocol(self, mix: TrainingMix) -> dict[str, Any]:
        """What two scores must share to be compared: task, mix and pool."""
        described = {"task": registry.describe(self.components.task), "mix": mix.name, "n": len(self.splits.training)}
        if mix in TRAINING_MIXES and self.splits.pool_name == "train":
            return described
        shares = [mix.real, mix.synthetic, mix.synthetic_source]
        return {**described, "mix": [mix.name, *shares], "pool": [self.splits.pool_name, content_of(self.splits.training)]}
