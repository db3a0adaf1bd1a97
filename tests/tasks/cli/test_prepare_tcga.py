"""`bench prepare tcga`, and slides without annotation: manifests of the GDC, barcodes, maps of tissue and glass."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from click.testing import Result

from tasks.datasets.slides.phantom_slides import write_phantom_slides
from tests.small_run import bench, run
from tests.tasks.cli.test_prepare import QUICK, SHARED, SMALL, contents, manifest


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six slides of four patients as gdc-client leaves them, and a store."""
    place = tmp_path_factory.mktemp("tcga")
    write_phantom_slides(place / "tcga", 6, 0, 512, 0.5, "tcga")
    return place


def prepare(place: Path, root: Path, out: Path, *words: object, source: str = "tcga") -> Result:
    return bench("prepare", source, "--root", root, "--out", out, *SMALL, *words, "--workers", "1", home=place / "home")


def copied(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "tcga", tmp_path / "tcga"))


def excluded(out: Path) -> dict[str, str]:
    return {one["slide"]: one["reason"] for one in manifest(out)["exclusions"]}


def test_from_the_gdc_to_a_table(place: Path, tmp_path: Path) -> None:
    done = prepare(place, place / "tcga", tmp_path / "out")
    assert done.exit_code == 0 and "6 of 6 names are TCGA barcodes" in done.stderr and "-t region-seg" in done.stderr, (
        done.stderr
    )
    index = pandas.read_parquet(tmp_path / "out" / "index.parquet")
    assert set(index["patient"]) == {f"TCGA-P{n}-000{n}" for n in range(4)} and set(index["centre"]) == {
        f"P{n}" for n in range(4)
    }
    assert index.loc[index["patient"] == "TCGA-P0-0000", "slide"].nunique() == 2
    assert (index["share tissue"] > 0.9).any() and index["share glass"].max() <= 0.55
    words = ("-o", "dataset.sampling_unit=slide")
    folder = run(*QUICK, "-t", "region-seg", "--data", tmp_path / "out", *words, home=place / "home", out=tmp_path / "run")
    assert "prepared-out" in (folder / "results.jsonl").read_text(encoding="utf-8")


def test_patches_follow_the_shares_if_asked(place: Path, tmp_path: Path) -> None:
    done = prepare(place, place / "tcga", tmp_path / "out", "--patches", "mixed")
    assert done.exit_code == 0, done.stderr
    assert pandas.read_parquet(tmp_path / "out" / "index.parquet")["share tissue"].between(0.2, 0.8).all()


