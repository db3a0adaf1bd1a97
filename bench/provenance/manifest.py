"""The manifest of a run: what it takes to make the run again, and to hold what comes out against what came out then.

    manifest.json   plan, plug-ins, environment, digests of data, weights, generated sets, features and files, failures, times
    patches.csv     generator, seed, part, id, sha256: one row for each generated patch

Both stand beside `results.jsonl`. The digest of a patch is the sha256 of its pixels, uint8, row by row, RGB: whoever has the
patch as a PNG can check it. The digest of a generated set is that of its rows in `patches.csv`, so that any few of its patches
are checked without the rest. Apart from `times` and the digest of results.jsonl, whose lines are stamped, the same run on
the same machine writes the same manifest.
"""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench import faithfulness, registry, steps
from bench.cache import digest_of, write_text
from bench.config import Components, RunConfig
from bench.errors import DamagedError, MissingError
from bench.generation import GeneratedSets
from bench.layouts import FittedLayoutGenerator
from bench.measuring import Desk
from bench.provenance import environment
from bench.provenance.sources import OURS
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.steps import Fitted, Weights
from bench.types import ImageSet, silent

SCHEMA = 1
NAME = "manifest.json"
LINES = "results.jsonl"
PATCHES = "patches.csv"
FILES = (LINES, PATCHES, "table.txt", "picture.png")
COLUMNS = ("generator", "seed", "part", "id", "sha256")
TEST = "test set"
"""What features of real test patches are of, where others are of a generator."""
Part = Literal["test", "mix"]


@dataclass(frozen=True)
class SampleDigests:
    """The digests of what one generator generated with one seed, for the test conditions or for those of the training mix."""

    generator: str
    """As the command line calls it."""
    seed: int
    part: Part
    key: str
    """Of the entry in the cache of samples."""
    patches: Mapping[str, str]
    """id -> sha256 of the patch, in the order of the conditions."""

    @property
    def digest(self) -> str:
        return root(self.patches)


class RunLog:
    """What a run notes while it goes: seconds of each phase, weights, and a digest of every patch that is generated."""

    def __init__(self) -> None:
        self.begun = _now()
        self.seconds: dict[str, float] = {}
        self.weights: dict[str, dict[str, Any]] = {}
        self.samples: list[tuple[SampleDigests, ImageSet]] = []
        self._phase_start = time.monotonic()

    def end_phase(self, phase: str) -> None:
        """Adds the time since the last lap to the phase that ends here."""
        now = time.monotonic()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._phase_start
        self._phase_start = now

    def fitted(self, fitted: Fitted, layout_generator: FittedLayoutGenerator | None) -> None:
        weights = Weights(fitted.weights, fitted.digest, fitted.origin)
        self.weights[fitted.name] = load_or_train(weights, fitted.generator.card.name)
        if layout_generator is not None:
            self.weights[fitted.layouts] = load_or_train(layout_generator.weights, layout_generator.layouts.card.name)
        self.end_phase("fit")

    def generated(self, name: str, seed: int, samples: GeneratedSets) -> None:
        parts: tuple[tuple[Part, Any], ...] = (("test", samples.test), ("mix", samples.mix))
        for part, made in parts:
            if made is not None:
                self.samples.append((generation(name, seed, part, made.patches), made.patches))
        self.end_phase("flat-colour")


def generation(name: str, seed: int, part: Part, patches: ImageSet) -> SampleDigests:
    return SampleDigests(name, seed, part, patches.key, digests(patches))


def digests(patches: ImageSet) -> dict[str, str]:
    """id -> sha256 of the patch's pixels."""
    return {name: digest_of_patch(patches.images[i]) for i, name in enumerate(patches.conditions.ids.tolist())}


def digest_of_patch(image: np.ndarray[Any, Any]) -> str:
    """sha256 of the bytes of one uint8 (h, w, 3), row by row."""
    return hashlib.sha256(np.ascontiguousarray(image, dtype=np.uint8).data).hexdigest()


def root(patches: Mapping[str, str]) -> str:
    """sha256 over one line `id sha256` for each patch, in order: one digest that stands for all."""
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in patches.items()).encode()).hexdigest()


def load_or_train(weights: Weights, name: str) -> dict[str, Any]:
    """Digest and origin of weights, and the sha256 of each of their files."""
    files = steps.weight_files(weights.folder, name) if weights.folder else []
    held = {file: digest_of(weights.folder / file) for file in files} if weights.folder else {}
    return {"digest": weights.digest, "origin": weights.origin, "files": held}


