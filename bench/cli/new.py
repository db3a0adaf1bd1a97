"""`bench new`: a plug-in to start from."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bench import templates
from bench.messages import echo


@click.command(short_help="Write a new plug-in that works as it is.")
@click.argument("kind", type=click.Choice(list(templates.WORDS), case_sensitive=False))
@click.argument("name")
@click.option("--dir", "parent", type=click.Path(path_type=Path, file_okay=False), default=".", show_default=True)
def command(kind: str, name: str, parent: Path) -> None:
    """Write a package of two files called NAME, which passes `bench check` as it is.

    \b
    bench new generator my-generator
    bench new metric my-metric --dir plugins
    """
    module = templates.write_plugin(kind, name, parent)
    echo(module.parent)
    echo(f"Next: pip install -e {shlex.quote(str(module.parent))} && bench check {name}", err=True)
