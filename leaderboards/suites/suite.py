"""Suites: a paper's table, or any list of runs, as names, seeds and counts in TOML; run as one graph of jobs.

A cell is one run of one generator. It ends as `ok`, `error`, `skipped` or `not-comparable`, with the reason, and never stops
the others. `suite.json` is written after each: what is finished comes from the store when the same command is given again.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from bench.config import CONTROLS, ENCODERS, RunConfig
from bench.errors import BenchError, DamagedError, MissingError, NotComparableError, UsageError, did_you_mean
from bench.files import json_files, typed_toml
from bench.files.names import find_fault, path_part
from bench.files.regular import is_there
from bench.files.text import write_text
from bench.jobs.graph import pending
from bench.jobs.outcomes import Finished, Outcome
from bench.jobs.store import DamagedEntry, EntryRef
from bench.measurements.prepared import Prepared
from bench.messages import printable
from bench.pipeline.plugins import refuse_plugin_files
from bench.registry import canonical_name
from bench.results.folders import check_writable
from bench.results.schema import ResultRecord
from bench.run import RunContext, finish, prepare, raise_refusal
from bench.runtime.plugin_code import is_interruption

FOLDER = Path(__file__).parents[1] / "suites"
INDEX = "suite.json"
STRICT: dict[str, str] = {"extra": "forbid"}
PENDING = "pending: not reached yet"
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Preset:
    """Size of the runs of a suite."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT
    seeds: tuple[int, ...]
    fit_seeds: tuple[int, ...] = ()
    """Generators are trained anew with each; empty: one fit, the shipped weights or those of fit seed 0."""
    options: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    """Options of the cells of one task alone, e.g. fewer steps where no weights are shipped."""
    fit_prompt_sources: dict[str, str] = field(default_factory=dict)
    """Prompt source that is generated with -> prompt source that generators are trained with; `slide` where none is named."""
    note: str = ""
    """Notes for the tables of runs with this preset."""


@dataclass(frozen=True)
class Cells:
    """The product of the lists, one run each."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT
    generators: tuple[str, ...]
    tasks: tuple[str, ...]
    prompt_sources: tuple[str, ...] = ("slide",)
    layout_generators: tuple[str, ...] = ("",)
    encoders: tuple[str, ...] = ENCODERS
    metrics: tuple[str, ...] | None = None
    controls: tuple[str, ...] = CONTROLS
    downstream: bool = False
    experiment: str = ""
    seeds: tuple[int, ...] = ()
    """In place of the preset's."""
    options: dict[str, str] = field(default_factory=dict)
    absent: str = ""
    """Why these cells cannot be run: they end as skipped."""
    without_data: str = ""
    """Why these cells end as skipped unless data are named for their task, which no data for all tasks replace."""


@dataclass(frozen=True)
class Pick:
    """A row or a column of a table: its label, and the fields of its records; empty for any value."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT
    label: str
    task: str = ""
    generator: str = ""
    prompt_source: str = ""
    measure: str = ""
    encoder: str = ""
    mix: str = ""


@dataclass(frozen=True)
class Table:
    """A paper's own layout: rows and columns, or the training mixes and measures of an experiment of a task."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT
    title: str
    rows: tuple[Pick, ...] = ()
    columns: tuple[Pick, ...] = ()
    task: str = ""
    experiment: str = ""


@dataclass(frozen=True)
class Suite:
    __pydantic_config__: ClassVar[dict[str, str]] = STRICT
    name: str
    summary: str
    preset: dict[str, Preset]
    cells: tuple[Cells, ...]
    table: tuple[Table, ...] = ()
    source: str = ""
    embedded: bool = False
    """Always on embedded data, even if a folder is configured."""


@dataclass(frozen=True)
class Cell:
    """One run of a suite and how it ended."""

    name: str
    generator: str
    """Its name in records, with the layout generator if there is one."""
    task: str
    prompt_source: str
    options: dict[str, str]
    status: str = "skipped"
    reason: str = PENDING
    folder: str = ""
    """Folder of its results inside that of the suite; empty without results."""
    seconds: float = 0.0
    """From the start of the suite to the end of the cell."""


