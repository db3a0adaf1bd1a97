"""Lizard: damaged, absent and contradicting files of a release are refused by name, and small flaws are read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.errors import DamagedError, MissingError
from tasks.datasets.lizard import Lizard
from tasks.datasets.lizard_files import read_labels
from tests.tasks.small_nuclei import label_file, lizard, read_splits, relabel

SAMPLES = Path(__file__).parents[2] / "../shared/data/wsi/mat_samples"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lizard(tmp_path_factory.mktemp("lizard"))


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    """A copy of the release to break."""
    return Path(shutil.copytree(whole, tmp_path / "release"))


def test_a_release_without_any_nucleus_is_refused(broken: Path) -> None:
    for path in broken.rglob("*.mat"):
        none = np.zeros((0, 1), np.int32)
        relabel(path, inst_map=np.zeros((150, 200), np.int32), id=none, bbox=np.zeros((0, 4), np.int32), **{"class": none})
    with pytest.raises(MissingError, match="no nucleus of any type"):
        Lizard(broken).split("train")


def test_one_image_without_nuclei_is_fine(broken: Path) -> None:
    none = np.zeros((0, 0), np.int32)
    relabel(label_file(broken), inst_map=np.zeros((150, 200), np.int32), id=none, bbox=none, **{"class": none})
    read_splits(Lizard(broken))


@pytest.mark.parametrize("key", ["inst_map", "id", "class", "bbox"])
def test_a_label_file_without_a_key_is_named_with_what_it_holds(broken: Path, key: str) -> None:
    relabel(label_file(broken), **{key: None})
    with pytest.raises(DamagedError, match=rf"crag_3\.mat has no {key}; it holds .*centroid"):
        read_splits(Lizard(broken))


def test_label_files_of_another_kind_are_refused() -> None:
    if not SAMPLES.is_dir():
        pytest.skip("no ../shared/data/wsi/mat_samples")
    path = next(iter(sorted(SAMPLES.glob("*.mat"))))
    with pytest.raises(DamagedError, match=r"has no inst_map, id, class, bbox; it holds inst_(type|centroid)"):
        read_labels(path)


def damage(path: Path, kind: str) -> None:
    """Makes a label file wrong in one way."""
    from scipy.io import loadmat

    held = loadmat(path)
    ids, types, boxes, instances = held["id"].copy(), held["class"].copy(), held["bbox"].copy(), held["inst_map"].copy()
    if kind == "not listed":
        relabel(path, id=ids[1:], bbox=boxes[1:], **{"class": types[1:]})
    elif kind == "twice":
        ids[1] = ids[0]
        relabel(path, id=ids)
    elif kind == "lengths":
        relabel(path, **{"class": types[1:]})
    elif kind == "type 7":
        types[0] = 7
        relabel(path, **{"class": types})
    elif kind == "axes":
        relabel(path, bbox=boxes[:, [2, 3, 0, 1]])
    elif kind == "numbers":
        relabel(path, bbox=np.roll(boxes, 1, axis=0))
    elif kind == "halves":
        relabel(path, id=ids + 0.5)
    elif kind == "text":
        relabel(path, id=np.array(["a"] * len(ids)))
    elif kind == "size":
        relabel(path, inst_map=np.pad(instances, ((0, 1), (0, 0))))
    elif kind == "below 0":
        instances[0, 0] = -1
        relabel(path, inst_map=instances)
    elif kind == "8 bits":
        relabel(path, inst_map=np.minimum(instances, 255).astype(np.uint8))
    elif kind == "given twice":
        corners, first = np.zeros_like(instances), ids.ravel()[:2]
        corners[:4, :4] = corners[-4:, -4:] = first[0]
        corners[:4, -4:] = corners[-4:, :4] = first[1]
        box = np.tile([0, *instances.shape[:1], 0, instances.shape[1]], (2, 1))
        relabel(path, inst_map=corners, id=first[:, None], bbox=box, **{"class": types[:2]})
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:400])
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("not listed", r"crag_3\.mat: inst_map shows nuclei that id does not list: \d+"),
        ("twice", r"crag_3\.mat: id lists a number twice"),
        ("lengths", r"crag_3\.mat: for 108 numbers in id, class has 107"),
        ("type 7", r"crag_3\.mat: class holds 7; known are 1 to 6"),
        ("axes", r"crag_3\.mat: \d+ of 108 boxes .* not where inst_map has"),
        ("numbers", r"crag_3\.mat: \d+ of 108 boxes .* not where inst_map has"),
        ("halves", r"crag_3\.mat: id is of type float64, not of whole numbers"),
        ("text", r"crag_3\.mat: id is of type char, not of whole numbers"),
        ("size", r"crag_3\.png is 200 x 150 px, .*crag_3\.mat is 200 x 151"),
        ("below 0", r"crag_3\.mat: inst_map holds -1"),
        ("8 bits", r"crag_3\.mat: inst_map numbers nuclei in 8 bits and holds 255"),
        ("given twice", r"crag_3\.mat: parts of nucleus \d+ lie \d+ px apart"),
        ("truncated", r"crag_3\.mat: it is cut short"),
        ("empty", r"cannot read .*crag_3\.mat"),
    ],
)
def test_damaged_label_files_are_named(broken: Path, kind: str, message: str) -> None:
    damage(label_file(broken), kind)
    with pytest.raises(DamagedError, match=message) as caught:
        read_splits(Lizard(broken))
    assert caught.value.exit_code == 3


def test_numbers_that_lost_their_last_pixels_and_single_odd_boxes_are_accepted(broken: Path) -> None:
    from scipy.io import loadmat

    held = loadmat(label_file(broken))
    gone = held["inst_map"] * (held["inst_map"] != held["id"][0, 0])
    boxes = held["bbox"].copy()
    boxes[5] += 40
    relabel(label_file(broken), inst_map=gone, bbox=boxes)
    read_splits(Lizard(broken))


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("**/crag_3.png", "one label file and no image: crag_3"),
        ("**/crag_3.mat", "one image and no label file: crag_3"),
        ("**/info.csv", r"Lizard_Labels has no info\.csv"),
    ],
)
def test_absent_files_are_named(broken: Path, gone: str, message: str) -> None:
    next(broken.glob(gone)).unlink()
    with pytest.raises(MissingError, match=message):
        Lizard(broken).split("train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("crag_3,crag,3\n", ""), r"no row in .*info\.csv: crag_3"),
        (lambda text: text.replace("crag_3", "crag_1"), r"info\.csv has crag_1 more than once"),
        (lambda text: text.replace("Filename", "File"), "no column Filename; its columns are: File, Source, Split"),
        (lambda text: text + "crag_9,crag,1\n", r"one row in .*info\.csv and no image: crag_9"),
        (lambda text: text.split("\n")[0], "names no image"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(broken: Path, change: object, message: str) -> None:
    table = broken / "lizard_labels/Lizard_Labels/info.csv"
    table.write_text(change(table.read_text()))  # type: ignore[operator]
    with pytest.raises(MissingError, match=message):
        Lizard(broken).split("train")


def test_a_truncated_picture_and_a_double_one_are_named(broken: Path) -> None:
    path = next(broken.rglob("crag_3.png"))
    shutil.copy(path, broken / "lizard_images2/Lizard_Images2/crag_3.png")
    with pytest.raises(MissingError, match="have one name"):
        Lizard(broken).split("train")
    (broken / "lizard_images2/Lizard_Images2/crag_3.png").unlink()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MissingError, match=r"cannot read .*crag_3\.png"):
        read_splits(Lizard(broken))


@pytest.mark.parametrize("more", [2**31, 2**32, 2**63])
def test_numbers_of_nuclei_beyond_32_bits_are_refused(broken: Path, more: int) -> None:
    from scipy.io import loadmat

    path = label_file(broken)
    held = loadmat(path)
    ids, instances = held["id"].astype(np.uint64), held["inst_map"].astype(np.uint64)
    relabel(path, id=ids + np.uint64(more), inst_map=np.where(instances > 0, instances + np.uint64(more), 0))
    with pytest.raises(DamagedError, match=r"crag_3\.mat: inst_map holds .*numbers up to 2147483647 are read"):
        read_labels(path)


def test_large_numbers_of_nuclei_are_read_as_they_are(broken: Path) -> None:
    from scipy.io import loadmat

    path = label_file(broken)
    held, (before, types) = loadmat(path), read_labels(path)
    more = 2**31 - 10_000
    relabel(path, id=held["id"].astype(np.int64) + more, inst_map=np.where(before > 0, before.astype(np.int64) + more, 0))
    after, same = read_labels(path)
    np.testing.assert_array_equal(after, np.where(before > 0, before.astype(np.int64) + more, 0))
    np.testing.assert_array_equal(same, types)
