"""From painted patches to result lines: feature metrics, downstream scores, and what the prompts gave away."""

from __future__ import annotations

import hashlib
import json
import math
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import prompts, registry, stats, steps
from bench.cache import Cache, key_of
from bench.diets import training_sets
from bench.errors import BenchError, MissingError
from bench.plan import Cast
from bench.results import Result
from bench.steps import Fitted, Painted, Scene
from bench.types import Diet, Encoder, FeatureMetric, Features, ImageSet, Progress, Tally

Say = Callable[[str], None]


@dataclass(frozen=True)
class Desk:
    """What every measurement of a run shares."""

    cast: Cast
    scene: Scene
    cache: Cache
    progress: Progress
    say: Say
    stamp: dict[str, str]

    @property
    def test(self) -> ImageSet:
        return self.scene.plain["test"]


def blank(desk: Desk, fitted: Fitted, seed: int) -> Result:
    """A line with everything but the measure."""
    cast = desk.cast
    prompted = "prompts" in fitted.generator.card.needs or getattr(fitted.generator, "follows_track", False)
    return Result(
        generator=fitted.generator.card.name,
        dataset=cast.dataset.card.name,
        track=cast.rule.label() if prompted else "none",
        task=cast.task.card.name,
        measure="",
        direction="",
        protocol="",
        seed=seed,
        flags=("embedded",) if cast.embedded else (),
        described={"generator": registry.describe(fitted.generator), "dataset": registry.describe(cast.dataset)},
        keys={"test": desk.test.key, "train": desk.scene.plain["train"].key, "weights": fitted.digest},
        stamp=desk.stamp,
    )


def shown_prompts(desk: Desk, fitted: Fitted) -> Iterator[Result]:
    """How much of each test patch its crops cover, and the share of classes that found none."""
    if "prompts" not in fitted.generator.card.needs:
        return
    report = prompts.report(desk.scene.prompted["test"].conditions)
    line = replace(blank(desk, fitted, 0), direction="none", n=len(desk.test), groups=_groups(desk.test))
    found = {
        "prompt-coverage": report.coverage,
        "prompt-missing": report.missing / max(report.wanted, 1),
        "prompt-whole": report.whole / max(report.wanted, 1),
    }
    for measure, value in found.items():
        yield replace(line, measure=measure, value=value, protocol=_protocol(desk, {"measure": measure}))


def distances(desk: Desk, fitted: Fitted, painted: Painted) -> Iterator[Result]:
    """Every metric over every encoder, real test patches against painted ones, with an interval over slides."""
    for encoder in desk.cast.encoders:
        line = replace(
            blank(desk, fitted, painted.seed),
            encoder=encoder.card.name,
            n=len(painted.patches),
            n_real=len(desk.test),
            groups=_groups(desk.test),
        )
        if encoder.card.name in fitted.generator.card.conditioned_by:
            line = replace(line, flags=(*line.flags, "judge-conflict"))
        line = replace(line, keys={**line.keys, "samples": painted.patches.key})
        failed: Result | None = None
        try:
            real, fake = (steps.features(encoder, s, desk.cache, desk.progress) for s in (desk.test, painted.patches))
        except Exception as error:  # an encoder is a plug-in: its failure is the fate of its own cells only
            failed = _failure(line, error, desk.say)
        for metric in desk.cast.metrics:
            planned = replace(line, measure=metric.card.name, direction=metric.direction)
            described = {**line.described, "encoder": _known(encoder), "metric": registry.describe(metric)}
            planned = replace(planned, protocol=_protocol(desk, _judged(encoder, metric)), described=described)
            if failed is not None:
                yield replace(planned, status=failed.status, reason=failed.reason)
                continue
            try:
                yield _compared(desk, planned, metric, real, fake, painted)
            except Exception as error:
                yield _failure(planned, error, desk.say)


def _compared(desk: Desk, line: Result, metric: FeatureMetric, real: Features, fake: Features, painted: Painted) -> Result:
    fewest = metric.minimum_n(real.shape[1])
    if min(len(real), len(fake)) < fewest:
        reason = (
            f"{len(fake)} painted and {len(real)} real rows; {metric.card.name} needs {fewest} for {real.shape[1]} columns"
        )
        return replace(line, status="skipped", reason=reason)

    def value(real_rows: np.ndarray[Any, Any], fake_rows: np.ndarray[Any, Any]) -> float:
        if min(real_rows.sum(), fake_rows.sum()) < fewest:
            return math.nan  # with a block of slides left out it is too few: a number without an interval
        return metric.compare(real[real_rows], fake[fake_rows], np.random.default_rng(painted.seed))

    def estimate() -> Estimates:
        groups = desk.test.conditions.groups, painted.patches.conditions.groups
        return {metric.card.name: stats.group_jackknife(value, *groups)}

    spec = {"judged": line.protocol, "samples": painted.patches.key, "seed": painted.seed}
    found = _remembered(desk.cache, "distances", spec, estimate)[metric.card.name]
    least, most = getattr(metric, "bounds", (None, None))
    return replace(line, value=found.value, low=found.low, high=found.high, reason=found.reason, least=least, most=most)


