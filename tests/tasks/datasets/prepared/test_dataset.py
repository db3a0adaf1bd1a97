"""The dataset of prepared patches: splits, options, damage, and a run on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError, DamagedError, MissingError, UsageError
from bench.types import Dataset
from tasks.datasets.prepared.dataset import Prepared
from tests import small_run
from tests.tasks.datasets.prepared.parts import SLIDES, make_folder, make_part

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("prepared"))


def test_splits_show_the_patches_that_were_written(folder: Path) -> None:
    dataset = Prepared(folder)
    assert isinstance(dataset, Dataset) and Prepared.recognises(folder) and dataset.card.name == "prepared-set"
    counts = {name: len(dataset.split(name)) for name in SPLITS}
    assert counts == {"train": 36, "validation": 18, "test": 18}
    test = dataset.split("test")
    part = make_part(3)
    np.testing.assert_array_equal(test.images[:6], part.images)
    np.testing.assert_array_equal(np.asarray(test.conditions.masks)[:6], part.masks)
    assert test.conditions.classes == ("normal", "tumour", "necrosis") and test.conditions.mpp == 0.5
    assert test.conditions.groups[0] == "patient-3" and test.conditions.clusters is not None
    assert test.conditions.overlaps(0, test.conditions).sum() == 1
    assert dataset.split("holdout").conditions.ids.tolist() == dataset.split("validation").conditions.ids.tolist()
    assert dataset.sampling.unit == "patients" and dataset.sampling.clusters == "centres"
    assert dataset.tile_summary == {"slides": SLIDES, "excluded": 1, "patches": 72, "kept": 72}


@pytest.mark.parametrize(
    ("options", "test_patches"),
    [
        ({"centre": "B"}, 18),
        ({"most": 2}, 6),
        ({"largest": 0.6}, 9),
        ({"smallest": 0.4}, 9),
        ({"class_map": "0=0,1=1,2=1"}, 18),
        ({"classes": "a,b,c"}, 18),
        ({"donors": 0.5}, 9),
        ({"sampling_unit": "slide"}, 18),
        ({"seed": 1, "most": 2}, 6),
    ],
)
def test_each_option_changes_the_set(folder: Path, options: dict[str, Any], test_patches: int) -> None:
    plain, made = Prepared(folder).split("test"), Prepared(folder, **options).split("test")
    assert len(made) == test_patches and made.key != plain.key
    if "class_map" in options:
        assert made.conditions.classes == ("class-0", "class-1") and 2 not in np.unique(np.asarray(made.conditions.masks))
    if "classes" in options:
        assert made.conditions.classes == ("a", "b", "c")
    if "donors" in options:
        dataset = Prepared(folder, **options)
        assert dataset.has_prompt_donors and len(dataset.prompt_donors()) == 9
    if "sampling_unit" in options:
        assert made.conditions.clusters is None
    if "centre" in options:
        assert made.conditions.clusters is None, "one centre is no sampling unit"
    if "seed" in options:
        assert made.conditions.ids.tolist() != Prepared(folder, most=2).split("test").conditions.ids.tolist()


def test_units_are_patients_or_cases_or_slides_and_splits_are_made_where_there_are_none(tmp_path: Path) -> None:
    of_cases = [make_part(i, patient="", case=f"case-{i // 2}", split="", centre="") for i in range(12)]
    dataset = Prepared(make_folder(tmp_path, of_cases, "cases"))
    assert dataset.sampling.unit == "cases" and "by hash" in dataset.sampling.splits and not dataset.sampling.clusters
    groups = [set(dataset.split(name).conditions.groups.tolist()) for name in SPLITS]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2] and all(groups)
    other = Prepared(dataset.folder, seed=1)
    assert set(other.split("test").conditions.groups.tolist()) != groups[2]
    of_slides = [make_part(i, patient="", split="train" if i < 8 else "test") for i in range(12)]
    dataset = Prepared(make_folder(tmp_path, of_slides, "slides"))
    assert dataset.sampling.unit == "slides" and "made from slides of train" in dataset.sampling.splits
    assert len(set(dataset.split("validation").conditions.groups.tolist())) == 2


def refused(error: type[BenchError], match: str, act: Callable[[], object]) -> None:
    with pytest.raises(error, match=match):
        act()


def test_wrong_wishes_name_what_there_is(folder: Path, tmp_path: Path) -> None:
    refused(UsageError, "the centres are A, B", lambda: Prepared(folder, centre="C").split("test"))
    refused(UsageError, "classes 1 .tumour., 2 .necrosis.", lambda: Prepared(folder, class_map="0=0").split("test"))
    refused(UsageError, "shows", lambda: Prepared(folder, classes="a,b,c,d").split("test"))
    refused(UsageError, "smallest=0.7", lambda: Prepared(folder, smallest=0.7))
    refused(UsageError, "seed is 0", lambda: Prepared(folder, seed=-1))
    refused(UsageError, "most=-1", lambda: Prepared(folder, most=-1))
    refused(MissingError, "no patch", lambda: Prepared(folder, largest=0.35).split("test"))
    refused(UsageError, "'best'", lambda: Prepared(folder).split("best"))
    refused(MissingError, "no folder", lambda: Prepared(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    refused(MissingError, "bench data check", lambda: Prepared(tmp_path / "empty").split("test"))
    torn = make_folder(tmp_path, [make_part(i, patient="p") for i in range(4)], "torn")
    refused(MissingError, "patients in two splits: p", lambda: Prepared(torn).split("test"))
    some = make_folder(tmp_path, [make_part(i, split="" if i else "test") for i in range(4)], "some")
    refused(MissingError, "for some patches", lambda: Prepared(some).split("test"))


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "chunk": ("is not the one", lambda at: flip(at / "patches/00003/images/c/0/0/0/0")),
    "chunk gone": ("is missing|cannot be read", lambda at: (at / "patches/00003/images/c/0/0/0/0").unlink()),
    "other slide": ("is not the one", lambda at: swap(at / "patches/00003/images/c", at / "patches/00007/images/c")),
    "description": ("differs from its checksum", lambda at: flip(at / "patches/00003/images/zarr.json")),
    "index": ("differs from its checksum", lambda at: flip(at / "index.parquet")),
    "schema": ("of schema 9", lambda at: edit(at / "dataset.json", schema=9)),
    "classes": ("classes", lambda at: edit(at / "dataset.json", classes=3)),
    "no patches": ("cannot be", lambda at: edit(at / "dataset.json", slides=[])),
    "text": ("is not JSON", lambda at: (at / "dataset.json").write_bytes(b"\xff{")),
}


def flip(path: Path) -> None:
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)


def swap(one: Path, other: Path) -> None:
    other.rename(other.with_name("aside"))
    one.rename(other)
    other.with_name("aside").rename(one)


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(damage: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    match, harm = DAMAGES[damage]
    harm(folder)
    with pytest.raises(DamagedError, match=match) as found:
        patches = Prepared(folder).split("test")
        np.asarray(patches.images), np.asarray(patches.conditions.masks)
    assert str(folder) in str(found.value)


def test_a_run_takes_the_folder_by_data_and_by_name(folder: Path, tmp_path: Path) -> None:
    words = [
        "-g",
        "blur",
        "-t",
        "region-seg",
        "--controls",
        "none",
        "--seeds",
        "0",
        "--no-downstream",
        "-e",
        "stain",
        "-m",
        "fd",
    ]
    by_data = small_run.run(*words, "--data", folder, home=tmp_path / "home", out=tmp_path / "a")
    by_name = small_run.run(*words, "--dataset", f"prepared:{folder}", home=tmp_path / "home", out=tmp_path / "b")
    (one, *_), (other, *_) = ((path / "results.jsonl").read_text().splitlines() for path in (by_data, by_name))
    assert json.loads(one)["dataset"] == "prepared-set" and json.loads(one)["value"] == json.loads(other)["value"]


def test_damage_ends_a_run_with_exit_code_3(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    flip(folder / "patches/00003/images/c/0/0/0/0")
    done = small_run.bench("run", "-g", "blur", "-t", "region-seg", "--data", folder, "--out", tmp_path / "out", home=tmp_path)
    assert done.exit_code == 3 and "00003/images" in done.stderr and "bench prepare" in done.stderr
