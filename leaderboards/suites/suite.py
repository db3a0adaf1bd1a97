"""Suites: a paper's table, or any list of runs, as names, seeds and counts in TOML; done cell by cell.

A cell is one run of one generator. It ends as `ok`, `error`, `skipped` or `not-comparable`, with the reason, and never stops
the others. `suite.json` is written after each: what is finished comes from the cache when the same command is given again.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import ClassVar

from bench.config import CONTROLS, ENCODERS, RunConfig
from bench.errors import BenchError, MissingError, NotComparableError, UsageError, did_you_mean
from bench.files import typed_toml
from bench.files.text import write_text
from bench.results.schema import ResultRecord

FOLDER = Path(__file__).parents[1] / "suites"
INDEX = "suite.json"
STRICT: dict[str, str] = {"extra": "forbid"}
PENDING = "pending: not reached yet"


@dataclass(frozen=True)
class Preset:
    """How much of a suite is asked for."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT
    seeds: tuple[int, ...]
    options: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    """Options of the cells of one task alone, e.g. fewer steps where no weights are shipped."""
    fit_prompt_sources: dict[str, str] = field(default_factory=dict)
    """Prompt source that is generated on -> prompt source that generators are fitted on; `slide` where nothing is said."""
    note: str = ""
    """What the tables made with it must say."""


@dataclass(frozen=True)
class Cells:
    """The product of the lists, one run each."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT
    generators: tuple[str, ...]
    tasks: tuple[str, ...]
    prompt_sources: tuple[str, ...] = ("slide",)
    layouts: tuple[str, ...] = ("",)
    encoders: tuple[str, ...] = ENCODERS
    metrics: tuple[str, ...] | None = None
    controls: tuple[str, ...] = CONTROLS
    mixes: bool = False
    experiment: str = ""
    seeds: tuple[int, ...] = ()
    """In place of the preset's."""
    options: dict[str, str] = field(default_factory=dict)
    absent: str = ""
    """Why these cells cannot be run at all: they end as skipped."""


@dataclass(frozen=True)
class Pick:
    """A row or a column of a table: its label, and what the lines in it have; empty for anything."""

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
    """Always on embedded data, whatever folder is configured."""


@dataclass(frozen=True)
class Cell:
    """One run of a suite and how it ended."""

    name: str
    generator: str
    """As its lines call it: with the plug-in that drew its maps, if there was one."""
    task: str
    prompt_source: str
    options: dict[str, str]
    status: str = "skipped"
    reason: str = PENDING
    folder: str = ""
    """Of its results, below the suite's; empty where there are none."""
    seconds: float = 0.0


