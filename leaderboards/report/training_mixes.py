"""Training mixes as plain data: downstream scores over the shares of patches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import BenchError
from bench.measurements import experiment_files
from bench.measurements.experiment_files import HEADROOM
from bench.pipeline import plugins
from bench.results import experiment_tables, tables
from bench.results.protocols import split_by_protocol
from bench.results.schema import ResultRecord
from bench.results.tables import Cell
from bench.types import ProvidesExperiments
from leaderboards.tables import build


@dataclass(frozen=True)
class MixScore:
    """The score of a downstream model on one training mix."""

    mix: str
    real: float
    synthetic: float
    synthetic_source: str
    cell: Cell
    reported: float | None
    """The number that a paper reported for a training mix of this kind, with other data and networks."""


@dataclass(frozen=True)
class MixChart:
    """The training mixes of one generator and measure."""

    title: str
    where: str
    """Task or experiment, data set and measure: charts of one place share an axis."""
    measure: str
    generator: str
    scores: tuple[MixScore, ...]
    reported_by: str = ""


def build_charts(records: Sequence[ResultRecord]) -> list[MixChart]:
    """One for each generator, task, dataset and first measure of several training mixes."""
    places: dict[tuple[str, str, str], list[ResultRecord]] = defaultdict(list)
    for record in records:
        is_score = " - " not in record.mix and ":" not in record.measure
        if record.mix and record.status == "ok" and (is_score or record.measure == HEADROOM):
            places[record.task, record.dataset, str(record.described.get("experiment", {}).get("name", ""))].append(record)
    found = []
    for (task, dataset, experiment), here in sorted(places.items()):
        parts = split_by_protocol(build.variants(here))
        for number, part in enumerate(parts, start=1):
            grouped: dict[tuple[str, ...], list[ResultRecord]] = defaultdict(list)
            for record in part:
                grouped[task, dataset, record.generator, record.prompt_source, experiment].append(record)
            which = f", protocol set {number}" if len(parts) > 1 else ""
            found += [chart for key, own in sorted(grouped.items()) if (chart := _chart(key, own, which)) is not None]
    return found


def _chart(key: tuple[str, ...], records: list[ResultRecord], which: str) -> MixChart | None:
    """`which` names the protocol set if there are several: they share no axis."""
    task, dataset, generator, prompt_source, experiment = key
    shares, reported, source = _training(task, experiment)
    measure = next(
        (name for name in ("dice", "iou", "pq-pooled") if any(record.measure == name for record in records)),
        records[0].measure,
    )
    scores = []
    for mix in dict.fromkeys(record.mix for record in records):
        made = [record for record in records if record.mix == mix and record.measure == measure]
        if made and mix in shares:
            real, synthetic, synthetic_source = shares[mix]
            scores.append(
                MixScore(mix, real, synthetic, synthetic_source, tables.cells(made)[0], reported.get(mix, {}).get(measure))
            )
    if len(scores) < 2:
        return None
    title = (
        f"{experiment or task}: {generator} on {dataset}"
        + ("" if prompt_source == "none" else f", prompts from: {prompt_source}")
        + which
    )
    if experiment:
        title = f"{experiment_tables.headroom(measure, records)}; {title}"
    return MixChart(
        title,
        f"{experiment or task} {dataset} {measure}{which}",
        measure,
        generator,
        tuple(scores),
        source if any(score.reported for score in scores) else "",
    )


Shares = dict[str, tuple[float, float, str]]


def _training(task: str, experiment: str) -> tuple[Shares, dict[str, dict[str, float]], str]:
    """Training mix -> shares and what is synthetic, training mix -> what was reported, and by whom; empty for a task that is
    not installed."""
    try:
        cls = plugins.find_installed("tasks", task)
        if cls is None or experiment.endswith(".toml"):  # a record names no file that is read
            return {}, {}, ""
        if not experiment:
            return {mix.name: (mix.real, mix.synthetic, mix.synthetic_source) for mix in cls.mixes}, {}, ""
        folder = cls.experiments if isinstance(cls, ProvidesExperiments) else None
        found = experiment_files.find(experiment, folder, task)
    except (BenchError, AttributeError):
        return {}, {}, ""
    shares: Shares = {one.name: (one.real, one.synthetic, one.synthetic_source) for one in found.arm}
    return shares, {one.name: one.reported for one in found.arm}, found.source
