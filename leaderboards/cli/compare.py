"""`bench compare`: paired comparison of two generators."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from bench.cli.options import parse_names
from bench.errors import MissingError, NotComparableError
from bench.messages import echo
from leaderboards.comparison import compare
from leaderboards.comparison.compare import Comparisons
from leaderboards.comparison.sides import distinguish, side_of


@click.command("compare")
@click.argument("first")
@click.argument("second")
@click.option(
    "--results",
    "places",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folders or .jsonl files in which names of generators are looked up; default: results.",
)
@click.option(
    "--measures", "-m", default="", callback=parse_names, help="Patterns, e.g. 'fd *,iou*'; default: all but single classes."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(first: str, second: str, places: tuple[Path, ...], measures: tuple[str, ...], as_json: bool) -> None:
    """Compare FIRST with SECOND: run folders, .jsonl files, or names of generators.

    \b
    bench compare ldm-prompt ldm-semantic
    bench compare results/ldm-prompt--cam16-seg--1a2b3c4d results/ldm-prompt--cam16-seg--5e6f7a8b

    Differences are paired by test slide and seed; their p-values are adjusted for the number of measures. They are about
    methods where each side has two fits or more (bench run --fit-seeds 0,1,2), and about these weights otherwise.
    """
    sides = distinguish(*(side_of(word, places or (Path("results"),)) for word in (first, second)))
    found = compare.compared(*sides, measures)
    if not found.made and not found.refused:
        asked = f" that match {', '.join(measures)}" if measures else ""
        raise MissingError(f"{first} and {second} share no measure{asked}.")
    echo(as_object(found) if as_json else compare.text(found))
    if not found.made:
        raise NotComparableError(f"none of the {len(found.refused)} measures that both have can be compared.")


def as_object(found: Comparisons) -> str:
    """What `--json` prints."""
    refused = [{**asdict(where), "reason": reason} for where, reason in found.refused]
    alone = [{"generator": name, "measures": measures} for name, measures in found.alone]
    rows = compare.as_rows(found)
    return json.dumps({"first": found.first, "second": found.second, "compared": rows, "refused": refused, "alone": alone})
