"""Compares recomputed results with recorded ones: bit-equal, within tolerance for another machine, or neither."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.errors import BenchError
from bench.files.image_files import open_image
from bench.files.names import file_stem
from bench.jobs.arrays import open_array
from bench.jobs.store import DamagedEntry, Store
from bench.pipeline.exporting import find_samples, samples_folder
from bench.pipeline.generation import generated_ref, shard_bounds
from bench.provenance.digests import digest_of_patch
from bench.provenance.manifest import SampleDigests
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.terms import State
from bench.types import Images, ImageSet

PIXELS = 1.0
"""Tolerance of a patch on another machine: its mean absolute difference, of 255."""
NUMBERS = 1e-3
"""Tolerance of a number and its interval bounds on another machine, as a share of the larger one."""

Outcome = Literal["holds", "near", "unknown", "fails", "not-comparable", "not-done"]
EXITS: dict[Outcome, int] = {"not-done": 0, "holds": 0, "near": 0, "unknown": 6, "fails": 4, "not-comparable": 7}
"""Exit code of each outcome, from best to worst."""


@dataclass(frozen=True)
class Check:
    """One check of a run."""

    what: str
    outcome: Outcome
    message: str
    awaits_numbers: bool = False
    """Whether it is `unknown` by how much patches differ that the store holds: numbers measured from them decide."""


def data(then: Mapping[str, Any], now: Mapping[str, Any]) -> Check:
    """Compares keys and digests of the data. The name of the dataset depends on its folder and may differ."""
    then, now = _flat(then), _flat(now)
    wrong = [name for name in {**then, **now} if then.get(name) != now.get(name) and name != "dataset"]
    if not wrong:
        return Check("data", "holds", f"{then.get('splits.test.patches')} test patches, and every split, are those of the run")
    text = "; ".join(f"{name} was {then.get(name)}, is {now.get(name)}" for name in wrong[:4])
    more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    return Check("data", "not-comparable", f"not the data of the run: {text}{more}. Give those with --data DIR.")


def plugins(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Check]:
    """Compares the plug-ins. Other versions or options are not comparable; other content fails."""
    then, now = _named(then), _named(now)
    for name in {**then, **now}:
        one, other = then.get(name, {}), now.get(name, {})
        if _spell(one) != _spell(other):
            text = f"was {_spell(one)}, is {_spell(other)} here"
            yield Check(name, "not-comparable", f"{text}. Install the version that the manifest names.")
        elif any(one.get(part) != other.get(part) for part in ("digest", "class", "source", "file")):
            yield Check(name, "fails", "its content has changed: its digest is not the recorded one")


def patches(
    what: str,
    recorded: SampleDigests,
    generated: ImageSet,
    known: Mapping[str, Images],
    elsewhere: bool,
    stored: Mapping[str, Images] | None = None,
) -> Check:
    """Compares patches generated again with their recorded digests. `known`: recorded patches by id, to measure differences.
    `elsewhere`: on another machine or with other versions, where a difference up to `PIXELS` is allowed. `stored`: the patches
    of the store that numbers are measured from, where they are not the recorded ones."""
    made = dict(zip(generated.conditions.ids.tolist(), generated.images, strict=True))
    found = _compare(what, f"{len(made)} of {len(recorded.patches)} patches generated again", recorded, made, known, elsewhere)
    as_stored = stored is not None and all(
        name not in stored or apart(image, stored[name]) == 0 for name, image in made.items()
    )
    return replace(found, awaits_numbers=found.outcome == "unknown" and as_stored)


def kept_patches(
    what: str,
    recorded: SampleDigests,
    kept: KeptPatches,
    known: Mapping[str, Images],
    elsewhere: bool,
) -> Check:
    """Compares the patches that the store still has with their recorded digests, as `patches` does."""
    if kept.unreadable:
        text = f"{len(kept.unreadable)} cannot be read: {', '.join(kept.unreadable[:3])}"
        return Check(what, "fails", f"in the store, {text}")
    if not kept.changed:
        return Check(what, "holds", f"in the store, all {len(kept.recorded)} as recorded")
    if not elsewhere:
        return Check(what, "fails", f"in the store, {len(kept.changed)} changed: {', '.join(list(kept.changed)[:3])}")
    made = {**kept.recorded, **kept.changed}
    found = _compare(what, f"{len(made)} of {len(recorded.patches)} patches in the store", recorded, made, known, elsewhere)
    return replace(found, awaits_numbers=found.outcome == "unknown")


def decided(check: Check, numbers: Iterable[Check]) -> Check:
    """A check that awaits numbers, with those measured from its patches: near where all of them hold."""
    outcomes = {number.outcome for number in numbers} - {"not-done"}
    if not check.awaits_numbers or not outcomes or not outcomes <= {"holds", "near"}:
        return check
    text = f"{check.message.partition('; ')[0]}; the numbers measured from them differ by at most {NUMBERS:g}"
    return replace(check, outcome="near", message=text, awaits_numbers=False)


def _compare(
    what: str, counted: str, recorded: SampleDigests, made: Mapping[str, Images], known: Mapping[str, Images], elsewhere: bool
) -> Check:
    """Patches by id against their recorded digests."""
    wrong = [name for name, image in made.items() if digest_of_patch(image) != recorded.patches.get(name)]
    if not wrong:
        return Check(what, "holds", f"{counted}, bit-equal")
    text = f"{counted}, {len(wrong)} differ ({', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''})"
    if absent := [name for name in wrong if name not in known]:
        outcome: Outcome = "unknown" if elsewhere else "fails"
        return Check(what, outcome, f"{text}; by how much cannot be determined without the recorded patches of {len(absent)}")
    far = max(apart(made[name], known[name]) for name in wrong)
    text += f" by at most {far:.3g} of 255 on average"
    if not elsewhere:
        return Check(what, "fails", f"{text}; on the same machine and versions they are bit-equal")
    return Check(what, "near" if far <= PIXELS else "fails", f"{text}; {PIXELS:g} is allowed elsewhere")


def apart(one: Images, other: Images) -> float:
    """Mean absolute difference of two patches, of 255; infinite if their sizes differ."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


