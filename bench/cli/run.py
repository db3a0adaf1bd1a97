"""`bench run`: one generator on one task, from data to result records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from bench.cli.options import (
    FIT_SEEDS,
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
from bench.config import CONTROLS, METRICS, RunConfig
from bench.errors import MissingError
from bench.messages import echo
from bench.results import schema, terminal
from bench.results.identity import is_absent
from bench.results.schema import ResultRecord
from bench.results.terms import Status
from bench.types import PROMPT_SOURCES

SOME_FAILED = 4


@click.command("run")
@click.option(
    "--generator",
    "-g",
    required=True,
    shell_complete=names_of("generators"),
    help="A name, folder:DIR, or path.py:Class.",
)
@click.option("--task", "-t", required=True, shell_complete=names_of("tasks"), help="A name, e.g. cam16-seg.")
@encoder_options
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    help="Features of bench features, a file or a folder, beside those of --encoders; -e none for these alone.",
)
@click.option(
    "--metrics",
    "-m",
    callback=parse_names,
    shell_complete=names_of("metrics"),
    help="Names, distribution, or all.  [default: " + ",".join(METRICS) + " and the metrics of the task]",
)
@click.option(
    "--controls",
    default=",".join(CONTROLS),
    show_default=True,
    callback=parse_names,
    shell_complete=names_of("generators"),
    help="none for none.",
)
@click.option("--seeds", default="0,1", show_default=True, callback=parse_seeds, help="Of images and of downstream models.")
@click.option("--fit-seeds", default="", callback=parse_seeds, help=FIT_SEEDS)
@click.option(
    "--fit-prompt-source",
    type=click.Choice(PROMPT_SOURCES),
    default="slide",
    show_default=True,
    help="Prompt source that the generator is trained with.",
)
@click.option("--fit", "retrain", is_flag=True, help="Train from scratch even if weights ship with the package.")
@click.option("--downstream/--no-downstream", default=True, help="Train and score the downstream model.")
@click.option(
    "--layout-generator",
    default="",
    shell_complete=names_of("layout_generators"),
    help="Generate from layouts that this plug-in samples, e.g. nasdm-masks.",
)
@click.option(
    "--experiment", default="", help="Score the arms of an experiment of the task, e.g. addition, or of a file.toml."
)
@click.option("--label", default="", help="What tables call the generator; no number depends on it.")
@execution_options
@click.option("--out", type=click.Path(path_type=Path), callback=writable_folder, default=Path("results"), show_default=True)
@click.option("--strict", is_flag=True, help="Exit 3 if weights or data were missing, 4 if a number was skipped.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done and how long it would take, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Result records on stdout instead of the table.")
@data_options
def command(
    generator: str,
    task: str,
    encoders: tuple[str, ...],
    features: Path | None,
    metrics: tuple[str, ...] | None,
    weights: Path | None,
    controls: tuple[str, ...],
    seeds: tuple[int, ...],
    fit_seeds: tuple[int, ...],
    fit_prompt_source: str,
    retrain: bool,
    downstream: bool,
    layout_generator: str,
    experiment: str,
    label: str,
    workers: int,
    scheduler: str,
    out: Path,
    strict: bool,
    only_plan: bool,
    as_json: bool,
    data: str,
    dataset: str,
    class_map: str,
    prompt_source: str,
    options: Mapping[str, str],
) -> None:
    """Train, generate, measure and score one generator.

    \b
    bench run --generator ldm-prompt --task cam16-seg
    bench run --generator folder:generated --task cam16-seg --data DIR
    bench run --generator flat-colour --task region-seg --dataset folder:DIR
    bench run --generator nasdm --task lizard-nuclei --experiment addition --seeds 0,1,2
    bench run --generator mine.py:Mine --task cam16-seg -o generator.steps=50 --seeds 0,1,2
    bench run --generator mine.py:Mine --task cam16-seg --fit-seeds 0,1,2
    """
    from bench import run

    config = RunConfig(
        generator=generator,
        task=task,
        data=data,
        dataset=dataset,
        encoders=(*encoders, *([f"given:{features.resolve()}"] if features else [])),
        metrics=metrics,
        weights=weights,
        controls=controls,
        prompt_source=prompt_source,
        seeds=seeds,
        fit_seeds=fit_seeds,
        fit_prompt_source=fit_prompt_source,
        retrain=retrain,
        downstream=downstream,
        layout_generator=layout_generator,
        experiment=experiment,
        label=label,
        options=merge_class_map(options, class_map),
    )
    if only_plan:
        _plan(config, workers, scheduler, as_json, strict)
        return
    with open_context(workers, scheduler) as context:
        outcome = run.run(config, context, out)
    folder = out / outcome.folder.name
    if as_json:
        for record in outcome.records:
            echo(schema.to_json(record))
    else:
        terminal.show(outcome.tables)
        echo(str(folder))
    for fault in outcome.faults:
        echo(f"bench: {fault}. The result records are in {folder}.", err=True)
    _exit(outcome.records, strict)
    if outcome.faults:
        raise SystemExit(SOME_FAILED)


def _plan(config: RunConfig, workers: int, scheduler: str, as_json: bool, strict: bool) -> None:
    from bench import run
    from bench.measurements import workload

    with open_context(workers, scheduler) as context:
        found = run.plan(config, context)
    if as_json:
        echo(json.dumps({**asdict(found), "seconds": found.seconds, "unknown": found.unknown}))
    else:
        echo(workload.text(found))
    if strict and (found.absent or found.broken):
        raise SystemExit(MissingError.exit_code if found.absent else SOME_FAILED)


def _exit(records: tuple[ResultRecord, ...], strict: bool) -> None:
    if strict and any(record.status == Status.SKIPPED and is_absent(record.reason) for record in records):
        raise SystemExit(MissingError.exit_code)
    bad = {Status.ERROR, Status.SKIPPED, Status.NOT_COMPARABLE} if strict else {Status.ERROR}
    if any(record.status in bad for record in records):
        raise SystemExit(SOME_FAILED)
