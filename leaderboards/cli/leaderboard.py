"""`bench leaderboard`: the tables of all runs so far, of a task, or of a suite in the layout of its paper."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from bench import registry
from bench.errors import MissingError, UsageError, did_you_mean
from bench.measurements import experiment_files
from bench.results import experiment_tables
from bench.results.protocols import difference_between, split_by_protocol
from bench.results.schema import ResultRecord
from bench.results.tables import headlines
from bench.types import ProvidesExperiments
from leaderboards.suites import suite
from leaderboards.tables import build, formats, paper, reading


@click.command("leaderboard")
@click.argument("task", metavar="[SUITE|TASK]", required=False)
@click.option(
    "--results",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folders or .jsonl files of result lines; default: results.",
)
@click.option("--measures", default="", help="Only these, e.g. fd,iou,iou:tumour; default: all but those of single classes.")
@click.option("--experiment", default="", help="The tables of an experiment of TASK.")
@click.option("--format", "style", type=click.Choice(tuple(formats.STYLES)), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: one object a number.")
def leaderboard(
    task: str | None, folders: tuple[Path, ...], measures: str, experiment: str, style: str, as_json: bool
) -> None:
    """The tables of all runs so far, of one TASK, or of a SUITE in the layout of its paper.

    \b
    bench leaderboard
    bench leaderboard cam16-seg --measures fd,iou --format latex
    bench leaderboard heterotissue-fd
    """
    places = folders or (Path("results"),)
    style = "json" if as_json else style
    if task is not None and (task in suite.names() or task.endswith(".toml")):
        if measures or experiment:
            raise UsageError(f"{task} is a suite, its table is that of its paper: leave out --measures and --experiment.")
        click.echo(formats.write(_suite(suite.find(task), places), style))
        return
    lines = reading.lines(places)
    if experiment:
        click.echo(formats.write(_experiments(task, experiment, lines), style))
        return
    click.echo(formats.write([build.sheet(board) for board in _boards(task, measures, lines)], style))


def _boards(task: str | None, measures: str, lines: list[ResultRecord]) -> list[build.Board]:
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
        near = did_you_mean(task, [*known, *suite.names()])
        raise UsageError(f"no results of a task {task!r}.{near} There are: {', '.join(known) or 'none'}.")
    return [board for board in boards if task in (None, board.task)]


def _suite(asked: suite.Suite, places: tuple[Path, ...]) -> list[formats.Sheet]:
    """The paper's tables and, where a suite has none, those of its tasks; from the first place that it was run into."""
    folders = [folder for place in places for folder in (place, place / asked.name) if (folder / suite.INDEX).is_file()]
    if not folders:
        where = ", ".join(str(place / asked.name) for place in places)
        raise MissingError(f"{asked.name} was not run into {where}. Run it: bench suite {asked.name} --out {places[0]}")
    preset, cells = suite.index(folders[0])
    files = suite.result_files(folders[0], cells)
    lines = reading.lines(files) if files else []
    if asked.table:
        return paper.sheets(asked, cells, lines, reading.reported(), preset)
    return [build.sheet(board) for board in build.boards(headlines(lines))]


def _experiments(task: str | None, name: str, lines: list[ResultRecord]) -> list[formats.Sheet]:
    """A table of the experiment for each dataset, protocol set, generator and prompt source."""
    if task is None:
        raise UsageError(f"--experiment {name} is of a task: bench leaderboard TASK --experiment {name}.")
    owner = registry.find("tasks", task)[0]
    folder = owner.experiments if isinstance(owner, ProvidesExperiments) else None
    asked = experiment_files.find(name, folder, task)
    made = [line for line in experiment_tables.of(asked.name, lines) if line.task == task]
    if not made:
        raise MissingError(f"no results of {asked.name}. Make some: bench run -t {task} --experiment {name} -g NAME")
    sheets = []
    for dataset in sorted({line.dataset for line in made}):
        parts = split_by_protocol(build.variants([line for line in made if line.dataset == dataset]))
        for number, part in enumerate(parts, start=1):
            for row in sorted({(line.generator, line.prompt_source) for line in part}):
                one = experiment_tables.make_table(
                    asked, [line for line in part if (line.generator, line.prompt_source) == row]
                )
                which = {"prompt_source": row[1], "protocol_set": number}
                heading, notes = one.heading, one.notes
                if number > 1:
                    heading = f"{heading}, protocol set {number}"
                    notes = [f"Not comparable with protocol set 1: {difference_between(part, parts[0])}.", *notes]
                records = [{**asdict(cell), **which} for cell in one.cells]
                sheets.append(formats.Sheet(heading, one.rows, notes, records))
    return sheets
