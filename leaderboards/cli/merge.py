"""`bench merge`: joins results of several machines in one file."""

from __future__ import annotations

from pathlib import Path

import click

from bench.errors import UsageError
from bench.messages import echo, printable
from leaderboards.comparison import merge
from leaderboards.tables import duplicates


@click.command("merge")
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .jsonl file to write.")
@click.option(
    "--tolerance",
    default=duplicates.TOLERATED,
    show_default=True,
    help="Largest relative difference of numbers that count as equal; 0 asks for the same bits.",
)
def command(places: tuple[Path, ...], out: Path, tolerance: float) -> None:
    """Join the result records of PLACES, run folders, folders of them, or .jsonl files, in the file OUT.

    \b
    bench merge machine-a machine-b --out all/results.jsonl

    Each number is kept once. If numbers of one key differ, the exit code is 7 and nothing is written.
    """
    if not 0 <= tolerance < 1:
        raise UsageError(f"--tolerance is a share such as 1e-6, not {tolerance:g}.")
    merged = merge.merge(places, out, tolerance)
    beside = merge.write(merged, out, tolerance)
    for pair in merged.filled:
        echo(printable(f"of {pair} one has no number: the other is kept"), err=True)
    echo(f"{len(merged.records)} lines of {len(merged.files)} files, {merged.again} that were there already")
    if merged.farthest:
        echo(f"numbers that count as equal differ by up to {merged.farthest:.2g}", err=True)
    echo(f"{out}\n{beside}")
