"""Plug-ins that break in one way each, and runs with one of them beside plug-ins that work."""

from __future__ import annotations

from pathlib import Path

from bench.results import schema
from tests import small_run

WORKING = """
import os
import sys

import numpy as np

from bench.histology.training_mixes import TRAINING_MIXES
from bench.statistics import Estimate
from bench.types import Card, Tally


class Plain:
    card = Card("own", "1", "A generator that works.")

    def __init__(self, level: int = 100):
        self.level = level

    def generate(self, conditions, seeds):
        return np.random.default_rng(0).integers(0, 255, (len(seeds), conditions.size, conditions.size, 3), np.uint8)


class Encoder:
    card = Card("own", "1", "An encoder that works.")
    dim = 3

    def encode(self, images):
        return images.reshape(len(images), -1, 3).mean(axis=1).astype(np.float32)


class Other(Encoder):
    card = Card("other", "1", "An encoder that works.")


class Metric:
    card = Card("own", "1", "A metric that works.")
    direction = "lower"

    def minimum_n(self, d):
        return 2

    def compare(self, real, fake, rng):
        return float(abs(real.mean() - fake.mean()))


class Kept:
    card = Card("own", "1", "A condition metric that works.")
    directions = {"kept": "higher"}

    def learn(self, train, validation, seed, progress, folder):
        (folder / "segmenter.txt").write_text("learned")

    def agree(self, patches, segmenter):
        return self.tally(np.ones((len(patches), 2)))

    def tally(self, counts):
        return Tally(("kept", "all"), counts, {"kept": lambda sums: sums["kept"] / sums["all"]})


class Task:
    card = Card("own", "1", "A task that works.")
    direction = "higher"
    embedded = "phantom-cam16"
    readers = ("folder",)
    mixes = TRAINING_MIXES

    def score(self, mix, validation, test, seed, progress):
        return self.tally(np.ones((len(test), 2)), test.conditions.classes)

    def tally(self, counts, classes):
        return Tally(("right", "all"), counts, {"right": lambda sums: sums["right"] / sums["all"]})

    def measures(self, classes):
        return ("right",)
"""

Records = dict[tuple[str, ...], schema.ResultRecord]


def measure(broken: Path, *words: str, out: Path, code: int) -> Records:
    """Records by generator, measure, encoder and mix; what is not given works. All runs beside one file have one store."""
    given = dict(zip(words[::2], words[1::2], strict=True))
    defaults = {"-g": "Plain", "-t": "cam16-seg", "-e": "Encoder", "-m": "fd,Metric", "--controls": "real"}
    values = {name: given.get(name, value) for name, value in defaults.items()}
    named = [
        part
        for name, value in values.items()
        for part in (name, ",".join(f"{broken}:{word}" if word[0].isupper() else word for word in value.split(",")))
    ]
    rest = [] if "-t" in given else ["--no-downstream"]
    more = [part for name, value in given.items() if name not in defaults for part in (name, value)]
    done = small_run.bench(
        "run",
        *named,
        *rest,
        *more,
        *small_run.SMALL,
        "--seeds",
        "0",
        "--workers",
        "1",
        "--out",
        out,
        home=broken.parent / "home",
    )
    assert done.exit_code == code, done.stderr
    if code not in (0, 4):
        return {}
    records = list(schema.read([Path(done.stdout.splitlines()[-1]) / "results.jsonl"]))
    found = {(r.generator, r.measure, r.encoder, r.mix): r for r in records}
    assert len(found) == len(records)
    return found