def write_manifest(run_log: RunLog, desk: Desk, lines: Iterable[ResultRecord], folder: Path) -> None:
    """Writes `patches.csv` and `manifest.json` beside the results that are already there."""
    made, samples = list(lines), [entry for entry, _ in run_log.samples]
    write_text(folder / PATCHES, _csv(samples))
    held = {
        "schema": SCHEMA,
        "config": words(desk),
        "described": described(desk),
        "environment": environment.environment(),
        "data": data(desk),
        "weights": {**run_log.weights, **dict(_segmenters(desk, made))},
        "samples": [_entry(entry) for entry in samples],
        "features": list(_features(desk, run_log, made)),
        "failures": [_failure(line) for line in made if line.status != "ok"],
        "lines": {"count": len(made), "digest": digest_of_lines(made)},
        "files": {name: digest_of(folder / name) for name in FILES if (folder / name).is_file()},
    }
    run_log.end_phase("write")
    seconds = {phase: round(spent, 3) for phase, spent in run_log.seconds.items()}
    held["times"] = {"begun": run_log.begun, "ended": _now(), "seconds": seconds}
    write_text(folder / NAME, json.dumps(held, indent=1) + "\n")


def words(desk: Desk) -> dict[str, Any]:
    """The plan as JSON. The data is named as it was found: what BENCH_DATA was then, it need not be elsewhere."""
    asked = desk.components.config
    folder = "embedded" if desk.components.embedded else str(getattr(desk.components.dataset, "folder", asked.data))
    return {name: plain(value) for name, value in vars(replace(asked, data=folder)).items()}


def planned(held: Mapping[str, Any]) -> RunConfig:
    """The plan of a manifest, with all that it says and no more; raises MissingError on fields that this version lacks."""
    text = dict(held["config"])
    if unknown := sorted(set(text) - {f.name for f in fields(RunConfig)}):
        raise MissingError(f"the manifest's plan says {', '.join(unknown)}, which this version of histobench does not know.")
    text = {name: tuple(value) if isinstance(value, list) else value for name, value in text.items()}
    return RunConfig(**{**text, "weights": Path(text["weights"]) if text.get("weights") else None})


def described(desk: Desk) -> dict[str, Any]:
    """Name, version, options and digest of every plug-in, and the sha256 of its file where it came from outside."""
    components = desk.components
    metrics: list[Any] = [metric for evaluation in components.evaluations for metric in evaluation.metrics]
    metrics += [*components.condition_metrics, *components.layout_metrics]
    return {
        "generators": {
            name: _known(plugin, components) for name, plugin in zip(components.names, components.generators, strict=True)
        },
        "dataset": _known(components.dataset, components),
        "task": _known(components.task, components),
        "encoders": [_known(evaluation.encoder, components) for evaluation in components.evaluations],
        "metrics": list({components.label(metric): _known(metric, components) for metric in metrics}.values()),
        "layouts": _known(components.layouts, components) if components.layouts else None,
        "prompts": {name: plain(value) for name, value in asdict(components.rule).items()},
    }


def data(desk: Desk) -> dict[str, Any]:
    """Keys and sizes of the splits, and what the test set shows: digests of its patches and of each column."""
    test = desk.splits.plain["test"]
    columns = sorted(test.conditions.columns() - {"prompts"})
    return {
        "dataset": desk.components.dataset.card.name,
        "splits": {name: _sized(part) for name, part in desk.splits.plain.items()},
        "mix": {"pool": desk.splits.pool, **_sized(desk.splits.mix)},
        "prompted": desk.splits.prompted["test"].key,
        "test": {
            "images": root(digests(test)),
            "groups": root(dict(zip(test.conditions.ids.tolist(), test.conditions.groups.tolist(), strict=True))),
            **{name: digest_of_array(getattr(test.conditions, name)) for name in columns},
        },
    }


def digest_of_array(values: np.ndarray[Any, Any]) -> str:
    """sha256 of type, shape and bytes of an array."""
    held = np.ascontiguousarray(values)
    return hashlib.sha256(f"{held.dtype.str} {held.shape}\n".encode() + held.tobytes()).hexdigest()


