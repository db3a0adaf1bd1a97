"""The story of one run: read this file first.

words -> objects -> does it fit -> data -> fitted generators -> painted patches -> numbers -> lines, table, picture
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench import ahead, faithfulness, layouts, measure, painting, picture, plan, prompts, results, steps, table, trial
from bench.cache import Cache, key_of, write_text
from bench.errors import BenchError
from bench.judging import Desk, Say
from bench.manifest import Ledger, write_manifest
from bench.painting import Paintings
from bench.plan import Cast, Plan
from bench.results import Result
from bench.scene import Scene, set_up
from bench.steps import Fitted
from bench.types import Generator, ImageSet, Progress


@dataclass(frozen=True)
class Outcome:
    results: tuple[Result, ...]
    table: str
    folder: Path


def run(asked: Plan, cache: Cache, progress: Progress, say: Say, out: Path) -> Outcome:
    """Does everything that was asked, writes it under `out`, and returns it. What was computed before is not again."""
    ledger = Ledger()
    cast = plan.cast(asked)
    for generator in cast.generators:
        steps.check_fit(generator, cast.dataset)
    say(announcement(cast, cache))

    scene = set_up(cast, cache, progress)
    say(description(cast, scene))
    desk = Desk(cast, scene, cache, progress, say, results.stamp())
    ledger.lap("data")

    ahead.run(desk)
    ledger.lap("work ahead")
    lines: list[Result] = []
    shown: dict[str, ImageSet] = {}
    for name, generator in zip(cast.names, cast.generators, strict=True):
        lines += measured(desk, name, generator, shown, ledger)

    folder = out / folder_name(asked)
    results.write(lines, folder / "results.jsonl")
    said = trial.text(cast.experiment, lines) if cast.experiment else table.text(lines)
    write_text(folder / "table.txt", said + "\n")
    picture.gallery(scene.diet if cast.experiment else scene.prompted["test"], shown, folder / "picture.png")
    write_manifest(ledger, desk, lines, folder)
    return Outcome(tuple(lines), said, folder)


def measured(desk: Desk, name: str, generator: Generator, shown: dict[str, ImageSet], ledger: Ledger) -> list[Result]:
    """All lines of one generator; its first images go into `shown`. A user's mistake stops the run; a plug-in that breaks
    loses its own cells and nothing else."""
    asked = desk.cast.plan
    with_diets = painting.with_diets(desk, name)
    artist = desk.cast.layouts if name == asked.generator else None
    lines: list[Result] = []
    try:
        fitted = painting.fit(desk, name, generator)
        drawer = layouts.fitted(desk, artist) if artist else None
    except BenchError:
        raise
    except Exception as error:
        unfitted = Fitted(generator, name, (), None, "", "none")
        for seed in asked.seeds:
            lines += failed(desk, unfitted, seed, error, with_diets)
        return lines
    if drawer is not None:
        fitted = replace(fitted, layouts=drawer.layouts.card.name)
    ledger.fitted(fitted, drawer)
    lines += measure.shown_prompts(desk, fitted)
    for seed in asked.seeds:
        try:
            painted = painting.paint(desk, fitted, seed, with_diets, drawer)
        except BenchError:
            raise
        except Exception as error:
            lines += failed(desk, fitted, seed, error, with_diets)
            continue
        ledger.painted(name, seed, painted)
        lines += numbers(desk, fitted, painted, seed)
        ledger.lap("measure")
        for part in filter(None, (painted.test, painted.diet)):
            shown.setdefault(name, part.patches)
    return lines


def failed(desk: Desk, fitted: Fitted, seed: int, error: Exception, with_diets: bool) -> Iterator[Result]:
    """Every number that was planned of a generator that could not paint, with the reason why there is none."""
    yield from measure.failed_lines(desk, fitted, seed, error, with_diets)
    yield from faithfulness.failed(desk, fitted, seed, error)


def numbers(desk: Desk, fitted: Fitted, painted: Paintings, seed: int) -> Iterator[Result]:
    """What is measured of the paintings of one seed."""
    if desk.cast.experiment and painted.diet is not None:
        yield from trial.lines(desk, fitted, painted.diet, seed)
        return
    if painted.test is not None:
        yield from measure.distances(desk, fitted, painted.test)
        yield from faithfulness.kept_conditions(desk, fitted, painted.test)
        if fitted.layouts:
            yield from layouts.measured(desk, fitted, painted.test)
    if painted.diet is not None:
        yield from measure.scores(desk, fitted, painted.diet, seed, desk.cast.task.diets)


def announcement(cast: Cast, cache: Cache) -> str:
    """What will be done, before anything is computed."""
    asked = cast.plan
    origin = (
        f"EMBEDDED DATA: {cast.dataset.card.name}. {cast.dataset.card.notes}"
        if cast.embedded
        else f"data: {cast.dataset.card.name}"
    )
    return "\n".join(
        [
            origin,
            f"generator {cast.names[0]} beside {', '.join(cast.names[1:]) or 'no controls'}; task {asked.task}; "
            f"prompts from {_prompts(cast)}; seeds {', '.join(map(str, asked.seeds))}",
            *([f"maps drawn by {cast.layouts.card.name}"] if cast.layouts else []),
            _measured(cast),
            f"kept in {cache.root}",
        ]
    )


def _prompts(cast: Cast) -> str:
    own, learned = cast.rule.label(), cast.learned.label()
    return own if own == learned else f"{own}, those of fits from {learned}"


def _measured(cast: Cast) -> str:
    if cast.experiment:
        served = ", ".join(serving.name for serving in cast.experiment.diet)
        return f"experiment {cast.experiment.name} on the pool {cast.experiment.pool}; diets: {served}"
    names = dict.fromkeys(metric.card.name for judge in cast.judges for metric in judge.metrics)
    said = f"measures {', '.join(names)} over {', '.join(judge.encoder.card.name for judge in cast.judges)}"
    said += "".join(f"; {metric.card.name}" for metric in cast.witnessed)
    return said + ("; diets " + ", ".join(d.name for d in cast.task.diets) if cast.plan.diets else "")


def description(cast: Cast, scene: Scene) -> str:
    """How many patches and slides each split has, and what the prompts show."""
    rows = [
        f"{name} {len(part)} patches / {len(set(part.conditions.groups.tolist()))} slides"
        for name, part in scene.plain.items()
    ]
    size = scene.plain["test"].conditions.size
    said = [f"{size} px: {'; '.join(rows)}; downstream diet {len(scene.diet)} patches of {scene.pool}"]
    if scene.prompted["test"].conditions.prompts is not None:
        shown = prompts.report(scene.prompted["test"].conditions)
        said.append(
            f"prompts cover {shown.coverage:.1%} of a test patch; {shown.missing} of {shown.wanted} classes found no crop"
            + (f"; {shown.whole} show the whole region" if shown.whole else "")
            + f"; {_cut_from(scene, shown)}"
        )
    if census := getattr(cast.dataset, "census", None):
        said.append(f"tiles: {census}")
    return "\n".join(said)


def _cut_from(scene: Scene, shown: prompts.PromptReport) -> str:
    """Where the crops of test patches come from, reference or not."""
    crops = shown.wanted - shown.missing
    if scene.donors is None:
        return f"all {crops} crops are cut from reference patches"
    return (
        f"{shown.reference} of {crops} crops are cut from reference patches, the others from {len(scene.donors)} patches of "
        "the test slides in no reference set"
    )


def folder_name(asked: Plan) -> str:
    """`generator--task--key`: the key tells two plans apart, and the same plan writes to the same place."""
    said = replace(asked, workers=1).__dict__
    words = {name: dict(value) if name == "options" else value for name, value in said.items()}
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", asked.generator).strip("_")
    return f"{safe}--{asked.task}--{key_of(words)[:8]}"
