"""What the user asked for, and the objects that stand behind the words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from bench import registry
from bench.conditional import ConditionMetric, LayoutMetric
from bench.errors import MissingError, UsageError, did_you_mean
from bench.pipeline.prompts import PromptRule
from bench.types import Dataset, Encoder, FeatureMetric, Generator, Layouts, Task, TrainedMetric

if TYPE_CHECKING:
    from bench.measurements.experiment_files import Experiment

ENCODERS = ("embedded",)
METRICS = ("fd", "precision", "recall")
CONTROLS = ("real", "noise")
CEILING = "noise"
"""The bad control that a normalised distance of 1 stands for."""


@dataclass(frozen=True)
class Plan:
    """One run, in words."""

    generator: str
    task: str
    data: str = ""
    """`embedded`, `real` (the folder in BENCH_DATA) or a folder. Empty: BENCH_DATA if it is set, embedded otherwise."""
    encoders: tuple[str, ...] = ENCODERS
    """Names of encoders and of panels."""
    metrics: tuple[str, ...] | None = None
    """Names of metrics and of groups of them; None for `METRICS` and what the task asks for."""
    weights: Path | None = None
    """Folder with weights of encoders, looked into before the hub."""
    controls: tuple[str, ...] = CONTROLS
    """Generators measured beside the one that was asked for, so that every table has its floor and its ceiling."""
    track: str = "slide"
    """Where the crops come from that generators paint by."""
    fit_track: str = "slide"
    """Where those came from that they learned by: one set of weights answers for all tracks."""
    seeds: tuple[int, ...] = (0, 1)
    fit_seed: int = 0
    refit: bool = False
    """Fit even where weights ship with the package."""
    diets: bool = True
    """Train and score the downstream model."""
    layouts: str = ""
    """A plug-in that draws synthetic maps, which the generator is shown in place of real ones; empty for none."""
    experiment: str = ""
    """An experiment of the task, or a TOML file: then its diets are served, and nothing else is measured."""
    workers: int = 0
    """Processes that paint and train; 0 for what suits the machine and the number of patches."""
    options: Mapping[str, str] = field(default_factory=dict)
    """`name` or `owner.name` -> value, as `-o` gave them."""


Metric = FeatureMetric | TrainedMetric


@dataclass(frozen=True)
class Judge:
    """An encoder and the metrics that read its features."""

    encoder: Encoder
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Cast:
    """The same run, in objects."""

    plan: Plan
    generators: tuple[Generator, ...]
    """The one that was asked for, then the controls."""
    names: tuple[str, ...]
    """What each generator is called on the command line, for workers that build their own."""
    dataset: Dataset
    task: Task
    judges: tuple[Judge, ...]
    witnessed: tuple[ConditionMetric, ...]
    """Metrics that ask each painted patch whether it kept its condition."""
    layouts: Layouts | None
    layout_metrics: tuple[LayoutMetric, ...]
    """What drawn layouts are measured by: every one there is, where layouts are drawn."""
    experiment: Experiment | None
    ceiling: Generator
    """Paints the bad control of normalised distances."""
    rule: PromptRule
    """Of the prompts that are painted by."""
    learned: PromptRule
    """Of the prompts that generators are fitted on."""
    embedded: bool
    labels: Mapping[int, str]
    """id of a plug-in -> what result records call it, where that is more than the name of its card."""

    def label(self, plugin: Any) -> str:
        """What result records call a plug-in of this run, e.g. `timm:resnet18`."""
        return self.labels.get(id(plugin), str(plugin.card.name))


def cast(plan: Plan) -> Cast:
    """Turns names into objects and hands every `-o` option to the one that declares it."""
    task_class = registry.find("tasks", plan.task)[0]
    dataset_name, embedded = _dataset(plan, task_class)
    classes = {name: registry.find("metrics", name)[0] for name in _metrics(plan, task_class)}
    metrics = tuple(name for name, found in classes.items() if not hasattr(found, "agree"))
    witnessed = tuple(name for name in classes if name not in metrics)
    bound = {name: getattr(classes[name], "encoder", "") for name in metrics}
    panel = registry.expand("encoders", plan.encoders)
    encoders = tuple(dict.fromkeys((*panel, *filter(None, bound.values()))))
    owners: dict[str, dict[str, set[str]]] = {
        "generator": {plan.generator: _declared("generators", plan.generator)},
        "prompts": {"": {f.name for f in fields(PromptRule)} - {"track"}},
        "dataset": {dataset_name: _declared("datasets", dataset_name)},
        "task": {plan.task: _declared("tasks", plan.task)},
        "encoder": {name: _declared("encoders", name) for name in encoders},
        "metric": {name: _declared("metrics", name) for name in classes},
        "layouts": {plan.layouts: _declared("layouts", plan.layouts)} if plan.layouts else {},
    }
    given = route(plan.options, owners)
    for name in encoders:
        if plan.weights is not None and "weights" in owners["encoder"][name]:
            given.setdefault(("encoder", name), {}).setdefault("weights", str(plan.weights))

    labels: dict[int, str] = {}
    owned: dict[tuple[str, str], str] = {}

    def load(kind: str, owner: str, name: str) -> Any:
        options = given.get((owner, name), {})
        plugin = registry.load(kind, name, **options)
        label = registry.label(kind, name, plugin)
        if (other := owned.setdefault((kind, label), name)) != name:
            raise UsageError(
                f"two {kind} of this run would both be called {label!r} in its result records: {other} and {name}. Give their "
                "cards names of their own, or make a run of each: tables tell them apart by what they are made of."
            )
        labels[id(plugin)] = label
        return plugin

    def judge(encoder: str) -> Judge:
        read = [name for name in metrics if bound[name] == encoder or (not bound[name] and encoder in panel)]
        return Judge(load("encoders", "encoder", encoder), tuple(load("metrics", "metric", name) for name in read))

    main = load("generators", "generator", plan.generator)
    controls = tuple(name for name in plan.controls if name != plan.generator) if not plan.experiment else ()
    rule = _rule(plan.track, given.get(("prompts", ""), {}))
    return Cast(
        plan=plan,
        generators=(
            main,
            *(load("generators", "control", c) for c in controls),
        ),
        names=(plan.generator, *controls),
        dataset=load("datasets", "dataset", dataset_name),
        task=load("tasks", "task", plan.task),
        judges=tuple(judge(name) for name in encoders) if not plan.experiment else (),
        witnessed=_apart(tuple(load("metrics", "metric", name) for name in witnessed)) if not plan.experiment else (),
        layouts=load("layouts", "layouts", plan.layouts) if plan.layouts else None,
        layout_metrics=_layout_metrics() if plan.layouts and not plan.experiment else (),
        experiment=_experiment(plan, task_class),
        ceiling=registry.load("generators", CEILING),
        rule=rule,
        learned=rule.on(plan.fit_track),
        embedded=embedded,
        labels=labels,
    )


def route(options: Mapping[str, str], owners: Mapping[str, Mapping[str, set[str]]]) -> dict[tuple[str, str], dict[str, str]]:
    """(owner, plug-in) -> its options. A bare name goes to the only owner that declares it; `owner.name` names one.

    All plug-ins of one owner (several encoders, say) that declare the option get it. Raises UsageError on a name that
    nobody declares, and on a bare name that several owners do.
    """
    routed: dict[tuple[str, str], dict[str, str]] = {}
    for word, value in options.items():
        prefix, dot, name = word.rpartition(".")
        if dot and prefix not in owners:
            raise UsageError(f"option {word!r}: {prefix!r} owns no options.{did_you_mean(prefix, owners)}")
        takers = {
            owner: [plugin for plugin, declared in plugins.items() if name in declared]
            for owner, plugins in owners.items()
            if not dot or owner == prefix
        }
        takers = {owner: plugins for owner, plugins in takers.items() if plugins}
        if not takers:
            known = sorted({n for plugins in owners.values() for declared in plugins.values() for n in declared})
            raise UsageError(f"nothing in this run has an option {word!r}.{did_you_mean(name, known)} See: bench info NAME.")
        if len(takers) > 1:
            choices = " or ".join(f"-o {owner}.{name}={value}" for owner in takers)
            raise UsageError(f"option {name!r} is declared by {' and '.join(takers)}: write {choices}.")
        for owner, plugins in takers.items():
            for plugin in plugins:
                routed.setdefault((owner, plugin), {})[name] = value
    return routed


def _declared(kind: str, name: str) -> set[str]:
    cls, given = registry.find(kind, name)
    return set(list(registry.parameters(cls))[len(given) :])


def _dataset(plan: Plan, task: Any) -> tuple[str, bool]:
    """Name of the dataset, and whether it is embedded. Embedded data never stands in for a folder that was named."""
    folder = plan.data
    configured = os.environ.get("BENCH_DATA", "")
    if folder == "real" and not configured:
        raise MissingError("--data real: no data folder is configured. Set BENCH_DATA to it, or give --data DIR.")
    if folder in ("", "real"):
        folder = configured or "embedded"
    if folder == "embedded":
        return task.embedded, True
    if not Path(folder).is_dir():
        raise MissingError(f"no data folder {folder!r}. Give an existing one, or --data embedded for the built-in phantom.")
    return f"{_reader(task, Path(folder))}:{folder}", False


def _reader(task: Any, folder: Path) -> str:
    """The first of the task's readers that knows the layout of the folder; the only one without asking."""
    if len(task.readers) == 1:
        return str(task.readers[0])
    for name in task.readers:
        if registry.find("datasets", name)[0].recognises(folder):
            return str(name)
    raise MissingError(
        f"{folder} has none of the layouts that {task.card.name} reads: {', '.join(task.readers)}. "
        "See docs/data.md for what each expects."
    )


