"""What a run has to do before its numbers are there, and how long that takes here by what earlier jobs of the store took.

Every entry of the store keeps the seconds that its job took. A job takes what earlier ones of the same plug-in with the same
options took for each row, else those of the same plug-in. Where none ran before, nothing is known and nothing is claimed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bench.config import Components
from bench.errors import DamagedError, GatedError, MissingError
from bench.files.paths import read_regular
from bench.jobs.entries import MANIFEST, parse
from bench.jobs.graph import Job, pending, with_needs
from bench.jobs.progress import duration
from bench.jobs.store import Store
from bench.measurements.prepared import Prepared
from bench.messages import listed_names
from bench.results.tables import aligned
from bench.runtime.plugin_code import is_interruption
from bench.types import ReportsReadiness

WORDS = {
    "weights": "train generator",
    "first-stage": "train first stage",
    "layouts": "sample layouts",
    "generated": "generate",
    "encoded": "encode",
    "segmenters": "learn from real patches",
    "agreement": "check patches",
    "scores": "train downstream model",
    "measured": "measure",
}
"""Kind of job -> what it does; other kinds take no time worth a line."""
_PLUGINS = ("generator", "plugin", "encoder", "task", "metric", "layout_generator", "layouts")
_LARGEST = 2**53
_MOST = 2000
"""Entries of a kind that are read."""

Rates = Mapping[tuple[str, ...], float]
"""(kind, plug-in) or (kind, plug-in, options) -> seconds for each row."""


@dataclass(frozen=True)
class Work:
    """The jobs of one kind for one plug-in."""

    what: str
    plugin: str
    jobs: int
    """All, finished or not."""
    waiting: int
    """Those that are not in the store yet."""
    images: int
    """That the waiting jobs generate."""
    seconds: float | None
    """Of the waiting jobs, one after the other; None where no earlier job says."""


@dataclass(frozen=True)
class Workload:
    works: tuple[Work, ...]
    absent: tuple[tuple[str, str], ...]
    """Encoders whose weights cannot be used, with the reason: their numbers are skipped, and their jobs are not counted."""
    broken: tuple[tuple[str, str], ...] = ()
    """Plug-ins that cannot be built, with the reason: their numbers are errors."""

    @property
    def waiting(self) -> int:
        return sum(work.waiting for work in self.works)

    @property
    def images(self) -> int:
        return sum(work.images for work in self.works)

    @property
    def seconds(self) -> float:
        """Of the jobs of which something is known."""
        return sum(work.seconds for work in self.works if work.seconds is not None)

    @property
    def unknown(self) -> int:
        """Jobs of which nothing is known."""
        return sum(work.waiting for work in self.works if work.seconds is None)


def workload(prepared: Prepared, store: Store) -> Workload:
    """Everything between the data, which are read already, and the records."""
    absent = tuple(_absent(prepared.components))
    every = with_needs(prepared.targets)
    blocked = _blocked(every, {name for name, _ in absent})
    jobs = [job for job in every if job.kind in WORDS and job not in blocked]
    waiting = set(pending(prepared.targets, store))
    rates = rates_of({job.kind for job in jobs if job in waiting}, store)
    by_plugin: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        by_plugin[job.kind, _plugin(job.spec)[0]].append(job)
    order = list(WORDS)
    works = []
    for (kind, plugin), own in sorted(by_plugin.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        left = [job for job in own if job in waiting]
        images = sum(_rows(job.spec) for job in left) if kind == "generated" else 0
        works.append(Work(WORDS[kind], plugin, len(own), len(left), images, _seconds(left, rates)))
    broken = {plugin.name: plugin.failure.message for plugin in prepared.components.plugins() if plugin.failure is not None}
    return Workload(tuple(works), absent, tuple(broken.items()))


def _blocked(jobs: Iterable[Job], absent: set[str]) -> set[Job]:
    """The jobs that need features of encoders without weights."""
    found: set[Job] = set()
    open_ = list(jobs)
    while True:
        more = {
            job
            for job in open_
            if (isinstance(job.spec.get("encoder"), dict) and job.spec["encoder"].get("name") in absent)
            or not found.isdisjoint(job.needs)
        } - found
        if not more:
            return found
        found |= more


def headline(found: Workload) -> str:
    """One line on what is to do."""
    if not found.waiting:
        return "nothing to do: every number is in the store"
    text = f"to do: {found.waiting} jobs, {found.images} images to generate"
    known = found.waiting - found.unknown
    if not known:
        return f"{text}; no earlier job of these kinds says how long"
    took = f"{duration(found.seconds)} of one process, by earlier jobs in the store"
    return f"{text}; about {took}" + (f", and {found.unknown} jobs of which nothing is known" if found.unknown else "")


def text(found: Workload) -> str:
    """A row for each kind of work and plug-in, what will be skipped, and the sum."""
    rows = [["work", "plug-in", "jobs", "in the store", "images", "time of one process"]]
    for work in found.works:
        time = "–" if not work.waiting else "not known" if work.seconds is None else duration(work.seconds)
        rows.append(
            [work.what, work.plugin or "–", str(work.jobs), str(work.jobs - work.waiting), str(work.images or "–"), time]
        )
    lines = aligned(rows)
    lines += [f"skipped for lack of weights: {name} ({reason})" for name, reason in found.absent]
    lines += [f"error, cannot be used: {name} ({reason})" for name, reason in found.broken]
    return "\n".join([*lines, headline(found)])


def rates_of(kinds: Iterable[str], store: Store) -> Rates:
    """Mean seconds for each row of the jobs of these kinds that the store has."""
    sums: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for kind in kinds:
        for spec, seconds in _took(kind, store):
            name, options = _plugin(spec)
            for key in ((kind, name), (kind, name, options)):
                sums[key][0] += seconds
                sums[key][1] += _rows(spec)
    return {key: seconds / rows for key, (seconds, rows) in sums.items()}


def _took(kind: str, store: Store) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Spec and seconds of entries of a kind; entries of earlier versions, and damaged ones, say nothing."""
    folder = store.root / kind
    for entry in islice(folder.iterdir() if folder.is_dir() else (), _MOST):
        try:
            held = parse(read_regular(entry / MANIFEST))
        except (OSError, ValueError):
            continue
        if held.get("seconds") is not None and isinstance(held["spec"], dict):
            yield held["spec"], float(held["seconds"])