Estimates = dict[str, stats.Estimate]


def _remembered(cache: Cache, kind: str, spec: dict[str, Any], estimate: Callable[[], Estimates]) -> Estimates:
    """Estimates by name, from the cache or calculated."""

    def make(work: Path) -> None:
        (work / "estimates.json").write_text(json.dumps({name: asdict(found) for name, found in estimate().items()}))

    held = json.loads((cache.entry(kind, {**spec, "version": stats.VERSION}, make) / "estimates.json").read_text())
    return {name: stats.Estimate(**found) for name, found in held.items()}


def scores(desk: Desk, fitted: Fitted, painted: Painted | None, seed: int) -> Iterator[Result]:
    """The downstream model on every diet, scored on real test patches, with an interval over slides."""
    task = desk.cast.task
    for diet in task.diets:
        line = replace(
            blank(desk, fitted, seed),
            diet=diet.name,
            direction=task.direction,
            n=len(desk.test),
            n_real=len(desk.test),
            groups=_groups(desk.test),
            protocol=_protocol(desk, _scored(desk, diet)),
        )
        keys = {**line.keys, **({"samples": painted.patches.key} if painted is not None else {})}
        line = replace(line, keys=keys, described={**line.described, "task": registry.describe(task)})
        try:
            tally, key = _tally(desk, diet, painted, seed)
        except Exception as error:
            yield replace(_failure(line, error, desk.say), measure=task.card.name)
            continue
        yield from _reduced(desk, line, tally, key)


def _tally(desk: Desk, diet: Diet, painted: Painted | None, seed: int) -> tuple[Tally, str]:
    """The counts of one diet and seed, and the key they are kept under."""
    task = desk.cast.task
    real = steps.only(desk.scene.diet, {"masks", "instances", "types"})
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
    found = _remembered(desk.cache, "measures", {"counts": key}, lambda: stats.group_bootstrap(tally, groups, seed=0))
    for measure, estimate in found.items():
        named = replace(line, measure=measure)
        if math.isnan(estimate.value):
            yield replace(named, status="skipped", reason=estimate.reason)
        else:
            low, high = estimate.low, estimate.high
            yield replace(named, value=estimate.value, low=low, high=high, reason=estimate.reason, least=0.0, most=1.0)


def failed_lines(desk: Desk, fitted: Fitted, seed: int, error: Exception, diets: bool) -> Iterator[Result]:
    """The lines of a generator that could not paint: every planned number, with the reason; the traceback goes out once."""
    line = _failure(blank(desk, fitted, seed), error, desk.say)
    for encoder in desk.cast.encoders:
        for metric in desk.cast.metrics:
            judged = replace(line, encoder=encoder.card.name, measure=metric.card.name, direction=metric.direction)
            yield replace(judged, protocol=_protocol(desk, _judged(encoder, metric)))
    task = desk.cast.task
    for diet in task.diets if diets else ():
        scored = replace(line, diet=diet.name, measure=task.card.name, direction=task.direction)
        yield replace(scored, protocol=_protocol(desk, _scored(desk, diet)))


def _failure(line: Result, error: Exception, say: Say) -> Result:
    """A skip where something outside is missing, an error where a plug-in broke; the latter with its traceback on stderr."""
    if isinstance(error, MissingError):
        return replace(line, status="skipped", reason=str(error))
    if not isinstance(error, BenchError):
        say("".join(traceback.format_exception(error)))
    return replace(line, status="error", reason=f"{type(error).__name__}: {error}")


def _judged(encoder: Encoder, metric: FeatureMetric) -> dict[str, Any]:
    return {"encoder": _known(encoder), "metric": registry.describe(metric), "interval": "slide jackknife"}


def _scored(desk: Desk, diet: Diet) -> dict[str, Any]:
    return {"task": registry.describe(desk.cast.task), "diet": diet.name, "n": len(desk.scene.diet)}


def _known(encoder: Encoder) -> dict[str, Any]:
    """The encoder's description; without the digest where its weights are missing, which its cells say."""
    try:
        return registry.describe(encoder)
    except MissingError:
        return {"name": encoder.card.name, "version": encoder.card.version, "digest": "no weights"}


def _protocol(desk: Desk, what: dict[str, Any]) -> str:
    return key_of({"test": _content(desk.test), "seeds": "sha256(seed/id)", **what})[:10]


def _content(patches: ImageSet) -> str:
    """Names the test set by what is in it, so that the same patches from another folder compare."""
    ids = hashlib.sha256("\n".join(patches.conditions.ids.tolist()).encode()).hexdigest()
    return f"{patches.key}/{ids[:12]}"


def _groups(patches: ImageSet) -> int:
    return len(np.unique(patches.conditions.groups))
