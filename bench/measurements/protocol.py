"""What a measurement is, the job that computes one, and the one place where numbers become result records.

A measurement says which records it will produce (`planned`), from which jobs (`inputs`), and computes their estimates
(`compute`). It runs as a job of its own. `records_of` turns every planned record into one with a number or with the reason why
there is none. A planned number therefore always has a record.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from bench import registry, statistics
from bench.config import Components, RunConfig
from bench.errors import BenchError, MissingError, UsageError
from bench.histology.sampling import StatesSampling
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import EarlierFailure, Failed, JobError, Outcome, failure_of
from bench.jobs.store import EntryRef, Store, key_of
from bench.pipeline.checks import check_number, is_bound
from bench.pipeline.data import DataSplits, Patches
from bench.pipeline.fits import Fit
from bench.pipeline.generation import TrainedGenerator, has_one_set
from bench.pipeline.plugins import Plugin
from bench.results.schema import NO_SOURCES, ResultRecord, stamp, unit_of
from bench.results.tables import ONE_SET
from bench.results.terms import ABSENT, Flag, Reason, Status
from bench.runtime.plugin_code import is_interruption
from bench.statistics import Estimate
from bench.types import FollowsPromptSource

Bounds = tuple[float | None, float | None]
"""Smallest and largest possible value of a measure; None if there is none."""


@dataclass(frozen=True)
class Measured:
    """An estimate, and the bounds of its measure, to which intervals are cut."""

    estimate: Estimate
    bounds: Bounds = (None, None)
    described: Mapping[str, Any] = field(default_factory=dict)
    """JSON that is known only now, for `described` of the record."""


class Measurement(Protocol):
    """One computation that gives one or more numbers. A picklable frozen dataclass: it holds references, no arrays."""

    @property
    def needs(self) -> tuple[Job, ...]:
        """A field of the dataclass: what `inputs` returns. It is not sent to the worker."""
        ...

    def planned(self) -> list[ResultRecord]:
        """Every record that this measurement will produce, without its number; their measures differ."""
        ...

    def inputs(self) -> tuple[Job, ...]:
        """The jobs whose entries `compute` reads."""
        ...

    def spec(self) -> Mapping[str, Any]:
        """JSON: with the keys of `inputs`, everything that decides the numbers."""
        ...

    def compute(self, store: Store) -> dict[str, Measured]:
        """Measure -> number, for every planned record."""
        ...


@dataclass(frozen=True)
class Compute:
    """Action: computes a measurement and writes `estimates.json`."""

    measurement: Measurement

    def __call__(self, work: Path, context: JobContext) -> None:
        found = self.measurement.compute(context.store)
        for measure, one in found.items():
            _check(measure, one)
        text = json.dumps(
            {
                measure: {**asdict(one.estimate), "bounds": one.bounds, "described": one.described}
                for measure, one in found.items()
            }
        )
        (work / "estimates.json").write_text(text, encoding="utf-8")


def _check(measure: str, found: Measured) -> None:
    """Raises UsageError on what a metric may bring that is no estimate: a record of it could not be written, or read."""
    estimate = found.estimate
    if not isinstance(measure, str) or not isinstance(estimate, Estimate):
        raise UsageError(f"{measure!r} gave {type(estimate).__name__}, not a bench.statistics.Estimate.")
    value = check_number(f"the estimate of {measure}", estimate.value)
    optional = (estimate.low, estimate.high, estimate.error, estimate.freedom, *estimate.replicates, *found.bounds)
    if math.isinf(value) or not all(map(is_bound, optional)) or len(found.bounds) != 2:
        raise UsageError(
            f"{measure} gave {value!r} in [{estimate.low!r}, {estimate.high!r}] with bounds {found.bounds!r}: finite numbers "
            "are needed, or None where there is none."
        )


def job_of(measurement: Measurement) -> Job:
    """The job that computes a measurement."""
    spec = {**measurement.spec(), "statistics": statistics.VERSION}
    measures = ", ".join(dict.fromkeys(record.measure for record in measurement.planned()[:3]))
    action = Compute(replace(measurement, needs=()))  # type: ignore[type-var]
    return Job("measured", spec, action, measurement.inputs(), label=f"measure {measures}")


def records_of(measurement: Measurement, outcome: Outcome, store: Store) -> Iterator[ResultRecord]:
    """Every planned record, with its number or the reason why there is none."""
    if isinstance(outcome, Failed):
        yield from (failed_record(record, outcome.error) for record in measurement.planned())
        return
    held = store.read_json(outcome.ref, "estimates.json")
    planned = measurement.planned()
    # a test set that lacks a class has further measures (`iou-present`), which are not known when a run is planned
    further = [measure for measure in held if measure not in {record.measure for record in planned}]
    for record in (*planned, *(replace(planned[0], measure=measure) for measure in further)):
        if record.measure not in held:
            error = JobError("internal", "KeyError", f"the measurement gave no {record.measure}", "")
            yield failed_record(record, error)
            continue
        found = dict(held[record.measure])
        least, most = found.pop("bounds")
        record = replace(record, described={**record.described, **found.pop("described", {})})
        yield with_estimate(record, Estimate(**{**found, "replicates": tuple(found["replicates"])}), (least, most))


def with_estimate(record: ResultRecord, estimate: Estimate, bounds: Bounds) -> ResultRecord:
    """The record with its number, or skipped if there is nothing to measure.

    If sources are unknown, the interval and the values without each block are dropped: the groups would be images, and images
    of one slide are not independent.
    """
    within = record.described.get("dataset", {}).get("within")
    if within and Reason.UNDERPOWERED.begins(estimate.reason):
        choice = f"the sampling unit is {unit_of(record)}; for intervals over {within} of the same {unit_of(record)}"
        estimate = replace(estimate, reason=f"{estimate.reason}; {choice}: -o dataset.sampling_unit=slide")
    if Flag.SOURCES_UNKNOWN in record.flags and not math.isnan(estimate.value):
        estimate = Estimate(estimate.value, None, None, reason=NO_SOURCES)
    flags = (*record.flags, Flag.UNDERPOWERED) if Reason.UNDERPOWERED.begins(estimate.reason) else record.flags
    record = replace(record, reason=estimate.reason, flags=flags)
    if math.isnan(estimate.value):
        return replace(record, status=Status.SKIPPED)
    least, most = bounds
    record = replace(record, value=estimate.value, low=estimate.low, high=estimate.high, least=least, most=most)
    return replace(record, replicates=estimate.replicates, freedom=estimate.freedom if estimate.replicates else None)


def failed_record(record: ResultRecord, error: JobError) -> ResultRecord:
    """`skipped` if something outside is missing, otherwise `error`."""
    if error.code in ABSENT:
        return replace(record, status=Status.SKIPPED, reason=f"{error.code}: {error.message}")
    return replace(record, status=Status.ERROR, reason=f"{error.type}: {error.message}")


class OneRecord:
    """What measurements of one record have in common: the record is all that is planned, and `needs` all that is awaited."""

    record: ResultRecord
    needs: tuple[Job, ...]

    def planned(self) -> list[ResultRecord]:
        return [self.record]

    def inputs(self) -> tuple[Job, ...]:
        return self.needs


class SeveralRecords:
    """The same of measurements of several records."""

    records: tuple[ResultRecord, ...]
    needs: tuple[Job, ...]

    def planned(self) -> list[ResultRecord]:
        return list(self.records)

    def inputs(self) -> tuple[Job, ...]:
        return self.needs


@dataclass(frozen=True)
class FailedMeasurement(OneRecord):
    """Replaces a measurement that could not be planned because its plug-in raised this error."""

    record: ResultRecord
    error: JobError
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        return {"failed": self.error.message, "measure": self.record.measure, "protocol": self.record.protocol}

    def compute(self, store: Store) -> dict[str, Measured]:
        raise EarlierFailure(self.error)


P = ParamSpec("P")
M = TypeVar("M")


def plan_or_fail(record: ResultRecord, plan: Callable[P, M], *args: P.args, **more: P.kwargs) -> M | FailedMeasurement:
    """The measurement. If the plug-in raises, a failing measurement of `record` instead."""
    try:
        return plan(*args, **more)
    except BenchError:
        raise
    except BaseException as error:
        if is_interruption(error):
            raise
        return FailedMeasurement(record, failure_of(EntryRef("measured", record.measure), error).error)


def protocol_key(test: Patches, what: Mapping[str, Any]) -> str:
    """Key of everything that two numbers must share to be ranked together."""
    return key_of({"test": content_of(test), "seeds": "sha256(seed/id)", **what})[:10]


def content_of(patches: Patches) -> str:
    """Names a test set by its content, so that the same patches from another folder can be compared."""
    ids = hashlib.sha256("\n".join(patches.conditions.ids.tolist()).encode()).hexdigest()
    return f"{patches.key}/{ids[:12]}"


def blank_record(components: Components, splits: DataSplits, trained: TrainedGenerator, fit: Fit, seed: int) -> ResultRecord:
    """A record of a generator without measure and value."""
    generator, config = trained.generator, components.config
    described: dict[str, Any] = {
        "generator": registry.describe(generator),
        "dataset": registry.describe(components.dataset),
    }
    flags: tuple[str, ...] = (Flag.EMBEDDED,) if components.embedded else ()
    if isinstance(components.dataset, StatesSampling):
        sampling = components.dataset.sampling
        described["dataset"] |= {"unit": sampling.interval_unit, "population": sampling.population}
        if sampling.clusters:
            described["dataset"]["within"] = sampling.unit
        flags = flags if sampling.is_known else (*flags, Flag.SOURCES_UNKNOWN)
    else:
        described["dataset"]["population"] = "other slides of the same laboratories"
    flags = (*flags, ONE_SET) if has_one_set(generator) else flags
    needs_prompts = "prompts" in generator.card.needs
    if splits.donors is not None and needs_prompts and components.experiment is None:
        described["generator"]["prompt_donors"] = splits.donors.key
    is_trained = trained.weights.origin != "none"
    if is_trained and needs_prompts and config.fit_prompt_source != RunConfig.fit_prompt_source:
        described["generator"]["fit_prompt_source"] = config.fit_prompt_source
    if trained.layout_generator:
        described["layouts"] = _describe_layouts(components.layout_generator)
    follows = isinstance(generator, FollowsPromptSource) and generator.follows_prompt_source
    is_labelled = bool(config.label) and trained.plugin == components.generator_plugins[0]
    weights = trained.weights.job.ref.key if trained.weights.job is not None else trained.weights.shipped_digest
    return ResultRecord(
        generator=trained.label,
        dataset=components.dataset_plugin.label,
        prompt_source=components.rule.label() if needs_prompts or follows else "none",
        task=components.task_plugin.label,
        measure="",
        direction="",
        protocol="",
        seed=seed,
        flags=flags,
        described=described,
        keys={
            "test": splits.test.key,
            "train": splits.plain["train"].key,
            "weights": weights,
            **({"method": fit.method} if fit.method else {}),
        },
        fit=fit.described(),
        stamp={**stamp(), **({"label": config.label} if is_labelled else {})},
    )


def _describe_layouts(layout_generator: Plugin | None) -> dict[str, Any]:
    """The description, without the digest if weights are missing; then the records give the reason."""
    assert layout_generator is not None
    built = layout_generator.build()
    try:
        return registry.describe(built)
    except MissingError:
        return {"name": built.card.name, "version": built.card.version, "digest": "no weights"}
