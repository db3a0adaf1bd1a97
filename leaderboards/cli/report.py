"""`bench report`: a static site of results that works from a file, without a network."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from bench.cli.options import open_context
from bench.messages import echo
from leaderboards.report import site


@click.command("report")
@click.argument("places", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="A new folder, or an older report."
)
@click.option("--title", default=site.ReportConfig.title, show_default=True, help="Title of the page.")
@click.option(
    "--patches",
    default=site.ReportConfig.patches,
    show_default=True,
    type=click.IntRange(min=0),
    help="Patches of each generator: this number spread over slides, and at either end of each distance; 0 for none.",
)
@click.option(
    "--encoder", default=site.ReportConfig.encoder, show_default=True, help="Encoder of the distances between patches."
)
def command(places: tuple[Path, ...], out: Path, title: str, patches: int, encoder: str) -> None:
    """Write a page with the results of RUN or SUITE folders, or of .jsonl files; default: results.

    \b
    bench report results --out report
    bench report leaderboards/measured/phantom --out report --patches 0
    """
    config = site.ReportConfig(places or (Path("results"),), out, title, patches, encoder)
    with open_context() as context:
        try:
            made = site.build(config, context.store, partial(context.reporter.job_progress, "report"), context.log)
        finally:
            context.reporter.close()
    echo(str(made))
