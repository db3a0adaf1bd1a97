"""The manifest of a run: everything that is needed to run it again and to compare the results.

    manifest.json   config, plug-ins, environment, digests of data, weights, generated patches, features and files, failures,
                    times
    patches.csv     generator, seed, part, id, sha256: one row for each generated patch

Both are beside `results.jsonl`. The digest of a patch is the sha256 of its pixels, uint8, row by row, RGB, so that it can be
checked from a PNG. The digest of a set of patches is that of its rows in `patches.csv`, so that a few of its patches can be
checked without the rest. The same run on the same machine writes the same manifest, except for `times` and the digest of
results.jsonl, whose records have time stamps.
"""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bench import registry
from bench.config import EVERY_METRIC, Components, RunConfig
from bench.errors import DamagedError, MissingError
from bench.files import json_files
from bench.files.csv_files import read_cell_text, write_cell_text
from bench.files.regular import is_there, read_text
from bench.files.text import write_text
from bench.jobs.graph import Job, with_needs
from bench.jobs.outcomes import Failed, Outcome
from bench.jobs.store import EntryRef, Store
from bench.measurements.distributions import DistributionMeasurement
from bench.measurements.prepared import Prepared, Times
from bench.pipeline.data import DataSplits, Patches
from bench.pipeline.plugins import Plugin, refuse_plugin_files
from bench.pipeline.training import Weights, weight_files
from bench.provenance import environment, manifest_schema
from bench.provenance.digests import digest_of, root_digest
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.terms import Status
from bench.runtime.import_guard import OUR_PACKAGES

SCHEMA = 2
NAME = "manifest.json"
RECORDS = "results.jsonl"
PATCHES = "patches.csv"
FILES = (RECORDS, PATCHES, "table.txt", "picture.png")
EXACT = ("data", "samples", "weight-files")
"""Kinds of entries that hold no computed floats."""
COLUMNS = ("generator", "seed", "part", "id", "sha256")
Part = Literal["test", "pool"]


@dataclass(frozen=True)
class SampleDigests:
    """Digests of the patches of one generator and seed, for the test conditions or for those of downstream models."""

    generator: str
    """Its name on the command line, with the fit if there are several: `ldm-prompt (fit 1)`."""
    seed: int
    part: Part
    key: str
    """Of the set of generated patches."""
    patches: Mapping[str, str]
    """id -> sha256 of the patch, in the order of the conditions."""

    @property
    def digest(self) -> str:
        return root_digest(self.patches)


