"""Phantom patches, copies of them that are known to be copies, and a small run of a metric of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.types import Images, ImageSet
from benchmarks.copies import WAYS
from tasks.datasets.phantom.dataset import PhantomCam16
from tests.small_run import run


def splits(train_slides: int, validation_slides: int, test_slides: int) -> tuple[ImageSet, ImageSet, ImageSet]:
    """Sets of 10 patches of 64 px of each slide."""
    phantom = PhantomCam16(
        train_slides=train_slides, validation_slides=validation_slides, test_slides=test_slides, per_slide=10
    )
    train, validation, test = map(phantom.split, ("train", "validation", "test"))
    return train, validation, test


def mirror(images: Images) -> Images:
    return np.ascontiguousarray(images[:, :, ::-1])


NEAR = {**WAYS, "mirror": mirror}
"""Name -> what is done to a copy."""


def small_records(generator: str, metrics: str, controls: str, place: Path, *more: str) -> dict[tuple[str, str], Any]:
    """(generator, measure) -> the record of a run with 30 test patches of 6 slides."""
    words = ["-g", generator, "-t", "cam16-seg", "-m", metrics, "--controls", controls, "--seeds", "0", "-e", "stain", *more]
    words += ["--no-downstream", "--workers", "1"]
    size = {"train_slides": 6, "validation_slides": 4, "test_slides": 6, "per_slide": 5}
    words += [word for name, value in size.items() for word in ("-o", f"dataset.{name}={value}")]
    folder = run(*words, home=place / "home", out=place / "out")
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    return {(record["generator"], record["measure"]): record for record in records}