def _metrics(plan: Plan, task: Any) -> tuple[str, ...]:
    asked = plan.metrics if plan.metrics is not None else (*METRICS, *getattr(task, "asks", ()))
    return registry.expand("metrics", asked)


def _layout_metrics() -> tuple[LayoutMetric, ...]:
    known = registry.expand("metrics", ("layout",))
    return tuple(registry.load("metrics", name) for name in known)


def _apart(metrics: tuple[ConditionMetric, ...]) -> tuple[ConditionMetric, ...]:
    """The metrics; raises UsageError where two of them have a measure of one name."""
    owners: dict[str, ConditionMetric] = {}
    for metric in metrics:
        for measure in metric.directions:
            if (other := owners.setdefault(measure, metric)) is not metric:
                raise UsageError(
                    f"{other.card.name} and {metric.card.name} of this run both measure {measure!r}: make a run of each."
                )
    return metrics


def _experiment(plan: Plan, task: Any) -> Experiment | None:
    if not plan.experiment:
        return None
    from bench.measurements import experiment_files

    if not plan.diets:
        raise UsageError(f"the experiment {plan.experiment} is made of diets: leave out --no-diets.")
    return experiment_files.find(plan.experiment, getattr(task, "experiments", None), plan.task)


def _rule(track: str, given: Mapping[str, str]) -> PromptRule:
    hints = get_type_hints(PromptRule)
    values = {
        name: registry.convert("prompts", _Parameter(name, hints[name]), value)  # type: ignore[arg-type]
        for name, value in given.items()
    }
    return PromptRule(track=track, **values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Parameter:
    name: str
    annotation: Any