def write_manifest(
    prepared: Prepared,
    outcomes: Mapping[EntryRef, Outcome],
    records: Iterable[ResultRecord],
    times: Times,
    store: Store,
    folder: Path,
) -> None:
    """Writes `patches.csv` and `manifest.json` beside the records that are already there."""
    made, samples = list(records), list(samples_of(prepared, store))
    write_text(folder / PATCHES, _csv(samples))
    held = {
        "schema": SCHEMA,
        "config": prepared.components.config_as_json(),
        "described": describe(prepared.components),
        "environment": environment.environment(threads_of(store, (job.ref for job in with_needs(prepared.targets)))),
        "data": describe_data(prepared.components, prepared.splits, store),
        "weights": describe_weights(prepared, store),
        "samples": [_entry(entry) for entry in samples],
        "features": list(_features(prepared, outcomes, store)),
        "failures": [_failure(record) for record in made if record.status != Status.OK],
        "records": {"count": len(made), "digest": digest_of_records(made)},
        "files": {name: digest_of(folder / name) for name in FILES if (folder / name).is_file()},
        "times": {
            "begun": times.begun.isoformat(timespec="seconds"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": {phase: round(spent, 3) for phase, spent in times.with_phase("write").seconds.items()},
        },
    }
    write_text(folder / NAME, json.dumps(held, indent=1) + "\n")


def threads_of(store: Store, refs: Iterable[EntryRef]) -> set[int]:
    """The numbers of threads with which those of the entries were made that are there and hold computed floats."""
    found = (store.threads(ref) for ref in refs if ref.kind not in EXACT and store.has(ref))
    return {count for count in found if count is not None}


def config_of(held: Mapping[str, Any], allowed: Iterable[Path] = ()) -> RunConfig:
    """The config of a manifest. Raises MissingError on fields that this version lacks, and UsageError if it names a plug-in
    file that is not among the allowed ones: a manifest may come from anywhere. Where no metrics were named, or all, they are
    those that were measured then, whatever the defaults are now."""
    refuse_plugin_files(held["config"], NAME, allowed)
    config = RunConfig.from_json(held["config"])
    if config.experiment or (config.metrics is not None and EVERY_METRIC not in config.metrics):
        return config
    of_layouts = registry.expand("metrics", ("layout",))
    measured = (entry["name"] for entry in held["described"]["metrics"])
    return replace(config, metrics=tuple(name for name in measured if name not in of_layouts))


def describe(components: Components) -> dict[str, Any]:
    """Name, version, options and digest of every plug-in, and the sha256 of its file where it came from outside."""
    metrics = [metric for evaluation in components.evaluations for metric in evaluation.metrics]
    metrics += [*components.condition_metrics, *components.sweep_metrics, *components.layout_metrics]
    layouts = components.layout_generator
    return {
        "generators": {plugin.name: _describe(plugin) for plugin in components.generator_plugins},
        "dataset": _describe(components.dataset_plugin),
        "task": _describe(components.task_plugin),
        "encoders": {evaluation.encoder.label: _describe(evaluation.encoder) for evaluation in components.evaluations},
        "metrics": list({metric.label: _describe(metric) for metric in metrics}.values()),
        "layout_generator": _describe(layouts) if layouts else None,
        "prompts": {name: _plain(value) for name, value in components.rule.described().items()},
    }


def describe_data(components: Components, splits: DataSplits, store: Store) -> dict[str, Any]:
    """Keys and sizes of the splits, and digests of the test patches and of each column."""
    return {
        "dataset": components.dataset.card.name,
        "splits": {name: _size(part) for name, part in splits.plain.items()},
        "pool": {"split": splits.pool_name, **_size(splits.training)},
        "prompted": splits.prompted["test"].key,
        "test": store.read_json(splits.test.job.ref, "digests.json"),
    }


def describe_weights(prepared: Prepared, store: Store) -> dict[str, Any]:
    """Digest and origin of all weights that the run used, and the sha256 of each of their files."""
    found = {name: describe_weight_files(plugin, weights, store) for name, plugin, weights in prepared.plan.weights}
    for metric, job in _segmenters(prepared):
        if store.has(job.ref):
            files = dict(sorted(store.digests(job.ref).items()))
            found[metric] = {"digest": job.ref.key, "origin": "trained", "files": files}
    return found


def describe_weight_files(plugin: Plugin, weights: Weights, store: Store) -> dict[str, Any]:
    if weights.ref.entry is not None:
        files = weights.files(store)
    elif weights.ref.folder is not None:
        folder = weights.ref.folder
        files = {name: digest_of(folder / name) for name in weight_files(folder, plugin.build().card.name)}
    else:
        files = {}
    return {"digest": weights.digest(store), "origin": weights.origin, "files": files}


def samples_of(prepared: Prepared, store: Store) -> Iterator[SampleDigests]:
    """The generated sets that are complete."""
    for made in prepared.plan.generated:
        parts: tuple[tuple[Part, Any], ...] = (("test", made.test), ("pool", made.pool))
        for part, generated in parts:
            if generated is not None and store.has(generated.job.ref):
                patches = store.read_json(generated.job.ref, "samples.json")["patches"]
                yield SampleDigests(made.name, made.seed, part, generated.key, patches)


def digest_of_records(records: Iterable[ResultRecord]) -> str:
    """sha256 of the records without their stamps: independent of the time of the run."""
    lines = "".join(schema.to_json(replace(record, stamp={})) + "\n" for record in records)
    return hashlib.sha256(lines.encode()).hexdigest()


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder; raises MissingError where there is none, DamagedError where it is not one of ours."""
    file = folder / NAME
    if not is_there(file):
        raise MissingError(f"no {NAME} in {folder}. Give a folder that bench run wrote, or make the run again.")
    held = json_files.read_object(file, "manifest")
    if held.get("schema") != SCHEMA:
        raise DamagedError(
            f"{file} is not a manifest of schema {SCHEMA}: found {held.get('schema')!a:.60}. Make the run again."
        )
    needed = ("config", "described", "environment", "data", "weights", "samples", "files")
    if absent := [name for name in needed if name not in held]:
        raise DamagedError(f"{file} lacks {', '.join(absent)}. Make the run again.")
    if fault := manifest_schema.find_fault(held):
        raise DamagedError(f"{file} is damaged: {fault}. Make the run again.")
    return held


def read_samples(folder: Path, held: Mapping[str, Any]) -> list[SampleDigests]:
    """The generated sets that the manifest lists, with the digests of their patches from `patches.csv`."""
    rows: dict[tuple[str, int, str], dict[str, str]] = {}
    text = read_text(folder / PATCHES, "list of patches")
    try:
        for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
            made_by = (read_cell_text(row["generator"]), int(row["seed"]), row["part"])
            rows.setdefault(made_by, {})[read_cell_text(row["id"])] = row["sha256"]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise DamagedError(f"cannot read {folder / PATCHES}: {error!r:.200}.") from error
    return [
        SampleDigests(e["generator"], e["seed"], e["part"], e["key"], rows.get((e["generator"], e["seed"], e["part"]), {}))
        for e in held["samples"]
    ]


def _segmenters(prepared: Prepared) -> Iterator[tuple[str, Job]]:
    """Condition metric and the job that trains its reference segmenter."""
    from bench.measurements.conditions import segmenter_job

    for metric in prepared.components.condition_metrics:
        try:
            job = segmenter_job(metric, prepared.splits)
        except MissingError:  # missing weights: its records give the reason
            continue
        yield metric.name, job


def _features(prepared: Prepared, outcomes: Mapping[EntryRef, Outcome], store: Store) -> Iterator[dict[str, Any]]:
    """Shape and digest of the features that numbers were computed from."""
    seen: set[EntryRef] = set()
    for measurement, job in zip(prepared.plan.measurements, prepared.jobs, strict=True):
        if not isinstance(measurement, DistributionMeasurement) or isinstance(outcomes[job.ref], Failed):
            continue
        for features in measurement.needs:
            if features.kind == "features" and features.ref not in seen and store.has(features.ref):
                seen.add(features.ref)
                listed = store.read_json(features.ref, "features.json")
                yield {"encoder": measurement.record.encoder, "images": features.spec["images"], **listed}


def _describe(plugin: Plugin) -> dict[str, Any]:
    built = plugin.build()
    try:
        found = registry.describe(built)
    except MissingError:  # missing weights: the records give the reason
        found = {"name": built.card.name, "version": built.card.version, "digest": "no weights"}
    module = sys.modules.get(type(built).__module__)
    if module is None or module.__name__.partition(".")[0] in OUR_PACKAGES or not (file := inspect.getsourcefile(module)):
        return found
    return {**found, "source": digest_of(Path(file))}


def _entry(entry: SampleDigests) -> dict[str, Any]:
    found = {name: getattr(entry, name) for name in ("generator", "seed", "part", "key")}
    return {**found, "patches": len(entry.patches), "digest": entry.digest}


def _failure(record: ResultRecord) -> dict[str, Any]:
    names = ("generator", "measure", "encoder", "mix", "seed", "status", "reason")
    return {name: getattr(record, name) for name in names}


def _size(patches: Patches) -> dict[str, Any]:
    groups = len(set(patches.conditions.groups.tolist()))
    return {"key": patches.key, "patches": len(patches), "slides": groups, "size": patches.conditions.size}


def _csv(samples: Iterable[SampleDigests]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in samples:
        head = (write_cell_text(entry.generator), entry.seed, entry.part)
        writer.writerows((*head, write_cell_text(name), digest) for name, digest in entry.patches.items())
    return out.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value
