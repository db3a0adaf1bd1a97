"""From generated patches to result lines: feature metrics, downstream scores, and what the prompts gave away."""

from __future__ import annotations

import hashlib
import math
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry, stats, steps
from bench.cache import key_of
from bench.config import UPPER_REFERENCE, Evaluation, Metric, RunConfig
from bench.errors import BenchError, CorruptError, MissingError
from bench.histology.sampling import StatesSampling
from bench.histology.training_mixes import TRAINING_MIXES, training_sets
from bench.measuring import FORMS, UNDERPOWERED, Bounds, Desk, Log, Pair, remembered
from bench.pipeline import prompts
from bench.pipeline.data import MAPS, only
from bench.results.schema import NO_SOURCES, SOURCES_UNKNOWN, ResultRecord
from bench.stats import Estimate
from bench.steps import Fitted, GeneratedSet
from bench.types import Encoder, Generator, ImageSet, LayoutGenerator, Tally, TrainingMix

CONFLICT = "encoder-conflict"


def blank(desk: Desk, fitted: Fitted, seed: int) -> ResultRecord:
    """A line with everything but the measure."""
    components = desk.components
    described = {"generator": registry.describe(fitted.generator), "dataset": registry.describe(components.dataset)}
    sampling = desk.components.dataset.sampling if isinstance(desk.components.dataset, StatesSampling) else None
    if sampling is not None:
        described["dataset"]["unit"] = sampling.unit
    flags = ("embedded",) if components.embedded else ()
    if sampling is not None and not sampling.is_known:
        flags = (*flags, SOURCES_UNKNOWN)
    if (
        fitted.weights
        and "prompts" in fitted.generator.card.needs
        and components.config.fit_prompt_source != RunConfig.fit_prompt_source
    ):
        described["generator"]["fit_prompt_source"] = components.config.fit_prompt_source
    if desk.splits.donors is not None and "prompts" in fitted.generator.card.needs and not components.config.experiment:
        described["generator"]["prompt_donors"] = desk.splits.donors.key
    if fitted.layouts:
        described["layouts"] = _known(components.layouts)
    prompted = "prompts" in fitted.generator.card.needs or getattr(fitted.generator, "follows_prompt_source", False)
    return ResultRecord(
        generator=" + ".join(filter(None, (components.label(fitted.generator), fitted.layouts))),
        dataset=components.label(components.dataset),
        prompt_source=components.rule.label() if prompted else "none",
        task=components.label(components.task),
        measure="",
        direction="",
        protocol="",
        seed=seed,
        flags=flags,
        described=described,
        keys={"test": desk.test.key, "train": desk.splits.plain["train"].key, "weights": fitted.digest},
        stamp=desk.stamp,
    )


def shown_prompts(desk: Desk, fitted: Fitted) -> Iterator[ResultRecord]:
    """How much of each test patch its crops cover, and the shares of classes that found none, whose whole region is shown,
    and whose crop was cut from a patch of the reference."""
    if "prompts" not in fitted.generator.card.needs:
        return
    report = prompts.report(desk.splits.prompted["test"].conditions)
    line = replace(blank(desk, fitted, 0), direction="none", n=len(desk.test), groups=slides(desk.test))
    found = {
        "prompt-coverage": report.coverage,
        "prompt-missing": report.missing / max(report.wanted, 1),
        "prompt-whole": report.whole / max(report.wanted, 1),
        "prompt-reference": report.reference / max(report.wanted, 1),
    }
    for measure, value in found.items():
        yield replace(line, measure=measure, value=value, protocol=protocol(desk, {"measure": measure}))


def distances(desk: Desk, fitted: Fitted, generated: GeneratedSet) -> Iterator[ResultRecord]:
    """Every metric over every encoder, real test patches against generated ones, with an interval over slides."""
    for evaluation in desk.components.evaluations:
        line = replace(
            blank(desk, fitted, generated.seed),
            n=len(generated.patches),
            n_real=len(desk.test),
            groups=slides(desk.test),
        )
        if _shaped(desk, fitted.generator, evaluation.encoder):
            line = replace(line, flags=(*line.flags, CONFLICT))
        line = replace(line, keys={**line.keys, "samples": generated.patches.key})
        failed: ResultRecord | None = None
        try:
            for part in (desk.test, generated.patches):
                steps.features(evaluation.encoder, part, desk.cache, desk.progress)
        except Exception as error:  # an encoder is a plug-in: its failure is the fate of its own cells only
            failed = failure(line, error, desk.log)
        for metric in evaluation.metrics:
            pair = Pair(desk, evaluation.encoder, metric, generated)
            for form, planned in _planned(desk, line, evaluation, metric):
                if failed is not None:
                    yield replace(planned, status=failed.status, reason=failed.reason)
                else:
                    yield _ended(desk, planned, pair.forms[form])


