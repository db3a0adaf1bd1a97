"""`bench copies`: tables and pictures of a run in which every patch is a copy, and of one in which none is."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import small_run

SIZE = {"train_slides": 6, "validation_slides": 4, "test_slides": 6, "per_slide": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("copies")
    words = ["-g", "copy-train", "-t", "cam16-seg", "-m", "memorization", "--controls", "real", "--seeds", "0", "-e", "stain"]
    words += ["--no-downstream", "--workers", "1", *(f"-odataset.{name}={value}" for name, value in SIZE.items())]
    return small_run.run(*words, home=place / "home", out=place / "out")


def test_tables_and_pictures(folder: Path, tmp_path: Path) -> None:
    home = folder.parents[1] / "home"
    done = small_run.bench("copies", folder, "--out", tmp_path / "made", "--workers", "1", home=home)
    assert done.exit_code == 0, done.stderr
    assert "copy-train seed 0: 30 of 30 patches repeat a training patch" in done.stdout
    assert "real seed 0: 0 of 30 patches repeat a training patch" in done.stdout
    with (tmp_path / "made" / "copies.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 60 and {(row["generator"], row["repeated"]) for row in rows} == {("copy-train", "yes"), ("real", "no")}
    copies = [row for row in rows if row["generator"] == "copy-train"]
    assert {row["correlation"] for row in copies} == {"1.0000"} and all(float(row["p"]) < 0.05 for row in copies)
    assert all(row["nearest"].startswith(f"{row['nearest_slide']}/") and "train" in row["nearest_slide"] for row in rows)
    with (tmp_path / "made" / "slides.csv").open(encoding="utf-8") as stream:
        slides = [row for row in csv.DictReader(stream) if row["generator"] == "copy-train"]
    assert sum(int(row["repeated"]) for row in slides) == sum(int(row["generated_nearest"]) for row in slides) == 30
    assert sum(int(row["real_nearest"]) for row in slides) == 30
    assert [int(row["repeated"]) for row in slides] == sorted((int(row["repeated"]) for row in slides), reverse=True)
    picture = np.asarray(Image.open(tmp_path / "made" / "copy-train-seed0.png"))
    above, below = picture[28 : 28 + 128], picture[28 + 134 : 28 + 262]
    assert np.array_equal(above, below) and above.std() > 10, "a copy and its training patch look alike"


def test_damage_of_what_was_learned_is_made_again(folder: Path, tmp_path: Path) -> None:
    """Rows in another order are valid arrays, and other answers."""
    home = tmp_path / "home"
    shutil.copytree(folder.parents[1] / "home", home)
    first = small_run.bench("copies", folder, "--out", tmp_path / "first", "--workers", "1", home=home)
    (planes,) = (home / "segmenters").glob("*/planes.npy")
    np.save(planes, np.load(planes)[::-1])
    (mean,) = (home / "segmenters").glob("*/mean-0.npy")
    mean.unlink()
    second = small_run.bench("copies", folder, "--out", tmp_path / "second", "--workers", "1", home=home)
    assert first.exit_code == second.exit_code == 0 and "is damaged; it is removed and made again" in second.stderr
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes(), file.name


def test_other_data_than_those_of_the_run_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    held = json.loads((copy / "manifest.json").read_text())
    held["config"]["options"]["dataset.train_slides"] = "7"
    (copy / "manifest.json").write_text(json.dumps(held))
    done = small_run.bench("copies", copy, "--out", tmp_path / "made", home=folder.parents[1] / "home")
    assert done.exit_code == 7 and "the data are not those of" in done.stderr and not (tmp_path / "made").exists()


def test_refusals(folder: Path, tmp_path: Path) -> None:
    home = folder.parents[1] / "home"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    done = small_run.bench("copies", folder, "--out", tmp_path / "full", home=home)
    assert done.exit_code == 2 and "is not empty" in done.stderr
    done = small_run.bench("copies", folder, "--out", tmp_path / "full" / "file" / "made", home=home)
    assert done.exit_code == 2 and "cannot be written" in done.stderr
    words = [
        "-g",
        "blur",
        "-t",
        "cam16-seg",
        "--controls",
        "none",
        "--seeds",
        "0",
        "-e",
        "stain",
        "-m",
        "fd",
        "--no-downstream",
    ]
    words += ["--workers", "1", *(f"-odataset.{name}={value}" for name, value in SIZE.items())]
    other = small_run.run(*words, home=home, out=tmp_path / "out")
    done = small_run.bench("copies", other, "--out", tmp_path / "made", home=home)
    assert done.exit_code == 2 and "--metrics memorization" in done.stderr and not (tmp_path / "made").exists()
