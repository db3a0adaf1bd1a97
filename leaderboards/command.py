"""`bench leaderboard`: the tables of all runs so far."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

import click

from bench import results
from bench.errors import MissingError, UsageError, did_you_mean
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
@click.option("--measures", default="", help="Only these, e.g. fd,iou.")
@click.option("--format", "style", type=click.Choice(("text", "markdown", "csv")), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a cell.")
def leaderboard(task: str | None, folders: tuple[Path, ...], measures: str, style: str, as_json: bool) -> None:
    """The tables of all runs so far, or of one TASK."""
    lines = list(results.read(_files(folders or (Path("results"),))))
    wanted = {word.strip() for word in measures.split(",") if word.strip()}
    present = {line.measure for line in lines}
    if unknown := sorted(wanted - present):
        near = did_you_mean(unknown[0], present)
        raise UsageError(f"no results of the measure {unknown[0]!r}.{near} There are: {', '.join(sorted(present))}.")
    boards = build.boards(line for line in lines if not wanted or line.measure in wanted)
    known = sorted({board.task for board in boards})
    if task is not None and task not in known:
        raise UsageError(f"no results of a task {task!r}.{did_you_mean(task, known)} There are: {', '.join(known) or 'none'}.")
    for board in boards:
        if task in (None, board.task):
            click.echo(_shown(board, "json" if as_json else style))


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
