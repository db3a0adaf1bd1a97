"""`bench suite`: all runs of a table, as one graph of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from bench.cli.options import (
    FIT_SEEDS,
    execution_options,
    open_context,
    parse_assignments,
    parse_seeds,
    plugin_option,
    weights_option,
    writable_folder,
)
from bench.config import RunConfig
from bench.errors import UsageError
from bench.messages import echo, printable
from leaderboards.suites import suite as suites

SOME_FAILED = 4


@click.command("suite")
@click.argument("name", metavar="SUITE", required=False)
@click.option("--preset", default="tiny", show_default=True, help="Size of the runs: tiny, or paper.")
@click.option("--data", "data", multiple=True, help="TASK=DIR, repeated, or a DIR for all; else BENCH_DATA, else embedded.")
@click.option("--dataset", "datasets", multiple=True, help="TASK=NAME[:ARGUMENT], repeated, or one for all tasks.")
@weights_option
@click.option("--fit-seeds", default="", callback=parse_seeds, help=FIT_SEEDS)
@plugin_option
@execution_options
@click.option("--out", type=click.Path(path_type=Path), callback=writable_folder, default=Path("results"), show_default=True)
@click.option(
    "-o", "options", multiple=True, callback=parse_assignments, help="name=value for all cells, TASK:name=value for some."
)
@click.option("--plan", "only_plan", is_flag=True, help="Print the runs without running them.")
def suite(
    name: str | None,
    preset: str,
    data: tuple[str, ...],
    datasets: tuple[str, ...],
    weights: Path | None,
    fit_seeds: tuple[int, ...],
    allowed: tuple[Path, ...],
    workers: int,
    scheduler: str,
    out: Path,
    options: Mapping[str, str],
    only_plan: bool,
) -> None:
    """Run a SUITE, or list all suites.

    \b
    bench suite embedded
    bench suite heterotissue-fd --preset paper --data cam16-seg=DIR --weights DIR
    bench suite heterotissue-fd --data cam16-seg=DIR --dataset tcga-seg=folder:DIR
    bench suite heterotissue-seg --data cam16-seg=DIR -o task.steps=100 -o cam16-seg:generator.steps=1000
    bench suite mine.toml
    """
    if name is None:
        for known in suites.names():
            echo(f"{known:20} {suites.find(known).summary}")
        return
    asked = suites.find(name)
    folders = _by_task(data, "--data", "a folder")
    named = _by_task(datasets, "--dataset", "a dataset")
    planned = list(suites.plans(asked, preset, folders, weights, _options(options), fit_seeds, allowed, named))
    if only_plan:
        for cell, config in planned:
            echo(printable(f"{cell.name}  {_describe(config) if config else cell.reason}"))
        return
    with open_context(workers, scheduler) as context:
        done = suites.run(asked, preset, planned, context, out)
    for cell in done:
        ended = f"{cell.status:14} {cell.seconds:7.1f} s  {cell.name}" + (f"  {cell.reason}" if cell.reason else "")
        echo(printable(ended))
    counted = Counter(cell.status for cell in done)
    echo(", ".join(f"{count} {status}" for status, count in counted.items()) + f"; bench leaderboard {asked.name}")
    echo(str(out / asked.name))
    if counted["error"]:
        raise SystemExit(SOME_FAILED)


def _by_task(given: tuple[str, ...], option: str, what: str) -> dict[str, str]:
    """task -> folder or dataset, "" for all tasks. An equals sign after a colon or a slash belongs to a path."""
    found: dict[str, str] = {}
    for text in given:
        task, equals, value = text.partition("=")
        is_path = not equals or Path(text).is_dir() or bool({":", "/"} & set(task))
        task, value = ("", text) if is_path else (task, value)
        if task in found:
            raise UsageError(f"{option} {text}: {what} for {task or 'all tasks'} was given before, {found[task]}.")
        found[task] = value
    return found


def _options(given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """task -> option -> value, "" for all tasks."""
    found: dict[str, dict[str, str]] = {}
    for word, value in given.items():
        task, _, option = word.rpartition(":")
        found.setdefault(task, {})[option] = value
    return found


def _describe(config: RunConfig) -> str:
    measured = config.experiment or ("distances and downstream scores" if config.downstream else "distances")
    options = "".join(f"; {name}={value}" for name, value in config.options.items())
    fits = f"; fit seeds {','.join(map(str, config.fit_seeds))}" if config.fit_seeds else ""
    data = config.dataset or config.data or "BENCH_DATA or embedded"
    return f"seeds {','.join(map(str, config.seeds))}{fits}; {measured}; data {data}{options}"