def _shaped(desk: Desk, generator: Generator, encoder: Encoder) -> bool:
    """Whether a generator or the data was conditioned by an encoder. A card that names a library without a network, `timm`,
    means each of its networks."""
    known = (*generator.card.conditioned_by, *desk.components.dataset.card.conditioned_by)
    called = [registry.card("encoders", name).name if registry.is_file(name) else name for name in known]
    return bool({desk.components.label(encoder), encoder.card.name}.intersection(called))


def _planned(desk: Desk, line: ResultRecord, evaluation: Evaluation, metric: Metric) -> Iterator[tuple[str, ResultRecord]]:
    """The form of each number of a metric over an encoder, and its line as far as it is known before it is measured."""
    described = {**line.described, "encoder": _known(evaluation.encoder), "metric": registry.describe(metric)}
    line = replace(line, encoder=desk.components.label(evaluation.encoder), direction=metric.direction, described=described)
    measured = _measured_by(evaluation.encoder, metric)
    yield "value", replace(line, measure=desk.components.label(metric), protocol=protocol(desk, measured))
    for form in FORMS if getattr(metric, "normalised", False) else ():
        under = protocol(desk, {**measured, "form": form, "upper_reference": UPPER_REFERENCE})
        # a lower reference is of real patches alone, whatever the encoder had to do with the generator
        flags = tuple(flag for flag in line.flags if form != "lower-reference" or flag != CONFLICT)
        yield form, replace(line, measure=f"{desk.components.label(metric)}-{form}", protocol=under, flags=flags)


def _ended(desk: Desk, line: ResultRecord, found: Callable[[], tuple[Estimate, Bounds]]) -> ResultRecord:
    """The line with its number, or with the reason why there is none."""
    try:
        return with_estimate(line, *found())
    except Exception as error:  # a metric is a plug-in too
        return failure(line, error, desk.log)


def scores(
    desk: Desk, fitted: Fitted, generated: GeneratedSet | None, seed: int, mixes: Iterable[TrainingMix]
) -> Iterator[ResultRecord]:
    """The downstream model on every training mix, scored on real test patches, with an interval over slides."""
    for mix in mixes:
        line = _score(desk, fitted, seed, mix)
        if generated is not None:
            line = replace(line, keys={**line.keys, "samples": generated.patches.key})
        try:
            tally, key = tallied(desk, mix, generated, seed)
        except Exception as error:
            line = failure(line, error, desk.log)
            yield from (replace(line, measure=name) for name in _score_names(desk))
            continue
        yield from _reduced(desk, line, tally, key)


def planned_scores(desk: Desk, fitted: Fitted, seed: int, mixes: Iterable[TrainingMix]) -> Iterator[ResultRecord]:
    """The record of each score as far as it is known before any model is trained."""
    for mix in mixes:
        line = _score(desk, fitted, seed, mix)
        yield from (replace(line, measure=name) for name in _score_names(desk))


def _score(desk: Desk, fitted: Fitted, seed: int, mix: TrainingMix) -> ResultRecord:
    """What all scores of one training mix share."""
    line = blank(desk, fitted, seed)
    return replace(
        line,
        mix=mix.name,
        direction=desk.components.task.direction,
        n=len(desk.test),
        n_real=len(desk.test),
        groups=slides(desk.test),
        protocol=protocol(desk, arm(desk, mix)),
        described={**line.described, "task": registry.describe(desk.components.task)},
    )


def _score_names(desk: Desk) -> tuple[str, ...]:
    """The scores that are planned of a training mix: those that an experiment names. Without one the task's name stands for
    all of them, because only a trained model's tally says which there are."""
    return (
        desk.components.experiment.measures if desk.components.experiment else (desk.components.label(desk.components.task),)
    )


