"""From painted patches to result lines: feature metrics, downstream scores, and what the prompts gave away."""

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
from bench.config import CEILING, Judge, Metric, Plan
from bench.errors import BenchError, CorruptError, MissingError
from bench.histology.sampling import StatesSampling
from bench.histology.training_mixes import DIETS, training_sets
from bench.judging import FORMS, UNDERPOWERED, Bounds, Desk, Pair, Say, remembered
from bench.pipeline import prompts
from bench.pipeline.data import MAPS, only
from bench.results.schema import NO_SOURCES, SOURCES_UNKNOWN, Result
from bench.stats import Estimate
from bench.steps import Fitted, Painted
from bench.types import Diet, Encoder, Generator, ImageSet, Layouts, Tally

CONFLICT = "judge-conflict"


def blank(desk: Desk, fitted: Fitted, seed: int) -> Result:
    """A line with everything but the measure."""
    cast = desk.cast
    described = {"generator": registry.describe(fitted.generator), "dataset": registry.describe(cast.dataset)}
    sampling = desk.cast.dataset.sampling if isinstance(desk.cast.dataset, StatesSampling) else None
    if sampling is not None:
        described["dataset"]["unit"] = sampling.unit
    flags = ("embedded",) if cast.embedded else ()
    if sampling is not None and not sampling.is_known:
        flags = (*flags, SOURCES_UNKNOWN)
    if fitted.weights and "prompts" in fitted.generator.card.needs and cast.plan.fit_track != Plan.fit_track:
        described["generator"]["fit_track"] = cast.plan.fit_track
    if desk.scene.donors is not None and "prompts" in fitted.generator.card.needs and not cast.plan.experiment:
        described["generator"]["prompt_donors"] = desk.scene.donors.key
    if fitted.layouts:
        described["layouts"] = _known(cast.layouts)
    prompted = "prompts" in fitted.generator.card.needs or getattr(fitted.generator, "follows_track", False)
    return Result(
        generator=" + ".join(filter(None, (cast.label(fitted.generator), fitted.layouts))),
        dataset=cast.label(cast.dataset),
        track=cast.rule.label() if prompted else "none",
        task=cast.label(cast.task),
        measure="",
        direction="",
        protocol="",
        seed=seed,
        flags=flags,
        described=described,
        keys={"test": desk.test.key, "train": desk.scene.plain["train"].key, "weights": fitted.digest},
        stamp=desk.stamp,
    )


def shown_prompts(desk: Desk, fitted: Fitted) -> Iterator[Result]:
    """How much of each test patch its crops cover, and the shares of classes that found none, whose whole region is shown,
    and whose crop was cut from a patch of the reference."""
    if "prompts" not in fitted.generator.card.needs:
        return
    report = prompts.report(desk.scene.prompted["test"].conditions)
    line = replace(blank(desk, fitted, 0), direction="none", n=len(desk.test), groups=slides(desk.test))
    found = {
        "prompt-coverage": report.coverage,
        "prompt-missing": report.missing / max(report.wanted, 1),
        "prompt-whole": report.whole / max(report.wanted, 1),
        "prompt-reference": report.reference / max(report.wanted, 1),
    }
    for measure, value in found.items():
        yield replace(line, measure=measure, value=value, protocol=protocol(desk, {"measure": measure}))


def distances(desk: Desk, fitted: Fitted, painted: Painted) -> Iterator[Result]:
    """Every metric over every encoder, real test patches against painted ones, with an interval over slides."""
    for judge in desk.cast.judges:
        line = replace(
            blank(desk, fitted, painted.seed),
            n=len(painted.patches),
            n_real=len(desk.test),
            groups=slides(desk.test),
        )
        if _shaped(desk, fitted.generator, judge.encoder):
            line = replace(line, flags=(*line.flags, CONFLICT))
        line = replace(line, keys={**line.keys, "samples": painted.patches.key})
        failed: Result | None = None
        try:
            for part in (desk.test, painted.patches):
                steps.features(judge.encoder, part, desk.cache, desk.progress)
        except Exception as error:  # an encoder is a plug-in: its failure is the fate of its own cells only
            failed = failure(line, error, desk.say)
        for metric in judge.metrics:
            pair = Pair(desk, judge.encoder, metric, painted)
            for form, planned in _planned(desk, line, judge, metric):
                if failed is not None:
                    yield replace(planned, status=failed.status, reason=failed.reason)
                else:
                    yield _ended(desk, planned, pair.forms[form])


def _shaped(desk: Desk, generator: Generator, encoder: Encoder) -> bool:
    """Whether a generator or the data was conditioned by an encoder. A card that names a library without a network, `timm`,
    means each of its networks."""
    known = (*generator.card.conditioned_by, *desk.cast.dataset.card.conditioned_by)
    called = [registry.card("encoders", name).name if registry.is_file(name) else name for name in known]
    return bool({desk.cast.label(encoder), encoder.card.name}.intersection(called))


def _planned(desk: Desk, line: Result, judge: Judge, metric: Metric) -> Iterator[tuple[str, Result]]:
    """The form of each number of a metric over an encoder, and its line as far as it is known before it is measured."""
    described = {**line.described, "encoder": _known(judge.encoder), "metric": registry.describe(metric)}
    line = replace(line, encoder=desk.cast.label(judge.encoder), direction=metric.direction, described=described)
    judged = _judged(judge.encoder, metric)
    yield "value", replace(line, measure=desk.cast.label(metric), protocol=protocol(desk, judged))
    for form in FORMS if getattr(metric, "normalised", False) else ():
        under = protocol(desk, {**judged, "form": form, "ceiling": CEILING})
        # a floor is of real patches alone, whatever the encoder had to do with the generator
        flags = tuple(flag for flag in line.flags if form != "floor" or flag != CONFLICT)
        yield form, replace(line, measure=f"{desk.cast.label(metric)}-{form}", protocol=under, flags=flags)


