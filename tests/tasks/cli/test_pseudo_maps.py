"""`bench pseudo-maps`: from slides without annotation to a table, what each option changes, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from click.testing import Result
from PIL import Image

from tasks.datasets.prepared.dataset import Prepared
from tasks.datasets.slides.phantom_slides import write_phantom_slides
from tests.small_run import bench, run
from tests.tasks.cli.test_prepare import SHARED, contents

WORDS = (
    "-e",
    "texture",
    "--clusters",
    "6",
    "--scales",
    "3",
    "--cell",
    "16",
    "--window",
    "32",
    "--cells",
    "60",
    "--mpp",
    "1",
    "--size",
    "32",
)
QUICK = ("-g", "blur", "--controls", "none", "--seeds", "0", "--no-downstream", "-m", "fd", "--workers", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six slides of four patients, and a store."""
    place = tmp_path_factory.mktemp("pseudo")
    write_phantom_slides(place / "tcga", 6, 0, 512, 0.5, "tcga")
    return place


def make(place: Path, out: Path, *words: object, root: Path | None = None, home: Path | None = None) -> Result:
    root, home = root or place / "tcga", home or place / "home"
    given = [] if "--workers" in words else ["--workers", "1"]
    return bench("pseudo-maps", "--root", root, "--out", out, *WORDS, *given, *words, home=home)


