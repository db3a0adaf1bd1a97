"""`bench leaderboard`: the tables of all runs, of a task, or of a suite in the layout of its paper."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click

from bench import registry
from bench.errors import MissingError, UsageError, did_you_mean
from bench.measurements import experiment_files
from bench.messages import echo
from bench.results import experiment_tables, terminal
from bench.results.protocols import difference_between, split_by_protocol
from bench.results.schema import ResultRecord
from bench.results.tables import drop_single_classes
from bench.sensitivity.flags import claim_note
from bench.types import ProvidesExperiments
from leaderboards.suites import suite
from leaderboards.tables import build, formats, paper, paper_tables, reading
from leaderboards.tables.labels import name_rows
from leaderboards.tables.sheets import Sheet


@click.command("leaderboard")
@click.argument("task", metavar="[SUITE|TASK]", required=False)
@click.option(
    "--results",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folders or .jsonl files of result records; default: results.",
)
@click.option("--measures", default="", help="Only these, e.g. fd,iou,iou:tumour; default: all but those of single classes.")
@click.option("--experiment", default="", help="The tables of an experiment of TASK.")
@click.option("--format", "style", type=click.Choice((*formats.STYLES, *formats.BINARY)), default="text", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write this file instead of stdout.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: one object a number.")
def leaderboard(
    task: str | None, folders: tuple[Path, ...], measures: str, experiment: str, style: str, out: Path | None, as_json: bool
) -> None:
    """Print the tables of all runs, of one TASK, or of a SUITE in the layout of its paper.

    \b
    bench leaderboard
    bench leaderboard cam16-seg --measures fd,iou --format latex
    bench leaderboard heterotissue-fd
    """
    places = folders or (Path("results"),)
    style = "json" if as_json else style
    if out is None:
        formats.refuse_binary(style)
    if task is not None and (task in suite.names() or task.endswith(".toml")):
        if measures or experiment:
            raise UsageError(f"{task} is a suite with the layout of its paper: leave out --measures and --experiment.")
        _show(_suite(suite.find(task), task, places), style, out)
        return
    if experiment:
        _show(_experiments(task, experiment, reading.read_records(places)), style, out)
        return
    with_text = style not in formats.OF_NUMBERS
    with reading.without_collection():
        # no name holds the records: their memory is free again when the tables are written
        boards, claims = _boards(task, measures, reading.read_records(places), style)
    if style == "latex":
        _show([sheet for board in boards for sheet in paper_tables.by_metric(board, _claim(board, claims))], style, out)
        return
    _show([_with_claims(build.sheet(board, with_text), board, claims) for board in boards], style, out)


def _show(sheets: list[Sheet], style: str, out: Path | None) -> None:
    if out is not None:
        formats.save(sheets, style, out)
        echo(str(out))
    elif style == "text":
        terminal.show(sheets)
    else:
        echo(formats.write(sheets, style))


Claims = dict[tuple[str, str], str]
"""(task, dataset) -> which measures do not do what their metrics' cards claim, in words."""


def _with_claims(sheet: Sheet, board: build.Board, claims: Claims) -> Sheet:
    """The table with a note on measures of which a claim of their metric's card does not hold; unchanged where it has no
    notes."""
    claim = _claim(board, claims)
    return replace(sheet, notes=[*sheet.notes, f"{claim}."]) if claim and sheet.notes else sheet


def _claim(board: build.Board, claims: Claims) -> str:
    return claims.get((board.task, board.dataset), "")


def _boards(task: str | None, measures: str, records: list[ResultRecord], style: str) -> tuple[list[build.Board], Claims]:
    """The tables that were asked for, with what the format needs, and what does not hold of the cards of their metrics."""
    is_marked = style == "latex"
    with_ties = style not in formats.OF_NUMBERS and not is_marked
    wanted = {word.strip() for word in measures.split(",") if word.strip()}
    present = {record.measure for record in records}
    if unknown := sorted(wanted - present):
        near = did_you_mean(unknown[0], present)
        raise UsageError(f"no results of the measure {unknown[0]!r}.{near} There are: {', '.join(sorted(present))}.")
    records = [record for record in records if record.measure in wanted] if wanted else drop_single_classes(records)
    boards = build.boards(name_rows(records), with_ties, with_best=is_marked)
    if not boards:
        raise MissingError("all records here are of experiments. Print one: bench leaderboard TASK --experiment NAME")
    known = sorted({board.task for board in boards})
    if task is not None and task not in known:
        task = registry.canonical_name("tasks", task)
    if task is not None and task not in known:
        near = did_you_mean(task, [*known, *suite.names()])
        raise UsageError(f"no results of a task {task!r}.{near} There are: {', '.join(known) or 'none'}.")
    shown = [board for board in boards if task in (None, board.task)]
    places = {(board.task, board.dataset) for board in shown}
    notes = {place: claim_note(one for one in records if (one.task, one.dataset) == place) for place in places}
    return shown, {place: note for place, note in notes.items() if note}


def _suite(asked: suite.Suite, task: str, places: tuple[Path, ...]) -> list[Sheet]:
    """The paper's tables, or those of its tasks if the suite has none; from the first folder with a run of the suite. Before
    any run: the reported numbers, and the command that fills the other columns."""
    folders = [folder for place in places for folder in (place, place / asked.name) if (folder / suite.INDEX).is_file()]
    if not folders:
        where = ", ".join(str(place / asked.name) for place in places)
        run = f"{asked.name} has no results in {where}. Run it: bench suite {task} --out {places[0]}"
        reported = paper.sheets(asked, (), (), reading.reported()) if asked.table else []
        if not any(sheet.records for sheet in reported):
            raise MissingError(run)
        return [replace(sheet, notes=[f"Reported numbers only: {run}", *sheet.notes]) for sheet in reported]
    preset, cells = suite.index(folders[0])
    files = suite.result_files(folders[0], cells)
    records = reading.read_records(files) if files else []
    if asked.table:
        return paper.sheets(asked, cells, records, reading.reported(), preset)
    return [build.sheet(board) for board in build.boards(drop_single_classes(records))]


def _experiments(task: str | None, name: str, records: list[ResultRecord]) -> list[Sheet]:
    """A table of the experiment for each dataset, protocol set, generator and prompt source."""
    if task is None:
        raise UsageError(f"--experiment {name} needs its task: bench leaderboard TASK --experiment {name}.")
    task = registry.canonical_name("tasks", task)
    found = registry.find("tasks", task)[0]
    asked = experiment_files.find(name, found.experiments if isinstance(found, ProvidesExperiments) else None, task)
    made = [record for record in experiment_tables.of(asked.name, records) if record.task == task]
    if not made:
        raise MissingError(f"no results of {asked.name}. Make some: bench run -t {task} --experiment {name} -g NAME")
    sheets = []
    for dataset in sorted({record.dataset for record in made}):
        parts = split_by_protocol(build.variants([record for record in made if record.dataset == dataset]))
        for number, part in enumerate(parts, start=1):
            for row in sorted({(record.generator, record.prompt_source) for record in part}):
                one = experiment_tables.make_table(
                    asked, [record for record in part if (record.generator, record.prompt_source) == row]
                )
                which = {"prompt_source": row[1], "protocol_set": number}
                title, notes = one.title, one.notes
                if number > 1:
                    title = f"{title}, protocol set {number}"
                    notes = [f"Not comparable with protocol set 1: {difference_between(part, parts[0])}.", *notes]
                rows = [{**asdict(cell), **which} for cell in one.cells]
                sheets.append(Sheet(title, one.rows, notes, rows))
    return sheets
