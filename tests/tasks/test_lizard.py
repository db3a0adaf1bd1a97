"""Lizard: patches show what the label files say, splits keep slides apart, and damaged releases are named."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.errors import BenchError, DamagedError, MissingError, UsageError
from tasks.datasets.conic import Conic
from tasks.datasets.folder import Folder
from tasks.datasets.lizard import Lizard
from tasks.datasets.lizard_files import count_types, read_labels
from tasks.datasets.nuclei_folder import NucleiFolder
from tasks.datasets.nuclei_splits import PAPER_R1
from tasks.datasets.nuclei_tiles import CLASSES, fitted_corners
from tests.tasks.small_nuclei import GLASS, aligned, lizard, relabel, scene

ALL = ("train", "validation", "test", "R1", "R2")
SAMPLES = Path(__file__).parents[2] / "../shared/data/wsi/mat_samples"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lizard(tmp_path_factory.mktemp("lizard"))


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    """A copy of the release to break."""
    return Path(shutil.copytree(whole, tmp_path / "release"))


def one(folder: Path, name: str = "crag_3") -> Path:
    """A label file of a release."""
    return folder / "lizard_labels/Lizard_Labels/Labels" / f"{name}.mat"


def everything(data: Lizard) -> None:
    for name in ALL:
        data.split(name)


def test_patches_show_what_the_files_say_with_the_true_order_of_types(whole: Path) -> None:
    names = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
    seen: set[str] = set()
    for split in ("train", "validation", "test", "R2"):
        patches = Lizard(whole, size=64, stride=32).split(split)
        conditions = patches.conditions
        assert aligned(patches) and conditions.classes == ("background", *names) and conditions.mpp == 0.5
        assert conditions.masks.dtype == np.uint8 and conditions.instances.dtype == np.int32
        assert conditions.columns() == Lizard.provides | {"origins", "corners"} and np.array_equal(
            conditions.types, conditions.masks
        )
        for name, instances, masks in zip(conditions.ids, conditions.instances, conditions.masks, strict=True):
            image, _, corner = name.partition("/")
            x, y = map(int, corner.split("_"))
            _, numbers, types = scene(150, 200, seed=int(image.partition("_")[2]) - 1)
            assert np.array_equal(instances, numbers[y : y + 64, x : x + 64])
            assert np.array_equal(masks, types[y : y + 64, x : x + 64])
            seen.add(image)
    assert len(seen) == 5


def test_the_flat_layout_holds_the_same_patches(whole: Path, tmp_path: Path) -> None:
    for package in ("lizard_images1/Lizard_Images1", "lizard_images2/Lizard_Images2", "lizard_labels/Lizard_Labels"):
        shutil.copytree(whole / package, tmp_path / Path(package).name)
    nested, flat = Lizard(whole).split("train"), Lizard(tmp_path).split("train")
    assert nested.key == flat.key and np.array_equal(nested.images, flat.images)


def test_tiles_end_at_the_border_in_both_directions_and_the_published_ones_do_not() -> None:
    fitted = list(fitted_corners((150, 200), 128, 64))
    assert fitted == [(0, 0), (64, 0), (72, 0), (0, 22), (64, 22), (72, 22)]
    assert list(fitted_corners((150, 200), 128, 64, published=True)) == [(0, 0), (64, 0), (72, 0), (0, 22)]
    assert list(fitted_corners((128, 192), 128, 64)) == [(0, 0), (64, 0)] and not list(fitted_corners((127, 300), 128, 64))


@pytest.mark.parametrize(
    ("options", "each"), [({}, 6), ({"border": "published"}, 4), ({"stride": 128}, 4), ({"size": 64}, 12), ({"size": 151}, 0)]
)
def test_options_decide_which_tiles_are_cut(whole: Path, options: dict[str, int], each: int) -> None:
    if not each:
        with pytest.raises(MissingError, match="tiles of 0 sources"):
            Lizard(whole, **options).split("train")  # type: ignore[arg-type]
        return
    patches = Lizard(whole, **options).split("train")  # type: ignore[arg-type]
    assert set(Counter(patches.conditions.groups.tolist()).values()) == {each}


def test_glass_is_left_out(broken: Path) -> None:
    for path in broken.rglob("*.png"):
        image = np.array(Image.open(path))
        image[:, 100:] = GLASS
        Image.fromarray(image).save(path)
    kept = Lizard(broken, size=64, stride=64).split("train").conditions.ids
    assert {name.partition("/")[2].partition("_")[0] for name in kept} == {"0", "64"}  # of 0, 64, 128 and 136
    strict = Lizard(broken, size=64, stride=64, tissue=0.9).split("train").conditions.ids
    assert {name.partition("/")[2].partition("_")[0] for name in strict} == {"0"}
    with pytest.raises(MissingError, match="tiles .* show tissue or annotation in less than 100%"):
        Image.fromarray(np.full((150, 200, 3), (GLASS, GLASS, GLASS - 1), np.uint8)).save(next(broken.rglob("crag_3.png")))
        everything(Lizard(broken, tissue=1))


def test_splits_are_disjoint_r1_is_of_train_and_the_manifest_says_so(whole: Path) -> None:
    data = Lizard(whole)
    groups = {name: set(data.split(name).conditions.groups.tolist()) for name in (*ALL, "holdout")}
    four = [groups[name] for name in ("train", "validation", "test", "R2")]
    assert sum(map(len, four)) == 5 == len(set.union(*four))
    assert groups["R1"] and groups["R1"] <= groups["train"] and groups["holdout"] == groups["validation"] | groups["R2"]
    manifest = json.loads(json.dumps(data.manifest()))
    for name in ALL:
        assert {image for image, splits in manifest.items() if name in splits} == groups[name]
    with pytest.raises(UsageError, match="train, validation, test, holdout, R1, R2"):
        data.split("R3")


def test_another_seed_is_another_split_and_fewer_than_four_slides_are_none(tmp_path: Path) -> None:
    folder = lizard(tmp_path / "many", 12, (128, 128))
    assert Lizard(folder).manifest() == Lizard(folder).manifest() != Lizard(folder, seed=1).manifest()
    with pytest.raises(MissingError, match="tiles of 3 sources.*one of their own"):
        Lizard(lizard(tmp_path / "few", 3)).split("train")


def test_a_column_slide_keeps_images_of_one_slide_together(tmp_path: Path) -> None:
    folder = lizard(tmp_path, 8, (128, 128))
    table = folder / "lizard_labels/Lizard_Labels/info.csv"
    lines = table.read_text().split()
    table.write_text("\n".join([lines[0] + ",Slide", *(f"{line},s{i // 2}" for i, line in enumerate(lines[1:]))]))
    shown = list(Lizard(folder).manifest().values())
    assert shown[::2] == shown[1::2] and len({tuple(splits) for splits in shown}) == 4
    assert set(Lizard(folder).split("train").conditions.groups.tolist()) <= {"s0", "s1", "s2", "s3"}


def release_of_names(folder: Path, less: str = "") -> Path:
    """The 238 names of the release with pictures of 1 KB and empty label files."""
    counts = {"consep": 16, "crag": 64, "dpath": 69, "glas": 61, "pannuke": 28}
    names = [name for site, n in counts.items() for i in range(1, n + 1) if (name := f"{site}_{i}") != less]
    for place in ("Lizard_Images1", "Lizard_Images2", "Lizard_Labels/Labels"):
        (folder / place).mkdir(parents=True)
    Image.fromarray(np.zeros((128, 130, 3), np.uint8)).save(folder / "picture.png")
    for name in names:
        shutil.copy(folder / "picture.png", folder / f"Lizard_Images{1 + (name[0] in 'dp')}/{name}.png")
        (folder / f"Lizard_Labels/Labels/{name}.mat").touch()
    (folder / "Lizard_Labels/info.csv").write_text("\n".join(["Filename,Source,Split", *(f"{name},,1" for name in names)]))
    return folder


def test_the_papers_split_has_its_list_and_its_counts(tmp_path: Path) -> None:
    data = Lizard(release_of_names(tmp_path / "all"), splits="paper")
    manifest = data.manifest()
    counts = Counter(name for splits in manifest.values() for name in splits)
    assert counts == {"train": 171, "validation": 19, "R1": 36, "R2": 36, "test": 12}
    assert all(len(splits) == 1 or splits == ["train", "R1"] for splits in manifest.values())
    assert {image for image, splits in manifest.items() if "R1" in splits} == set(PAPER_R1) and len(set(PAPER_R1)) == 36
    assert data.card.name == "lizard-paper" != Lizard.card.name
    with pytest.raises(MissingError, match="has 237 and lacks glas_53 of R1"):
        Lizard(release_of_names(tmp_path / "less", "glas_53"), splits="paper").manifest()
    with pytest.raises(MissingError, match=r"has 237\. Complete it"):
        Lizard(release_of_names(tmp_path / "also", "glas_1"), splits="paper").manifest()


def test_every_site_of_the_release_is_in_every_split_of_ours(tmp_path: Path) -> None:
    manifest = Lizard(release_of_names(tmp_path)).manifest()
    for split in ALL:
        assert len({image.partition("_")[0] for image, splits in manifest.items() if split in splits}) == 5
    counts = Counter(name for splits in manifest.values() for name in splits)
    assert [counts[name] for name in ("test", "validation", "R2", "train")] == [48, 36, 60, 94]


def test_stain_changes_colours_and_nothing_else(whole: Path) -> None:
    plain = Lizard(whole).split("test")
    fixed = Lizard(whole, stain="vahadane", target="reference").split("test")
    other = Lizard(whole, stain="vahadane", target="crag_1").split("test")
    assert plain.conditions.ids.tolist() == fixed.conditions.ids.tolist() == other.conditions.ids.tolist()
    assert np.array_equal(plain.conditions.masks, fixed.conditions.masks)
    assert len({plain.key, fixed.key, other.key}) == 3
    assert not np.array_equal(plain.images, fixed.images) and not np.array_equal(fixed.images, other.images)
    with pytest.raises(UsageError, match="target=dpath_11: no such image"):
        Lizard(whole, stain="vahadane").split("test")


def test_the_key_follows_options_and_content(broken: Path) -> None:
    first = Lizard(broken)
    assert first.split("train").key == Lizard(broken).split("train").key != first.split("R1").key
    changed = ({}, {"seed": 1}, {"tissue": 0.4}, {"stride": 96}, {"border": "published"}, {"size": 120})
    keys = {Lizard(broken, **option).split("train").key for option in changed}  # type: ignore[arg-type]
    assert len(keys) == len(changed)
    relabel(one(broken), centroid=None)
    assert Lizard(broken).digest != first.digest


def test_the_instance_table_counts_images_and_nuclei_and_states_a_type_that_is_absent(whole: Path, tmp_path: Path) -> None:
    tile_summary = Lizard(whole).tile_summary
    counts = sum((count_types(path) for path in whole.rglob("*.mat")), Counter())
    assert (
        tile_summary["images"] == 5
        and tile_summary["train"] + tile_summary["validation"] + tile_summary["test"] + tile_summary["R2"] == 5
    )
    assert [tile_summary[name] for name in CLASSES[1:]] == [counts[i] for i in range(1, 7)] and min(counts.values()) > 0
    assert Lizard(lizard(tmp_path, types=4)).tile_summary["eosinophil"] == 0


def test_a_release_without_any_nucleus_is_refused(broken: Path) -> None:
    for path in broken.rglob("*.mat"):
        none = np.zeros((0, 1), np.int32)
        relabel(path, inst_map=np.zeros((150, 200), np.int32), id=none, bbox=np.zeros((0, 4), np.int32), **{"class": none})
    with pytest.raises(MissingError, match="no nucleus of any type"):
        Lizard(broken).split("train")


def test_one_image_without_nuclei_is_fine(broken: Path) -> None:
    none = np.zeros((0, 0), np.int32)
    relabel(one(broken), inst_map=np.zeros((150, 200), np.int32), id=none, bbox=none, **{"class": none})
    everything(Lizard(broken))


@pytest.mark.parametrize("key", ["inst_map", "id", "class", "bbox"])
def test_a_label_file_without_a_key_is_named_with_what_it_holds(broken: Path, key: str) -> None:
    relabel(one(broken), **{key: None})
    with pytest.raises(DamagedError, match=rf"crag_3\.mat has no {key}; it holds .*centroid"):
        everything(Lizard(broken))


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
    ("kind", "with_estimate"),
    [
        ("not listed", r"crag_3\.mat: inst_map shows nuclei that id does not list: \d+"),
        ("twice", r"crag_3\.mat: id lists a number twice"),
        ("lengths", r"crag_3\.mat: for 108 numbers in id, class has 107"),
        ("type 7", r"crag_3\.mat: class holds 7; known are 1 to 6"),
        ("axes", r"crag_3\.mat: \d+ of 108 boxes .* not where inst_map has"),
        ("numbers", r"crag_3\.mat: \d+ of 108 boxes .* not where inst_map has"),
        ("halves", r"crag_3\.mat: id is of type float64, not of whole numbers"),
        ("text", r"crag_3\.mat: id is of type <U1, not of whole numbers"),
        ("size", r"crag_3\.png is 200 x 150 px, .*crag_3\.mat is 200 x 151"),
        ("below 0", r"crag_3\.mat: inst_map holds -1"),
        ("8 bits", r"crag_3\.mat: inst_map numbers nuclei in 8 bits and holds 255"),
        ("given twice", r"crag_3\.mat: parts of nucleus \d+ lie \d+ px apart"),
        ("truncated", r"crag_3\.mat has no .*cut short"),
        ("empty", r"cannot read .*crag_3\.mat"),
    ],
)
def test_damaged_label_files_are_named(broken: Path, kind: str, with_estimate: str) -> None:
    damage(one(broken), kind)
    with pytest.raises(DamagedError, match=with_estimate) as caught:
        everything(Lizard(broken))
    assert caught.value.exit_code == 3


def test_numbers_that_lost_their_last_pixels_and_single_odd_boxes_are_accepted(broken: Path) -> None:
    from scipy.io import loadmat

    held = loadmat(one(broken))
    gone = held["inst_map"] * (held["inst_map"] != held["id"][0, 0])
    boxes = held["bbox"].copy()
    boxes[5] += 40
    relabel(one(broken), inst_map=gone, bbox=boxes)
    everything(Lizard(broken))


@pytest.mark.parametrize(
    ("gone", "with_estimate"),
    [
        ("**/crag_3.png", "one label file and no image: crag_3"),
        ("**/crag_3.mat", "one image and no label file: crag_3"),
        ("**/info.csv", r"Lizard_Labels has no info\.csv"),
    ],
)
def test_absent_files_are_named(broken: Path, gone: str, with_estimate: str) -> None:
    next(broken.glob(gone)).unlink()
    with pytest.raises(MissingError, match=with_estimate):
        Lizard(broken).split("train")


@pytest.mark.parametrize(
    ("change", "with_estimate"),
    [
        (lambda text: text.replace("crag_3,crag,3\n", ""), r"no row in .*info\.csv: crag_3"),
        (lambda text: text.replace("crag_3", "crag_1"), r"info\.csv has crag_1 more than once"),
        (lambda text: text.replace("Filename", "File"), "no column Filename; its columns are: File, Source, Split"),
        (lambda text: text + "crag_9,crag,1\n", r"one row in .*info\.csv and no image: crag_9"),
        (lambda text: text.split("\n")[0], "names no image"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(broken: Path, change: object, with_estimate: str) -> None:
    table = broken / "lizard_labels/Lizard_Labels/info.csv"
    table.write_text(change(table.read_text()))  # type: ignore[operator]
    with pytest.raises(MissingError, match=with_estimate):
        Lizard(broken).split("train")


def test_a_truncated_picture_and_a_double_one_are_named(broken: Path) -> None:
    path = next(broken.rglob("crag_3.png"))
    shutil.copy(path, broken / "lizard_images2/Lizard_Images2/crag_3.png")
    with pytest.raises(MissingError, match="have one name"):
        Lizard(broken).split("train")
    (broken / "lizard_images2/Lizard_Images2/crag_3.png").unlink()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MissingError, match=r"cannot read .*crag_3\.png"):
        everything(Lizard(broken))


@pytest.mark.parametrize("options", [{"size": 0}, {"stride": 0}, {"stride": 129}, {"tissue": 1.1}])
def test_impossible_options_are_refused(whole: Path, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="a stride is 1 to size"):
        Lizard(whole, **options)  # type: ignore[arg-type]


def test_readers_recognise_their_own_folders_and_no_other(whole: Path, tmp_path: Path) -> None:
    from tests.tasks.small_folder import five
    from tests.tasks.small_nuclei import conic, nuclei

    folders = [whole, conic(tmp_path / "conic"), nuclei(tmp_path / "nuclei"), five(tmp_path / "folder"), tmp_path]
    readers = [Lizard, Conic, NucleiFolder, Folder]
    found = [[reader.recognises(folder) for reader in readers] for folder in folders]
    assert np.array_equal(found, np.eye(5, 4, dtype=bool))
    with pytest.raises(BenchError, match="is not the Lizard release"):
        Lizard(tmp_path)


def test_the_registered_name_carries_the_folder(whole: Path) -> None:
    data = registry.load("datasets", f"lizard:{whole}", size="64", stain="none", splits="slides")
    assert data.size == 64 and data.folder == whole and json.dumps(registry.describe(data))
    with pytest.raises(UsageError, match="splits takes slides | paper"):
        registry.load("datasets", f"lizard:{whole}", splits="papers")


@pytest.mark.parametrize("more", [2**31, 2**32, 2**63])
def test_numbers_of_nuclei_beyond_32_bits_are_refused(broken: Path, more: int) -> None:
    from scipy.io import loadmat

    path = one(broken)
    held = loadmat(path)
    ids, instances = held["id"].astype(np.uint64), held["inst_map"].astype(np.uint64)
    relabel(path, id=ids + np.uint64(more), inst_map=np.where(instances > 0, instances + np.uint64(more), 0))
    with pytest.raises(DamagedError, match=r"crag_3\.mat: inst_map holds .*numbers up to 2147483647 are read"):
        read_labels(path)


def test_large_numbers_of_nuclei_are_read_as_they_are(broken: Path) -> None:
    from scipy.io import loadmat

    path = one(broken)
    held, (before, types) = loadmat(path), read_labels(path)
    more = 2**31 - 10_000
    relabel(path, id=held["id"].astype(np.int64) + more, inst_map=np.where(before > 0, before.astype(np.int64) + more, 0))
    after, same = read_labels(path)
    np.testing.assert_array_equal(after, np.where(before > 0, before.astype(np.int64) + more, 0))
    np.testing.assert_array_equal(same, types)
