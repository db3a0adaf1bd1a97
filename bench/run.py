"""One run, from config to result records: read this file first.

    config -> components -> splits -> plan of measurements -> one graph of jobs -> records -> files

A measurement says which records it will produce and from which jobs (bench/measurements). The jobs train, generate, encode,
train downstream models and measure; an executor runs those that are not in the store yet (bench/jobs).
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import announcement
from bench.config import Components, RunConfig, load_components
from bench.data_source import provided
from bench.errors import BenchError, RefusedError, UsageError
from bench.files.text import write_text
from bench.histology import pictures
from bench.jobs.executors import Executor, execute, make_damaged_again
from bench.jobs.graph import Job, pending, with_needs
from bench.jobs.outcomes import Failed, Finished, Outcome
from bench.jobs.progress import Reporter
from bench.jobs.store import DamagedEntry, EntryRef, Store, key_of
from bench.measurements import workload
from bench.measurements.planning import RunPlan, plan_run
from bench.measurements.prepared import Prepared, Times
from bench.measurements.protocol import job_of, records_of
from bench.pipeline.data import DataSplits, load_splits
from bench.pipeline.generation import run_seeds
from bench.provenance import manifest
from bench.results import experiment_tables, folders, schema, tables
from bench.results.schema import ResultRecord
from bench.results.terms import ABSENT
from bench.runtime.plugin_code import is_interruption
from bench.runtime.refusals import refusals_named
from bench.types import Generator, ImageSet, LayoutGenerator


@dataclass(frozen=True)
class RunContext:
    """What a run uses besides its config: the store, the executor, progress and log."""

    store: Store
    executor_for: Callable[[int], Executor]
    """From the number of jobs that are pending to the executor that runs them."""
    reporter: Reporter
    log: Callable[[str], None]

    def execute(
        self, jobs: Sequence[Job], ended: Callable[[Outcome], None] | None = None, following: int = 0
    ) -> dict[EntryRef, Outcome]:
        """Runs the jobs that are not in the store, and those they need; `ended` is called with the outcome of each job.
        `following`: how many jobs come after these at least. Workers that are worth starting for them start now."""
        self.store.hold(job.ref for job in with_needs(jobs))  # what is read afterwards is used until the command ends
        waiting = len(pending(jobs, self.store))
        if not waiting:
            return {job.ref: Finished(job.ref) for job in jobs}
        return execute(list(jobs), self.store, self.executor_for(waiting + following), self.reporter, ended)


@dataclass(frozen=True)
class RunOutcome:
    """The results of a run."""

    records: tuple[ResultRecord, ...]
    tables: tuple[tables.Table, ...]
    """Empty if it could not be made; then `faults` has the reason."""
    folder: Path
    faults: tuple[str, ...] = ()
    """What could not be written beside the records, and why."""


def run(config: RunConfig, context: RunContext, out: Path) -> RunOutcome:
    """Runs everything that was asked for and writes the results under `out`. Entries of the store are not computed again.

    Raises RefusedError, once the records are written, if the machine refused to go on: the same call continues.
    """
    out = out.absolute()  # a plug-in may change the working folder
    folders.check_writable(out / folder_name(config), "--out", (manifest.RECORDS,))
    prepared = prepare(config, context)
    context.log(workload.headline(workload.workload(prepared, context.store)))
    outcomes = context.execute(prepared.targets)
    damaged: set[EntryRef] = set()
    while True:
        try:
            outcome = finish(prepared, outcomes, context, out)
            raise_refusal(outcomes.values())
            return outcome
        except DamagedEntry as error:  # of a finished entry that no job has read
            if error.ref in damaged:
                raise  # damaged again after it was made again: the disk is at fault
            damaged.add(error.ref)
            context.log(f"the entry {error.ref} is damaged; it is removed and made again ({error.what})")
            context.store.remove(error.ref)
            outcomes = {**outcomes, **context.execute([*makers_of(error.ref, prepared.targets), *prepared.targets])}


def plan(config: RunConfig, context: RunContext) -> workload.Workload:
    """What `run` would do. Data are read and prompts are cut; nothing is trained, generated or measured."""
    return workload.workload(prepare(config, context), context.store)


def prepare(config: RunConfig, context: RunContext) -> Prepared:
    """Loads plug-ins and data, and plans all jobs. UsageError and MissingError are raised before anything is computed."""
    begun, since = datetime.now(UTC), time.monotonic()
    components = load_components(config)
    for generator in components.generators:
        check_fit(generator, components)
        _check_seeds(generator, config.seeds)
    if components.layout_generator is not None:
        check_fit(components.layout_generator.build(), components)
    context.log(announcement.announce(components, context.store))
    execute_first = partial(context.execute, following=count_jobs_at_least(components))

    def load_and_plan() -> tuple[DataSplits, RunPlan]:
        splits = load_splits(components, context.store, execute_first)
        context.log(announcement.describe_splits(components, splits))
        return splits, plan_run(components, splits, context.log)

    splits, plan = make_damaged_again(load_and_plan, context.store, context.log)
    jobs = tuple(job_of(measurement) for measurement in plan.measurements)
    times = Times(begun, {"data": time.monotonic() - since})
    return Prepared(config, components, splits, plan, jobs, times)


def count_jobs_at_least(components: Components) -> int:
    """A lower bound of the jobs of a run on new data: each distance is measured, on features that are encoded."""
    distances = sum(len(evaluation.metrics) for evaluation in components.evaluations)
    return 2 * distances * len(components.generators) * len(components.config.seeds)


def finish(prepared: Prepared, outcomes: dict[EntryRef, Outcome], context: RunContext, out: Path) -> RunOutcome:
    """Writes the records first, then table, picture and manifest, whose failure does not affect the records. Raises
    DamagedEntry if an entry that is read here is damaged, and RefusedError where there is no space for a file."""
    records = collect_records(prepared, outcomes, context)
    folder = out / folder_name(prepared.config)
    try:
        with refusals_named(f"cannot write {folder}"):
            schema.write(records, folder / "results.jsonl")
    except OSError as error:
        raise RefusedError(
            f"cannot write {folder}: {error}. Every number is in the store: give the same command with another --out."
        ) from error
    times = prepared.times.with_phase("jobs")
    experiment = prepared.components.experiment
    shown: list[tables.Table] = []
    faults: list[str] = []

    def write_table(path: Path) -> None:
        named = tables.labelled(records)
        shown.extend(
            [experiment_tables.make_table(experiment, named)]
            if experiment
            else tables.make_tables(named, prepared.config.generator)
        )
        write_text(path, tables.plain(shown) + "\n")

    steps: tuple[tuple[str, Callable[[Path], None]], ...] = (
        ("table.txt", write_table),
        ("picture.png", lambda path: draw(prepared, context.store, path)),
        (manifest.NAME, lambda _: manifest.write_manifest(prepared, outcomes, records, times, context.store, folder)),
    )
    for name, write in steps:
        try:
            with refusals_named(f"cannot write {folder / name} beside the records, which are there"):
                write(folder / name)
        except (DamagedEntry, RefusedError):
            raise
        except BaseException as error:  # the records are written and stay, whatever fails now
            if is_interruption(error):
                raise
            context.log("".join(traceback.format_exception(error)))
            faults.append(f"{name} could not be written: {type(error).__name__}: {error}")
    return RunOutcome(tuple(records), tuple(shown), folder, tuple(faults))


def raise_refusal(outcomes: Iterable[Outcome]) -> None:
    """Raises RefusedError if a job could not run because the machine refused it space, files or memory."""
    for outcome in outcomes:
        if isinstance(outcome, Failed) and outcome.error.code in ("refused", "memory"):
            raise RefusedError(outcome.error.message)


def makers_of(ref: EntryRef, targets: Sequence[Job]) -> list[Job]:
    """The job that makes an entry, among the targets and all jobs that they need; empty if no such job makes it."""
    return [job for job in with_needs(targets) if job.ref == ref]


def collect_records(prepared: Prepared, outcomes: dict[EntryRef, Outcome], context: RunContext) -> list[ResultRecord]:
    """A record for every planned number, in the order of the plan. Each cause of failure is logged once."""
    records: list[ResultRecord] = []
    causes: set[EntryRef] = set()
    for measurement, job in zip(prepared.plan.measurements, prepared.jobs, strict=True):
        outcome = outcomes[job.ref]
        if isinstance(outcome, Failed) and outcome.cause not in causes:
            causes.add(outcome.cause)
            if outcome.error.code not in (*ABSENT, "usage", "refused", "memory"):
                context.log(outcome.error.traceback or f"{outcome.cause}: {outcome.error.message}")
        found = records_of(measurement, outcome, context.store)
        records += [prepared.plan.with_digest(record, context.store) for record in found]
    return records


def draw(prepared: Prepared, store: Store, path: Path) -> None:
    """Draws a few test patches: map, crops, the generated patches of the first seed, and the real patch."""
    shown: dict[str, ImageSet] = {}
    for made in prepared.plan.generated:
        generated = made.test or made.pool
        if generated is not None and all(store.has(ref) for ref in generated.ref.shards):
            shown.setdefault(made.trained.plugin.name, generated.ref.load(store))
    splits = prepared.splits
    pictures.write_picture((splits.pool if prepared.components.experiment else splits.prompted["test"]).patches, shown, path)


def _check_seeds(generator: Generator, seeds: tuple[int, ...]) -> None:
    """Raises MissingError for a missing set of images before anything is computed. Other errors of the generator become those
    of its records when it is planned."""
    try:
        run_seeds(generator, seeds)
    except BenchError:
        raise
    except BaseException as error:
        if is_interruption(error):
            raise


def check_fit(generator: Generator | LayoutGenerator, components: Components) -> None:
    """Raises UsageError if the dataset does not provide the columns that the generator needs."""
    dataset = components.dataset
    provides = provided(dataset)
    missing = sorted(set(generator.card.needs) - provides)
    if missing:
        raise UsageError(
            f"{generator.card.name} needs the condition {', '.join(missing)}; {dataset.card.name} provides "
            f"{', '.join(sorted(provides))}. Choose another pair: bench list generators, bench info {dataset.card.name}."
        )


def folder_name(config: RunConfig) -> str:
    """`generator--task--key`: the key tells two configs apart, and the same config writes to the same place."""
    values = replace(config, label="").as_json()  # with another name the same numbers
    return folders.folder_name(config.generator, config.task, key=key_of(values)[:8])
