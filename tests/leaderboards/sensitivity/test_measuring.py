"""`bench sensitivity` measures, by the route of every run: metrics of known sight on a few phantom patches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.results import schema
from tests.small_run import SMALL, bench

METRICS = """
import numpy as np
from bench.types import Card

class Blind:
    card = Card("blind", "1", "Claims to see a stain shift and looks at nothing.", sees=("stain-shift",))
    direction = "lower"
    def minimum_n(self, d):
        return 1
    def compare(self, real, fake, rng):
        return float(0 * real.mean())

class Quiet(Blind):
    card = Card("quiet", "1", "Looks at nothing and claims nothing.")

class Sees(Blind):
    card = Card("sees", "1", "Distance of the means.", sees=("stain-shift", "blur"))
    def compare(self, real, fake, rng):
        return float(np.abs(real.mean(axis=0) - fake.mean(axis=0)).sum())

class Backwards(Sees):
    card = Card("backwards", "1", "Less where the means are farther apart.", sees=("stain-shift",))
    def compare(self, real, fake, rng):
        return -super().compare(real, fake, rng)
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]]]:
    """The folder of a run, and its rows."""
    place = tmp_path_factory.mktemp("sensitivity")
    (place / "mine.py").write_text(METRICS)
    names = ",".join(f"{place}/mine.py:{name}" for name in ("Blind", "Quiet", "Sees", "Backwards"))
    words = ["-t", "cam16-seg", "-e", "stain", "-m", names, "--corruptions", "stain-shift,blur", "--strengths", "blur=2,1"]
    options = ["--workers", "1", "--beside", "noise", "--seeds", "1", "--out", place / "out", *SMALL]
    done = bench("sensitivity", *words, *options, "--json", home=place / "home")
    assert done.exit_code == 0, done.stderr
    (folder,) = (place / "out").iterdir()
    return folder, [json.loads(line) for line in done.stdout.splitlines()]


def test_memorized_patches_are_of_the_training_split_and_not_of_the_test_split(tmp_path: Path) -> None:
    """A copy of a training patch is at no distance from one: none of them is authentic."""
    words = ["-g", "memorized-share:1", "--controls", "unchanged", "-t", "cam16-seg", "-e", "stain", "-m", "authpct"]
    done = bench("run", *words, "--seeds", "0", "--no-downstream", "--json", *SMALL, "--out", tmp_path, home=tmp_path / "home")
    values = {row["generator"]: row["value"] for row in map(json.loads, done.stdout.splitlines())}
    assert values["memorized-share:1.0"] == 0 < values["unchanged"]


def test_a_metric_that_fails_costs_its_own_numbers_and_the_exit_code_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METRICS + "\n    def minimum_n(self, d):\n        raise RuntimeError('no number')\n")
    words = ["-t", "cam16-seg", "-e", "stain", "-m", f"{tmp_path}/mine.py:Backwards,{tmp_path}/mine.py:Sees"]
    options = ["--corruptions", "stain-shift", "--beside", "none", "--workers", "1", "--out", tmp_path / "out", *SMALL]
    done = bench("sensitivity", *words, *options, "--json", home=tmp_path / "home")
    assert done.exit_code == 4
    assert {json.loads(line)["metric"] for line in done.stdout.splitlines()} == {"sees"}


def verdicts(rows: list[dict[str, object]], corruption: str) -> dict[object, tuple[object, object]]:
    return {
        row["metric"]: (row["verdict"], row["flagged"])
        for row in rows
        if row.get("corruption") == corruption and "metric" in row
    }


def test_a_claim_that_does_not_hold_is_flagged_and_silence_is_not(measured: tuple[Path, list[dict[str, object]]]) -> None:
    found = verdicts(measured[1], "stain-shift")
    assert found["blind"] == ("not seen", True)
    assert found["quiet"] == ("not seen", False)
    assert found["sees"] == ("seen", False)
    assert found["backwards"] == ("reversed", True)


def test_an_encoder_that_excludes_a_corruption_takes_the_claim_back(measured: tuple[Path, list[dict[str, object]]]) -> None:
    """The card of `stain` names neither blur nor noise: of what its features do not show a metric need not see anything."""
    assert not verdicts(measured[1], "blur")["sees"][1]


def test_every_strength_is_a_record_of_the_run_with_its_interval(measured: tuple[Path, list[dict[str, object]]]) -> None:
    folder, rows = measured
    records = list(schema.read([folder / "results.jsonl"]))
    generators = {record.generator for record in records}
    assert {"unchanged", "blur:1.0", "blur:2.0", "stain-shift:0.1", "stain-shift:1.5", "noise"} == {*generators} - {
        f"stain-shift:{s}" for s in (0.25, 0.5, 1.0)
    }
    assert all(record.replicates for record in records) and {record.seed for record in records} == {1}
    (row,) = [row for row in rows if (row.get("metric"), row.get("corruption")) == ("sees", "blur")]
    assert [point["strength"] for point in row["points"]] == [0.0, 1.0, 2.0]  # type: ignore[attr-defined]
    assert (folder / "sensitivity.png").stat().st_size > 5000


def test_the_generators_beside_get_an_equivalent(measured: tuple[Path, list[dict[str, object]]]) -> None:
    worth = [row for row in measured[1] if "strength" in row]
    assert {(row["generator"], row["measure"], row["corruption"]) for row in worth} == {("noise", "sees", "stain-shift")}