def _seconds(jobs: Iterable[Job], rates: Rates) -> float | None:
    total = 0.0
    for job in jobs:
        name, options = _plugin(job.spec)
        known = [rates[key] for key in ((job.kind, name, options), (job.kind, name)) if key in rates]
        if not known:
            return None
        total += known[0] * _rows(job.spec)
    return total


def _plugin(spec: Mapping[str, Any]) -> tuple[str, str]:
    """Name and options of the plug-in that a job runs; empty where it runs none."""
    found: Mapping[str, Any] = next((spec[kind] for kind in _PLUGINS if isinstance(spec.get(kind), dict)), {})
    return str(found.get("name", "")), json.dumps(found.get("options", {}), sort_keys=True, default=str)


def _rows(spec: Mapping[str, Any]) -> int:
    """Patches of a job; 1 where it is not about rows."""
    match spec.get("rows"):
        case [int(start), int(stop)] if 0 <= start < stop < _LARGEST:
            return stop - start
    return 1


def _absent(components: Components) -> Iterator[tuple[str, str]]:
    for evaluation in components.evaluations:
        if evaluation.encoder.failure is not None:
            continue
        try:
            encoder = evaluation.encoder.build()
            if isinstance(encoder, ReportsReadiness):
                encoder.ready()
        except (MissingError, GatedError, DamagedError) as error:
            yield evaluation.encoder.label, str(error).partition("\n")[0]
        except BaseException as error:
            if is_interruption(error):
                raise
            yield evaluation.encoder.label, listed_names([f"{type(error).__name__}: {error}"])