def names() -> list[str]:
    """The suites that are shipped."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(asked: str) -> Suite:
    """A shipped suite by name, or one in a file.toml."""
    asked = {name.casefold(): name for name in names()}.get(asked.casefold(), asked)
    if not asked.endswith(".toml") and asked not in names():
        raise UsageError(
            f"no suite {asked!r}.{did_you_mean(asked, names())} There are: {', '.join(names())}; or give a file.toml."
        )
    return read(Path(asked) if asked.endswith(".toml") else FOLDER / f"{asked}.toml")


def read(path: Path) -> Suite:
    """The suite of a TOML file; raises MissingError or UsageError, naming the file and the place of the fault."""
    found = typed_toml.read(path, Suite, "suite")
    if (fault := find_fault(found.name)) or not found.preset or not found.cells:
        text = f": its name {fault}" if fault else ""
        raise UsageError(f"{path}: a suite has a name that can be a folder, a preset and cells{text}.")
    return found


def plans(
    suite: Suite,
    preset: str,
    data: Mapping[str, str],
    weights: Path | None = None,
    given: Mapping[str, Mapping[str, str]] | None = None,
    fit_seeds: tuple[int, ...] = (),
    allowed: tuple[Path, ...] = (),
    datasets: Mapping[str, str] | None = None,
) -> Iterator[tuple[Cell, RunConfig | None]]:
    """Each cell with its config, None where it cannot be run. `data`: task -> folder, `given`: task -> options, `datasets`:
    task -> dataset plug-in, "" for any task.

    `given` has priority over the cell's options, these over the preset's for the task, and these over the preset's for all
    tasks. Options of layouts apply only to cells with a layout generator. `fit_seeds`, if there are any, apply to all cells.
    Raises UsageError if the suite names a plug-in file that is not among the allowed ones, and if a folder and a dataset are
    given for one task.
    """
    data, datasets = _by_canonical_task(data), _by_canonical_task(datasets or {})
    given = _by_canonical_task(given or {})
    if preset not in suite.preset:
        known = ", ".join(suite.preset)
        raise UsageError(f"{suite.name} has no preset {preset!r}.{did_you_mean(preset, suite.preset)} It has: {known}.")
    asked = suite.preset[preset]
    refuse_plugin_files([asked.options, asked.tasks, *map(_named, suite.cells)], f"the suite {suite.name}", allowed)
    preset_tasks = _by_canonical_task(asked.tasks)
    tasks = {canonical_name("tasks", task) for block in suite.cells for task in block.tasks}
    if unknown := sorted({*data, *datasets, *given, *preset_tasks} - tasks - {""}):
        raise UsageError(f"{suite.name} has no task {unknown[0]!r}.{did_you_mean(unknown[0], tasks)}")
    if suite.embedded and datasets:
        raise UsageError(f"the suite {suite.name} always runs on embedded data: leave out --dataset.")
    for block in suite.cells:
        for generator, task, prompt_source, layouts in product(
            (canonical_name("generators", name) for name in block.generators),
            (canonical_name("tasks", name) for name in block.tasks),
            block.prompt_sources,
            (canonical_name("layout_generators", name) for name in block.layout_generators),
        ):
            of_task = preset_tasks.get(task, {})
            options = {**asked.options, **of_task, **block.options, **given.get("", {}), **given.get(task, {})}
            options = {word: value for word, value in options.items() if layouts or not word.startswith("layouts.")}
            words = (generator, layouts, task, "" if prompt_source == "slide" else prompt_source, block.experiment)
            cell = Cell(
                "--".join(filter(None, words)), " + ".join(filter(None, (generator, layouts))), task, prompt_source, options
            )
            folder, dataset = ("embedded", "") if suite.embedded else _source(task, data, datasets)
            config = RunConfig(
                generator=generator,
                task=task,
                data=folder,
                dataset=dataset,
                encoders=block.encoders,
                metrics=block.metrics,
                weights=weights,
                controls=block.controls,
                prompt_source=prompt_source,
                fit_prompt_source=asked.fit_prompt_sources.get(prompt_source, RunConfig.fit_prompt_source),
                seeds=block.seeds or asked.seeds,
                fit_seeds=fit_seeds or asked.fit_seeds,
                downstream=block.downstream or bool(block.experiment),
                layout_generator=layouts,
                experiment=block.experiment,
                options=options,
            )
            named = task in data or task in datasets
            absent = block.absent or (block.without_data if not named else "")
            yield (replace(cell, reason=f"missing: {absent}"), None) if absent else (cell, config)


def _by_canonical_task(given: Mapping[str, _Value]) -> dict[str, _Value]:
    """What is given for each task, with the names of tasks as they are registered; "" stands for all tasks."""
    return {canonical_name("tasks", task) if task else "": value for task, value in given.items()}


def _source(task: str, data: Mapping[str, str], datasets: Mapping[str, str]) -> tuple[str, str]:
    """The folder or the dataset of a task, what is given for it before what is given for all tasks; empty where nothing is."""
    for key in (task, ""):
        if key in data and key in datasets:
            raise UsageError(
                f"--data {data[key]} and --dataset {datasets[key]} are both given for {key or 'all tasks'}: leave out one."
            )
        if key in data or key in datasets:
            return data.get(key, ""), datasets.get(key, "")
    return "", ""


def _named(cells: Cells) -> list[Any]:
    """Names and options of the cells."""
    names = (cells.generators, cells.tasks, cells.layout_generators, cells.encoders, cells.metrics, cells.controls)
    return [*names, cells.options]


def run(
    suite: Suite, preset: str, planned: Sequence[tuple[Cell, RunConfig | None]], context: RunContext, out: Path
) -> list[Cell]:
    """Runs every cell under `out/<suite>`, as one graph of jobs in which shared jobs are one. The index is written before the
    first job and whenever a cell has ended. When the same suite is run again, finished jobs are found in the store."""
    folder = (out / suite.name).absolute()  # a plug-in may change the working folder
    check_writable(folder, "--out", (INDEX,))
    folder.mkdir(parents=True, exist_ok=True)
    ends = _CellStates(suite, preset, [cell for cell, _ in planned], folder, context)
    ends.write()
    prepared: dict[int, Prepared] = {}
    for number, (cell, config) in enumerate(planned):
        if config is None:
            context.log(printable(f"{cell.name}: {cell.status}: {cell.reason}"))
            continue
        context.log(printable(f"[{number + 1}/{len(planned)}] {cell.name}"))
        try:
            prepared[number] = prepare(config, context)
        except BaseException as error:  # an error in a cell ends only this cell
            if is_interruption(error):
                raise
            ends.broken(number, error)
    ends.await_jobs(prepared)
    jobs = [job for one in prepared.values() for job in one.jobs]
    outcomes = context.execute(jobs, ends.ended)
    for number in [*ends.waiting]:
        ends.finish(number, outcomes)
    raise_refusal(outcomes.values())
    return ends.cells


@dataclass
class _CellStates:
    """The progress of the cells of a suite."""

    suite: Suite
    preset: str
    cells: list[Cell]
    folder: Path
    context: RunContext
    since: float = field(default_factory=time.monotonic)
    prepared: dict[int, Prepared] = field(default_factory=dict)
    waiting: dict[int, set[EntryRef]] = field(default_factory=dict)
    """Cell -> its jobs that have not ended; cells that have ended are not among them."""
    outcomes: dict[EntryRef, Outcome] = field(default_factory=dict)

    def await_jobs(self, prepared: dict[int, Prepared]) -> None:
        """Finishes the cells that have no job left to run."""
        self.prepared = prepared
        refs = {number: {job.ref for job in one.jobs} for number, one in prepared.items()}
        missing = {job.ref for job in pending([job for one in prepared.values() for job in one.jobs], self.context.store)}
        self.waiting = {number: found & missing for number, found in refs.items()}
        self.outcomes = {ref: Finished(ref) for found in refs.values() for ref in found - missing}
        for number in [number for number, left in self.waiting.items() if not left]:
            self.finish(number, self.outcomes)

    def ended(self, outcome: Outcome) -> None:
        """A job has ended: finishes the cells that waited only for it."""
        self.outcomes[outcome.ref] = outcome
        for number, left in [*self.waiting.items()]:
            if outcome.ref in left:
                left.discard(outcome.ref)
                if not left:
                    self.finish(number, self.outcomes)

    def finish(self, number: int, outcomes: dict[EntryRef, Outcome]) -> None:
        """Writes the records of a cell."""
        del self.waiting[number]
        try:
            done = finish(self.prepared[number], outcomes, self.context, self.folder)
        except BaseException as error:
            if is_interruption(error):
                raise
            if isinstance(error, DamagedEntry):
                self.context.store.remove(error.ref)  # the next start makes it again
            self.broken(number, error)
            return
        status, reason = status_of(done.records, done.faults)
        self.set(number, status, reason, done.folder.relative_to(self.folder).as_posix())

    def broken(self, number: int, error: BaseException) -> None:
        if not isinstance(error, BenchError):
            self.context.log("".join(traceback.format_exception(error)))
        self.set(number, *_status_of_error(error))

    def set(self, number: int, status: str, reason: str, folder: str = "") -> None:
        seconds = round(time.monotonic() - self.since, 1)
        self.cells[number] = replace(self.cells[number], status=status, reason=reason, folder=folder, seconds=seconds)
        self.write()
        if status != "ok":
            self.context.log(printable(f"{self.cells[number].name}: {status}: {reason}"))

    def write(self) -> None:
        held = {"suite": self.suite.name, "preset": self.preset, "cells": [asdict(cell) for cell in self.cells]}
        write_text(self.folder / INDEX, json.dumps(held, indent=1) + "\n")


def _status_of_error(error: BaseException) -> tuple[str, str]:
    if isinstance(error, MissingError):
        return "skipped", f"{error.code}: {error}"
    if isinstance(error, NotComparableError):
        return "not-comparable", str(error)
    return "error", f"{type(error).__name__}: {error}"


def status_of(records: tuple[ResultRecord, ...], faults: tuple[str, ...]) -> tuple[str, str]:
    """The worst status of a number; `ok` if there are numbers, none failed, and all files were written."""
    # the direction of a metric that is broken is unknown
    planned = [record for record in records if record.direction != "none" or record.status == "error"]
    without = {
        status: [record for record in planned if record.status == status] for status in ("error", "skipped", "not-comparable")
    }
    text = [
        f"{len(found)} of {len(planned)} numbers {status}: {found[0].reason}" for status, found in without.items() if found
    ]
    text += faults
    if without["error"] or faults:
        return "error", "; ".join(text)
    if any(record.status == "ok" for record in planned):
        return "ok", "; ".join(text)
    return next(((status, "; ".join(text)) for status, found in without.items() if found), ("skipped", "nothing was planned"))


def index(folder: Path) -> tuple[str, list[Cell]]:
    """Preset and cells of a suite that was run into the folder."""
    from pydantic import TypeAdapter, ValidationError

    if not is_there(folder / INDEX):
        raise MissingError(f"no {INDEX} in {folder}. Make it: bench suite {folder.name} --out {folder.parent}")
    try:
        held = json_files.read_object(folder / INDEX, "index of a suite")
        return str(held["preset"]), TypeAdapter(list[Cell]).validate_python(held["cells"])
    except (KeyError, ValidationError) as error:
        raise DamagedError(f"{folder / INDEX} is not the index of a suite: {error}.") from error


def result_files(folder: Path, cells: list[Cell]) -> list[Path]:
    """The files of records of the cells. Raises MissingError if one is outside the suite's folder."""
    found = [folder / path_part(cell.folder, "folder of a cell") / "results.jsonl" for cell in cells if cell.folder]
    for file in found:  # a link may lead elsewhere
        if not file.resolve().is_relative_to(folder.resolve()):
            raise MissingError(f"{folder / INDEX} names {file}, which is outside of its folder.")
    return list(dict.fromkeys(file for file in found if is_there(file)))