def test_files_that_are_not_those_of_the_manifest_are_left_out(place: Path, tmp_path: Path) -> None:
    root = copied(place, tmp_path)
    files = sorted(root.glob("*/*.svs"))
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes() + b"x")
    shutil.copy(files[2], files[2].with_name("TCGA-ZZ-9999-01Z-00-DX1.svs"))
    files[3].write_bytes(files[3].read_bytes().replace(b"v12.0.15", b"v12.0.16"))
    done = prepare(place, root, tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    found = excluded(tmp_path / "out")
    assert found[files[0].stem] == "the manifest lists it, and it is not there"
    assert "and the manifest says" in found[files[1].stem] and "download it again" in found[files[1].stem]
    assert found["TCGA-ZZ-9999-01Z-00-DX1"] == "the manifest does not list it"
    assert len(found) == 3
    assert prepare(place, root, tmp_path / "md5", "--checksums").exit_code == 0
    assert "its md5 is" in excluded(tmp_path / "md5")[files[3].stem]


def test_a_manifest_elsewhere(place: Path, tmp_path: Path) -> None:
    root = copied(place, tmp_path)
    lines = (root / "gdc_manifest.txt").read_text().splitlines()
    (tmp_path / "part.txt").write_text("\n".join(lines[:4]) + "\n")
    done = prepare(place, root, tmp_path / "out", "--manifest", tmp_path / "part.txt")
    assert done.exit_code == 0 and len(excluded(tmp_path / "out")) == 3
    assert prepare(place, root, tmp_path / "none", "--manifest", tmp_path / "nothing.txt").exit_code == 3
    (root / "gdc_manifest.2.txt").write_text("\n".join(lines) + "\n")
    done = prepare(place, root, tmp_path / "two")
    assert done.exit_code == 3 and "several manifests" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("filename", "name", "has no column filename"),
        ("\t", ",", "no column id, filename, md5, size"),
        ("released", "released\nx\t\ty\tz\treleased", "a file name and its size in bytes are needed"),
    ],
)
def test_what_is_no_manifest_is_named(place: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "m.txt"
    path.write_text((place / "tcga" / "gdc_manifest.txt").read_text().replace(old, new))
    done = prepare(place, place / "tcga", tmp_path / "out", "--manifest", path)
    assert done.exit_code == 3 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_no_patient_is_in_two_splits(place: Path, tmp_path: Path) -> None:
    root = copied(place, tmp_path)
    names = sorted(path.stem for path in root.glob("*/*.svs"))
    with (root / "slides.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("slide", "split"), (names[0], "train"), (names[1], "test"), *((n, "train") for n in names[2:])]
        )
    done = prepare(place, root, tmp_path / "out")
    assert done.exit_code == 3 and "values of patient are in two splits: TCGA-P0-0000" in done.stderr, done.stderr


def test_duplicates_and_empty_folders(place: Path, tmp_path: Path) -> None:
    root = copied(place, tmp_path)
    first = sorted(root.glob("*/*.svs"))[0]
    (root / "copy").mkdir()
    shutil.copy(first, root / "copy" / first.name)
    done = prepare(place, root, tmp_path / "out")
    assert done.exit_code == 3 and "two slides have one name" in done.stderr
    (tmp_path / "empty").mkdir()
    done = prepare(place, tmp_path / "empty", tmp_path / "out")
    assert done.exit_code == 3 and "the folders in it hold no slide" in done.stderr


def test_slides_of_ones_own_without_annotation(place: Path, tmp_path: Path) -> None:
    """The same maps as `tcga`; classes of annotations make no sense here, and without the option the way is named."""
    root = tmp_path / "own"
    root.mkdir()
    for number, path in enumerate(sorted((place / "tcga").glob("*/*.svs"))):
        shutil.copy(path, root / f"s{number}.svs")
    done = prepare(place, root, tmp_path / "out", "--maps", "tissue", source="slides")
    assert done.exit_code == 0 and "of 6 slides no patient is known" in done.stderr, done.stderr
    images = np.concatenate([np.frombuffer(content, np.uint8) for content in contents(tmp_path / "out").values()])
    assert len(images) > 10_000 and manifest(tmp_path / "out")["classes"] == ["glass", "tissue"]
    done = prepare(place, root, tmp_path / "x", "--maps", "tissue", "--classes", "a=b", source="slides")
    assert done.exit_code == 2 and "with --maps tissue they are glass and tissue" in done.stderr
    done = prepare(place, root, tmp_path / "x", "--classes", "a=b", source="slides")
    assert done.exit_code == 3 and "--maps tissue, or bench pseudo-maps" in done.stderr


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/wsi beside the repository")
def test_real_slides(place: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"):
        (root / name).symlink_to(SHARED / name)
    done = prepare(place, root, tmp_path / "out", "--maps", "tissue", "--size", "128", source="slides")
    assert done.exit_code == 3 and "--mpp-csv FILE" in done.stderr
    with (tmp_path / "mpp.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("slide", "mpp"), ("TCGA-CR-7395-01A-01-TS1", 0.5)])
    words = ("--maps", "tissue", "--size", "128", "--mpp-csv", tmp_path / "mpp.csv")
    done = prepare(place, root, tmp_path / "out", *words, source="slides")
    assert done.exit_code == 0, done.stderr
    index = pandas.read_parquet(tmp_path / "out" / "index.parquet")
    assert set(index["patient"]) == {"", "TCGA-CR-7395"} and len(index) > 150
