"""What the user asked for (`RunConfig`), and the plug-ins of these names (`Components`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from bench import registry
from bench.data_source import check_task, find_source
from bench.errors import BrokenPluginError, MissingError, UsageError
from bench.files.names import find_fault
from bench.loading import Classes, asked_of, declared_options, route, try_plugin
from bench.messages import shorten
from bench.pipeline.plugins import Plugin
from bench.pipeline.prompts import PromptRule
from bench.presets import Option, convert
from bench.results.terms import FIT_PROMPT_SOURCE
from bench.types import (
    AsksForOthers,
    BringsMetrics,
    ConditionMetric,
    Dataset,
    Generator,
    ProvidesExperiments,
    SweepMetric,
    Task,
)

if TYPE_CHECKING:
    from bench.measurements.experiment_files import Experiment

ENCODERS = ("embedded",)
METRICS = ("fd", "fd-pca16", "mind", "kid", "cmmd", "precision", "recall")
"""`fd` needs more patches than features; `mind`, `kid` and `cmmd` are what tables show where it cannot be had."""
EVERY_METRIC = "all"
"""In place of a name: every metric but those of sampled layouts and those that belong to other tasks."""
CONTROLS = ("real", "noise")
_PLUGIN_FIELDS = {
    "generator": "generators",
    "task": "tasks",
    "dataset": "datasets",
    "encoders": "encoders",
    "metrics": "metrics",
    "controls": "generators",
    "layout_generator": "layout_generators",
}
"""Field of a config with names of plug-ins -> their kind."""
PLACEHOLDER = "noise"
"""Generator of commands that need a config but no generator: it needs no condition."""


@dataclass(frozen=True)
class RunConfig:
    """One run: names and options."""

    generator: str
    task: str
    data: str = ""
    """`embedded`, `real` (the folder in BENCH_DATA) or a folder. If empty: BENCH_DATA if it is set, otherwise `embedded`."""
    dataset: str = ""
    """Instead of `data`, the name of a dataset plug-in, with its first argument after a colon: `folder:DIR`."""
    encoders: tuple[str, ...] = ENCODERS
    """Names of encoders and of panels."""
    metrics: tuple[str, ...] | None = None
    """Names of metrics and of groups of them; None for `METRICS` and what the task brings."""
    weights: Path | None = None
    """Folder with weights of encoders, searched before the hub."""
    controls: tuple[str, ...] = CONTROLS
    """Generators measured beside the requested one, so that every table has its lower and upper reference."""
    prompt_source: str = "slide"
    """Prompt source for generation."""
    fit_prompt_source: str = FIT_PROMPT_SOURCE
    """Prompt source for training: one set of weights is used with all prompt sources."""
    seeds: tuple[int, ...] = (0, 1)
    """Of images and of downstream models."""
    fit_seeds: tuple[int, ...] = ()
    """Of training: the generator is trained anew with each, and everything is measured for each fit. Empty: one fit, the
    weights that ship with the package where there are any, those of fit seed 0 otherwise."""
    retrain: bool = False
    """Train even where weights ship with the package and no fit seed is named."""
    downstream: bool = True
    """Train and score the downstream model."""
    layout_generator: str = ""
    """Layout generator whose layouts replace the real ones; empty for none."""
    experiment: str = ""
    """An experiment of the task, or a TOML file: then only its arms are scored."""
    label: str = ""
    """What tables call the generator; empty for its own name. It changes no key and no number."""
    options: Mapping[str, str] = field(default_factory=dict)
    """`name` or `owner.name` -> value, as `-o` gave them."""

    def __post_init__(self) -> None:
        """Names of plug-ins are kept as they are registered, whatever the case in which they were given. UsageError if two
        names differ by case alone, or the label is no name."""
        for name, kind in _PLUGIN_FIELDS.items():
            value = getattr(self, name)
            if isinstance(value, tuple):
                object.__setattr__(self, name, tuple(_canonical(kind, each) for each in value))
            else:
                object.__setattr__(self, name, _canonical(kind, value))

        if self.label:
            _check_label(self.label)

    @property
    def trains_anew(self) -> bool:
        """Whether weights that ship with the package are left aside."""
        return self.retrain or bool(self.fit_seeds)

    def as_json(self, data: str | None = None, dataset: str | None = None) -> dict[str, Any]:
        """The config as JSON. `data` and `dataset`: what was used, since an empty folder depends on the environment, and a
        relative path on the working folder."""
        found = replace(self, data=self.data if data is None else data, dataset=self.dataset if dataset is None else dataset)
        values = {name: _plain(value) for name, value in vars(found).items()}
        for name in ("dataset", "label"):
            if not values[name]:
                del values[name]  # the key of a run without it is what it was before there was one
        return values

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> RunConfig:
        """The config that `as_json` wrote. Raises MissingError on fields that this version lacks."""
        held = dict(held)
        if (seed := held.pop("fit_seed", 0)) and "fit_seeds" not in held:  # of manifests from before there could be several
            held["fit_seeds"] = [seed]
        if unknown := sorted(set(held) - {f.name for f in fields(cls)}):
            raise MissingError(f"the config has the fields {', '.join(unknown)}, which this version of histobench lacks.")
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in held.items()}
        values["weights"] = Path(values["weights"]) if values.get("weights") else None
        return cls(**values)


@dataclass(frozen=True)
class Evaluation:
    """An encoder and the metrics that read its features."""

    encoder: Plugin
    metrics: tuple[Plugin, ...]


@dataclass(frozen=True)
class Components:
    """The plug-ins of a run."""

    config: RunConfig
    generator_plugins: tuple[Plugin, ...]
    """The requested one, then the controls."""
    dataset_plugin: Plugin
    task_plugin: Plugin
    evaluations: tuple[Evaluation, ...]
    condition_metrics: tuple[Plugin, ...]
    """Metrics that check each generated patch against its condition."""
    sweep_metrics: tuple[Plugin, ...]
    """Metrics that alter conditions and compare what a generator makes of them."""
    layout_generator: Plugin | None
    layout_metrics: tuple[Plugin, ...]
    """Every metric of layouts if layouts are sampled, otherwise none."""
    experiment: Experiment | None
    rule: PromptRule
    """Rule of the prompts for generation."""
    learned: PromptRule
    """Rule of the prompts for training."""
    embedded: bool
    data_folder: str
    """`embedded`, or the folder that the dataset reads; empty if the config names the dataset."""

    @cached_property
    def generators(self) -> tuple[Generator, ...]:
        return tuple(plugin.build() for plugin in self.generator_plugins)

    @cached_property
    def dataset(self) -> Dataset:
        found: Dataset = self.dataset_plugin.build()
        return found

    @cached_property
    def task(self) -> Task:
        found: Task = self.task_plugin.build()
        return found

    def config_as_json(self) -> dict[str, Any]:
        """The config with the data that were used, from which the run can be made again."""
        return self.config.as_json(self.data_folder, self.dataset_plugin.name if self.config.dataset else "")

    def plugins(self) -> Iterator[Plugin]:
        """Every plug-in of the run."""
        yield from (*self.generator_plugins, self.dataset_plugin, self.task_plugin)
        yield from (*self.condition_metrics, *self.sweep_metrics)
        for evaluation in self.evaluations:
            yield from (evaluation.encoder, *evaluation.metrics)
        yield from self.layout_metrics
        if self.layout_generator is not None:
            yield self.layout_generator


def load_components(config: RunConfig) -> Components:
    """Turns names into plug-ins and gives every `-o` option to the plug-in that declares it.

    Raises UsageError on names and options that nothing declares and if the dataset lacks what the task needs, and MissingError
    if data are missing. BrokenPluginError if the generator, the layout generator, the task, its dataset, all encoders or all
    metrics cannot be imported: then nothing that was asked for would be measured. Of several one that cannot be imported costs
    its own records.
    """
    classes = Classes()
    task_class = registry.find("tasks", config.task)[0]
    source = find_source(config.data, config.dataset, config.task, task_class)
    metric_names = asked_of("tasks", config.task, lambda: _metric_names(config, task_class))
    metrics = {name: classes.find("metrics", name) for name in metric_names}
    condition_metrics = tuple(name for name, found in metrics.items() if isinstance(found, ConditionMetric))
    sweep_metrics = tuple(name for name, found in metrics.items() if isinstance(found, SweepMetric))
    of_conditions = (*condition_metrics, *sweep_metrics)
    panel = registry.expand("encoders", config.encoders)
    bound = {name: classes.encoder_of(name) for name in metrics}
    encoders = tuple(dict.fromkeys((*panel, *(name for name in bound.values() if name))))
    for name in encoders:
        classes.find("encoders", name)
    owners: dict[str, dict[str, set[str]]] = {
        "generator": {config.generator: declared_options("generators", config.generator)},
        "prompts": {"": {f.name for f in fields(PromptRule)} - {"prompt_source"}},
        "dataset": {source.name: declared_options("datasets", source.name)},
        "task": {config.task: declared_options("tasks", config.task)},
        "encoder": {name: classes.declared_options("encoders", name) for name in encoders},
        "metric": {name: classes.declared_options("metrics", name) for name in metrics},
        "layouts": {config.layout_generator: declared_options("layout_generators", config.layout_generator)}
        if config.layout_generator
        else {},
    }
    if not config.experiment:
        classes.require_one("metrics", metrics)
        classes.require_one("encoders", encoders)
    experiment = _experiment(config, task_class)
    given = route({**_embedded_options(experiment, source.embedded, config.options), **config.options}, owners)
    for name in encoders:
        if config.weights is not None and "weights" in owners["encoder"][name]:
            given.setdefault(("encoder", name), {}).setdefault("weights", str(config.weights.resolve()))

    def plugin(kind: str, owner: str, name: str) -> Plugin:
        options = tuple(sorted(given.get((owner, name), {}).items()))
        return try_plugin(Plugin(kind, registry.absolute_name(name), options), classes.broken.get((kind, name)))

    is_experiment = bool(config.experiment)
    controls = () if is_experiment else tuple(name for name in config.controls if name != config.generator)
    for name in controls:
        classes.find("generators", name)
    rule = _rule(config.prompt_source, given.get(("prompts", ""), {}))
    evaluations = (
        ()
        if is_experiment
        else tuple(
            Evaluation(
                plugin("encoders", "encoder", encoder),
                tuple(
                    plugin("metrics", "metric", name)
                    for name in metrics
                    if name not in of_conditions and (bound[name] == encoder or (not bound[name] and encoder in panel))
                ),
            )
            for encoder in encoders
        )
    )
    components = Components(
        config=config,
        generator_plugins=(
            plugin("generators", "generator", config.generator),
            *(plugin("generators", "control", name) for name in controls),
        ),
        dataset_plugin=plugin("datasets", "dataset", source.name),
        task_plugin=plugin("tasks", "task", config.task),
        evaluations=evaluations,
        condition_metrics=() if is_experiment else tuple(plugin("metrics", "metric", name) for name in condition_metrics),
        sweep_metrics=() if is_experiment else tuple(plugin("metrics", "metric", name) for name in sweep_metrics),
        layout_generator=plugin("layout_generators", "layouts", config.layout_generator) if config.layout_generator else None,
        layout_metrics=_layout_metrics() if config.layout_generator and not is_experiment else (),
        experiment=experiment,
        rule=rule,
        learned=rule.with_prompt_source(config.fit_prompt_source),
        embedded=source.embedded,
        data_folder=source.folder,
    )
    _check_labels(components)
    check_task(components)
    return components


def _check_labels(components: Components) -> None:
    """Raises UsageError if two plug-ins would have one name in result records."""
    owners: dict[tuple[str, str], Plugin] = {}
    for plugin in components.plugins():
        other = owners.setdefault((plugin.kind, plugin.label), plugin)
        if other.name != plugin.name:
            raise UsageError(
                f"two {plugin.kind} of this run would both be called {plugin.label!r} in its result records: {other.name} and "
                f"{plugin.name}. Give their cards different names, or make a run of each: tables then distinguish them by "
                "version, options or code."
            )
    measures: dict[str, Plugin] = {}
    for plugin in (metric for metric in components.condition_metrics if metric.failure is None):
        for measure in plugin.build().directions:
            other = measures.setdefault(measure, plugin)
            if other != plugin:
                raise UsageError(f"{other.label} and {plugin.label} of this run both measure {measure!r}: make a run of each.")


def _metric_names(config: RunConfig, task: Any) -> tuple[str, ...]:
    usual = (*METRICS, *_brought(task))
    asked = usual if config.metrics is None else config.metrics
    if EVERY_METRIC in map(str.casefold, asked):
        others = (*(name for name in asked if name.casefold() != EVERY_METRIC), *_every_other_metric(usual))
        asked = (*usual, *others)
    names = registry.expand("metrics", asked)
    return tuple(dict.fromkeys(beside for name in names for beside in (name, *_measured_beside(name))))


def _brought(task: Any) -> tuple[str, ...]:
    return task.metrics if isinstance(task, BringsMetrics) else ()


def _every_other_metric(usual: tuple[str, ...]) -> tuple[str, ...]:
    """What `EVERY_METRIC` adds to the usual metrics of a task."""
    elsewhere = set(registry.expand("metrics", ("layout",)))
    for name in registry.names("tasks"):
        try:
            elsewhere.update(_brought(registry.find("tasks", name)[0]))
        except BrokenPluginError:
            continue  # a task that cannot be imported owns no metric here
    return tuple(name for name in registry.names("metrics") if name not in elsewhere and name not in usual)


def _measured_beside(name: str) -> tuple[str, ...]:
    """What a metric asks to have measured with it; nothing where it cannot be imported, which its records will say."""
    try:
        found = registry.find("metrics", name)[0]
    except BrokenPluginError:
        return ()
    return tuple(found.beside) if isinstance(found, AsksForOthers) else ()


def _layout_metrics() -> tuple[Plugin, ...]:
    classes = Classes()
    found = {name: classes.find("metrics", name) for name in registry.expand("metrics", ("layout",))}
    return tuple(try_plugin(Plugin("metrics", name), classes.broken.get(("metrics", name))) for name in found)


def _experiment(config: RunConfig, task: Any) -> Experiment | None:
    if not config.experiment:
        return None
    from bench.measurements import experiment_files

    if not config.downstream:
        raise UsageError(f"the experiment {config.experiment} is made of training mixes: leave out --no-downstream.")
    folder = task.experiments if isinstance(task, ProvidesExperiments) else None
    return experiment_files.find(config.experiment, folder, config.task)


def _embedded_options(experiment: Experiment | None, embedded: bool, given: Mapping[str, str]) -> dict[str, str]:
    """The options that an experiment sets on embedded data, without those that the run is given, by either of their names."""
    if experiment is None or not embedded:
        return {}
    named = {name.rpartition(".")[2] for name in given}
    return {name: str(value) for name, value in experiment.embedded.items() if name.rpartition(".")[2] not in named}


def _rule(prompt_source: str, given: Mapping[str, str]) -> PromptRule:
    hints = get_type_hints(PromptRule)
    values = {name: convert("prompts", Option(name, hints[name]), value) for name, value in given.items()}
    return PromptRule(prompt_source=prompt_source, **values)  # type: ignore[arg-type]


def _check_label(label: str) -> None:
    """Raises UsageError where a label cannot be part of a file name, or is the name of a generator."""
    if fault := find_fault(label):
        raise UsageError(f"--label {shorten(label)!r} {fault}. Give one that can name a file, e.g. ours-v2.")
    if registry.is_known("generators", label):
        raise UsageError(f"--label {label!r} is the name of a generator, which tables would show in its place: give another.")


def _canonical(kind: str, name: Any) -> Any:
    """The name as it is registered; what is no name, in a config of a stranger, stays for those who refuse it."""
    return registry.canonical_name(kind, name) if isinstance(name, str) and name else name


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value
