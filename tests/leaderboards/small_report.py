"""Result lines and a cache of small random patches, as runs leave them: what reports are made of in tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.jobs.store import key_of
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.store import save_set
from bench.types import GREY, Conditions, Images, ImageSet, Prompts

SIZE = 32
ENCODERS = ("texture", "stain")


@dataclass(frozen=True)
class Material:
    """Where a report finds lines and patches."""

    runs: Path
    cache: Cache
    test: ImageSet
    train: ImageSet


def material(root: Path, generators: Iterable[str], n: int = 12, copies: bool = False) -> Material:
    """A run folder with lines of every generator, and a cache with its generated sets: random, or with `copies` those of the first
    generator are the real patches themselves."""
    cache = Cache(root / "home")
    rng = np.random.default_rng(0)
    train, test = patches("train", 2 * n, rng), patches("test", n, rng)
    for name, part in (("train", train), ("test", test)):
        cache.entry("data", {"dataset": {"name": "d"}, "split": name}, lambda work, part=part: save_set(part, work))  # type: ignore[misc]
    shown = ImageSet("prompted", test.images, replace(test.conditions, prompts=prompts(n, rng)))
    cache.entry("prompts", {"patches": "test", "rule": "slide"}, lambda work: save_set(shown, work))
    lines: list[ResultRecord] = []
    for i, name in enumerate(generators):
        generated = test.images if copies and not i else rng.integers(0, 256, test.images.shape, dtype=np.uint8)
        lines += measured(name, 1.0 + i, samples(cache, name, generated, test.conditions))
    schema.write(lines, root / "runs" / "one" / "results.jsonl")
    return Material(root / "runs", cache, test, train)


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


def samples(cache: Cache, name: str, images: Images, conditions: Conditions) -> str:
    """Puts generated sets into the cache, as `bench.steps.sample` does; returns their key."""
    spec = {"generator": {"name": name}, "weights": "", "conditions": "prompted", "seed": 0}

    def make(work: Path) -> None:
        np.save(work / "ids.npy", conditions.ids)
        np.save(work / "images.npy", images)

    cache.entry("samples", spec, make)
    return key_of(spec)


def line(generator: str, value: float | None, **more: object) -> ResultRecord:
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
        found.append(line(generator, value + number, **named))
        found.append(line(generator, value / 30, **{**named, "measure": "fd-normalised", "protocol": f"n{number}"}))
    for place, mix in enumerate(("real", "synthetic", "real+synthetic")):
        scored = {"encoder": "", "mix": mix, "measure": "iou", "direction": "higher", "protocol": f"i{place}"}
        known = {"value": 0.7 + place / 100, "low": 0.65, "high": 0.75, "least": 0.0, "most": 1.0}
        found.append(replace(line(generator, 0.7), **scored, **known))  # type: ignore[arg-type]
    return found
