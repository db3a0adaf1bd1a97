"""The story of one run: read this file first.

words -> objects -> does it fit -> data -> fitted generators -> painted patches -> numbers -> lines, table, picture
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench import ahead, config, faithfulness, layouts, measure, painting, steps, trial
from bench.cache import Cache, key_of, write_text
from bench.config import Cast, Plan
from bench.errors import BenchError
from bench.histology.sampling import StatesSampling
from bench.judging import Desk, Say
from bench.painting import Paintings
from bench.pipeline import prompts
from bench.pipeline.data import Scene, set_up
from bench.provenance.manifest import LINES, NAME, Ledger, plain, write_manifest
from bench.results import pictures, schema, tables
from bench.results.schema import SOURCES_UNKNOWN, Result
from bench.steps import Fitted
from bench.types import Generator, ImageSet, Progress


@dataclass(frozen=True)
class Outcome:
    results: tuple[Result, ...]
    table: str
    """Empty where it could not be made, for one of the `faults`."""
    folder: Path
    faults: tuple[str, ...] = ()
    """What could not be written beside the result records, and why."""


def run(asked: Plan, cache: Cache, progress: Progress, say: Say, out: Path) -> Outcome:
    """Does everything that was asked, writes it under `out`, and returns it. What was computed before is not again."""
    ledger = Ledger()
    cast = config.cast(asked)
    for generator in cast.generators:
        steps.check_fit(generator, cast.dataset)
    say(announcement(cast, cache))

    scene = set_up(cast, cache, progress)
    say(description(cast, scene))
    desk = Desk(cast, scene, cache, progress, say, schema.stamp())
    ledger.lap("data")

    folder = out / folder_name(asked)  # before the work: a name that cannot be made must not cost the records
    ahead.run(desk)
    ledger.lap("work ahead")
    lines: list[Result] = []
    shown: dict[str, ImageSet] = {}
    try:
        for name, generator in zip(cast.names, cast.generators, strict=True):
            lines += measured(desk, name, generator, shown, ledger)
    except BaseException:
        if lines and not (folder / LINES).exists():  # a finished run of the same plan says more than a part of it
            schema.write(lines, folder / LINES)
            say(f"{len(lines)} result records of the generators that were finished: {folder / LINES}")
        raise

    schema.write(lines, folder / LINES)
    faults: list[str] = []
    said = ""
    with written("table.txt", folder, say, faults) as file:
        said = trial.text(cast.experiment, lines) if cast.experiment else tables.text(lines)
        write_text(file, said + "\n")
    with written("picture.png", folder, say, faults) as file:
        pictures.gallery(scene.diet if cast.experiment else scene.prompted["test"], shown, file)
    with written(NAME, folder, say, faults):
        write_manifest(ledger, desk, lines, folder)
    return Outcome(tuple(lines), said, folder, tuple(faults))


@contextmanager
def written(name: str, folder: Path, say: Say, faults: list[str]) -> Iterator[Path]:
    """The path of a file beside the result records. Whatever fails while it is made is said and becomes one of the faults:
    the records are there already, and the other files are still made."""
    with suppress(OSError):  # what cannot be removed cannot be written either, which is said below
        (folder / name).unlink(missing_ok=True)  # that of an earlier run must not stand beside these records
    try:
        yield folder / name
    except Exception as error:
        say("".join(traceback.format_exception(error)))
        faults.append(f"{name} was not written: {type(error).__name__}: {error}")


def measured(desk: Desk, name: str, generator: Generator, shown: dict[str, ImageSet], ledger: Ledger) -> list[Result]:
    """All lines of one generator; its first images go into `shown`. A user's mistake stops the run; a plug-in that breaks
    loses its own cells and nothing else."""
    asked = desk.cast.plan
    with_diets = painting.with_diets(desk, name)
    artist = desk.cast.layouts if name == asked.generator else None
    name_of_layouts = desk.cast.label(artist) if artist else ""
    lines: list[Result] = []
    try:
        fitted = painting.fit(desk, name, generator)
        drawer = layouts.fitted(desk, artist) if artist else None
    except BenchError:
        raise
    except Exception as error:
        unfitted = Fitted(generator, name, (), None, "", "none", name_of_layouts)
        lines += shown_prompts(desk, unfitted)
        for seed in asked.seeds:
            lines += failed(desk, unfitted, seed, error, with_diets)
        return lines
    fitted = replace(fitted, layouts=name_of_layouts)
    ledger.fitted(fitted, drawer)
    lines += shown_prompts(desk, fitted)
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
    """The record of every number that was planned of a generator that failed, with the reason why there is none. The
    traceback goes out once."""
    desk.say("".join(traceback.format_exception(error)))
    for line in planned(desk, fitted, seed, with_diets):
        yield measure.failure(line, error, lambda text: None)


def planned(desk: Desk, fitted: Fitted, seed: int, with_diets: bool) -> Iterator[Result]:
    """The record of every number that `numbers` would measure, as far as it is known before anything is generated."""
    if desk.cast.experiment:
        yield from trial.planned(desk, fitted, seed)
        return
    yield from measure.planned_distances(desk, fitted, seed)
    yield from faithfulness.planned(desk, fitted, seed)
    if fitted.layouts:
        yield from layouts.planned(desk, fitted, seed)
    if with_diets:
        yield from measure.planned_scores(desk, fitted, seed, desk.cast.task.diets)


def shown_prompts(desk: Desk, fitted: Fitted) -> Iterator[Result]:
    """What the prompts of the test patches show; in an experiment with its mark."""
    experiment = desk.cast.experiment
    for line in measure.shown_prompts(desk, fitted):
        yield trial.marked(line, experiment) if experiment else line


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
            *_sampling(cast),
            f"generator {cast.names[0]} beside {', '.join(cast.names[1:]) or 'no controls'}; task {asked.task}; "
            f"prompts from {_prompts(cast)}; seeds {', '.join(map(str, asked.seeds))}",
            *([f"maps drawn by {cast.label(cast.layouts)}"] if cast.layouts else []),
            _measured(cast),
            f"kept in {cache.root}",
        ]
    )


def _sampling(cast: Cast) -> list[str]:
    """What the groups of the data are and where its splits come from, where the dataset says so."""
    if not isinstance(cast.dataset, StatesSampling):
        return []
    found = cast.dataset.sampling
    lacking = "" if found.is_known else f"; {SOURCES_UNKNOWN}: records get no interval"
    return [f"sampling unit: {found.unit} ({found.basis}){lacking}", f"splits: {found.splits}"]


def _prompts(cast: Cast) -> str:
    own, learned = cast.rule.label(), cast.learned.label()
    return own if own == learned else f"{own}, those of fits from {learned}"


def _measured(cast: Cast) -> str:
    if cast.experiment:
        served = ", ".join(serving.name for serving in cast.experiment.diet)
        return f"experiment {cast.experiment.name} on the pool {cast.experiment.pool}; diets: {served}"
    names = dict.fromkeys(cast.label(metric) for judge in cast.judges for metric in judge.metrics)
    said = f"measures {', '.join(names)} over {', '.join(cast.label(judge.encoder) for judge in cast.judges)}"
    said += "".join(f"; {cast.label(metric)}" for metric in cast.witnessed)
    return said + ("; diets " + ", ".join(d.name for d in cast.task.diets) if cast.plan.diets else "")


def description(cast: Cast, scene: Scene) -> str:
    """How many patches and slides each split has, and what the prompts show."""
    unit = cast.dataset.sampling.unit if isinstance(cast.dataset, StatesSampling) else "slides"
    rows = [
        f"{name} {len(part)} patches / {len(set(part.conditions.groups.tolist()))} {unit}"
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
    words = {name: plain(value) for name, value in vars(replace(asked, workers=1)).items()}
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", asked.generator).strip("_")
    return f"{safe}--{asked.task}--{key_of(words)[:8]}"
