"""Result records and a store of small random patches, as runs leave them: what reports are made of in tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.jobs.arrays import write_array
from bench.jobs.store import EntryRef, Store, key_of
from bench.pipeline.sets import save_set
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.types import GREY, Conditions, Images, ImageSet, Prompts
from leaderboards.report import site

SIZE = 32
ENCODERS = ("texture", "stain")


@dataclass(frozen=True)
class Material:
    """Where a report finds records and patches."""

    runs: Path
    store: Store
    test: ImageSet
    train: ImageSet


def material(
    root: Path, generators: Iterable[str], n: int = 12, copies: bool = False, test_ids: Sequence[str] | None = None
) -> Material:
    """A run folder with records of every generator, and a store with its generated sets: random, or with `copies` those of the
    first generator are the real patches themselves. `test_ids`: of the n test patches, where the usual ones will not do."""
    store = Store(root / "home")
    rng = np.random.default_rng(0)
    train, test = patches("train", 2 * n, rng), patches("test", n, rng)
    if test_ids is not None:
        test = replace(test, conditions=replace(test.conditions, ids=np.array(test_ids)))
    for name, part in (("train", train), ("test", test)):
        store.write(EntryRef("data", name), {"split": name}, lambda work, part=part: save_set(part, work))  # type: ignore[misc]
    shown = ImageSet("prompted", test.images, replace(test.conditions, prompts=prompts(n, rng)))
    store.write(EntryRef("prompts", "prompted"), {"patches": "test"}, lambda work: save_set(shown, work))
    records: list[ResultRecord] = []
    for i, name in enumerate(generators):
        generated = test.images if copies and not i else rng.integers(0, 256, test.images.shape, dtype=np.uint8)
        records += measured(name, 1.0 + i, samples(store, name, generated))
    schema.write(records, root / "runs" / "one" / "results.jsonl")
    return Material(root / "runs", store, test, train)


def patches(name: str, n: int, rng: np.random.Generator) -> ImageSet:
    conditions = Conditions(
        ids=np.array([f"{name}-{i:04d}" for i in range(n)]),
        groups=np.array([f"{name}-slide-{i % 4}" for i in range(n)]),
        classes=("normal", "tumour"),
        size=SIZE,
        mpp=0.5,
        masks=rng.integers(0, 2, (n, SIZE, SIZE), dtype=np.uint8),
    )
    return ImageSet(name, rng.integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8), conditions)


def prompts(n: int, rng: np.random.Generator) -> Prompts:
    canvases = np.full((n, 2, SIZE, SIZE, 3), GREY, np.uint8)
    canvases[:, 0, 4:16, 4:16] = rng.integers(0, 256, (n, 12, 12, 3), dtype=np.uint8)
    boxes = np.zeros((n, 2, 4), np.int32)
    boxes[:, 0] = (4, 4, 16, 16)
    return Prompts("slide", canvases, boxes, np.array([["other", ""]] * n))


def samples(store: Store, name: str, images: Images) -> str:
    """Puts a generated set into the store, in two shards as a run would; returns its key."""
    key, half = key_of({"generator": name}), len(images) // 2
    shards = [EntryRef("generated", f"{key}{i}") for i in range(2)]
    for shard, part in zip(shards, (images[:half], images[half:]), strict=True):
        store.write(shard, {}, lambda work, part=part: write_array(work, "images", part, len(part)))  # type: ignore[misc]
    listed = {
        "key": key,
        "shards": [[shard.kind, shard.key] for shard in shards],
        "conditions": {"entry": ["prompts", "prompted"], "key": "prompted", "rows": None},
        "patches": {},
    }
    store.write(EntryRef("samples", key), {}, lambda work: (work / "samples.json").write_text(json.dumps(listed)))
    return key


def record(generator: str, value: float | None, **more: object) -> ResultRecord:
    base = ResultRecord(
        generator=generator,
        dataset="d",
        prompt_source="slide",
        task="cam16-seg",
        measure="fd",
        direction="lower",
        protocol="p1",
        encoder="texture",
        value=value,
        low=None if value is None else value - 0.25,
        high=None if value is None else value + 0.25,
        n=12,
        n_real=12,
        groups=4,
        described={"generator": {"name": generator, "version": "1", "options": {}}},
        keys={"test": "test", "train": "train", "weights": "w"},
        stamp={"made": "2026-01-01T10:00:00+00:00", "histobench": "0.1.0"},
    )
    return replace(base, **more)  # type: ignore[arg-type]


def measured(generator: str, value: float, samples_key: str) -> list[ResultRecord]:
    """Distances over two encoders, raw and normalised, and downstream scores of three training mixes."""
    keys = {"test": "test", "train": "train", "weights": "w", "samples": samples_key}
    found = []
    for number, encoder in enumerate(ENCODERS):
        named = {"encoder": encoder, "keys": keys, "protocol": f"p{number}"}
        found.append(record(generator, value + number, **named))
        found.append(record(generator, value / 30, **{**named, "measure": "fd-normalised", "protocol": f"n{number}"}))
    for place, mix in enumerate(("real", "synthetic", "real+synthetic")):
        scored = {"encoder": "", "mix": mix, "measure": "iou", "direction": "higher", "protocol": f"i{place}"}
        known = {"value": 0.7 + place / 100, "low": 0.65, "high": 0.75, "least": 0.0, "most": 1.0}
        found.append(replace(record(generator, 0.7), **scored, **known))  # type: ignore[arg-type]
    return found


def built(made: Material, out: Path, **more: object) -> tuple[str, list[str]]:
    """The page, and what was logged while it was made."""
    text: list[str] = []
    config = replace(site.ReportConfig((made.runs,), out, patches=3, published=out / "none"), **more)  # type: ignore[arg-type]
    return site.build(config, made.store, log=text.append).read_text(), text