def tallied(desk: Desk, mix: TrainingMix, generated: GeneratedSet | None, seed: int) -> tuple[Tally, str]:
    """The counts of one training mix and seed, and the key they are kept under."""
    task = desk.components.task
    real = only(desk.splits.training, MAPS)
    training = training_sets(mix, real, generated.patches if generated is not None else None)
    validation = desk.splits.plain["validation"]
    spec = {
        "task": registry.describe(task),
        "mix": [part.key for part in training],
        "validation": validation.key,
        "test": desk.test.key,
        "seed": seed,
    }

    def make(work: Path) -> None:
        made = task.score(training, validation, desk.test, seed, desk.progress)
        np.save(work / "counts.npy", made.counts)

    folder = desk.cache.entry("scores", spec, make)
    return task.tally(np.load(folder / "counts.npy"), desk.test.conditions.classes), folder.name


def _reduced(desk: Desk, line: ResultRecord, tally: Tally, key: str) -> Iterator[ResultRecord]:
    groups = desk.test.conditions.groups
    spec = {"counts": key, "measures": sorted(tally.measures)}
    found = remembered(desk.cache, "measures", spec, lambda: stats.group_bootstrap(tally, groups, seed=0))
    for measure, estimate in found.items():
        named = replace(line, measure=measure)
        yield with_estimate(named, estimate, tally.bounds.get(measure, (0.0, 1.0)))


def with_estimate(line: ResultRecord, estimate: Estimate, bounds: Bounds) -> ResultRecord:
    """The line with an estimate, or skipped where there is nothing to measure.

    Every estimate of a run becomes a record here. Where sources are unknown, it loses its interval and its values without
    each block: groups would be images, and images of one slide resemble each other.
    """
    if SOURCES_UNKNOWN in line.flags and not math.isnan(estimate.value):
        estimate = Estimate(estimate.value, None, None, reason=NO_SOURCES)
    flags = (*line.flags, UNDERPOWERED) if estimate.reason.startswith(UNDERPOWERED) else line.flags
    line = replace(line, reason=estimate.reason, flags=flags)
    if math.isnan(estimate.value):
        return replace(line, status="skipped")
    least, most = bounds
    line = replace(line, value=estimate.value, low=estimate.low, high=estimate.high, replicates=estimate.replicates)
    return replace(line, least=least, most=most)


def planned_distances(desk: Desk, fitted: Fitted, seed: int) -> Iterator[ResultRecord]:
    """The record of each distance as far as it is known before anything is generated."""
    for evaluation in desk.components.evaluations:
        for metric in evaluation.metrics:
            yield from (line for _, line in _planned(desk, blank(desk, fitted, seed), evaluation, metric))


def failure(line: ResultRecord, error: Exception, log: Log) -> ResultRecord:
    """A skip where something outside is missing, an error where a plug-in or the installation broke, with its traceback on
    stderr where nobody foresaw it."""
    if isinstance(error, MissingError) and not isinstance(error, CorruptError):
        return replace(line, status="skipped", reason=f"{error.code}: {error}")
    if not isinstance(error, BenchError):
        log("".join(traceback.format_exception(error)))
    return replace(line, status="error", reason=f"{type(error).__name__}: {error}")


def _measured_by(encoder: Encoder, metric: Metric) -> dict[str, Any]:
    return {"encoder": _known(encoder), "metric": registry.describe(metric), "interval": stats.VERSION}


def arm(desk: Desk, mix: TrainingMix) -> dict[str, Any]:
    """What two scores must share of task, training mix and pool to be compared."""
    described = {"task": registry.describe(desk.components.task), "mix": mix.name, "n": len(desk.splits.mix)}
    if mix in TRAINING_MIXES and desk.splits.pool == "train":
        return described
    shares = [mix.real, mix.synthetic, mix.synthetic_source]
    return {**described, "mix": [mix.name, *shares], "pool": [desk.splits.pool, content(desk.splits.training)]}


def _known(plugin: Encoder | LayoutGenerator | None) -> dict[str, Any]:
    """The description; without the digest where weights are missing, which the cells say."""
    assert plugin is not None
    try:
        return registry.describe(plugin)
    except MissingError:
        return {"name": plugin.card.name, "version": plugin.card.version, "digest": "no weights"}


def protocol(desk: Desk, what: dict[str, Any]) -> str:
    return key_of({"test": content(desk.test), "seeds": "sha256(seed/id)", **what})[:10]


def content(patches: ImageSet) -> str:
    """Names the test set by what is in it, so that the same patches from another folder compare."""
    ids = hashlib.sha256("\n".join(patches.conditions.ids.tolist()).encode()).hexdigest()
    return f"{patches.key}/{ids[:12]}"


def slides(patches: ImageSet) -> int:
    return len(np.unique(patches.conditions.groups))
