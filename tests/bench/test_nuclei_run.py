"""The nuclei half of the suite end to end, in the smallest setting: nasdm, its masks, HoVer-Net, faithfulness, pools."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.jobs.choosing import choose_executor
from bench.jobs.dask_executor import Dask
from bench.jobs.executors import Serial
from bench.results import schema
from bench.results.schema import ResultRecord
from tests.command_run import bench

OPTIONS = (
    "dataset.train_slides=6",
    "dataset.validation_slides=2",
    "dataset.test_slides=6",
    "dataset.pool_slides=2",
    "dataset.per_slide=6",
    "generator.steps=3",
    "generator.tuning_steps=1",
    "generator.sample_steps=2",
    "task.steps=6",
    "metric.steps=8",
)
SMALL = [word for option in OPTIONS for word in ("-o", option)]
QUICK = [*SMALL, "-e", "random-conv", "--seeds", "0", "--controls", "shuffle"]


def run(*words: str, home: Path) -> list[ResultRecord]:
    done = bench("run", "-t", "lizard-nuclei", "--json", *words, home=home)
    assert done.returncode in (0, 4), done.stderr
    path = home.parent / "lines.jsonl"
    path.write_text(done.stdout)
    return list(schema.read([path]))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nuclei") / "home"


@pytest.fixture(scope="module")
def generated(home: Path) -> list[ResultRecord]:
    return run("-g", "nasdm", *QUICK, home=home)


def test_scores_faithfulness_and_distances_are_all_there(generated: list[ResultRecord]) -> None:
    found = {(r.generator, r.measure, r.encoder, r.mix) for r in generated}
    for mix in ("real", "synthetic", "real+synthetic"):
        assert {
            ("nasdm", m, "", mix) for m in ("dice", "miou", "pq-pooled", "aji-pooled", "aji+-pooled", "pq", "aji")
        } <= found
    for generator in ("nasdm", "shuffle"):
        assert {
            (generator, m, "", "") for m in ("nuclei-kept", "nuclei-kept-of-real", "nuclei-missed", "nuclei-shift")
        } <= found
        assert (generator, "fd", "random-conv", "") in found
    assert not any(r.status == "error" for r in generated), [r.reason for r in generated if r.status == "error"]


def test_directions_are_those_of_each_question(generated: list[ResultRecord]) -> None:
    directions = {r.measure: r.direction for r in generated}
    assert directions["nuclei-kept"] == directions["nuclei-kept-of-real"] == directions["dice"] == "higher"
    assert directions["nuclei-missed"] == directions["nuclei-shift-of-real"] == "lower"


def test_mixes_are_made_of_the_pool(home: Path) -> None:
    done = bench("run", "-g", "nasdm", "-t", "lizard-nuclei", *QUICK, home=home)
    assert "downstream models learn from 12 patches of R2" in done.stderr


def test_sampled_layouts_have_rows_and_measures_of_their_own(generated: list[ResultRecord], home: Path) -> None:
    drawn = run("-g", "nasdm", "--layout-generator", "random-discs", "--no-downstream", *QUICK, home=home)
    assert {r.generator for r in drawn} == {"nasdm + random-discs", "shuffle"}
    layouts = {r.measure: r for r in drawn if r.measure.startswith("layout-")}
    assert {"layout-areas", "layout-counts", "layout-mix", "layout-obeyed"} <= set(layouts)
    assert all(r.generator == "nasdm + random-discs" and r.value is not None for r in layouts.values())
    before = next(r for r in generated if r.generator == "nasdm" and r.measure == "nuclei-missed")
    after = next(r for r in drawn if r.generator == "nasdm + random-discs" and r.measure == "nuclei-missed")
    assert before.keys["samples"] != after.keys["samples"] and before.value != after.value
    assert after.described["layouts"]["name"] == "random-discs"


def test_other_layouts_are_other_rows(home: Path) -> None:
    copied = run("-g", "nasdm", "--layout-generator", "copy-masks", "--no-downstream", *QUICK, home=home)
    assert "nasdm + copy-masks" in {r.generator for r in copied}


def test_a_folder_that_no_reader_knows_is_refused_with_their_names(home: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    done = bench("run", "-g", "nasdm", "-t", "lizard-nuclei", "--data", str(tmp_path), home=home)
    assert done.returncode == 3 and "lizard, conic, nuclei-folder" in done.stderr


def test_unknown_layouts_are_refused(home: Path) -> None:
    done = bench("run", "-g", "nasdm", "-t", "lizard-nuclei", "--layout-generator", "nasdm-mask", home=home)
    assert done.returncode == 2 and "Did you mean 'nasdm-masks'" in done.stderr


def test_layouts_are_fitted_and_delivered_by_the_same_command(home: Path, tmp_path: Path) -> None:
    small = [word for option in OPTIONS[:5] for word in ("-o", option)]
    words = ("fit", "--layout-generator", "copy-masks", "-t", "lizard-nuclei", *small, "--out", str(tmp_path))
    done = bench(*words, home=home)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy-masks.manifest.json").is_file() and (tmp_path / "masks.npy").is_file()
    for wrong in ((), ("-g", "nasdm", "--layout-generator", "copy-masks")):
        refused = bench("fit", *wrong, "-t", "lizard-nuclei", "--out", str(tmp_path), home=home)
        assert refused.returncode == 2 and "one of the two" in refused.stderr


@pytest.mark.slow
def test_workers_make_what_the_run_asks_for_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = ["-g", "flat-colour", *[w for o in OPTIONS if not o.startswith("generator") for w in ("-o", o)]]
    words += ["-e", "random-conv", "-m", "fd,nuclei-faithfulness", "--seeds", "0", "--controls", "none"]
    shared = run(*words, "--workers", "2", home=home)
    (tmp_path / "alone").mkdir()
    alone = run(*words, "--workers", "1", home=tmp_path / "alone" / "home")  # a store of its own: nothing is found there
    made, again = (
        {entry.parent.relative_to(root) for entry in root.rglob("entry.json")} for root in (home, tmp_path / "alone" / "home")
    )
    assert made == again
    assert [(r.measure, r.mix, r.value) for r in alone] == [(r.measure, r.mix, r.value) for r in shared]
    assert len(list(home.glob("scores/*/entry.json"))) == 3 and len(list(home.glob("segmenters/*/entry.json"))) == 1


@pytest.mark.slow
def test_what_fails_in_a_worker_is_reported_by_the_run(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from bench.types import Card\n"
        "class Broken:\n"
        "    card = Card('broken', '1', 'Cannot.')\n"
        "    def generate(self, conditions, seeds):\n"
        "        raise ValueError('no generate left')\n"
    )
    words = [w for o in OPTIONS if not o.startswith("generator") for w in ("-o", o)]
    words += ["-e", "random-conv", "-m", "fd,nuclei-faithfulness", "--seeds", "0", "--controls", "none", "--workers", "2"]
    lines = run("-g", f"{broken}:Broken", *words, home=tmp_path / "home")
    lost = [r for r in lines if r.mix != "real" and r.status == "error"]
    assert all("no generate left" in r.reason for r in lost)
    assert {"fd", "nuclei-kept", "nuclei-missed-of-real", "dice"} <= {r.measure for r in lost}


def test_few_jobs_are_not_worth_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.jobs.choosing.cores", lambda: 16)
    monkeypatch.setattr("bench.jobs.choosing.may_have_gpu", lambda: False)
    assert choose_executor(0, "", 10) == Serial()
    many = choose_executor(0, "", 5000)
    assert isinstance(many, Dask) and many.workers == 4
    asked = choose_executor(2, "", 10)
    assert isinstance(asked, Dask) and asked.workers == 2
    assert choose_executor(1, "", 5000) == Serial()
    monkeypatch.setattr("bench.jobs.choosing.may_have_gpu", lambda: True)
    monkeypatch.setattr("bench.jobs.local_cluster.devices_of", lambda _: ("0",))
    assert choose_executor(0, "", 5000) == Serial(), "several processes would only share one GPU"


FAULTY = """
import numpy as np
from bench.types import Card
from generators.layout_controls import CopyMasks, RandomDiscs
class Crashes:
    card = Card("crashes", "1", "A test.")
    def generate(self, conditions, seeds):
        raise RuntimeError("no image")
