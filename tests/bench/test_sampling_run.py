"""Runs on folders: what they were sampled by is announced, and no number has an interval where sources are unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result as Done
from PIL import Image

from bench.results import schema
from bench.results.schema import ResultRecord
from tests import small_run
from tests.bench.test_experiment_runs import MINE
from tests.tasks.small_folder import halves, photo, write
from tests.tasks.small_nuclei import nuclei

SEGMENTATION = ["-g", "flat-colour", "-t", "cam16-seg", "-e", "stain", "-m", "fd,precision", "--controls", "noise"]
SEGMENTATION += ["--seeds", "0,1", "-o", "task.steps=2", "-o", "dataset.size=32"]
NUCLEI = ["-g", "flat-colour", "-t", "lizard-nuclei", "-e", "stain", "-m", "fd,nuclei-faithfulness", "--controls", "none"]
NUCLEI += [
    "--layout-generator",
    "random-discs",
    "--no-downstream",
    "--seeds",
    "0",
    "-o",
    "metric.steps=2",
    "-o",
    "dataset.size=32",
]


def segmentation(folder: Path, column: str) -> Path:
    """Thirty images, each of a patient of its own, under a column of this name."""
    names = [f"p{i}" for i in range(30)]
    pictures = {name: (photo(32, 192, seed=i), halves(32, 192, share=0.3 + i / 100)) for i, name in enumerate(names)}
    write(folder, pictures, f"id,{column}", "\n".join(f"{name},q{name}" for name in names))
    for i, name in enumerate(names):  # stripes, so that every tile shows both classes
        Image.fromarray(np.tile(halves(32, 32, share=0.3 + i / 100), 6)).save(folder / f"region/{name}.png")
    return folder


def of_nuclei(folder: Path, column: str) -> Path:
    nuclei(folder, count=40, types=2)
    rows = "".join(f"p{i},0.5,q{i}\n" for i in range(40))
    (folder / "index.csv").write_text(f"id,mpp,{column}\n{rows}")
    return folder


def run(words: list[str], data: Path, home: Path, out: Path) -> tuple[Done, list[ResultRecord], str]:
    done = small_run.bench("run", *words, "--data", data, "--out", out, home=home)
    assert done.exit_code in (0, 4), done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    return done, list(schema.read([folder / "results.jsonl"])), (folder / "table.txt").read_text()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sampling")


@pytest.fixture(scope="module")
def known(home: Path) -> tuple[Done, list[ResultRecord], str]:
    return run(SEGMENTATION, segmentation(home / "known", "Patient ID"), home / "home", home / "out-known")


@pytest.fixture(scope="module")
def unknown(home: Path) -> tuple[Done, list[ResultRecord], str]:
    return run(SEGMENTATION, segmentation(home / "unknown", "scanner"), home / "home", home / "out-unknown")


def bounded(made: list[ResultRecord]) -> list[ResultRecord]:
    return [line for line in made if line.low is not None or line.high is not None or line.replicates]


def test_a_run_says_its_sampling_unit_and_its_tables_count_it(known: tuple[Done, list[ResultRecord], str]) -> None:
    done, made, table = known
    assert "sampling unit: patients (column Patient ID of index.csv)" in done.stderr
    assert "splits: 60, 20 and 20 in a hundred by hash" in done.stderr and "/ 6 patients" in done.stderr
    assert "patches of 6 patients" in table and "over patients and seeds" in table
    assert bounded(made) and not any("sources-unknown" in line.flags for line in made)


def test_without_a_column_no_distance_or_score_has_an_interval(unknown: tuple[Done, list[ResultRecord], str]) -> None:
    done, made, table = unknown
    assert "sampling unit: images (index.csv has no column patient" in done.stderr
    assert "sources-unknown: records get no interval" in done.stderr
    assert {"fd", "fd-lower-reference", "precision", "iou"} <= {line.measure for line in made if line.value is not None}
    assert all("sources-unknown" in line.flags for line in made) and not bounded(made)
    assert "patches of 6 images" in table and "slides, " not in table and "no intervals, sources-unknown" in table
    assert "[" not in table


def with_laboratories(folder: Path, laboratories: int) -> Path:
    """Thirty patients who come from laboratories by turns."""
    segmentation(folder, "patient")
    rows = "".join(f"p{i},qp{i},l{i % laboratories}\n" for i in range(30))
    (folder / "index.csv").write_text(f"id,patient,Lab\n{rows}")
    return folder


def test_laboratories_are_the_unit_of_every_interval_where_they_are_given(home: Path) -> None:
    data = with_laboratories(home / "laboratories", 30)
    _, made, table = run(SEGMENTATION, data, home / "home", home / "out-laboratories")
    assert {line.groups for line in made} == {6} and {schema.unit_of(line) for line in made} == {"laboratories"}
    assert "patches of 6 laboratories" in table and "over laboratories and seeds; they describe other laboratories" in table
    assert {"fd", "precision", "iou"} <= {line.measure for line in bounded(made)}


def test_of_few_laboratories_intervals_are_refused_unless_slides_are_asked_for(home: Path) -> None:
    data = with_laboratories(home / "few", 3)
    done, made, table = run(SEGMENTATION, data, home / "home", home / "out-few")
    assert "intervals over laboratories need 5: there are none" in done.stderr
    assert {line.groups for line in made} <= {1, 2, 3} and not [line for line in made if line.low is not None]
    reasons = {line.reason for line in made if line.value is not None and line.measure in ("fd", "precision", "iou")}
    assert reasons and all(reason.startswith("underpowered") and "sampling_unit=slide" in reason for reason in reasons)
    words = [*SEGMENTATION, "-o", "dataset.sampling_unit=slide"]
    done, made, table = run(words, data, home / "home", home / "out-slides")
    assert {line.groups for line in made} == {6} and {"fd", "precision", "iou"} <= {line.measure for line in bounded(made)}
    assert "they describe other patients of the same laboratories" in table
    assert "intervals range over patients: they describe other patients of the same laboratories" in done.stderr


def test_intervals_of_controls_leave_out_the_slides_that_they_show(home: Path, known: object) -> None:
    """Six test patients; `real` shows six others, `copy-train` many more, `noise` none."""
    words = ["real,copy-train,noise" if word == "noise" else word for word in SEGMENTATION]
    words += ["--no-downstream"]
    done, made, table = run(words, home / "known", home / "home", home / "out-controls")
    blocks = {line.generator: len(line.replicates) for line in made if line.measure == "fd" and line.seed == 0}
    assert blocks == {"flat-colour": 6, "noise": 6, "real": 12, "copy-train": 20}
    assert (
        "the control real shows" in done.stderr
        and "of 6 patients; their slides are neither trained nor tested on" in done.stderr
    )
    assert "real: patches of real slides that are neither in the test set nor seen by a generator" in table


def test_a_difference_of_mixes_has_no_interval_and_no_verdict(home: Path, unknown: object) -> None:
    file = home / "mine.toml"
    file.write_text(MINE)
    words = ["-g", "flat-colour", "-t", "cam16-seg", "--experiment", str(file), "--seeds", "0", *SEGMENTATION[-4:]]
    _, made, table = run(words, home / "unknown", home / "home", home / "out-experiment")
    differences = [line for line in made if line.measure == "iou-difference" and line.value is not None]
    assert differences and not bounded(made)
    assert table.count("no interval: inconclusive") == 2 and "test patches of 6 images" in table


def test_condition_metrics_and_layouts_have_no_interval_either(home: Path) -> None:
    for column, kinds in (("case", {"nuclei", "layout", "fd"}), ("scanner", set())):
        data = of_nuclei(home / f"nuclei-{column}", column)
        _, made, _ = run(NUCLEI, data, home / "home", home / f"out-{column}")
        assert {"nuclei", "layout", "fd"} <= {line.measure.partition("-")[0] for line in made if line.value is not None}
        assert {line.measure.partition("-")[0] for line in bounded(made)} == kinds


def test_tables_comparisons_and_gates_say_why_nothing_can_be_tested(home: Path, unknown: object) -> None:
    folder = next((home / "out-unknown").glob("*/results.jsonl"))
    board = small_run.bench("leaderboard", "--results", home / "out-unknown", home=home / "home")
    assert board.exit_code == 0 and "patches of 6 images" in board.stdout and "sources-unknown" in board.stdout
    sides = ["--results", folder.parent]
    compared = small_run.bench("compare", "flat-colour", "noise", *sides, home=home / "home")
    assert "sources-unknown: the data do not tell" in compared.stdout + compared.stderr
    assert "has a lower" not in compared.stdout
    worse = [replace(line, value=line.value and line.value * 1.5) for line in schema.read([folder])]
    schema.write(worse, home / "worse.jsonl")
    gated = small_run.bench("gate", "--baseline", folder, "--candidate", home / "worse.jsonl", home=home / "home")
    assert gated.exit_code == 3 and "sources-unknown" in gated.stderr
