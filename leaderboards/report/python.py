"""The report of `bench.Results.report`: what `bench report` writes, from Python."""

from __future__ import annotations

from functools import partial
from os import PathLike
from pathlib import Path

from bench.cli.options import open_context
from leaderboards.report import site


def report(
    place: str | PathLike[str],
    out: str | PathLike[str],
    title: str = site.ReportConfig.title,
    patches: int = site.ReportConfig.patches,
    encoder: str = site.ReportConfig.encoder,
) -> Path:
    """Writes a page with the results of a run folder or file into `out`, a new folder or an older report; the page's path."""
    config = site.ReportConfig((Path(place),), Path(out), title, patches, encoder)
    with open_context(workers=1) as context:
        try:
            return site.build(config, context.store, partial(context.reporter.job_progress, "report"), context.log)
        finally:
            context.reporter.close()
