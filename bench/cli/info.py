"""`bench info`: the card and the options of a plug-in, or the protocol of a run."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench import registry
from bench.cli.list import KINDS
from bench.cli.options import names_of
from bench.errors import MissingError, UsageError, did_you_mean
from bench.loading import asked_of
from bench.messages import echo
from bench.runtime.plugin_code import guarded_process, stdout_to_stderr
from bench.sensitivity import flags
from bench.types import ConditionMetric, FeatureMetric, HasBounds, ReadsOneEncoder, RepeatMetric, SweepMetric, TrainedMetric

FIELDS = (
    *("direction", "range", "least_n", "encoder", "cost"),
    *("source", "licence", "needs", "trained_on", "conditioned_by", "supersedes", "sees", "seen", "flagged", "notes"),
)
WIDTHS = (8, 64, 1024)
"""Numbers of features for which the least number of patches is shown."""


@click.command("info")
@click.argument("name", shell_complete=names_of(*KINDS))
@click.option("--kind", type=click.Choice(KINDS), default=None, help="Where two kinds share the name.")
@click.option("--cite", is_flag=True, help="NAME is the folder of a run: the paragraph on it that a paper needs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(name: str, kind: str | None, cite: bool, as_json: bool) -> None:
    """Show card, options with their defaults, and documentation of NAME.

    \b
    bench info ldm-prompt
    bench info results/ldm-prompt--cam16-seg--1a2b3c4d --cite
    """
    if cite:
        text = _cite(Path(name))
        echo(json.dumps({"run": name, "paragraph": text}) if as_json else text)
        return
    kinds = [kind] if kind else registry.kinds_of(name)
    if not kinds and not name.partition(":")[0].endswith(".py"):
        known = sorted({n for k in KINDS for n in registry.names(k)})
        raise UsageError(f"nothing is called {name!r}.{did_you_mean(name, known)} See: bench list.")
    for each in kinds or ["generators"]:
        with guarded_process(), stdout_to_stderr():
            cls = registry.find(each, name)[0]
            shown = asked_of(each, name, partial(describe, each, cls))
            text = json.dumps(shown)
        if as_json:
            echo(text)
        else:
            _print(shown, inspect.getdoc(cls) or "")


def _cite(folder: Path) -> str:
    """The paragraph on a run. MissingError where the folder is none of a run or has no records."""
    from bench.provenance import citation, manifest
    from bench.results import schema

    held = manifest.read(folder)
    records = [record for _, _, record in schema.read_numbered([folder / manifest.RECORDS])]
    if not records:
        raise MissingError(f"{folder / manifest.RECORDS} is empty: the run measured nothing.")
    return citation.cite(held, records)


def describe(kind: str, cls: type[Any]) -> dict[str, Any]:
    """Field -> value of a plug-in's card, `options` -> their defaults as `-o` takes them, and what is known of a metric."""
    examined = _examined(cls.card.name, cls.card.version) if kind == "metrics" else {}
    return {"kind": kind, **asdict(cls.card), "options": _options(cls), **_measuring(kind, cls), **examined}


def _examined(name: str, version: str) -> dict[str, Any]:
    """What `bench sensitivity` found of the claims of a metric's card: which hold, and which do not, each with its data. Of
    another version of the metric that was examined, only that it has to be done again."""
    known = [one for one in flags.examined() if one.metric == name]
    own = [one for one in known if one.version == version]
    if known and not own:
        return {"flagged": [f"version {known[0].version} was examined, this one was not: bench sensitivity -m {name} -t TASK"]}
    seen = [f"{one.label}: {', '.join(one.seen)} ({one.dataset})" for one in own if one.seen]
    return {"seen": "; ".join(seen), "flagged": [one.sentence() for one in own if one.is_flagged]}


def _options(cls: type[Any]) -> dict[str, Any]:
    """Option -> its default as `-o` takes it, None where it has none."""
    return {p.name: None if p.default is p.empty else _spell(p.default) for p in registry.parameters(cls).values()}


def _spell(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_spell, value))
    return "none" if value is None else str(value)


def _measuring(kind: str, cls: type[Any]) -> dict[str, Any]:
    """Properties of a metric: better direction, range, the encoder it always reads, least number of patches."""
    if kind != "metrics":
        return {}
    is_complete = not any(parameter.default is parameter.empty for parameter in registry.parameters(cls).values())
    metric: Any = cls() if is_complete else cls  # if options are required, only what the class declares
    if (measures := _measures_of(metric)) is not None:
        return {"direction": "; ".join(f"{measure}: {better} is better" for measure, better in measures.items())}
    text: dict[str, Any] = {"direction": f"{metric.direction} is better"}
    if isinstance(metric, HasBounds):
        text["range"] = " to ".join("any number" if bound is None else f"{bound:g}" for bound in metric.bounds)
    if isinstance(metric, ReadsOneEncoder) and metric.encoder:
        text["encoder"] = f"{metric.encoder}, always"
    if is_complete and isinstance(metric, (FeatureMetric, TrainedMetric)):
        text["least_n"] = ", ".join(f"{metric.minimum_n(d)} for {d} features" for d in WIDTHS)
    return text


def _measures_of(metric: Any) -> Mapping[str, str] | None:
    """Measure -> its better direction, of a metric with several; None of one with one."""
    if isinstance(metric, ConditionMetric):
        return metric.directions
    if isinstance(metric, RepeatMetric):
        return metric.measures
    return metric.sweeps if isinstance(metric, SweepMetric) else None


def _print(shown: dict[str, Any], about: str) -> None:
    echo(f"{shown['name']}  ({shown['kind'].removesuffix('s')}, version {shown['version']})\n{shown['summary']}")
    for field in FIELDS:
        if value := shown.get(field):
            between = "; " if field == "flagged" else ", "
            echo(f"  {field.replace('_', ' '):15s}{between.join(value) if isinstance(value, (tuple, list)) else value}")
    for option, default in shown["options"].items():
        echo(f"  -o {option}={'(required)' if default is None else default}")
    if about and about != shown["summary"]:
        echo(f"\n{about}")
