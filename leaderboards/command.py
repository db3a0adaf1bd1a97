"""`bench leaderboard`: the tables of all runs so far."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

import click

from bench import experiments, registry, results, trial
from bench.errors import MissingError, UsageError, did_you_mean
from bench.table import headlines
from leaderboards import build
from leaderboards.consensus import consensus


@click.command("leaderboard")
@click.argument("task", required=False)
@click.option(
    "--results",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folders or .jsonl files of result lines; default: results.",
)
@click.option("--measures", default="", help="Only these, e.g. fd,iou,iou:tumour; default: all but those of single classes.")
@click.option("--experiment", default="", help="The tables of an experiment of TASK, as `bench run --experiment` prints them.")
@click.option("--format", "style", type=click.Choice(("text", "markdown", "csv")), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a cell.")
def leaderboard(
    task: str | None, folders: tuple[Path, ...], measures: str, experiment: str, style: str, as_json: bool
) -> None:
    """The tables of all runs so far, or of one TASK."""
    lines = list(results.read(_files(folders or (Path("results"),))))
    if experiment:
        if style == "csv" or as_json:
            raise UsageError(f"--experiment {experiment} is printed as text or markdown.")
        for table in _trials(task, experiment, lines, style == "markdown"):
            click.echo(table + "\n")
        return
    wanted = {word.strip() for word in measures.split(",") if word.strip()}
    present = {line.measure for line in lines}
    if unknown := sorted(wanted - present):
        near = did_you_mean(unknown[0], present)
        raise UsageError(f"no results of the measure {unknown[0]!r}.{near} There are: {', '.join(sorted(present))}.")
    boards = build.boards([line for line in lines if line.measure in wanted] if wanted else headlines(lines))
    if not boards:
        raise MissingError("every line here is of an experiment. Print one: bench leaderboard TASK --experiment NAME")
    known = sorted({board.task for board in boards})
    if task is not None and task not in known:
        raise UsageError(f"no results of a task {task!r}.{did_you_mean(task, known)} There are: {', '.join(known) or 'none'}.")
    for board in boards:
        if task in (None, board.task):
            click.echo(_shown(board, "json" if as_json else style))


def _trials(task: str | None, name: str, lines: list[results.Result], markdown: bool) -> list[str]:
    """A table of the experiment for each generator and dataset."""
    if task is None:
        raise UsageError(f"--experiment {name} is of a task: bench leaderboard TASK --experiment {name}.")
    asked = experiments.find(name, getattr(registry.find("tasks", task)[0], "experiments", None), task)
    made = [line for line in trial.of(asked.name, lines) if line.task == task]
    if not made:
        raise MissingError(f"no results of {asked.name}. Make some: bench run -t {task} --experiment {name} -g NAME")
    rows = sorted({(line.generator, line.dataset) for line in made})
    tables = ([line for line in made if (line.generator, line.dataset) == row] for row in rows)
    return [trial.text(asked, table, markdown) for table in tables]


def _files(places: tuple[Path, ...]) -> list[Path]:
    found = [f for place in places for f in ([place] if place.is_file() else sorted(place.rglob("*.jsonl")))]
    if not found:
        raise MissingError(
            f"no result lines in {', '.join(map(str, places))}. Make some: bench run --generator ldm-prompt --task cam16-seg"
        )
    return found


def _shown(board: build.Board, style: str) -> str:
    if style == "text":
        return build.as_text(board) + "\n"
    if style == "markdown":
        return build.as_markdown(board) + "\n"
    where = {"task": board.task, "dataset": board.dataset, "board": board.track}
    objects = [{**where, **asdict(cell)} for _, found in board.rows for cell in found.values()]
    if style == "json" and (agreed := consensus(dict(board.rows), board.columns)):
        objects.append({**where, "measure": "consensus fd", **asdict(agreed)})
    if style == "json":
        return "\n".join(json.dumps(entry) for entry in objects)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(objects[0]))
    writer.writeheader()
    writer.writerows(objects)
    return out.getvalue().rstrip("\n")