def digest_of_lines(lines: Iterable[ResultRecord]) -> str:
    """sha256 of the lines without their stamps: the same for the same numbers, whenever they were made."""
    return hashlib.sha256("".join(schema.line(replace(line, stamp={})) + "\n" for line in lines).encode()).hexdigest()


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder; raises MissingError where there is none, DamagedError where it is not one of ours."""
    file = folder / NAME
    if not file.is_file():
        raise MissingError(f"no {NAME} in {folder}. Give a folder that bench run wrote, or make the run again.")
    try:
        held = json.loads(file.read_text())
    except ValueError as error:
        raise DamagedError(f"{file} is not JSON: {error}.") from error
    if not isinstance(held, dict) or held.get("schema") != SCHEMA:
        found = held.get("schema") if isinstance(held, dict) else type(held).__name__
        raise DamagedError(f"{file} is not a manifest of schema {SCHEMA}: found {found!r}.")
    needed = ("config", "described", "environment", "data", "weights", "samples", "files")
    if absent := [name for name in needed if name not in held]:
        raise DamagedError(f"{file} lacks {', '.join(absent)}. Make the run again.")
    return held


def read_samples(folder: Path, held: Mapping[str, Any]) -> list[SampleDigests]:
    """The generated sets that the manifest lists, with the digests of their patches from `patches.csv`."""
    rows: dict[tuple[str, int, str], dict[str, str]] = {}
    try:
        with (folder / PATCHES).open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream, strict=True):
                rows.setdefault((row["generator"], int(row["seed"]), row["part"]), {})[row["id"]] = row["sha256"]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DamagedError(f"cannot read {folder / PATCHES}: {error!r}.") from error
    return [
        SampleDigests(e["generator"], e["seed"], e["part"], e["key"], rows.get((e["generator"], e["seed"], e["part"]), {}))
        for e in held["samples"]
    ]


def _features(desk: Desk, run_log: RunLog, lines: list[ResultRecord]) -> Iterator[dict[str, Any]]:
    """The features that some number rests on: they are in the cache, so that nothing is encoded here."""
    used = {(line.encoder, line.keys.get("samples")) for line in lines if line.encoder and line.status == "ok"}
    for evaluation in desk.components.evaluations:
        name = desk.components.label(evaluation.encoder)
        shown = [(e, patches) for e, patches in run_log.samples if e.part == "test" and (name, e.key) in used]
        sets = [(TEST, None, desk.test)] if shown else []
        for of, seed, patches in [*sets, *((entry.generator, entry.seed, patches) for entry, patches in shown)]:
            values = steps.features(evaluation.encoder, patches, desk.cache, silent)
            digest = digest_of_array(values)
            yield {"encoder": name, "of": of, "seed": seed, "shape": list(values.shape), "digest": digest}


def _segmenters(desk: Desk, lines: list[ResultRecord]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The trained encoders that some number rests on: they are in the cache, so that nothing is trained here."""
    used = {line.described.get("metric", {}).get("name") for line in lines if line.status == "ok"}
    for metric in desk.components.condition_metrics:
        if metric.card.name in used:
            folder = faithfulness.segmenter(desk, metric)
            yield metric.card.name, load_or_train(Weights(folder, folder.name, "trained"), metric.card.name)


def _known(plugin: Any, components: Components) -> dict[str, Any]:
    try:
        text = registry.describe(plugin)
    except MissingError:  # weights that are not there: the cells say so
        text = {"name": plugin.card.name, "version": plugin.card.version, "digest": "no weights"}
    if (label := components.label(plugin)) != plugin.card.name:
        text["label"] = label
    module = sys.modules.get(type(plugin).__module__)
    if module is None or module.__name__.partition(".")[0] in OURS or not (file := inspect.getsourcefile(module)):
        return text
    return {**text, "file": digest_of(Path(file))}


def _entry(entry: SampleDigests) -> dict[str, Any]:
    text = {name: getattr(entry, name) for name in ("generator", "seed", "part", "key")}
    return {**text, "patches": len(entry.patches), "digest": entry.digest}


def _failure(line: ResultRecord) -> dict[str, Any]:
    names = ("generator", "measure", "encoder", "mix", "seed", "status", "reason")
    return {name: getattr(line, name) for name in names}


def _sized(patches: ImageSet) -> dict[str, Any]:
    groups = len(set(patches.conditions.groups.tolist()))
    return {"key": patches.key, "patches": len(patches), "slides": groups, "size": patches.conditions.size}


def _csv(samples: Iterable[SampleDigests]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in samples:
        writer.writerows((entry.generator, entry.seed, entry.part, *row) for row in entry.patches.items())
    return out.getvalue()


def plain(value: Any) -> Any:
    """The value as JSON takes it: mappings and tuples of the same, paths as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
