"""`bench study`: blinded reader studies, prepared and collected. Readers work offline in a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from bench.cli.options import execution_options, names_of, open_context, parse_assignments, plugin_option
from bench.messages import echo
from leaderboards.cli.study_analyse import command as analyse


@click.group("study")
def command() -> None:
    """Let pathologists read real and generated patches without knowing which is which.

    \b
    bench study new pilot --generated results/RUN --questions quality --readers 3
    bench study unblind studies/pilot --key studies/pilot-key/key.json --answers answers/*.json
    bench study analyse studies/pilot --out studies/pilot/analysis --margin 0.5 --results results
    """


command.add_command(analyse)


@command.command()
@click.argument("name")
@click.option(
    "--real",
    default="",
    help="Real patches: a dataset as --dataset names it, a folder of data, or a run.  [default: those of the first RUN]",
)
@click.option(
    "--generated",
    multiple=True,
    required=True,
    metavar="RUN",
    help="A run folder, RUN:GENERATOR for one of its controls, or folder:DIR with samples/<id>.png; repeated.",
)
@click.option(
    "--questions", default="quality", show_default=True, help="quality, nuclei, or a file.toml: see docs/studies.md."
)
@click.option("--readers", default=2, show_default=True, type=click.IntRange(1, 50), help="Pages to make.")
@click.option("--images-per-arm", default=30, show_default=True, type=click.IntRange(2, 1000), help="Scored images of an arm.")
@click.option("--repeats", default=6, show_default=True, type=click.IntRange(0), help="Images that are shown twice.")
@click.option("--practice", default=4, show_default=True, type=click.IntRange(0), help="Images before the scored ones.")
@click.option(
    "--conditions",
    type=click.Choice(("separate", "shared")),
    default="separate",
    show_default=True,
    help="Whether arms show different conditions, or all the same.",
)
@click.option("--seed", type=click.IntRange(0), help="Draws images and orders. Keep it secret.  [default: a secret one]")
@click.option("--difference", default=0.5, show_default=True, help="Of scores: should be seen, or excluded.")
@click.option("--accuracy", default=0.1, show_default=True, help="Distance from 0.5: should be seen, or excluded.")
@click.option(
    "--assume",
    multiple=True,
    callback=parse_assignments,
    help="name=value for the power: spread, slide, reader, interaction, alpha, power.",
)
@click.option(
    "--task", "-t", default="", shell_complete=names_of("tasks"), help="Reads --real.  [default: that of the first RUN]"
)
@click.option("-o", "options", multiple=True, callback=parse_assignments, help="name=value or owner.name=value, for --real.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.  [default: studies/NAME]")
@click.option("--key", type=click.Path(path_type=Path), help="A new folder for the key.  [default: OUT-key]")
@click.option("--plan", is_flag=True, help="Print what the study could show, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the text.")
@plugin_option
@execution_options
def new(
    name: str,
    real: str,
    generated: tuple[str, ...],
    questions: str,
    readers: int,
    images_per_arm: int,
    repeats: int,
    practice: int,
    conditions: str,
    seed: int | None,
    difference: float,
    accuracy: float,
    assume: Mapping[str, str],
    task: str,
    options: Mapping[str, str],
    out: Path | None,
    key: Path | None,
    plan: bool,
    as_json: bool,
    allowed: tuple[Path, ...],
    workers: int,
    scheduler: str,
) -> None:
    """Make a study NAME: a page for each reader, and the key in a folder of its own.

    What the study could show is printed before anything is written. Give readers their page alone, and nobody the key.
    """
    from bench.errors import UsageError
    from bench.files.names import path_part
    from bench.results.folders import check_writable
    from leaderboards.studies import power, preparing, questionnaires, sources

    if not (difference > 0 and 0 < accuracy <= 0.5):
        raise UsageError("--difference is larger than 0, and --accuracy between 0 and 0.5.")
    folder = out or Path("studies") / path_part(name, "study")
    config = preparing.StudyConfig(
        name=name,
        questionnaire=questionnaires.load(questions),
        out=folder,
        key=key or folder.with_name(f"{folder.name}-key"),
        readers=readers,
        images_per_arm=images_per_arm,
        repeats=repeats,
        practice=practice,
        conditions="shared" if conditions == "shared" else "separate",
        seed=seed,
        difference=difference,
        accuracy=accuracy,
        assumed=power.Assumptions.of(dict(assume)),
    )
    if not plan:
        preparing.check_places(config)
        check_writable(config.out, "--out")
        check_writable(config.key, "--key")
    with open_context(workers, scheduler) as context:
        arms, embedded = sources.load_candidates(sources.Asked(real, generated, task, options, allowed), context)
        found = preparing.describe_power(config, arms)
        study = None
        if plan:
            preparing.draw(config, arms)  # refused if there are too few conditions
        else:
            for line in power.lines(found):
                context.log(line)
            study = preparing.write_study(config, arms, embedded)
    if as_json:
        echo(json.dumps({"power": found, "study": None if study is None else study.model_dump(mode="json")}))
        return
    if study is None:
        for line in power.lines(found):
            echo(line)
        return
    echo(f"study {study.id}, commitment {study.commitment}: publish both before anybody reads.")
    echo(f"key: {config.key / 'key.json'}. Readers must not get it.")
    for page in study.pages:
        echo(str(config.out / "pages" / f"{page}.html"))
    echo(str(config.out))


@command.command()
@click.argument("study", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="The key.json that was written with the study.")
@click.option(
    "--answers", "files", multiple=True, required=True, type=click.Path(path_type=Path), help="A file of a reader; repeated."
)
@click.option("--out", type=click.Path(path_type=Path), help="The table.  [default: STUDY/unblinded.jsonl]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the path.")
@click.argument("more", nargs=-1, type=click.Path(path_type=Path))
def unblind(study: Path, key: Path, files: tuple[Path, ...], out: Path | None, as_json: bool, more: tuple[Path, ...]) -> None:
    """Check the answers of STUDY, join them with the key and write one table, a row for each answer.

    Answers that were edited, are incomplete, or belong to another study or key are refused. More answer files may follow:
    --answers answers/*.json.
    """
    from bench.errors import UsageError
    from bench.files.text import write_text
    from leaderboards.studies.answers import read_answers, table_text

    every = [*files, *more]
    place = out or study / "unblinded.jsonl"
    if place.exists():
        raise UsageError(f"{place} exists: the answers were unblinded before. Give --out another file.")
    table = read_answers(study, every, key)
    write_text(place, table_text(table))
    if as_json:
        counts = {"readers": table["reader"].nunique(), "images": table["image"].nunique(), "answers": len(table)}
        echo(json.dumps({"table": str(place), **counts}))
    else:
        echo(str(place))