@dataclass(frozen=True)
class KeptPatches:
    """What the store still has of a generated set. Patches of missing shards are in none."""

    recorded: dict[str, Images] = field(default_factory=dict)
    """Those with the recorded digest."""
    changed: dict[str, Images] = field(default_factory=dict)
    """Those with another one."""
    unreadable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.recorded or self.changed or self.unreadable)


def kept(store: Store, recorded: SampleDigests) -> KeptPatches:
    """Reads the patches of a set that are still in the store."""
    listing = find_samples(recorded.key, store)
    if listing is None:
        return KeptPatches()
    good: dict[str, Images] = {}
    changed: dict[str, Images] = {}
    unreadable: list[str] = []
    try:
        listed = store.read_json(listing, "samples.json")
        ids, shards = list(listed["patches"]), generated_ref(listed).shards
        parts = list(zip(shards, shard_bounds(len(ids)), strict=True))
    except (DamagedEntry, ValueError, KeyError, TypeError):
        return KeptPatches(unreadable=tuple(recorded.patches))
    for shard, (start, stop) in parts:
        if not store.has(shard):
            continue
        try:
            images = dict(zip(ids[start:stop], np.asarray(open_array(store, shard, "images")), strict=True))
        except (DamagedEntry, ValueError, KeyError):
            images = {}
        for name, image in images.items():
            (good if digest_of_patch(image) == recorded.patches.get(name) else changed)[name] = image
        unreadable += [name for name in ids[start:stop] if name not in images]
    unreadable += [name for name in recorded.patches if name not in ids]
    return KeptPatches(good, changed, tuple(unreadable))


