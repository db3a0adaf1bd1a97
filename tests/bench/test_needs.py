"""A column that a card needs and the data lack is the harness's business, whatever the plug-in would do without it."""

from __future__ import annotations

import json
from pathlib import Path

from bench.templates import write_plugin
from tests.small_run import bench

PLUGINS = """
import numpy as np
from bench.types import Card, Tally

class Layout:
    card = Card("careless", "1", "Samples without asking.", licence="MIT", needs=("masks", "instances"))
    def sample(self, asked, seeds):
        raise AssertionError("it was called")

class Metric:
    card = Card("counts", "1", "Counts without asking.", licence="MIT", needs=("instances",))
    directions = {"counts": "higher"}
    def learn(self, train, validation, seed, progress, folder):
        raise AssertionError("it was called")
    def agree(self, patches, segmenter):
        raise AssertionError("it was called")
    def tally(self, counts):
        return Tally(("n",), counts, {"counts": lambda sums: sums["n"]})
"""


def test_what_the_data_lack_is_refused_or_skipped_before_the_plugin_is_called(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGINS)
    task, data = (write_plugin(word, f"own-{word}", tmp_path) for word in ("task", "dataset"))
    words = ["-g", "noise", "-t", f"{task}:OwnTask", "--dataset", f"{data}:OwnDataset", "--controls", "none", "--seeds", "0"]
    words += ["-e", "stain", "--no-downstream", "--out", str(tmp_path)]
    refused = bench("run", *words, "-m", "fd", "--layout-generator", f"{tmp_path}/mine.py:Layout", home=tmp_path / "home")
    assert refused.exit_code == 2 and "careless needs the condition instances" in refused.stderr
    measured = bench("run", *words, "-m", f"fd,{tmp_path}/mine.py:Metric", "--json", home=tmp_path / "home")
    assert measured.exit_code == 0, measured.stderr
    records = {record["measure"]: record for record in map(json.loads, measured.stdout.splitlines())}
    assert records["fd"]["status"] == "ok" and records["counts"]["status"] == "skipped"
    assert "needs instances, which own-dataset does not provide" in records["counts"]["reason"]