def read(out: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((out / "pseudo-maps.json").read_text(encoding="utf-8"))
    return held


def described(folder: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    return held


@pytest.fixture(scope="module")
def made(place: Path) -> Path:
    done = make(place, place / "made", "--truth", place / "tcga" / "truth")
    assert done.exit_code == 0 and done.stdout.strip() == str(place / "made"), done.stderr
    assert "adjusted Rand index at 6 clusters" in done.stderr and "-t tcga-seg --data" in done.stderr
    return place / "made"


def test_slides_without_annotation_to_a_table(place: Path, made: Path, tmp_path: Path) -> None:
    """The encoder of the clusters is marked, another one is not."""
    for scale in ("k003", "k006"):
        folder = run(
            *QUICK, "-t", "tcga-seg", "-e", "texture,stain", "--data", made / scale, home=place / "home", out=tmp_path / scale
        )
        records = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
        flags = {record["encoder"]: "encoder-conflict" in record["flags"] for record in records if record["measure"] == "fd"}
        assert flags == {"texture": True, "stain": False}


def test_what_is_written(made: Path) -> None:
    held = read(made)
    assert held["encoder"] == "texture" and held["slides"] == 6 and held["clustered"] == 360
    assert sum(held["sizes"]["6"]) == 360 and len(held["cells"]) == 6 and min(held["cells"].values()) > 60
    assert {name.name for name in made.iterdir()} == {
        "k003",
        "k006",
        "maps",
        "clusters.png",
        "features.png",
        "pseudo-maps.json",
    }
    for path in (made / "clusters.png", made / "features.png", *(made / "maps").iterdir()):
        picture = np.asarray(Image.open(path))
        assert picture.std() > 5, path
    assert len(list((made / "maps").iterdir())) == 6
    index = pandas.read_parquet(made / "k006" / "index.parquet")
    assert (index["heterogeneity"] >= 0.72).all() and set(index["patient"].str[:4]) == {"TCGA"}
    again = described(made / "k006")["described"]
    assert again["conditioned_by"] == ["texture"] and again["labelled_by"] == "encoder"


def test_maps_are_the_clusters_of_cells(place: Path, made: Path) -> None:
    """Each cell of a map has one cluster, and cells of one slide with equal pixels have the same one."""
    masks = np.asarray(Prepared(made / "k006").split("train").conditions.masks)
    blocks = masks.reshape(len(masks), 2, 16, 2, 16)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    assert {tuple(np.unique(masks).tolist())} <= {tuple(range(6)), (*range(6), 255)}


def test_agreement_with_true_classes_has_an_interval_over_patients(made: Path) -> None:
    found = read(made)["agreement"]
    assert found.keys() == {"3", "6"} and all(0 < one["value"] < 1 and one["units"] == 4 for one in found.values())
    assert found["6"]["low"] is None and "an interval needs 5" in found["6"]["reason"]


CHANGES: list[tuple[str, ...]] = [
    ("--nested",),
    ("--seed", "1"),
    ("--cell", "24"),
    ("--window", "48"),
    ("--cells", "100"),
    ("--mpp", "0.75"),
    ("--size", "48"),
    ("--heterogeneity", "1.2"),
    ("--most", "5"),
    ("--growth", "0.5"),
    ("--rotation", "20"),
    ("--stain", "0.1"),
    ("-e", "random-conv"),
    ("--clusters", "7"),
    ("--scales", "2"),
    ("--label-by", "classifier", "--classifier", "vit_tiny_patch16_224", "--classifier-steps", "2", "--heterogeneity", "0"),
]


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_every_option_changes_the_result(place: Path, made: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = make(place, tmp_path / "out", *words)
    assert done.exit_code == 0, done.stderr
    found, plain = contents(tmp_path / "out"), contents(made)
    del found["pseudo-maps.json"]
    masks = {name: content for name, content in found.items() if name.endswith("index.parquet") or "/masks/" in name}
    images = {name: content for name, content in found.items() if "/images/" in name}
    same = all(plain.get(name) == content for name, content in masks.items())
    assert (words[0] == "--stain") == (same and images.keys() == {name for name in plain if "/images/" in name})
    if words[0] == "--stain":
        assert any(plain[name] != content for name, content in images.items())


def test_options_of_the_classifier_and_its_report(place: Path, tmp_path: Path) -> None:
    words = ("--label-by", "classifier", "--classifier", "vit_tiny_patch16_224", "--heterogeneity", "0", "--classifier-steps")
    reports = []
    for number, more in enumerate((("2",), ("3",), ("2", "--classifier-rate", "0.01"))):
        done = make(place, tmp_path / str(number), *words, *more)
        assert done.exit_code == 0 and "calibration error" in done.stderr, done.stderr
        reports.append(read(tmp_path / str(number))["classifier"])
    losses = [report["calibration_error"] for report in reports]
    assert len(set(losses)) == 3 and all(0 <= report["accuracy"] <= 1 and report["milliseconds"] > 0 for report in reports)
    assert described(tmp_path / "0" / "k006")["described"]["labelled_by"]["network"] == "vit_tiny_patch16_224"


def test_two_workers_write_the_same_bytes_and_nothing_is_done_twice(place: Path, made: Path, tmp_path: Path) -> None:
    truth = ("--truth", place / "tcga" / "truth")
    done = make(place, tmp_path / "two", *truth, "--workers", "2", home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    assert contents(tmp_path / "two") == contents(made)
    again = make(place, tmp_path / "again", *truth, home=tmp_path / "home")
    assert again.exit_code == 0 and "cells encoded" not in again.stderr and "labelled" not in again.stderr
    assert contents(tmp_path / "again") == contents(made)


ENCODER = """
import os, signal
from pathlib import Path
import numpy as np
from bench.types import Card

class Colours:
    card = Card("colours", "1", "Mean colour of each quarter.")
    dim = 12

    def encode(self, images):
        half = images.shape[1] // 2
        quarters = [images[:, :half, :half], images[:, :half, half:], images[:, half:, :half], images[:, half:, half:]]
        try:
            (Path(__file__).parent / "kill").rename(Path(__file__).parent / "killed")
        except FileNotFoundError:
            return np.concatenate([part.mean(axis=(1, 2)) for part in quarters], axis=1).astype(np.float32)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_worker_costs_nothing(place: Path, tmp_path: Path) -> None:
    """A worker is lost while it encodes the cells of a slide: the other one does them, and the folder has the same bytes."""
    plugin = tmp_path / "mine.py"
    plugin.write_text(ENCODER)
    alone = make(place, tmp_path / "one", "-e", f"{plugin}:Colours", home=tmp_path / "a")
    assert alone.exit_code == 0, alone.stderr
    (tmp_path / "kill").touch()
    killed = make(place, tmp_path / "two", "-e", f"{plugin}:Colours", "--workers", "2", home=tmp_path / "b")
    assert killed.exit_code == 0 and (tmp_path / "killed").exists(), killed.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_blank_and_damaged_slides(place: Path, tmp_path: Path) -> None:
    from tasks.datasets.slides.phantom_files import write_pyramid

    root = tmp_path / "root"
    shutil.copytree(place / "tcga", root, ignore=shutil.ignore_patterns("truth", "gdc_manifest.txt"))
    write_pyramid(root / "blank.tif", np.full((512, 512, 3), 240, np.uint8), 0.5)
    done = make(place, tmp_path / "out", root=root)
    assert done.exit_code == 0 and ["blank", "no cell lies on tissue"] in read(tmp_path / "out")["excluded"], done.stderr
    (root / "cut.svs").write_bytes(next(root.glob("*/*.svs")).read_bytes()[:-2000])
    refused = make(place, tmp_path / "cut", root=root)
    assert refused.exit_code == 3 and "cut.svs" in refused.stderr and not (tmp_path / "cut").exists()
    skipped = make(place, tmp_path / "cut", "--skip-damaged", root=root)
    assert skipped.exit_code == 0 and {one[0] for one in read(tmp_path / "cut")["excluded"]} == {"blank", "cut"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("-e", "textur"), 2, "there is no encoder 'textur'. Did you mean 'texture'"),
        (("-e", "uni"), 3, "gated"),
        (("-o", "nothing=1"), 2, "nothing"),
        (("--clusters", "1", "--scales", ""), 2, "there are 2 to 254 clusters"),
        (("--scales", "9"), 2, "--scales are no more than --clusters"),
        (("--scales", "three"), 2, "--scales takes numbers of clusters"),
        (("--clusters", "200", "--cells", "20"), 2, "200 clusters of 120 cells"),
        (("--cell", "64", "--window", "64"), 2, "a patch of 32 pixels is smaller than a cell of 64"),
        (("--mpp", "0.1"), 3, "more than 1.1 times finer"),
        (("--heterogeneity", "2.9"), 2, "no square of 32 pixels has a map of 2.9 bits"),
        (("--label-by", "classifier", "--classifier", "resnet18"), 2, "timm makes no classifier 'resnet18'"),
        (("--window", "16"), 2, "no cell can be encoded: texture takes patches of at least 32 px, found 16 x 16 px"),
        (("--truth", "/nowhere"), 3, "has a file <slide>.tif of no slide"),
        (("--root", "/nowhere"), 3, "no folder /nowhere"),
    ],
)
def test_what_makes_no_sense_is_named(place: Path, tmp_path: Path, words: tuple[str, ...], code: int, message: str) -> None:
    done = make(place, tmp_path / "out", *words)
    assert done.exit_code == code and message in done.stderr, done.stderr
    assert not (tmp_path / "out").exists() and "Traceback" not in done.stderr


def test_a_folder_that_exists_is_kept(place: Path, tmp_path: Path) -> None:
    done = make(place, tmp_path)
    assert done.exit_code == 2 and "exists. Give a folder that does not" in done.stderr


def test_a_strangers_folder_names_no_code_to_run(place: Path, made: Path, tmp_path: Path) -> None:
    """Names of encoders in dataset.json are compared, and never imported."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    shutil.copytree(made / "k006", tmp_path / "data")
    path = tmp_path / "data" / "dataset.json"
    path.write_text(path.read_text().replace('"texture"\n', f'"{tmp_path / "evil.py"}:Evil"\n', 1))
    assert "evil.py" in path.read_text()
    run(*QUICK, "-t", "tcga-seg", "-e", "texture", "--data", tmp_path / "data", home=place / "home", out=tmp_path / "out")
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/wsi beside the repository")
def test_real_slides(tmp_path: Path) -> None:
    for name in ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"):
        (tmp_path / "root").mkdir(exist_ok=True)
        (tmp_path / "root" / name).symlink_to(SHARED / name)
    with (tmp_path / "mpp.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("slide", "mpp"), ("TCGA-CR-7395-01A-01-TS1", 0.5)])
    words = ("--mpp-csv", tmp_path / "mpp.csv", "--mpp", "1", "--cell", "32", "--size", "128", "--cells", "200")
    done = make(tmp_path, tmp_path / "out", *words, root=tmp_path / "root")
    assert done.exit_code == 0, done.stderr
    assert read(tmp_path / "out")["patches"]["6"]["patches"] > 100
