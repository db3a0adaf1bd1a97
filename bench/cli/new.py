"""`bench new`: a plug-in to start from."""

from __future__ import annotations

from pathlib import Path

import click

from bench.messages import echo


@click.command(short_help="Write a new plug-in that works as it is.")
@click.argument("kind", type=click.Choice(["generator"]))
@click.argument("name")
@click.option("--dir", "parent", type=click.Path(path_type=Path, file_okay=False), default=".", show_default=True)
def command(kind: str, name: str, parent: Path) -> None:
    """Write a package of two files called NAME, which passes `bench check` as it is."""
    from bench.contracts import template

    module = template.write_generator(name, parent)
    echo(module.parent)
    echo(f"Next: pip install -e {module.parent} && bench check {name}", err=True)
