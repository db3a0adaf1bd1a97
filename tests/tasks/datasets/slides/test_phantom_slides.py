"""Phantom slides: true formats, true folders, true maps, the same bytes again."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from bench.errors import UsageError
from tasks.datasets.slides.annotations import rasterise, read_annotations
from tasks.datasets.slides.label_slide import open_labels
from tasks.datasets.slides.phantom_slides import TISSUES, write_phantom_slides
from tasks.datasets.slides.reader import open_slide

SIDE = 512


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def truth(folder: Path, path: Path) -> np.ndarray:
    with open_slide(path) as slide, open_labels(folder / "truth" / f"{path.stem}.tif", slide) as labels:
        return labels.read_labels(0, 0, slide.info.width, slide.info.height, slide.info.mpp)


def test_camelyon16(tmp_path: Path) -> None:
    write_phantom_slides(tmp_path, 6, 3, SIDE, 0.5, "camelyon16")
    names = set(digests(tmp_path))
    assert {name for name in names if not name.startswith("truth/")} == {
        "training/normal/normal_001.tif",
        "training/tumor/tumor_002.tif",
        "testing/images/test_003.tif",
        "training/tumor/tumor_004.tif",
        "training/normal/normal_005.tif",
        "testing/images/test_006.tif",
        "training/lesion_annotations/tumor_002.xml",
        "training/lesion_annotations/tumor_004.xml",
        "testing/lesion_annotations/test_006.xml",
        "testing/reference.csv",
    }
    assert (tmp_path / "testing/reference.csv").read_text() == "test_003,Normal,None,None\ntest_006,Tumor,IDC,None\n"
    regions = read_annotations(tmp_path / "training/lesion_annotations/tumor_002.xml")
    assert {region.label for region in regions} == {"_0", "_2"}
    found = rasterise(regions, {"_0": 2, "_2": 1}, ("_0", "_2"), (0, 0, SIDE, SIDE), 1.0, background=0)
    true = truth(tmp_path, tmp_path / "training/tumor/tumor_002.tif")
    assert ((found == 2) == (true == 2)).all() and 0.05 < (true == 2).mean() < 0.3
    with open_slide(tmp_path / "training/tumor/tumor_002.tif") as slide:
        assert (slide.info.mpp, slide.info.mpp_source, slide.info.vendor) == (0.5, "openslide.mpp-x", "generic-tiff")
        image = slide.read(0, 0, SIDE, SIDE, 0.5).astype(float)
    assert image[true == 0].mean() > image[true == 1].mean() + 20


def test_panda(tmp_path: Path) -> None:
    write_phantom_slides(tmp_path, 4, 0, SIDE, 0.5, "panda")
    with (tmp_path / "train.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["data_provider"] for row in rows] == ["radboud", "karolinska"] * 2
    for row in rows:
        path = tmp_path / "train_images" / f"{row['image_id']}.tiff"
        true = truth(tmp_path, path)
        mask = tmp_path / "train_label_masks" / f"{row['image_id']}_mask.tiff"
        with open_slide(path) as slide, open_labels(mask, slide) as labels:
            found = labels.read_labels(0, 0, SIDE, SIDE, 0.5)
        if row["data_provider"] == "karolinska":
            assert ((found == 1) == ((true == 1) | (true == 2))).all() and ((found == 2) == (true == 3)).all()
        else:
            assert all(((found == value) == (true == value)).all() for value in (0, 1, 2))
            assert ((found >= 3) == (true == 3)).all()
        assert (row["isup_grade"] == "0") == (not (true == 3).any())


def test_tcga(tmp_path: Path) -> None:
    write_phantom_slides(tmp_path, 3, 0, SIDE, 0.5, "tcga")
    with (tmp_path / "gdc_manifest.txt").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len({row["filename"][:12] for row in rows}) == 2 and len({row["id"] for row in rows}) == 3
    for row in rows:
        path = tmp_path / row["id"] / row["filename"]
        content = path.read_bytes()
        assert (row["md5"], int(row["size"])) == (hashlib.md5(content).hexdigest(), len(content))
        with open_slide(path) as slide:
            assert (slide.info.vendor, slide.info.mpp) == ("aperio", 0.5)
        assert set(np.unique(truth(tmp_path, path)).tolist()) == set(range(len(TISSUES["tcga"])))


def test_arguments_decide_the_bytes(tmp_path: Path) -> None:
    variants = {"a": (0, 600, 0.5), "b": (0, 600, 0.5), "seed": (1, 600, 0.5), "side": (0, 640, 0.5), "mpp": (0, 600, 0.6)}
    for name, (seed, side, mpp) in variants.items():
        write_phantom_slides(tmp_path / name, 1, seed, side, mpp, "camelyon16")
    found = {name: digests(tmp_path / name)["training/normal/normal_001.tif"] for name in variants}
    assert found["a"] == found["b"] and len(set(found.values())) == 4


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of the kinds camelyon16, panda, tcga, not 'x'"):
        write_phantom_slides(tmp_path, 1, kind="x")  # type: ignore[arg-type]
    for count, side, mpp in ((0, 2048, 0.5), (1, 100, 0.5), (1, 2048, 9.0)):
        with pytest.raises(UsageError, match="at least 256 microns wide"):
            write_phantom_slides(tmp_path, count, 0, side, mpp)
