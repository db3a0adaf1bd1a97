"""CoNIC: patches show what the arrays say, splits go by image, and damaged arrays are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.errors import DamagedError, MissingError, UsageError
from tasks.datasets.conic import Conic
from tasks.datasets.nuclei_tiles import CLASSES
from tests.tasks.small_nuclei import conic, is_aligned

FOUR = ("train", "validation", "test", "R2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conic(tmp_path_factory.mktemp("data") / "conic")


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "release"))


def test_patches_show_what_the_arrays_say(whole: Path) -> None:
    images, labels = np.load(whole / "images.npy"), np.load(whole / "labels.npy")
    shown = 0
    for split in FOUR:
        patches = Conic(whole, size=32).split(split)
        conditions = patches.conditions
        assert is_aligned(patches) and conditions.classes == CLASSES and conditions.mpp == 0.5
        assert conditions.instances.dtype == np.int32 and conditions.columns() == Conic.provides | {"origins", "corners"}
        for row, name in enumerate(conditions.ids):
            source, corner = name.split("/")
            x, y = map(int, corner.split("_"))
            tile = int(source[-4:]), slice(y, y + 32), slice(x, x + 32)
            assert np.array_equal(patches.images[row], images[tile])
            assert np.array_equal(conditions.instances[row], labels[tile][..., 0])
            assert np.array_equal(conditions.masks[row], labels[tile][..., 1])
            assert conditions.groups[row] == source.rpartition("-")[0]
            shown += 1
    assert shown == 10 * 4


@pytest.mark.parametrize(("size", "each"), [(64, 1), (48, 1), (32, 4), (16, 16)])
def test_a_patch_is_cut_into_as_many_as_it_holds(whole: Path, size: int, each: int) -> None:
    assert sum(len(Conic(whole, size=size).split(split)) for split in FOUR) == 10 * each


def test_splits_go_by_image_and_the_manifest_says_so(whole: Path) -> None:
    data = Conic(whole, size=32)
    groups = {name: set(data.split(name).conditions.groups.tolist()) for name in (*FOUR, "R1", "holdout")}
    assert sum(len(groups[name]) for name in FOUR) == 5 == len(set.union(*(groups[name] for name in FOUR)))
    assert groups["R1"] <= groups["train"] and groups["holdout"] == groups["validation"] | groups["R2"]
    manifest = json.loads(json.dumps(data.manifest()))
    assert all({image for image, splits in manifest.items() if name in splits} == groups[name] for name in FOUR)
    manifests = {json.dumps(Conic(whole, size=32, seed=seed).manifest()) for seed in range(5)}
    assert len(manifests) > 1


def test_the_key_follows_options_and_content(broken: Path) -> None:
    keys = {Conic(broken, **options).split("train").key for options in ({"size": 64}, {"size": 32}, {"size": 32, "seed": 3})}
    digest = Conic(broken).digest
    images = np.load(broken / "images.npy")
    images[0, 0, 0] = 0
    np.save(broken / "images.npy", images)
    assert len(keys) == 3 and Conic(broken).digest != digest


def test_the_tile_summary_counts_nuclei_and_states_a_type_that_is_absent(broken: Path) -> None:
    labels = np.load(broken / "labels.npy")
    tile_summary = Conic(broken, size=32).tile_summary
    assert tile_summary["patches"] == 10 == sum(tile_summary[name] for name in FOUR)
    assert tile_summary["plasma"] == sum(len(np.unique(label[..., 0][label[..., 1] == 4])) for label in labels) > 0
    labels[labels[..., 1] == 1] = 0
    np.save(broken / "labels.npy", labels)
    assert Conic(broken, size=32).tile_summary["neutrophil"] == 0
    np.save(broken / "labels.npy", np.zeros_like(labels))
    with pytest.raises(MissingError, match="no nucleus of any type"):
        Conic(broken, size=32).split("train")


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, change(np.load(folder / name)))


def with_type(number: int) -> Callable[[Any], Any]:
    """Every nucleus of the last patch becomes of this type."""

    def change(labels: Any) -> Any:
        labels[-1, ..., 1][labels[-1, ..., 0] > 0] = number
        return labels

    return change


def eight_bits(labels: Any) -> Any:
    last = labels[-1, ..., 0]
    last[last == last.max()] = 255
    return labels.astype(np.uint8)


def began_again(labels: Any) -> Any:
    """In the last patch four nuclei of one type in the corners, numbered 1, 2, 2, 1."""
    last = labels[-1]
    last[:] = 0
    for y, x, number in ((0, 0, 1), (0, 56, 2), (56, 0, 2), (56, 56, 1)):
        last[y : y + 8, x : x + 8] = number, 1
    return labels


def beyond(labels: Any) -> Any:
    """Numbers that lose 2^32 in int32, and so stay as they were without a word."""
    labels = labels.astype(np.int64)
    labels[-1, ..., 0][labels[-1, ..., 0] > 0] += 2**32
    return labels


def without_types(labels: Any) -> Any:
    labels[-1, ..., 1] = 0
    return labels


def torn(labels: Any) -> Any:
    labels[-1, ..., 0][labels[-1, ..., 0] > 0] = 9
    return labels


def cut(folder: Path) -> None:
    whole = (folder / "labels.npy").read_bytes()
    (folder / "labels.npy").write_bytes(whole[: len(whole) // 2])


def rename(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        table = folder / "patch_info.csv"
        table.write_text(table.read_text().replace(old, new))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (changed("images.npy", lambda a: a.astype(np.float32)), r"images\.npy is float32 .*not uint8"),
        (changed("images.npy", lambda a: a[..., 0]), r"images\.npy is uint8 \(10, 64, 64\), not uint8 \(n, height"),
        (changed("images.npy", lambda a: a[1:]), "9 images, 10 labels, 10 names"),
        (changed("labels.npy", lambda a: a.astype(np.float64)), r"labels\.npy is float64 .*not int"),
        (changed("labels.npy", lambda a: a[..., :1]), r"labels\.npy is uint16 \(10, 64, 64, 1\), not int"),
        (changed("labels.npy", lambda a: a[:, 1:]), r"images\.npy is 64 x 64 px, .*labels\.npy is 64 x 63"),
        (changed("labels.npy", with_type(7)), r"labels\.npy, consep_5-0009: holds type 7; known are 1 to 6"),
        (changed("labels.npy", eight_bits), r"consep_5-0009 numbers nuclei in 8 bits and holds 255"),
        (changed("labels.npy", began_again), r"consep_5-0009: parts of nucleus \d lie \d+ px apart"),
        (changed("labels.npy", beyond), r"consep_5-0009: nuclei are numbered 0 to \d+, not as int32"),
        (changed("labels.npy", without_types), r"consep_5-0009: \d+ pixels have a nucleus without a type"),
        (changed("labels.npy", torn), r"consep_5-0009: nucleus 9 has several types"),
        (cut, r"cannot read .*labels\.npy"),
        (rename("consep_2-0003\n", ""), "10 images, 10 labels, 9 names"),
        (rename("consep_2-0003", "consep_2"), r"patch_info\.csv: consep_2 names no image"),
        (rename("consep_2-0003", "consep_2-0002"), r"patch_info\.csv has consep_2-0002 more than once"),
    ],
)
def test_damaged_files_are_named(broken: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(broken)
    with pytest.raises(DamagedError, match=message):
        Conic(broken, size=32).split("train")


def test_the_column_of_names_may_be_called_anything(broken: Path) -> None:
    expected = Conic(broken, size=32).manifest()
    rename("patch_info\n", "name\n")(broken)
    assert Conic(broken, size=32).manifest() == expected


def test_absent_files_few_images_and_impossible_sizes_are_refused(broken: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="tiles of 3 sources"):
        Conic(conic(tmp_path / "few", sources=3), size=32).split("train")
    with pytest.raises(MissingError, match="tiles of 0 sources"):
        Conic(broken, size=65).split("train")
    with pytest.raises(UsageError, match="at least 1 px"):
        Conic(broken, size=0)
    (broken / "labels.npy").unlink()
    with pytest.raises(MissingError, match=r"has no labels\.npy"):
        Conic(broken)


def test_the_registered_name_carries_the_folder(whole: Path) -> None:
    data = registry.load("datasets", f"conic:{whole}", size="32")
    assert data.size == 32 and data.folder == whole
