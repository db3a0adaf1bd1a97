"""`bench compare`: paired comparison of two generators."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from bench.cli.options import parse_names
from bench.errors import MissingError, NotComparableError, UsageError, did_you_mean
from bench.messages import echo
from bench.results.identity import fit_name
from bench.results.protocols import entries
from leaderboards.comparison import compare
from leaderboards.comparison.compare import Comparisons, Side
from leaderboards.tables.reading import read_records as read


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
    sides = _distinguish(*(_side(word, places or (Path("results"),)) for word in (first, second)))
    found = compare.compared(*sides, measures)
    if not found.made and not found.refused:
        asked = f" that match {', '.join(measures)}" if measures else ""
        raise MissingError(f"{first} and {second} share no measure{asked}.")
    echo(as_object(found) if as_json else compare.text(found))
    if not found.made:
        raise NotComparableError(f"none of the {len(found.refused)} measures that both have can be compared.")


def _side(word: str, places: tuple[Path, ...]) -> Side:
    """The records of the requested generator of a run, which are its first ones, or all records of a name."""
    if Path(word).exists():
        records = read((Path(word),))
        kept = next((line.generator for line in records if line.state != "reported"), "")
        return Side(kept, tuple(line for line in records if line.generator == kept))
    records = [line for line in read(places) if line.state != "reported"]
    known = sorted({line.generator for line in records})
    if word not in known:
        raise UsageError(
            f"{word!r} is neither a file or folder nor a generator with results.{did_you_mean(word, known)} "
            f"There are: {', '.join(known) or 'none'}."
        )
    return Side(word, tuple(line for line in records if line.generator == word))


def _distinguish(first: Side, second: Side) -> tuple[Side, Side]:
    """Names two runs of one generator by the options in which they differ."""
    if first.name != second.name:
        return first, second
    described = [next(iter(side.records)).described for side in (first, second)]
    pairs = [entry.partition(": ") for entry in entries(described[0], described[1], ("generator",))]
    pairs = [pair for pair in pairs if not pair[0].endswith(".digest")] or pairs  # a digest follows from the options
    fits = [_fits(side) for side in (first, second)]
    ends = fits if all(fits) and fits[0] != fits[1] else ["the first", "the second"]
    names = []
    for end in (0, -1):
        message = ", ".join(f"{name.rpartition('.')[2]} {values.split(' and ')[end]}" for name, _, values in pairs)
        names.append(f"{first.name} ({message or ends[end]})")
    return Side(names[0], first.records), Side(names[1], second.records)


def _fits(side: Side) -> str:
    """The fits of a side, e.g. `fits trained 0, trained 1`; empty where it has none or does not say."""
    found = sorted({name for record in side.records if (name := fit_name(record))})
    return f"fit{'s' if len(found) > 1 else ''} {', '.join(found)}" if found else ""


def as_object(found: Comparisons) -> str:
    """What `--json` prints."""
    made = [
        {
            **asdict(one.where),
            "direction": one.direction,
            "difference": one.difference.value,
            "low": one.difference.interval[0],
            "high": one.difference.interval[1],
            "p_holm": one.adjusted,
            "comparisons": found.tested,
            "verdict": "equal" if one.equal else "tie" if one.tie else _better(one),
            "n": one.n,
            "slides": one.difference.groups,
            "seeds": one.difference.seeds,
            "fits": one.difference.fits,
            "about": "methods" if one.difference.is_of_methods else "weights",
            "conflict": one.conflict,
            "sentence": compare.sentence(found, one),
        }
        for one in found.made
    ]
    refused = [{**asdict(where), "reason": reason} for where, reason in found.refused]
    alone = [{"generator": name, "measures": measures} for name, measures in found.alone]
    return json.dumps({"first": found.first, "second": found.second, "compared": made, "refused": refused, "alone": alone})


def _better(one: compare.Comparison) -> str:
    return "first" if (one.difference.value > 0) == (one.direction == "higher") else "second"
