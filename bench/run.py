"""The story of one run: read this file first.

words -> objects -> does it fit -> data -> fitted generators -> painted patches -> numbers -> lines, table, picture
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import measure, picture, plan, prompts, results, steps, table
from bench.cache import Cache, key_of, write_text
from bench.errors import BenchError
from bench.judging import Desk, Say
from bench.plan import Cast, Plan
from bench.results import Result
from bench.steps import Fitted, Painted, Scene
from bench.types import Generator, Images, Progress


@dataclass(frozen=True)
class Outcome:
    results: tuple[Result, ...]
    table: str
    folder: Path


def run(asked: Plan, cache: Cache, progress: Progress, say: Say, out: Path) -> Outcome:
    """Does everything that was asked, writes it under `out`, and returns it. What was computed before is not again."""
    cast = plan.cast(asked)
    for generator in cast.generators:
        steps.check_fit(generator, cast.dataset)
    say(announcement(cast, cache))

    scene = steps.scene(cast, cache, progress)
    say(description(cast, scene))
    desk = Desk(cast, scene, cache, progress, say, results.stamp())

    lines: list[Result] = []
    shown: dict[str, Images] = {}
    for name, generator in zip(cast.names, cast.generators, strict=True):
        lines += measured(desk, name, generator, shown)

    folder = out / folder_name(asked)
    results.write(lines, folder / "results.jsonl")
    write_text(folder / "table.txt", table.text(lines) + "\n")
    picture.gallery(scene.prompted["test"], shown, folder / "picture.png")
    return Outcome(tuple(lines), table.text(lines), folder)


def measured(desk: Desk, name: str, generator: Generator, shown: dict[str, Images]) -> list[Result]:
    """All lines of one generator; its first images go into `shown`. A user's mistake stops the run; a plug-in that breaks
    loses its own cells and nothing else."""
    asked = desk.cast.plan
    with_diets = asked.diets and name == asked.generator
    lines: list[Result] = []
    try:
        fitted = fit(desk, name, generator)
    except BenchError:
        raise
    except Exception as error:
        unfitted = Fitted(generator, name, (), None, "", "none")
        for seed in asked.seeds:
            lines += measure.failed_lines(desk, unfitted, seed, error, with_diets)
        return lines
    lines += measure.shown_prompts(desk, fitted)
    for seed in asked.seeds:
        try:
            painted = paint(desk, fitted, seed, with_diets)
        except BenchError:
            raise
        except Exception as error:
            lines += measure.failed_lines(desk, fitted, seed, error, with_diets)
            continue
        shown.setdefault(name, painted.test.patches.images)
        lines += measure.distances(desk, fitted, painted.test)
        if painted.diet is not None:
            lines += measure.scores(desk, fitted, painted.diet, seed)
    return lines


def fit(desk: Desk, name: str, generator: Generator) -> Fitted:
    """The generator ready to paint, and a word on where its weights come from."""
    asked = desk.cast.plan
    fitted = steps.fit(name, generator, desk.scene, asked.fit_seed, asked.refit, desk.cache, desk.progress, desk.say)
    if fitted.origin != "none":
        desk.say(f"{name}: weights {fitted.origin}, {fitted.digest}")
    return fitted


@dataclass(frozen=True)
class Paintings:
    """What one generator painted with one seed: for every test condition, and for the downstream diet."""

    test: Painted
    diet: Painted | None


def paint(desk: Desk, fitted: Fitted, seed: int, diet: bool) -> Paintings:
    """Paints the test conditions, and those of the diet where a downstream model will be trained."""
    conditions = [desk.scene.prompted["test"], *([desk.scene.diet] if diet else [])]
    if audit := getattr(fitted.generator, "audit", None):
        audit(np.concatenate([part.conditions.ids for part in conditions]))
    workers = desk.cast.plan.workers
    made = [steps.sample(fitted, part, seed, workers, desk.cache, desk.progress) for part in conditions]
    return Paintings(made[0], made[1] if diet else None)


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
            f"prompts from {cast.rule.label()}; seeds {', '.join(map(str, asked.seeds))}",
            f"measures {', '.join(asked.metrics)} over {', '.join(judge.encoder.card.name for judge in cast.judges)}"
            + ("; diets " + ", ".join(d.name for d in cast.task.diets) if asked.diets else ""),
            f"kept in {cache.root}",
        ]
    )


def description(cast: Cast, scene: Scene) -> str:
    """How many patches and slides each split has, and what the prompts show."""
    rows = [
        f"{name} {len(part)} patches / {len(set(part.conditions.groups.tolist()))} slides"
        for name, part in scene.plain.items()
    ]
    size = scene.plain["test"].conditions.size
    said = [f"{size} px: {'; '.join(rows)}; downstream diet {len(scene.diet)} patches"]
    shown = prompts.report(scene.prompted["test"].conditions)
    said.append(
        f"prompts cover {shown.coverage:.1%} of a test patch; {shown.missing} of {shown.wanted} classes found no crop"
        + (f"; {shown.whole} show the whole region" if shown.whole else "")
    )
    if census := getattr(cast.dataset, "census", None):
        said.append(f"tiles: {census}")
    return "\n".join(said)


def folder_name(asked: Plan) -> str:
    """`generator--task--key`: the key tells two plans apart, and the same plan writes to the same place."""
    said = replace(asked, workers=1).__dict__
    words = {name: dict(value) if name == "options" else value for name, value in said.items()}
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", asked.generator).strip("_")
    return f"{safe}--{asked.task}--{key_of(words)[:8]}"
