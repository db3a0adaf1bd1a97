"""`bench study analyse`: what the answers of a blinded reader study show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from bench.errors import UsageError
from bench.files.text import write_text
from bench.messages import echo
from bench.results import schema
from bench.results.folders import check_writable
from leaderboards.studies.analysis.tabulation import Kind

FILES = ("analysis.md", "analysis.json", "numbers.csv", "paragraph.txt", "figure.svg", "figure.png", schema.RUN)
RECORD_LEVEL = 0.95


def parse_runs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> Mapping[str, Path]:
    """`--run ARM=FOLDER`, repeated, as a mapping."""
    pairs = {}
    for text in values:
        arm, equals, folder = text.partition("=")
        if not equals or not arm or not folder:
            raise UsageError(f"--run takes ARM=FOLDER, e.g. crop-paste=results/crop-paste--cam16-seg--1a2b3c4d, not {text!r}.")
        pairs[arm] = Path(folder)
    return pairs


def parse_kinds(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> Mapping[str, Kind]:
    """`--kind QUESTION=KIND`, repeated, as a mapping."""
    pairs = {}
    for text in values:
        name, equals, kind = text.partition("=")
        if not equals or kind not in list(Kind):
            raise UsageError(f"--kind takes QUESTION=KIND with one of {', '.join(Kind)}, not {text!r}.")
        pairs[name] = Kind(kind)
    return pairs


@click.command("analyse")
@click.argument("study", metavar="STUDY|TABLE", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for tables, figure and records."
)
@click.option("--margin", type=float, help="Largest difference of scores that does not matter, in points of the scale.")
@click.option("--margin-accuracy", type=float, help="Largest distance of accuracy and AUC from 0.5 that does not matter.")
@click.option("--level", type=float, default=0.95, show_default=True, help="Of intervals. Records always have 0.95.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    callback=parse_kinds,
    metavar="QUESTION=KIND",
    help="real, graded, scale or yes-no: what the answers to a question are, in place of what the study or the answers say.",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    callback=parse_runs,
    metavar="ARM=FOLDER",
    help="Run that the images of an arm came from: its numbers become result records.",
)
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folders or .jsonl files in which the runs of a STUDY are looked up by their generated sets, in place of --run.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object on stdout.")
def command(
    study: Path,
    out: Path,
    margin: float | None,
    margin_accuracy: float | None,
    level: float,
    kinds: Mapping[str, Kind],
    runs: Mapping[str, Path],
    results: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Analyse the answers of STUDY, a folder with the table of `bench study unblind`, or of TABLE, such a file (.jsonl, .csv).

    \b
    bench study analyse studies/mine --out studies/mine/analysis --margin 0.5 --results results
    bench study analyse unblinded.jsonl --out analysis --run crop-paste=results/crop-paste--cam16-seg--1a2b3c4d

    Discrimination, scores by arm, agreement and rates, with intervals for other readers and other slides. Without a margin
    nothing is called equivalent.
    """
    from leaderboards.studies.analysis import records, writing
    from leaderboards.studies.analysis.analysis import Margins, analyse
    from leaderboards.studies.analysis.figure import draw_figure
    from leaderboards.studies.analysis.reading import read_material

    check_writable(out, "--out", FILES)
    read = read_material(study)
    questions = () if kinds else read.questions
    margins = Margins(margin, margin_accuracy)
    found = analyse(read.table, questions, margins, level, kinds, read.size)
    named = records.find_runs(runs, found.arms, read.generators)
    behind = records.with_real({**records.find_samples(results, read.samples), **named})
    same = level == RECORD_LEVEL
    at_record_level = found if same else analyse(read.table, questions, margins, RECORD_LEVEL, kinds, read.size)
    made = records.make_records(at_record_level, behind, read.study or records.study_digest(read.table))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "analysis.md", writing.as_markdown(found))
    write_text(out / "analysis.json", writing.as_json(found) + "\n")
    write_text(out / "numbers.csv", writing.as_csv(found.rows))
    write_text(out / "paragraph.txt", writing.paragraph(found) + "\n")
    draw_figure(found, out)
    if made:
        schema.write(made, out / schema.RUN)
    echo(writing.as_json(found) if as_json else writing.as_markdown(found, with_slides=False).rstrip("\n"))
    without = [arm for arm in found.arms[1:] if arm not in behind]
    if without:
        name = without[0]
        echo(
            f"No result records of {', '.join(without)}: name their runs, --run {name}=results/FOLDER, or --results.", err=True
        )
