"""The story of one run: read this file first.

words -> objects -> does it fit -> data -> fitted generators -> generated patches -> numbers -> lines, table, picture
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench import ahead, config, faithfulness, generation, layouts, measure, steps, trial
from bench.cache import Cache, key_of, write_text
from bench.config import Components, RunConfig
from bench.errors import BenchError
from bench.generation import GeneratedSets
from bench.histology.sampling import StatesSampling
from bench.measuring import Desk, Log
from bench.pipeline import prompts
from bench.pipeline.data import DataSplits, set_up
from bench.provenance.manifest import LINES, NAME, RunLog, plain, write_manifest
from bench.results import pictures, schema, tables
from bench.results.schema import SOURCES_UNKNOWN, ResultRecord
from bench.steps import Fitted
from bench.types import Generator, ImageSet, Progress


@dataclass(frozen=True)
class Outcome:
    results: tuple[ResultRecord, ...]
    table: str
    """Empty where it could not be made, for one of the `faults`."""
    folder: Path
    faults: tuple[str, ...] = ()
    """What could not be written beside the result records, and why."""


def run(asked: RunConfig, cache: Cache, progress: Progress, log: Log, out: Path) -> Outcome:
    """Does everything that was asked, writes it under `out`, and returns it. What was computed before is not again."""
    run_log = RunLog()
    components = config.components(asked)
    for generator in components.generators:
        steps.check_fit(generator, components.dataset)
    log(announcement(components, cache))

    splits = set_up(components, cache, progress)
    log(description(components, splits))
    desk = Desk(components, splits, cache, progress, log, schema.stamp())
    run_log.end_phase("data")

    folder = out / folder_name(asked)  # before the work: a name that cannot be made must not cost the records
    ahead.run(desk)
    run_log.end_phase("work ahead")
    lines: list[ResultRecord] = []
    shown: dict[str, ImageSet] = {}
    try:
        for name, generator in zip(components.names, components.generators, strict=True):
            lines += measured(desk, name, generator, shown, run_log)
    except BaseException:
        if lines and not (folder / LINES).exists():  # a finished run of the same plan says more than a part of it
            schema.write(lines, folder / LINES)
            log(f"{len(lines)} result records of the generators that were finished: {folder / LINES}")
        raise

    schema.write(lines, folder / LINES)
    faults: list[str] = []
    message = ""
    with written("table.txt", folder, log, faults) as file:
        message = trial.text(components.experiment, lines) if components.experiment else tables.text(lines)
        write_text(file, message + "\n")
    with written("picture.png", folder, log, faults) as file:
        pictures.gallery(splits.mix if components.experiment else splits.prompted["test"], shown, file)
    with written(NAME, folder, log, faults):
        write_manifest(run_log, desk, lines, folder)
    return Outcome(tuple(lines), message, folder, tuple(faults))


@contextmanager
def written(name: str, folder: Path, log: Log, faults: list[str]) -> Iterator[Path]:
    """The path of a file beside the result records. Whatever fails while it is made is said and becomes one of the faults:
    the records are there already, and the other files are still made."""
    with suppress(OSError):  # what cannot be removed cannot be written either, which is said below
        (folder / name).unlink(missing_ok=True)  # that of an earlier run must not stand beside these records
    try:
        yield folder / name
    except Exception as error:
        log("".join(traceback.format_exception(error)))
        faults.append(f"{name} was not written: {type(error).__name__}: {error}")


def measured(desk: Desk, name: str, generator: Generator, shown: dict[str, ImageSet], run_log: RunLog) -> list[ResultRecord]:
    """All lines of one generator; its first images go into `shown`. A user's mistake stops the run; a plug-in that breaks
    loses its own cells and nothing else."""
    asked = desk.components.config
    has_downstream = generation.has_downstream(desk, name)
    layout_generator = desk.components.layouts if name == asked.generator else None
    name_of_layouts = desk.components.label(layout_generator) if layout_generator else ""
    lines: list[ResultRecord] = []
    try:
        fitted = generation.fit(desk, name, generator)
        layout_generator = layouts.fitted(desk, layout_generator) if layout_generator else None
    except BenchError:
        raise
    except Exception as error:
        unfitted = Fitted(generator, name, (), None, "", "none", name_of_layouts)
        lines += shown_prompts(desk, unfitted)
        for seed in asked.seeds:
            lines += failed(desk, unfitted, seed, error, has_downstream)
        return lines
    fitted = replace(fitted, layouts=name_of_layouts)
    run_log.fitted(fitted, layout_generator)
    lines += shown_prompts(desk, fitted)
    for seed in asked.seeds:
        try:
            generated = generation.generate(desk, fitted, seed, has_downstream, layout_generator)
        except BenchError:
            raise
        except Exception as error:
            lines += failed(desk, fitted, seed, error, has_downstream)
            continue
        run_log.generated(name, seed, generated)
        lines += numbers(desk, fitted, generated, seed)
        run_log.end_phase("measure")
        for part in filter(None, (generated.test, generated.mix)):
            shown.setdefault(name, part.patches)
    return lines


def failed(desk: Desk, fitted: Fitted, seed: int, error: Exception, has_downstream: bool) -> Iterator[ResultRecord]:
    """The record of every number that was planned of a generator that failed, with the reason why there is none. The
    traceback goes out once."""
    desk.log("".join(traceback.format_exception(error)))
    for line in planned(desk, fitted, seed, has_downstream):
        yield measure.failure(line, error, lambda text: None)


def planned(desk: Desk, fitted: Fitted, seed: int, has_downstream: bool) -> Iterator[ResultRecord]:
    """The record of every number that `numbers` would measure, as far as it is known before anything is generated."""
    if desk.components.experiment:
        yield from trial.planned(desk, fitted, seed)
        return
    yield from measure.planned_distances(desk, fitted, seed)
    yield from faithfulness.planned(desk, fitted, seed)
    if fitted.layouts:
        yield from layouts.planned(desk, fitted, seed)
    if has_downstream:
        yield from measure.planned_scores(desk, fitted, seed, desk.components.task.mixes)


def shown_prompts(desk: Desk, fitted: Fitted) -> Iterator[ResultRecord]:
    """What the prompts of the test patches show; in an experiment with its mark."""
    experiment = desk.components.experiment
    for line in measure.shown_prompts(desk, fitted):
        yield trial.marked(line, experiment) if experiment else line


def numbers(desk: Desk, fitted: Fitted, generated: GeneratedSets, seed: int) -> Iterator[ResultRecord]:
    """What is measured of the generated sets of one seed."""
    if desk.components.experiment and generated.mix is not None:
        yield from trial.lines(desk, fitted, generated.mix, seed)
        return
    if generated.test is not None:
        yield from measure.distances(desk, fitted, generated.test)
        yield from faithfulness.kept_conditions(desk, fitted, generated.test)
        if fitted.layouts:
            yield from layouts.measured(desk, fitted, generated.test)
    if generated.mix is not None:
        yield from measure.scores(desk, fitted, generated.mix, seed, desk.components.task.mixes)


def announcement(components: Components, cache: Cache) -> str:
    """What will be done, before anything is computed."""
    asked = components.config
    origin = (
        f"EMBEDDED DATA: {components.dataset.card.name}. {components.dataset.card.notes}"
        if components.embedded
        else f"data: {components.dataset.card.name}"
    )
    return "\n".join(
        [
            origin,
            *_sampling(components),
            f"generator {components.names[0]} beside {', '.join(components.names[1:]) or 'no controls'}; task {asked.task}; "
            f"prompts from {_prompts(components)}; seeds {', '.join(map(str, asked.seeds))}",
            *([f"maps drawn by {components.label(components.layouts)}"] if components.layouts else []),
            _measured(components),
            f"kept in {cache.root}",
        ]
    )


def _sampling(components: Components) -> list[str]:
    """What the groups of the data are and where its splits come from, where the dataset says so."""
    if not isinstance(components.dataset, StatesSampling):
        return []
    found = components.dataset.sampling
    lacking = "" if found.is_known else f"; {SOURCES_UNKNOWN}: records get no interval"
    return [f"sampling unit: {found.unit} ({found.basis}){lacking}", f"splits: {found.splits}"]


def _prompts(components: Components) -> str:
    own, learned = components.rule.label(), components.learned.label()
    return own if own == learned else f"{own}, those of fits from {learned}"


def _measured(components: Components) -> str:
    if components.experiment:
        training = ", ".join(arm.name for arm in components.experiment.mix)
        return f"experiment {components.experiment.name} on the pool {components.experiment.pool}; training mixes: {training}"
    names = dict.fromkeys(components.label(metric) for evaluation in components.evaluations for metric in evaluation.metrics)
    message = f"measures {', '.join(names)} over {', '.join(components.label(evaluation.encoder) for evaluation in components.evaluations)}"
    message += "".join(f"; {components.label(metric)}" for metric in components.condition_metrics)
    return message + (
        "; training mixes " + ", ".join(d.name for d in components.task.mixes) if components.config.mixes else ""
    )


def description(components: Components, splits: DataSplits) -> str:
    """How many patches and slides each split has, and what the prompts show."""
    unit = components.dataset.sampling.unit if isinstance(components.dataset, StatesSampling) else "slides"
    rows = [
        f"{name} {len(part)} patches / {len(set(part.conditions.groups.tolist()))} {unit}"
        for name, part in splits.plain.items()
    ]
    size = splits.plain["test"].conditions.size
    message = [f"{size} px: {'; '.join(rows)}; downstream training mix {len(splits.mix)} patches of {splits.pool}"]
    if splits.prompted["test"].conditions.prompts is not None:
        shown = prompts.report(splits.prompted["test"].conditions)
        message.append(
            f"prompts cover {shown.coverage:.1%} of a test patch; {shown.missing} of {shown.wanted} classes found no crop"
            + (f"; {shown.whole} show the whole region" if shown.whole else "")
            + f"; {_cut_from(splits, shown)}"
        )
    if instance_table := getattr(components.dataset, "instance_table", None):
        message.append(f"tiles: {instance_table}")
    return "\n".join(message)


def _cut_from(splits: DataSplits, shown: prompts.PromptReport) -> str:
    """Where the crops of test patches come from, reference or not."""
    crops = shown.wanted - shown.missing
    if splits.donors is None:
        return f"all {crops} crops are cut from reference patches"
    return (
        f"{shown.reference} of {crops} crops are cut from reference patches, the others from {len(splits.donors)} patches of "
        "the test slides in no reference set"
    )


def folder_name(asked: RunConfig) -> str:
    """`generator--task--key`: the key tells two plans apart, and the same plan writes to the same place."""
    words = {name: plain(value) for name, value in vars(replace(asked, workers=1)).items()}
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", asked.generator).strip("_")
    return f"{safe}--{asked.task}--{key_of(words)[:8]}"
