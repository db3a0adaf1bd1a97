"""What a run prints before and after its data are read: its plan, its data, and what its prompts show."""

from __future__ import annotations

from bench.config import Components
from bench.histology.sampling import StatesSampling
from bench.jobs.store import Store
from bench.pipeline.data import DataSplits
from bench.pipeline.plugins import has_fits
from bench.results.terms import Reason
from bench.statistics import MINIMUM_GROUPS
from bench.types import SummarisesData


def announce(components: Components, store: Store) -> str:
    """The plan of the run, printed before anything is computed."""
    config, dataset = components.config, components.dataset
    origin = f"data: {dataset.card.name}"
    if components.embedded:
        origin = f"EMBEDDED DATA: {dataset.card.name}. {dataset.card.notes}"
    names = [plugin.name for plugin in components.generator_plugins]
    layouts = components.layout_generator
    return "\n".join(
        [
            origin,
            *_sampling(components),
            f"generator {names[0]} beside {', '.join(names[1:]) or 'no controls'}; task {config.task}; "
            f"prompts from {_prompts(components)}; seeds {', '.join(map(str, config.seeds))}"
            + (f"; {_fits(components)}" if config.fit_seeds else ""),
            *([f"layouts sampled by {layouts.name}"] if layouts else []),
            _measured(components),
            f"kept in {store.root}",
        ]
    )


def describe_splits(components: Components, splits: DataSplits) -> str:
    """How many patches and slides each split has, and what the prompts show."""
    dataset = components.dataset
    sampled = dataset.sampling if isinstance(dataset, StatesSampling) else None
    unit = sampled.unit if sampled is not None else "slides"
    rows = [
        f"{name} {len(part)} patches / {_groups(part.conditions.groups.tolist())} {unit}"
        for name, part in splits.plain.items()
    ]
    size = splits.test.conditions.size
    text = [f"{size} px: {'; '.join(rows)}; downstream models learn from {len(splits.training)} patches of {splits.pool_name}"]
    text += [splits.class_reading] if splits.class_reading else []
    if splits.prompt_report is not None:
        text.append(_prompts_shown(splits))
    if isinstance(dataset, SummarisesData):
        text.append(f"tiles: {dataset.tile_summary}")
    text.append(_control_slides(splits, sampled.interval_unit if sampled is not None else unit))
    text += _few_clusters(components, splits)
    return "\n".join(text)


def _control_slides(splits: DataSplits, unit: str) -> str:
    """What the control `real` shows, and whether it is enough for an interval."""
    shown = splits.plain["holdout"]
    count = len(set(shown.conditions.units.tolist()))
    text = f"the control real shows {len(shown)} patches of {count} {unit}; their slides are neither trained nor tested on"
    few = f": fewer than {MINIMUM_GROUPS}, so that its distances have no interval and no rank can be read from them"
    return text + (few if count < MINIMUM_GROUPS else "")


def _few_clusters(components: Components, splits: DataSplits) -> list[str]:
    """That intervals are refused for the number of clusters, and how to have others."""
    dataset = components.dataset
    count = len(set(splits.test.conditions.units.tolist()))
    if not isinstance(dataset, StatesSampling) or not dataset.sampling.clusters or count >= MINIMUM_GROUPS:
        return []
    found = dataset.sampling
    return [
        f"the test patches are of {count} {found.clusters}, and intervals over {found.clusters} need {MINIMUM_GROUPS}: there "
        f"are none. Over {found.unit} of the same {count} {found.clusters}: -o dataset.sampling_unit=slide"
    ]


def _fits(components: Components) -> str:
    """What is trained anew with each fit seed, or that nothing is."""
    asked = [plugin for plugin in (components.generator_plugins[0], components.layout_generator) if plugin is not None]
    trained = [plugin.name for plugin in asked if plugin.failure is None and has_fits(plugin.build())]
    seeds = ", ".join(map(str, components.config.fit_seeds))
    if not trained:
        return f"{' and '.join(plugin.name for plugin in asked)} has no fits: nothing is trained with fit seeds {seeds}"
    return f"{' and '.join(trained)} trained anew with fit seeds {seeds}"


def _groups(names: list[str]) -> int:
    return len(set(names))


def _prompts_shown(splits: DataSplits) -> str:
    report = splits.prompt_report
    assert report is not None
    text = f"prompts cover {report.coverage:.1%} of a test patch; {report.missing} of {report.wanted} classes found no crop"
    text += f"; {report.whole} show the whole region" if report.whole else ""
    if splits.donors is None:
        return f"{text}; all {report.crops} crops are cut from reference patches"
    inside = f"{text}; {report.reference} of {report.crops} crops are cut from reference patches"
    return f"{inside}, the others from {len(splits.donors)} patches of the test slides in no reference set"


def _sampling(components: Components) -> list[str]:
    """Sampling unit of the data and origin of its splits, if the dataset states them."""
    if not isinstance(components.dataset, StatesSampling):
        return []
    found = components.dataset.sampling
    lacking = "" if found.is_known else f"; {Reason.SOURCES_UNKNOWN}: records get no interval"
    lines = [f"sampling unit: {found.unit} ({found.basis}){lacking}", f"splits: {found.splits}"]
    if found.is_known:
        basis = f" ({found.cluster_basis})" if found.clusters else ""
        lines.append(f"intervals range over {found.interval_unit}{basis}: they describe {found.population}")
    return lines


def _prompts(components: Components) -> str:
    own, learned = components.rule.label(), components.learned.label()
    return own if own == learned else f"{own}, those of training from {learned}"


def _measured(components: Components) -> str:
    if components.experiment:
        arms = ", ".join(arm.name for arm in components.experiment.arm)
        text = f"experiment {components.experiment.name} on the pool {components.experiment.pool}; arms: {arms}"
        idle = components.config.metrics is not None
        return text + (
            "; an experiment scores downstream models: the metrics that were asked for are not measured" if idle else ""
        )
    names = dict.fromkeys(metric.label for evaluation in components.evaluations for metric in evaluation.metrics)
    encoders = ", ".join(evaluation.encoder.label for evaluation in components.evaluations)
    parts = [f"{', '.join(names)} over {encoders}"] if names else []
    of_conditions = (*components.condition_metrics, *components.sweep_metrics)
    text = f"measures {'; '.join([*parts, *(metric.label for metric in of_conditions)])}"
    mixes = ", ".join(mix.name for mix in components.task.mixes)
    return text + (f"; downstream training mixes {mixes}" if components.config.downstream else "")
