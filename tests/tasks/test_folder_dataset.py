"""The `folder` dataset: what it cuts, at which resolution and how it splits; the real folders where they are there."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.errors import MissingError, UsageError
from bench.types import Dataset, ImageSet
from tasks.datasets.folder import Folder
from tests.tasks.small_folder import Bytes, five, halves, many, photo, write

REGIONS = Path(__file__).parents[2] / "../shared/data/regions"
SPLITS = ("train", "validation", "test")

needs_regions = pytest.mark.skipif(not REGIONS.is_dir(), reason="no ../shared/data/regions beside the repository")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return five(tmp_path / "mine")


def whole(dataset: Folder) -> dict[str, tuple[Bytes, Bytes]]:
    """Every patch of the three splits by id."""
    return {name: both for split in SPLITS for name, both in rows(dataset.split(split)).items()}


def rows(patches: ImageSet) -> dict[str, tuple[Bytes, Bytes]]:
    masks = patches.conditions.masks
    assert masks is not None
    return {name: (patches.images[i], masks[i]) for i, name in enumerate(patches.conditions.ids.tolist())}


def sources(dataset: Folder, split: str) -> set[str]:
    return set(dataset.split(split).conditions.groups.tolist())


# What it gives


def test_the_registry_builds_it_from_its_name_with_options_as_text(data: Path) -> None:
    dataset = registry.load("datasets", f"folder:{data}", size="32", mpp="none", classes="normal,tumour", smallest="0")
    assert isinstance(dataset, Dataset)
    assert dataset.provides == {"masks"}
    assert (dataset.card.name, Folder.card.name) == ("folder-mine", "folder")
    assert registry.describe(dataset)["digest"] == Folder(data).digest


def test_patches_are_the_pixels_of_the_files(data: Path) -> None:
    found = whole(Folder(data))
    assert set(found) == {f"p{i}/0_0" for i in range(5)}
    for i in range(5):
        np.testing.assert_array_equal(found[f"p{i}/0_0"][0], photo(seed=i))
        np.testing.assert_array_equal(found[f"p{i}/0_0"][1], halves())


def test_conditions_say_what_is_known(data: Path) -> None:
    conditions = Folder(data).split("train").conditions
    assert conditions.columns() == {"masks", "origins", "corners"}
    assert (conditions.classes, conditions.size) == (("class-0", "class-1"), 64)
    assert math.isnan(conditions.mpp)
    assert Folder(data, classes="normal, tumour").split("test").conditions.classes == ("normal", "tumour")


def test_tiles_lie_at_the_place_that_their_id_says_and_the_rest_of_the_image_is_left_out(tmp_path: Path) -> None:
    image, mask = photo(70, 100), np.indices((70, 100)).sum(0).astype(np.uint8) % 2
    found = whole(Folder(write(tmp_path / "d", {name: (image, mask) for name in "abc"}), size=32))
    assert set(found) == {f"{name}/{x}_{y}" for name in "abc" for x in (0, 32, 64) for y in (0, 32)}
    np.testing.assert_array_equal(found["a/64_32"][0], image[32:64, 64:96])
    np.testing.assert_array_equal(found["a/64_32"][1], mask[32:64, 64:96])


def test_a_stride_below_the_size_overlaps_patches(tmp_path: Path) -> None:
    mask = np.indices((64, 64)).sum(0).astype(np.uint8) % 2
    folder = write(tmp_path / "d", {name: (photo(), mask) for name in "abc"})
    assert len(whole(Folder(folder, size=32))) == 3 * 4
    assert len(whole(Folder(folder, size=32, stride=16))) == 3 * 9


@pytest.mark.parametrize(
    ("share", "options", "kept"),
    [
        (0.2, {}, True),
        (0.19, {}, False),
        (0.8, {}, True),
        (0.81, {}, False),
        (0.81, {"smallest": 0.1, "largest": 0.9}, True),
        (0.3, {"smallest": 0.4}, False),
        (0.3, {"largest": 0.6}, False),
        (0.0, {"smallest": 0.0, "largest": 1.0}, False),
        (0.01, {"smallest": 0.0, "largest": 1.0}, True),
    ],
)
def test_a_patch_is_kept_by_the_shares_of_its_first_and_second_class(
    tmp_path: Path, share: float, options: dict[str, float], kept: bool
) -> None:
    pictures = {name: (photo(100, 100), halves(100, 100)) for name in "abc"}
    pictures["d"] = photo(100, 100), halves(100, 100, share=share)
    assert ("d/0_0" in whole(Folder(write(tmp_path / "d", pictures), size=100, **options))) == kept  # type: ignore[arg-type]


def test_a_third_class_may_be_small(tmp_path: Path) -> None:
    mask = halves()
    mask[:2, :2] = 2
    assert len(whole(Folder(write(tmp_path / "d", {name: (photo(), mask) for name in "abc"})))) == 3


def test_shares_are_of_annotated_pixels_and_a_patch_of_more_than_half_unannotated_is_dropped(tmp_path: Path) -> None:
    pictures = {name: (photo(100, 100), halves(100, 100)) for name in "abc"}
    for name, rows_without in (("half", 50), ("more", 51)):
        pictures[name] = photo(100, 100), halves(100, 100, share=0.2)
        pictures[name][1][:rows_without] = 255
    dataset = Folder(write(tmp_path / "d", pictures), size=100)
    found = whole(dataset)
    assert set(found) == {"a/0_0", "b/0_0", "c/0_0", "half/0_0"}
    assert (found["half/0_0"][1][:50] == 255).all()
    assert dataset.tile_summary == {"images": 5, "small": 0, "seen": 5, "share": 0, "ignored": 1, "kept": 4}


def test_images_below_the_size_are_skipped_and_counted(data: Path) -> None:
    Image.fromarray(photo(63, 200)).save(data / "images/p0.png")
    Image.fromarray(halves(63, 200)).save(data / "region/p0.png")
    dataset = Folder(data)
    assert "p0/0_0" not in whole(dataset)
    assert (dataset.tile_summary["small"], dataset.tile_summary["kept"]) == (1, 4)


def test_a_class_map_merges_renumbers_and_ignores(tmp_path: Path) -> None:
    mask = np.repeat(np.array([0, 1, 2, 9, 255], np.uint8), [16, 16, 16, 8, 8])[None].repeat(64, axis=0)
    folder = write(tmp_path / "d", {name: (photo(), mask) for name in "abc"})
    _, found = whole(Folder(folder, class_map="0=1,1=0,2=0,9=ignore"))["a/0_0"]
    np.testing.assert_array_equal(found[0], np.repeat([1, 0, 0, 255], 16))
    _, found = whole(Folder(folder, class_map="0=1, 1=0, 2=2, 9=255"))["a/0_0"]
    np.testing.assert_array_equal(found[0], np.repeat([1, 0, 2, 255], 16))


def test_255_is_a_class_where_the_class_map_says_so(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", {name: (photo(), halves(right=255, share=0.4)) for name in "abc"})
    assert set(np.unique(whole(Folder(folder, class_map="0=0,255=1"))["a/0_0"][1])) == {0, 1}
    with pytest.raises(MissingError, match="-o class_map=0=0,255=1"):
        Folder(folder).split("train")


# Resolution


def test_patches_are_brought_to_the_wanted_resolution(tmp_path: Path) -> None:
    """Away from its edge a flat half averages to itself, whatever the filter."""
    blocks = halves(128, 128)
    image = np.stack([blocks * 200, blocks * 100, 255 - blocks], axis=-1)
    folder = write(tmp_path / "d", {name: (image, blocks) for name in "abc"}, "id,mpp", "a,0.5\nb,0.5\nc,0.5")
    assert Folder(folder, size=128).split("train").conditions.mpp == 0.5
    dataset = Folder(folder, mpp=1.0)
    assert dataset.split("train").conditions.mpp == 1.0
    found = whole(dataset)
    assert set(found) == {f"{name}/0_0" for name in "abc"}
    np.testing.assert_array_equal(found["a/0_0"][1], blocks[::2, ::2])
    np.testing.assert_array_equal(found["a/0_0"][0][:28, :28], image[:28, :28])


def test_shrinking_smooths_the_image_and_not_the_classes(tmp_path: Path) -> None:
    board = np.indices((256, 256)).sum(0).astype(np.uint8) % 2
    image = np.stack([board * 200, board * 100, board * 50], axis=-1)
    mask = np.repeat(np.array([0, 2, 1], np.uint8), [66, 94, 96])[None].repeat(256, axis=0)
    folder = write(tmp_path / "d", {name: (image, mask) for name in "abc"}, "id,mpp", "a,0.25\nb,0.25\nc,0.25")
    shown, classes = whole(Folder(folder, mpp=1.0))["a/0_0"]
    assert np.abs(shown[8:-8, 8:-8].astype(int) - [100, 50, 25]).max() <= 1
    assert np.unique(classes[:, :32]).tolist() == [0, 2]


def test_images_of_different_resolution_need_one_that_is_wanted(tmp_path: Path) -> None:
    pictures = {name: (photo(side, side), halves(side, side)) for name, side in (("a", 128), ("b", 64), ("c", 64))}
    folder = write(tmp_path / "d", pictures, "id,mpp", "a,0.5\nb,1.0\nc,1.0")
    with pytest.raises(UsageError, match=r"a has 0\.5, b has 1\.0.*-o mpp="):
        Folder(folder).split("train")
    assert len(whole(Folder(folder, mpp=1.0))) == 3


def test_a_hair_of_enlargement_is_granted(tmp_path: Path) -> None:
    pictures = {name: (photo(60, 60), halves(60, 60)) for name in "abc"}
    folder = write(tmp_path / "d", pictures, "id,mpp", "a,1.09\nb,1.09\nc,1.09")
    assert len(whole(Folder(folder, mpp=1.0))) == 3


# Splits and keys


@pytest.mark.parametrize("column", ["source", "slide", "source_image"])
def test_sources_are_never_on_two_sides(tmp_path: Path, column: str) -> None:
    dataset = Folder(many(tmp_path / "d", 10, column), size=8)
    parts = [sources(dataset, split) for split in SPLITS]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert set.union(*parts) == {f"s{s}" for s in range(10)}
    assert sum(len(dataset.split(split)) for split in SPLITS) == 20


@pytest.mark.parametrize(("count", "sizes"), [(3, [1, 1, 1]), (4, [2, 1, 1]), (8, [4, 2, 2]), (13, [7, 3, 3])])
def test_every_split_has_a_source(tmp_path: Path, count: int, sizes: list[int]) -> None:
    dataset = Folder(many(tmp_path / "d", count), size=8)
    assert [len(sources(dataset, split)) for split in SPLITS] == sizes


def test_the_seed_draws_the_split_and_the_order_of_the_index_does_not(tmp_path: Path) -> None:
    folder = many(tmp_path / "d", 20)
    before = sources(Folder(folder, size=8), "train")
    assert sources(Folder(folder, size=8, seed=1), "train") != before
    header, *lines = (folder / "index.csv").read_text().splitlines()
    (folder / "index.csv").write_text("\n".join([header, *reversed(lines)]))
    assert sources(Folder(folder, size=8), "train") == before


def test_holdout_shows_the_validation_patches(data: Path) -> None:
    dataset = Folder(data)
    np.testing.assert_array_equal(dataset.split("holdout").images, dataset.split("validation").images)
    assert "holdout" in dataset.card.notes


def test_the_key_holds_content_options_and_split_but_not_the_place(data: Path, tmp_path: Path) -> None:
    def key(folder: Path = data, split: str = "train", **options: object) -> str:
        return Folder(folder, **options).split(split).key  # type: ignore[arg-type]

    moved = tmp_path / "elsewhere"
    shutil.copytree(data, moved)
    assert key(moved) == key()
    keys = [key(), key(split="test"), key(seed=1), key(size=16, stride=8), key(size=16, stride=4), key(smallest=0.3)]
    keys += [key(largest=0.7), key(classes="a,b"), key(class_map="0=1,1=0")]
    Image.fromarray(photo(seed=99)).save(moved / "images/p3.png")
    keys.append(key(moved))
    (data / "index.csv").write_text((data / "index.csv").read_text().replace("id", "id,mpp"))
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_nothing_is_read_before_it_is_asked_for_and_files_are_read_once(data: Path) -> None:
    lazy = Folder(data)
    (data / "images/p0.png").write_bytes(b"no image")
    with pytest.raises(MissingError, match=r"p0\.png"):
        lazy.split("train")
    Image.fromarray(photo()).save(data / "images/p0.png")
    dataset = Folder(data)
    before = dataset.split("train")
    shutil.rmtree(data)
    np.testing.assert_array_equal(dataset.split("train").images, before.images)
    assert len(dataset.split("test")) == 1


def test_other_columns_files_and_file_kinds_are_no_hindrance(data: Path) -> None:
    Image.fromarray(photo()).save(data / "images/p0.jpg", quality=95)
    (data / "images/p0.png").unlink()
    Image.fromarray(photo(seed=1)).save(data / "images/p1.TIF")
    (data / "images/p1.png").unlink()
    Image.fromarray(photo(seed=2)).save(data / "images/p2.webp", lossless=True)
    (data / "images/p2.png").unlink()
    (data / "images/README.txt").write_text("not an image")
    (data / "index.csv").write_text("\ufeffid, height\r\np0,64\r\np1,64\r\n\r\np2 ,64\r\n")
    (data / "region").rename(data / "masks")
    found = whole(Folder(data))
    assert set(found) == {"p0/0_0", "p1/0_0", "p2/0_0"}
    np.testing.assert_array_equal(found["p2/0_0"][0], photo(seed=2))


# Real folders


@needs_regions
def test_camelyon_patches_work_as_they_are() -> None:
    dataset = Folder(REGIONS / "camelyon", classes="normal,tumour")
    sets = [dataset.split(split) for split in SPLITS]
    assert [len(patches) for patches in sets] == [183, 47, 70]
    assert [len(sources(dataset, split)) for split in SPLITS] == [15, 5, 5]
    assert all(math.isnan(patches.conditions.mpp) for patches in sets)
    assert dataset.card.name == "folder-camelyon"


@needs_regions
def test_lung_images_of_any_shape_work_with_merged_classes() -> None:
    dataset = Folder(REGIONS / "wsss4luad", size=128, class_map="0=1,1=0,2=0,3=0", classes="other,tumour")
    assert [len(dataset.split(split)) for split in SPLITS] == [150, 43, 37]
    train = dataset.split("train")
    assert train.conditions.mpp == 1.0
    assert train.conditions.masks is not None
    shares = (train.conditions.masks == 1).mean(axis=(1, 2))
    assert 0.2 <= shares.min() <= shares.max() <= 0.8


@needs_regions
def test_lung_images_keep_their_four_classes_without_a_map() -> None:
    conditions = Folder(REGIONS / "wsss4luad").split("train").conditions
    assert conditions.classes == ("class-0", "class-1", "class-2", "class-3")