class CannotFit(Crashes):
    card = Card("cannot-fit", "1", "A test.", needs=("masks", "prompts"))
    def fit(self, train, seed, progress, work):
        raise RuntimeError("no weights")
    def save(self, folder): ...
    def load(self, folder): ...
class NoLayout(RandomDiscs):
    card = Card("no-layout", "1", "A test.")
    def sample(self, asked, seeds):
        raise RuntimeError("no layout")
class NoLayoutFit(CopyMasks):
    card = Card("no-layout-fit", "1", "A test.")
    def fit(self, train, seed, progress, work):
        raise RuntimeError("no layout weights")
"""
UNFITTED = [word for option in OPTIONS if not option.startswith("generator") for word in ("-o", option)]
ALONE = [*UNFITTED, "-e", "random-conv", "--seeds", "0,1", "--controls", "none"]


@pytest.fixture(scope="module")
def faulty(home: Path) -> Path:
    path = home.parent / "faulty.py"
    path.write_text(FAULTY)
    return path


@pytest.fixture(scope="module")
def sound(home: Path) -> list[ResultRecord]:
    return run("-g", "flat-colour", "--layout-generator", "random-discs", *ALONE, home=home)


@pytest.mark.parametrize(
    ("generator", "layouts", "shown", "reason"),
    [
        ("{}:Crashes", "random-discs", "crashes + random-discs", "no image"),
        pytest.param("{}:CannotFit", "random-discs", "cannot-fit + random-discs", "no weights", marks=pytest.mark.slow),
        ("flat-colour", "{}:NoLayout", "flat-colour + no-layout", "no layout"),
        pytest.param(
            "flat-colour", "{}:NoLayoutFit", "flat-colour + no-layout-fit", "no layout weights", marks=pytest.mark.slow
        ),
    ],
)
def test_each_planned_number_has_a_record_whichever_part_fails(
    generator: str, layouts: str, shown: str, reason: str, home: Path, faulty: Path, sound: list[ResultRecord]
) -> None:
    lines = run("-g", generator.format(faulty), "--layout-generator", layouts.format(faulty), *ALONE, home=home)
    prompts = [r for r in lines if r.measure.startswith("prompt-")]
    assert {r.status for r in prompts} <= {"ok"} and bool(prompts) == ("CannotFit" in generator)
    lost = [r for r in lines if r.status == "error"]
    assert {(r.generator, r.reason) for r in lost} == {(shown, f"RuntimeError: {reason}")}
    assert {r.mix for r in lines if r.mix and r not in lost} == {"real"}, "real patches alone need no generator"
    sampled = {"layout-areas", "layout-counts", "layout-mix", "layout-obeyed"} if layouts == "random-discs" else set()
    assert {r.measure for r in lines if not r.mix and r not in [*lost, *prompts]} == {"fd-lower-reference"} | sampled
    assert {r.described["layouts"]["name"] for r in lines} == {shown.partition(" + ")[2]}

    def key(r: ResultRecord) -> tuple[object, ...]:
        return r.measure, r.encoder, r.mix, r.seed, r.protocol, r.direction

    assert {"layout-areas", "layout-counts", "layout-mix", "layout-obeyed", "fd", "nuclei-kept"} <= {r.measure for r in sound}
    found = sorted(key(r) for r in lines if r not in prompts)
    assert found == sorted(map(key, sound)), "the same numbers as of a run that works"


@pytest.mark.parametrize(
    ("layouts", "reason"),
    [("NoLayout", "no layout"), pytest.param("NoLayoutFit", "no layout weights", marks=pytest.mark.slow)],
)
def test_layouts_that_fail_in_an_experiment_leave_its_records(layouts: str, reason: str, home: Path, faulty: Path) -> None:
    words = [
        "-g",
        "flat-colour",
        "--layout-generator",
        f"{faulty}:{layouts}",
        "--experiment",
        "annotation",
        "--seeds",
        "0,1",
        *UNFITTED,
    ]
    lines = run(*words, home=home)
    lost = [r for r in lines if r.mix not in ("100 % real", "100 % real - 25 % real")]
    assert {(r.status, r.reason) for r in lost} == {("error", f"RuntimeError: {reason}")}
    assert {r.status for r in lines if r not in lost} == {"ok"}, "an arm without generated patches needs none"
    assert all(r.described["experiment"] == {"name": "annotation"} for r in lines)
    arms = {"100 % real", "100 % generated", "100 % under wrong masks"}
    assert {(r.mix, r.seed) for r in lines if r.measure == "dice"} == {(arm, seed) for arm in arms for seed in (0, 1)}
    assert sum(r.measure == "dice-difference" for r in lines) == 2 * 2
    assert len(lines) == len({(r.measure, r.mix, r.seed) for r in lines})
