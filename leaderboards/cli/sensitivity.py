"""`bench sensitivity`: what each metric sees of corruptions of real test patches, and what scores are worth in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import (
    data_options,
    encoder_options,
    execution_options,
    merge_class_map,
    names_of,
    open_context,
    parse_names,
    parse_seeds,
    writable_folder,
)
from bench.config import PLACEHOLDER, RunConfig
from bench.errors import UsageError, did_you_mean
from bench.messages import echo, shorten
from bench.results import schema, terminal
from bench.results.terms import Status
from bench.sensitivity.claims import Claims
from leaderboards.sensitivity import equivalents, figure, ladders, responses, sheets
from leaderboards.tables import formats, reading
from leaderboards.tables.sheets import Sheet

if TYPE_CHECKING:
    from bench.results.schema import ResultRecord

SOME_FAILED = 4


def parse_strengths(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    """`jpeg=95,60,30`, repeated, as corruption -> strengths."""
    found: dict[str, tuple[float, ...]] = {}
    for text in given:
        name, _, values = text.partition("=")
        try:
            found[name] = tuple(float(value) for value in values.split(","))
        except ValueError:
            raise UsageError(f"--strengths takes CORRUPTION=1,2,3, not {shorten(text)!r}.") from None
    return found


@click.command("sensitivity")
@click.option("--task", "-t", default="", shell_complete=names_of("tasks"), help="A name, e.g. cam16-seg.")
@click.option(
    "--records",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Read records of an earlier run instead of measuring: folders or .jsonl files.",
)
@click.option(
    "--corruptions",
    "named",
    default="",
    callback=parse_names,
    shell_complete=names_of("generators"),
    help="Names, e.g. jpeg,blur.  [default: all]",
)
@click.option("--strengths", multiple=True, callback=parse_strengths, help="NAME=95,60,30 in place of its own; repeated.")
@click.option(
    "--beside",
    default=ladders.REFERENCE,
    show_default=True,
    callback=parse_names,
    shell_complete=names_of("generators"),
    help="Generators that are measured on the same patches; none for none.",
)
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Records of generators, whose scores are translated into strengths; repeated.",
)
@encoder_options
@click.option(
    "--metrics",
    "-m",
    callback=parse_names,
    shell_complete=names_of("metrics"),
    help="Names.  [default: all but those of layouts]",
)
@click.option("--seeds", default="0", show_default=True, callback=parse_seeds, help="Of noise and of removed nuclei.")
@execution_options
@click.option("--out", type=click.Path(path_type=Path), callback=writable_folder, default=Path("results"), show_default=True)
@click.option(
    "--figure", "drawing", type=click.Path(path_type=Path, dir_okay=False), help="Write the figure: .png, .svg, .pdf."
)
@click.option(
    "--flags", type=click.Path(path_type=Path, dir_okay=False), help="Write what does not hold of the cards, as JSON."
)
@click.option("--keep", type=click.Path(path_type=Path, dir_okay=False), help="Write the records that the tables rest on.")
@click.option("--only", type=click.Choice(("responses", "equivalents")), help="One of the tables.  [default: both]")
@click.option("--measures", default="", callback=parse_names, help="Show these measures alone, e.g. fd,kid.  [default: all]")
@click.option("--format", "style", type=click.Choice(tuple(formats.STYLES)), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: one object a response or equivalent.")
@data_options
def command(
    task: str,
    records: tuple[Path, ...],
    named: tuple[str, ...],
    strengths: Mapping[str, tuple[float, ...]],
    beside: tuple[str, ...],
    against: tuple[Path, ...],
    encoders: tuple[str, ...],
    metrics: tuple[str, ...] | None,
    weights: Path | None,
    seeds: tuple[int, ...],
    workers: int,
    scheduler: str,
    out: Path,
    drawing: Path | None,
    flags: Path | None,
    keep: Path | None,
    only: str | None,
    measures: tuple[str, ...],
    style: str,
    as_json: bool,
    data: str,
    dataset: str,
    class_map: str,
    prompt_source: str,
    options: Mapping[str, str],
) -> None:
    """Measure what metrics see: every metric under corruptions of the test patches, of several strengths.

    \b
    bench sensitivity --task cam16-seg
    bench sensitivity --task region-seg --data DIR --corruptions jpeg,blur --metrics fd,kid
    bench sensitivity --task cam16-seg --against results/ldm-prompt--cam16-seg--1a2b3c4d
    bench sensitivity --records results/unchanged--cam16-seg--1a2b3c4d --figure sensitivity.png
    """
    if bool(task) == bool(records):
        raise UsageError("give --task to measure, or --records to show what was measured, and not both.")
    if drawing is not None:
        figure.check_figure(drawing)
    claims = Claims.with_files(metrics or (), encoders)
    scores = reading.read_records(against) if against else []
    if records:
        found, folder, is_whole = _only(reading.read_records(records), named), None, True
    else:
        config = RunConfig(
            generator=PLACEHOLDER,
            task=task,
            data=data,
            dataset=dataset,
            encoders=encoders,
            metrics=metrics if metrics is not None else tuple(ladders.metrics_of_images()),
            weights=weights,
            prompt_source=prompt_source,
            seeds=seeds,
            downstream=False,
            options=merge_class_map(options, class_map),
        )
        found, folder, is_whole = _measure(config, named, strengths, beside, out, workers, scheduler)
    answers = responses.responses(found, claims)
    worth, refused = equivalents.equivalents([*found, *scores], answers)
    shown = _sheets(answers, worth, refused, only, measures)
    if drawing is None and folder is not None:
        if any(answer.verdict != "undecided" for answer in answers):
            drawing = folder / "sensitivity.png"
        else:
            echo("bench: no figure: no response has numbers with intervals, for the reasons in the notes.", err=True)
    if drawing is not None:
        figure.draw(answers, drawing)
    if flags is not None:
        sheets.write_flags(answers, flags)
    if keep is not None:
        schema.write(responses.tested(found), keep)
    style = "json" if as_json else style
    if style == "text":
        terminal.show(shown)
        for path in filter(None, (folder, drawing, flags, keep)):
            echo(str(path))
    else:
        echo(formats.write(shown, style))
    if not is_whole:
        raise SystemExit(SOME_FAILED)


def _sheets(
    answers: list[responses.Response],
    worth: list[equivalents.Equivalent],
    refused: list[str],
    only: str | None,
    measures: tuple[str, ...],
) -> list[Sheet]:
    """The tables that were asked for. UsageError on a measure that nothing was measured of."""
    there = list(dict.fromkeys(answer.of.measure for answer in answers))
    if unknown := [name for name in measures if name not in there]:
        raise UsageError(f"no measure {unknown[0]!r}.{did_you_mean(unknown[0], there)} There are: {', '.join(there)}.")
    if measures:
        answers = [answer for answer in answers if answer.of.measure in measures]
        worth = [one for one in worth if one.response.of.measure in measures]
    shown = [] if only == "equivalents" else sheets.response_sheets(answers)
    return shown if only == "responses" else [*shown, *sheets.equivalent_sheets(worth, refused)]


def _measure(
    config: RunConfig,
    named: tuple[str, ...],
    strengths: Mapping[str, tuple[float, ...]],
    beside: tuple[str, ...],
    out: Path,
    workers: int,
    scheduler: str,
) -> tuple[list[ResultRecord], Path, bool]:
    """The records of the run that measures every ladder, its folder, and whether no number and no file of it failed."""
    from bench import run

    config, left_out = ladders.plan(config, named, strengths, beside)
    with open_context(workers, scheduler) as context:
        for sentence in left_out:
            context.log(sentence)
        outcome = run.run(config, context, out)
    for fault in outcome.faults:
        echo(f"bench: {fault}. The result records are in {outcome.folder}.", err=True)
    is_whole = not outcome.faults and not any(record.status == Status.ERROR for record in outcome.records)
    return list(outcome.records), outcome.folder, is_whole


def _only(found: list[ResultRecord], named: tuple[str, ...]) -> list[ResultRecord]:
    """The records without those of corruptions that are not named, where any are."""
    known = ladders.corruptions()
    if unknown := sorted(set(named) - set(known)):
        raise UsageError(f"no corruption {unknown[0]!r}. There are: {', '.join(known)}.")
    dropped = {name: ladder for name, ladder in known.items() if named and name not in named}
    return [record for record in found if not _is_of(record, dropped)]


def _is_of(record: ResultRecord, dropped: Mapping[str, ladders.Ladder]) -> bool:
    return str(record.described.get("generator", {}).get("name", "")) in dropped
