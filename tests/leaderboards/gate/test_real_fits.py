"""Real, short fits of a diffusion model on phantom tissue: two sets of fits of one method are no regression of the method."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest

from tests.small_run import bench, run

STEPS = "-o generator.steps=60 -o generator.stage_steps=60 -o generator.sample_steps=4".split()
WORDS = (
    "-g ldm-semantic -t cam16-seg --no-downstream --controls none --workers 1 -e texture,stain -m fd,kid --seeds 0,1".split()
)
DATA = "-o dataset.train_slides=6 -o dataset.validation_slides=2 -o dataset.test_slides=12 -o dataset.per_slide=8".split()
POLICY = '[[margin]]\nmeasures = "*"\nabsolute = 0.0\n'


@pytest.mark.slow
def test_the_gate_raises_no_alarm_between_two_sets_of_real_fits_of_one_method(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    sets = [
        run(*WORDS, *DATA, *STEPS, "--fit-seeds", seeds, home=tmp_path / "home", out=tmp_path / seeds)
        for seeds in ("0,1,2", "3,4,5")
    ]
    for before, after in permutations(sets):
        files = "--baseline", before / "results.jsonl", "--candidate", after / "results.jsonl"
        done = bench(
            "gate", *files, "--policy", tmp_path / "policy.toml", "--mode", "same-method", "--json", home=tmp_path / "home"
        )
        found = json.loads(done.output)
        assert done.exit_code in (0, 6) and found["counts"]["regress"] == 0, done.output
        assert found["tested"] >= 4 and all(one["fits"] == [3, 3] for one in found["numbers"])
