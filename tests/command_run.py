"""Whole runs through the command line in a process of their own, on a small phantom, which several tests start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.config import METRICS
from bench.results import schema
from bench.results.schema import ResultRecord

SMALL = [
    word
    for o in ("train_slides=8", "validation_slides=2", "test_slides=6", "per_slide=14", "task.steps=4")
    for word in ("-o", o)
]
FAST = [*SMALL, "--encoders", "texture", "--seeds", "0", "--metrics", ",".join(METRICS)]
"""Without the metrics of the task, whose reference segmenters take a minute to train."""


def bench(*words: str, home: Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BENCH_HOME": str(home), **more}
    environment.pop("BENCH_DATA", None) if "BENCH_DATA" not in more else None
    program = [sys.executable, "-c", "from bench.cli import main; main()", *words]
    return subprocess.run(program, capture_output=True, text=True, env=environment, cwd=cwd or home.parent)


def run(*words: str, home: Path, **more: str) -> list[ResultRecord]:
    done = bench("run", "--task", "cam16-seg", "--json", *words, home=home, **more)
    assert done.returncode in (0, 4), done.stderr
    path = home.parent / "lines.jsonl"
    path.write_text(done.stdout)
    return list(schema.read([path]))


CRASHES = """
import numpy as np
from bench.types import Card
class Crashes:
    card = Card("crashes", "1", "A test.")
    def generate(self, conditions, seeds):
        raise RuntimeError("out of generate")
class CannotFit(Crashes):
    card = Card("cannot-fit", "1", "A test.")
    def fit(self, train, seed, progress, work):
        raise RuntimeError("out of memory")
    def save(self, folder): ...
    def load(self, folder): ...
class Wrong:
    card = Card("wrong", "1", "A test.")
    def generate(self, conditions, seeds):
        return np.zeros((len(conditions), 8, 8, 3), np.uint8)
class Slow:
    card = Card("slow", "1", "A test.")
    def generate(self, conditions, seeds):
        import time
        time.sleep(0.4)
        with open("generated.log", "a") as log: log.write("shard\\n")
        return np.stack([np.full((conditions.size, conditions.size, 3), seed % 251, np.uint8) for seed in seeds])
class Where(Slow):
    card = Card("where", "1", "A test.")
    def generate(self, conditions, seeds):
        import os, pathlib
        with pathlib.Path(__file__).with_name("pids.log").open("a") as log: log.write(f"{os.getpid()}\\n")
        return super().generate(conditions, seeds)
"""
"""Generators that fail, and slow ones that log each shard."""
