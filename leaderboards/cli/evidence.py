"""`bench evidence`: which metrics follow downstream gain, faithfulness and readers' scores, over generators."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import parse_names
from bench.messages import echo
from bench.results import terminal
from leaderboards.evidence import correlations, figure, sheets, values
from leaderboards.sensitivity.figure import check_figure
from leaderboards.tables import formats, reading


@click.command("evidence")
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--targets", default="", callback=parse_names, help='Names, e.g. "gain iou,iou synthetic".  [default: all]')
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Of the resampling.")
@click.option(
    "--figure", "drawing", type=click.Path(path_type=Path, dir_okay=False), help="Write the figure: .png, .svg, .pdf."
)
@click.option("--format", "style", type=click.Choice(tuple(formats.STYLES)), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: one object a metric and target.")
def command(
    records: tuple[Path, ...], targets: tuple[str, ...], seed: int, drawing: Path | None, style: str, as_json: bool
) -> None:
    """Correlate metrics with what they should foretell, over the generators of RECORDS (folders or .jsonl files).

    \b
    bench suite evidence
    bench evidence results/evidence --figure evidence.png
    bench evidence results/evidence results/readers.jsonl --targets "gain iou,reader-quality"
    """
    if drawing is not None:
        check_figure(drawing)
    studied = values.studies(reading.read_records(records), targets)
    found = {id(study): correlations.correlations(study, seed) for study in studied}
    shown = [sheet for study in studied for sheet in sheets.sheets(study, found[id(study)])]
    if drawing is not None:
        figure.draw([one for study in studied for one in found[id(study)]], drawing)
    style = "json" if as_json else style
    if style == "text":
        terminal.show(shown)
        if drawing is not None:
            echo(str(drawing))
    else:
        echo(formats.write(shown, style))