def names() -> list[str]:
    """The suites that are shipped."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(asked: str) -> Suite:
    """A shipped suite by name, or one in a file.toml."""
    if not asked.endswith(".toml") and asked not in names():
        raise UsageError(
            f"no suite {asked!r}.{did_you_mean(asked, names())} There are: {', '.join(names())}; or give a file.toml."
        )
    return read(Path(asked) if asked.endswith(".toml") else FOLDER / f"{asked}.toml")


def read(path: Path) -> Suite:
    """The suite of a TOML file; raises MissingError or UsageError, naming the file and the place of the fault."""
    found = typed_toml.read(path, Suite, "suite")
    if Path(found.name).name != found.name or not found.preset or not found.cells:
        raise UsageError(f"{path}: a suite has a name that can be a folder, a preset and cells.")
    return found


def plans(
    suite: Suite,
    preset: str,
    data: Mapping[str, str],
    weights: Path | None = None,
    workers: int = 0,
    given: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[tuple[Cell, RunConfig | None]]:
    """Each cell with its plan, None where it cannot be run. `data`: task -> folder, `given`: task -> options, "" for any task.

    What is given overrules the cell's options, those the preset's for the task, and those the preset's for all; options of
    layouts are for the cells that have any.
    """
    if preset not in suite.preset:
        known = ", ".join(suite.preset)
        raise UsageError(f"{suite.name} has no preset {preset!r}.{did_you_mean(preset, suite.preset)} It has: {known}.")
    asked, given = suite.preset[preset], given or {}
    tasks = {task for block in suite.cells for task in block.tasks}
    if unknown := sorted({*data, *given, *asked.tasks} - tasks - {""}):
        raise UsageError(f"{suite.name} has no task {unknown[0]!r}.{did_you_mean(unknown[0], tasks)}")
    for block in suite.cells:
        for generator, task, prompt_source, layouts in product(
            block.generators, block.tasks, block.prompt_sources, block.layouts
        ):
            of_task = asked.tasks.get(task, {})
            options = {**asked.options, **of_task, **block.options, **given.get("", {}), **given.get(task, {})}
            options = {word: value for word, value in options.items() if layouts or not word.startswith("layouts.")}
            words = (generator, layouts, task, "" if prompt_source == "slide" else prompt_source, block.experiment)
            cell = Cell(
                "--".join(filter(None, words)), " + ".join(filter(None, (generator, layouts))), task, prompt_source, options
            )
            config = RunConfig(
                generator=generator,
                task=task,
                data="embedded" if suite.embedded else data.get(task, data.get("", "")),
                encoders=block.encoders,
                metrics=block.metrics,
                weights=weights,
                controls=block.controls,
                prompt_source=prompt_source,
                fit_prompt_source=asked.fit_prompt_sources.get(prompt_source, RunConfig.fit_prompt_source),
                seeds=block.seeds or asked.seeds,
                mixes=block.mixes or bool(block.experiment),
                layouts=layouts,
                experiment=block.experiment,
                workers=workers,
                options=options,
            )
            yield (replace(cell, reason=f"missing: {block.absent}"), None) if block.absent else (cell, config)


Runner = Callable[[RunConfig, Path], tuple[tuple[ResultRecord, ...], Path, tuple[str, ...]]]
"""Does one run under a folder: its result records, the folder that holds them, and what could not be written beside them."""


def run(
    suite: Suite,
    preset: str,
    planned: list[tuple[Cell, RunConfig | None]],
    runner: Runner,
    log: Callable[[str], None],
    out: Path,
) -> list[Cell]:
    """Every cell in turn under `out/<suite>`; the index is written before the first and after each."""
    folder = out / suite.name
    folder.mkdir(parents=True, exist_ok=True)
    done = [cell for cell, _ in planned]
    _write(suite, preset, done, folder)
    for number, (cell, config) in enumerate(planned):
        log(f"[{number + 1}/{len(planned)}] {cell.name}")
        if config is not None:
            done[number] = _ended(cell, config, runner, log, folder)
            _write(suite, preset, done, folder)
        if done[number].status != "ok":
            log(f"{cell.name}: {done[number].status}: {done[number].reason}")
    return done


def _ended(cell: Cell, config: RunConfig, runner: Runner, log: Callable[[str], None], folder: Path) -> Cell:
    began = time.monotonic()
    try:
        lines, made, faults = runner(config, folder)
    except Exception as error:  # whatever breaks in a cell is the fate of that cell alone
        if not isinstance(error, BenchError):
            log("".join(traceback.format_exception(error)))
        status, reason = _fate(error)
        return replace(cell, status=status, reason=reason, seconds=round(time.monotonic() - began, 1))
    status, reason = _outcome(lines, faults)
    where = made.relative_to(folder).as_posix()
    return replace(cell, status=status, reason=reason, folder=where, seconds=round(time.monotonic() - began, 1))


def _fate(error: Exception) -> tuple[str, str]:
    if isinstance(error, MissingError):
        return "skipped", f"{error.code}: {error}"
    if isinstance(error, NotComparableError):
        return "not-comparable", str(error)
    return "error", f"{type(error).__name__}: {error}"


def _outcome(lines: tuple[ResultRecord, ...], faults: tuple[str, ...]) -> tuple[str, str]:
    """The worst that happened to a number, but `ok` as long as there are numbers, none failed, and all files are there."""
    planned = [line for line in lines if line.direction != "none"]
    without = {
        status: [line for line in planned if line.status == status] for status in ("error", "skipped", "not-comparable")
    }
    text = [
        f"{len(found)} of {len(planned)} numbers {status}: {found[0].reason}" for status, found in without.items() if found
    ]
    text += faults
    if without["error"] or faults:
        return "error", "; ".join(text)
    if any(line.status == "ok" for line in planned):
        return "ok", "; ".join(text)
    return next(((status, "; ".join(text)) for status, found in without.items() if found), ("skipped", "nothing was planned"))


def _write(suite: Suite, preset: str, cells: list[Cell], folder: Path) -> None:
    held = {"suite": suite.name, "preset": preset, "cells": [asdict(cell) for cell in cells]}
    write_text(folder / INDEX, json.dumps(held, indent=1) + "\n")


def index(folder: Path) -> tuple[str, list[Cell]]:
    """Preset and cells of a suite that was run into the folder."""
    from pydantic import TypeAdapter, ValidationError

    try:
        held = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return str(held["preset"]), TypeAdapter(list[Cell]).validate_python(held["cells"])
    except FileNotFoundError as error:
        raise MissingError(f"no {INDEX} in {folder}. Make it: bench suite {folder.name} --out {folder.parent}") from error
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise MissingError(f"{folder / INDEX} is not the index of a suite: {error}.") from error


def result_files(folder: Path, cells: list[Cell]) -> list[Path]:
    """The lines of the cells that have any, inside the suite's folder and nowhere else."""
    found = [folder / cell.folder / "results.jsonl" for cell in cells if cell.folder]
    for file in found:
        if not file.resolve().is_relative_to(folder.resolve()):
            raise MissingError(f"{folder / INDEX} names {file}, which lies outside of its folder.")
    return list(dict.fromkeys(file for file in found if file.is_file()))