def exported(folder: Path, label: str, recorded: SampleDigests) -> dict[str, Images]:
    """The recorded patches among those that `bench export samples` wrote; only those with the recorded digest."""
    from PIL import Image

    found = {}
    for name, digest in recorded.patches.items():
        file = samples_folder(folder, label, recorded.seed) / "samples" / f"{file_stem(name)}.png"
        if file.is_file():
            try:
                with open_image(file) as picture:
                    image = np.asarray(picture.convert("RGB"))
            except (BenchError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                continue  # it is not the recorded patch
            if digest_of_patch(image) == digest:
                found[name] = image
    return found


Identity = tuple[Any, ...]


def identity(record: ResultRecord) -> Identity:
    """What distinguishes two records of one run."""
    return (*made_by(record), record.prompt_source, record.measure, record.encoder, record.mix)


def made_by(record: ResultRecord) -> Identity:
    """Generator, seed and fit behind a record."""
    return (record.generator, record.seed, record.fit.get("seed", ""))


def name_of(record: ResultRecord) -> str:
    """The name of the record in messages."""
    fit = f"fit {record.fit['seed']}" if "seed" in record.fit else ""
    return " ".join(filter(None, (record.generator, record.measure, record.encoder or record.mix, f"seed {record.seed}", fit)))


def number(recorded: ResultRecord, made: ResultRecord, elsewhere: bool) -> Check:
    """Compares a recomputed record with the recorded one in all fields except stamp, state and the text of the reason."""
    if not recorded.fit:  # of an earlier version, which did not record it
        made = replace(made, fit={}, keys={name: key for name, key in made.keys.items() if name != "method"})
    if _describe(recorded) == _describe(made):
        return Check(name_of(recorded), "holds", "bit-equal")
    if differing := [name for name, value in _describe(recorded, True).items() if _describe(made, True)[name] != value]:
        return Check(name_of(recorded), "fails", f"differs in {', '.join(differing)}")
    far = max((_share(a, b) for a, b in zip(_numbers(recorded), _numbers(made), strict=True)), default=0.0)
    text = f"{recorded.value!r} recorded, {made.value!r} now: differs by {far:.2g} of the larger, interval included"
    if not elsewhere:
        return Check(name_of(recorded), "fails", f"{text}; on the same machine and versions they are bit-equal")
    return Check(name_of(recorded), "near" if far <= NUMBERS else "fails", f"{text}; {NUMBERS:g} is allowed elsewhere")


def _describe(record: ResultRecord, without_numbers: bool = False) -> dict[str, Any]:
    """A record as JSON; the dataset is identified by keys and digests, since its folder may have moved."""
    described = {name: value for name, value in record.described.items() if name != "dataset"}
    fit = {name: value for name, value in record.fit.items() if name != "weights"}  # checked on their own
    record = replace(record, stamp={}, state=State.MEASURED, reason="", dataset="", described=described, fit=fit)
    if without_numbers:
        shape = (record.value is None, record.low is None, record.high is None, len(record.replicates))
        record = replace(
            record,
            value=None,
            low=None,
            high=None,
            replicates=(),
            reason=f"has a number, an interval, jackknife replicates: {shape}",
        )
    fields: dict[str, Any] = json.loads(schema.to_json(record))
    return fields


def _numbers(record: ResultRecord) -> list[float]:
    return [value for value in (record.value, record.low, record.high, *record.replicates) if value is not None]


def _share(one: float, other: float) -> float:
    larger = max(abs(one), abs(other))
    return abs(one - other) / larger if larger else 0.0


def _named(text: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every described plug-in except the dataset, by its name in messages."""
    named = {f"{kind[:-1]} {name}": entry for kind in ("generators", "encoders") for name, entry in text[kind].items()}
    metrics = {f"metric {entry['name']}": entry for entry in text["metrics"]}
    single = {kind.replace("_", " "): text[kind] for kind in ("task", "layout_generator") if text.get(kind)}
    return {**named, **metrics, **single, "prompts": {"name": "prompts", "options": text["prompts"]}}


def _spell(text: Mapping[str, Any]) -> str:
    """Name, version and options, without paths, whose content has a digest."""
    options = {name: value for name, value in text.get("options", {}).items() if "/" not in str(value)}
    return " ".join(map(str, filter(None, (text.get("name", "absent"), text.get("version"), options))))


def _flat(held: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in held.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