def _ended(desk: Desk, line: Result, found: Callable[[], tuple[Estimate, Bounds]]) -> Result:
    """The line with its number, or with the reason why there is none."""
    try:
        return told(line, *found())
    except Exception as error:  # a metric is a plug-in too
        return failure(line, error, desk.say)


def scores(desk: Desk, fitted: Fitted, painted: Painted | None, seed: int, diets: Iterable[Diet]) -> Iterator[Result]:
    """The downstream model on every diet, scored on real test patches, with an interval over slides."""
    for diet in diets:
        line = _score(desk, fitted, seed, diet)
        if painted is not None:
            line = replace(line, keys={**line.keys, "samples": painted.patches.key})
        try:
            tally, key = tallied(desk, diet, painted, seed)
        except Exception as error:
            line = failure(line, error, desk.say)
            yield from (replace(line, measure=name) for name in _score_names(desk))
            continue
        yield from _reduced(desk, line, tally, key)


def planned_scores(desk: Desk, fitted: Fitted, seed: int, diets: Iterable[Diet]) -> Iterator[Result]:
    """The record of each score as far as it is known before any model is trained."""
    for diet in diets:
        line = _score(desk, fitted, seed, diet)
        yield from (replace(line, measure=name) for name in _score_names(desk))


def _score(desk: Desk, fitted: Fitted, seed: int, diet: Diet) -> Result:
    """What all scores of one training mix share."""
    line = blank(desk, fitted, seed)
    return replace(
        line,
        diet=diet.name,
        direction=desk.cast.task.direction,
        n=len(desk.test),
        n_real=len(desk.test),
        groups=slides(desk.test),
        protocol=protocol(desk, serving(desk, diet)),
        described={**line.described, "task": registry.describe(desk.cast.task)},
    )


def _score_names(desk: Desk) -> tuple[str, ...]:
    """The scores that are planned of a training mix: those that an experiment names. Without one the task's name stands for
    all of them, because only a trained model's tally says which there are."""
    return desk.cast.experiment.measures if desk.cast.experiment else (desk.cast.label(desk.cast.task),)


def tallied(desk: Desk, diet: Diet, painted: Painted | None, seed: int) -> tuple[Tally, str]:
    """The counts of one diet and seed, and the key they are kept under."""
    task = desk.cast.task
    real = only(desk.scene.served, MAPS)
    served = training_sets(diet, real, painted.patches if painted is not None else None)
    validation = desk.scene.plain["validation"]
    spec = {
        "task": registry.describe(task),
        "diet": [part.key for part in served],
        "validation": validation.key,
        "test": desk.test.key,
        "seed": seed,
    }

    def make(work: Path) -> None:
        made = task.score(served, validation, desk.test, seed, desk.progress)
        np.save(work / "counts.npy", made.counts)

    folder = desk.cache.entry("scores", spec, make)
    return task.tally(np.load(folder / "counts.npy"), desk.test.conditions.classes), folder.name


def _reduced(desk: Desk, line: Result, tally: Tally, key: str) -> Iterator[Result]:
    groups = desk.test.conditions.groups
    spec = {"counts": key, "measures": sorted(tally.measures)}
    found = remembered(desk.cache, "measures", spec, lambda: stats.group_bootstrap(tally, groups, seed=0))
    for measure, estimate in found.items():
        named = replace(line, measure=measure)
        yield told(named, estimate, tally.bounds.get(measure, (0.0, 1.0)))


def told(line: Result, estimate: Estimate, bounds: Bounds) -> Result:
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
    line = replace(line, value=estimate.value, low=estimate.low, high=estimate.high, folds=estimate.folds)
    return replace(line, least=least, most=most)


def planned_distances(desk: Desk, fitted: Fitted, seed: int) -> Iterator[Result]:
    """The record of each distance as far as it is known before anything is generated."""
    for judge in desk.cast.judges:
        for metric in judge.metrics:
            yield from (line for _, line in _planned(desk, blank(desk, fitted, seed), judge, metric))


def failure(line: Result, error: Exception, say: Say) -> Result:
    """A skip where something outside is missing, an error where a plug-in or the installation broke, with its traceback on
    stderr where nobody foresaw it."""
    if isinstance(error, MissingError) and not isinstance(error, CorruptError):
        return replace(line, status="skipped", reason=f"{error.code}: {error}")
    if not isinstance(error, BenchError):
        say("".join(traceback.format_exception(error)))
    return replace(line, status="error", reason=f"{type(error).__name__}: {error}")


def _judged(encoder: Encoder, metric: Metric) -> dict[str, Any]:
    return {"encoder": _known(encoder), "metric": registry.describe(metric), "interval": stats.VERSION}


def serving(desk: Desk, diet: Diet) -> dict[str, Any]:
    """What two scores must share of task, diet and pool to be compared."""
    described = {"task": registry.describe(desk.cast.task), "diet": diet.name, "n": len(desk.scene.diet)}
    if diet in DIETS and desk.scene.pool == "train":
        return described
    shares = [diet.real, diet.synthetic, diet.filling]
    return {**described, "diet": [diet.name, *shares], "pool": [desk.scene.pool, content(desk.scene.served)]}


def _known(plugin: Encoder | Layouts | None) -> dict[str, Any]:
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
