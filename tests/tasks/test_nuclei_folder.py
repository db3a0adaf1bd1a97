"""A folder of nuclei: patches show what the files say, lists, merging and resampling do what they promise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.errors import BenchError, MissingError, UsageError
from tasks.datasets.nuclei_folder import NucleiFolder
from tests.tasks.small_nuclei import draw_image, is_aligned, nuclei

FOUR = ("train", "validation", "test", "R2")
SHARED = Path(__file__).parents[2] / "../shared/data/nuclei"
SIX = "neutrophil,epithelial,lymphocyte,plasma,eosinophil,connective"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nuclei(tmp_path_factory.mktemp("data") / "mine")


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(whole, tmp_path / "mine"))


def ids(folder: NucleiFolder) -> list[str]:
    return [name for split in FOUR for name in folder.split(split).conditions.ids]


def everything(folder: NucleiFolder) -> None:
    for split in (*FOUR, "R1"):
        folder.split(split)


def test_patches_show_what_the_files_say(whole: Path) -> None:
    folder = NucleiFolder(whole, size=32, types=SIX)
    for split in FOUR:
        patches = folder.split(split)
        conditions = patches.conditions
        assert is_aligned(patches) and conditions.classes == ("background", *SIX.split(",")) and conditions.mpp == 0.5
        assert conditions.instances.dtype == np.int32 and conditions.columns() == NucleiFolder.provides | {
            "origins",
            "corners",
        }
        for name, instances in zip(conditions.ids, conditions.instances, strict=True):
            image, _, corner = name.partition("/")
            x, y = map(int, corner.split("_"))
            assert np.array_equal(instances, draw_image(70, 100, seed=int(image[1:]))[1][y : y + 32, x : x + 32])
    assert len(ids(folder)) == 5 * 6 and len(ids(NucleiFolder(whole, size=32, stride=16))) == 5 * 15


def test_what_is_not_annotated_stays_so_and_tiles_without_half_are_dropped(tmp_path: Path) -> None:
    folder = NucleiFolder(nuclei(tmp_path / "mine", uncovered=50), size=32)
    assert {name.partition("/")[2].partition("_")[0] for name in ids(folder)} == {"64"}  # of 0, 32 and 64
    folder = NucleiFolder(nuclei(tmp_path / "other", uncovered=40), size=32)
    patches = folder.split("train")
    assert is_aligned(patches) and (patches.conditions.masks == 255).mean() == pytest.approx(8 / 64)
    assert {name.partition("/")[2].partition("_")[0] for name in ids(folder)} == {"32", "64"}


def test_tiles_with_too_few_nuclei_are_dropped(data: Path) -> None:
    for part in ("inst", "type"):
        held = np.array(Image.open(data / part / "p0.png"))
        held[:32, :32] = 0
        Image.fromarray(held).save(data / part / "p0.png")
    assert set(ids(NucleiFolder(data, size=32))) - set(ids(NucleiFolder(data, size=32, nuclei=1))) == {"p0/0_0"}
    with pytest.raises(MissingError, match="fewer than 99 nuclei"):
        NucleiFolder(data, size=32, nuclei=99).split("train")


def test_splits_go_by_source_and_the_manifest_says_so(data: Path) -> None:
    folder = NucleiFolder(data, size=32)
    groups = {name: set(folder.split(name).conditions.groups.tolist()) for name in (*FOUR, "R1", "holdout")}
    assert sum(len(groups[name]) for name in FOUR) == 5 == len(set.union(*(groups[name] for name in FOUR)))
    assert groups["R1"] <= groups["train"] and groups["holdout"] == groups["validation"] | groups["R2"]
    manifest = json.loads(json.dumps(folder.manifest()))
    assert all({image for image, splits in manifest.items() if name in splits} == groups[name] for name in (*FOUR, "R1"))
    assert len({json.dumps(NucleiFolder(data, size=32, seed=seed).manifest()) for seed in range(5)}) > 1
    (data / "index.csv").write_text("id,source\n" + "".join(f"p{i},s{max(i, 1)}\n" for i in range(5)))
    shared = NucleiFolder(data, size=32).manifest()
    assert shared["p0"] == shared["p1"] and len({tuple(splits) for splits in shared.values()}) == 4


def test_r1_takes_sources_of_train_until_it_is_about_as_large_as_r2(tmp_path: Path) -> None:
    folder = NucleiFolder(nuclei(tmp_path / "mine", count=20, shape=(40, 40)), size=32)
    counts = {name: len(folder.split(name)) for name in (*FOUR, "R1")}
    assert counts == {"train": 8, "validation": 3, "test": 4, "R2": 5, "R1": 5}
    few = NucleiFolder(nuclei(tmp_path / "few", count=3), size=32)
    with pytest.raises(MissingError, match=r"tiles of 3 sources \(p0, p1, p2\).*R2 need one of their own each"):
        few.split("train")


def test_a_list_names_the_patches(data: Path) -> None:
    table = "source,x,y,size\n" + "".join(f"p{i},{i},3,32\np{i},60,38,32\n" for i in range(5))
    (data / "patches32.csv").write_text(table)
    (data / "mine.csv").write_text(table.replace(",size", "").replace(",32\n", "\n").replace(",3\n", ",4\n"))
    listed = NucleiFolder(data, size=32)
    assert sorted(ids(listed)) == sorted(f"p{i}/{corner}" for i in range(5) for corner in (f"{i}_3", "60_38"))
    assert all(is_aligned(listed.split(split)) for split in FOUR)
    assert "p1/1_4" in ids(NucleiFolder(data, size=32, patches="mine.csv"))
    assert len(ids(NucleiFolder(data, size=32, patches=""))) == 30
    assert len(ids(NucleiFolder(data, size=32, mpp=0.5))) == 30
    digest = listed.digest
    (data / "patches32.csv").write_text(table.replace("p1,1,3", "p1,2,3"))
    assert NucleiFolder(data, size=32).digest != digest


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("p0,69,0,32", r"row 1: p0 69 0 32: does not lie in the image of 100 x 70 px"),
        ("p0,0,0,32\np0,0,0,32", r"row 2: .* occurs twice"),
        ("q,0,0,32", r"row 1: q 0 0 32: expected are the id of an image"),
        ("p0,-1,0,32", r"row 1: .*whole numbers"),
        ("p0,0,0,64", r"this list is of patches of 64 px\. Set -o size=64"),
        ("p0,0,,32", r"patches32\.csv has no y in row 1"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(data: Path, row: str, message: str) -> None:
    (data / "patches32.csv").write_text(f"source,x,y,size\n{row}\n")
    with pytest.raises(BenchError, match=message):
        NucleiFolder(data, size=32).split("train")


def test_a_list_that_is_absent_or_meets_another_resolution_is_refused(data: Path) -> None:
    with pytest.raises(MissingError, match=r"no list of patches .*mine\.csv"):
        NucleiFolder(data, size=32, patches="mine.csv").split("train")
    with pytest.raises(UsageError, match="leave out mpp"):
        NucleiFolder(data, size=32, patches="mine.csv", mpp=1).split("train")


def test_resampling_keeps_numbers_and_types(data: Path) -> None:
    half = NucleiFolder(data, size=32, mpp=1.0, types=SIX)
    patches = half.split("train")
    conditions = patches.conditions
    assert conditions.mpp == 1.0 and len(ids(half)) == 5
    for name, masks, instances in zip(conditions.ids, conditions.masks, conditions.instances, strict=True):
        _, numbers, types = draw_image(70, 100, seed=int(name[1]))
        assert np.array_equal(masks, types[1::2, 1::2][:32, :32]) or np.array_equal(masks, types[::2, ::2][:32, :32])
        pairs = {(a, b) for a, b in zip(numbers.ravel().tolist(), types.ravel().tolist(), strict=True)}
        assert {(a, b) for a, b in zip(instances.ravel().tolist(), masks.ravel().tolist(), strict=True)} <= pairs
    with pytest.raises(UsageError, match="mpp=0.25 was asked for.* a coarser one"):
        NucleiFolder(data, size=32, mpp=0.25).split("train")
    (data / "index.csv").write_text("id,mpp\np0,0.5\np1,\np2,0.5\np3,0.5\np4,0.5\n")
    with pytest.raises(UsageError, match=r"has none, or a coarser one, for p1"):
        NucleiFolder(data, size=32, mpp=0.5).split("train")
    with pytest.raises(UsageError, match=r"differ in mpp: p0 has 0\.5, p1 has nan"):
        NucleiFolder(data, size=32).split("train")


def test_types_are_merged_dropped_and_ignored(whole: Path) -> None:
    merged = NucleiFolder(whole, size=32, class_map="1=1,2=1,3=2,4=2,5=0,6=ignore", types="one,two")
    for split in FOUR:
        conditions, plain = merged.split(split).conditions, NucleiFolder(whole, size=32).split(split).conditions
        assert conditions.classes == ("background", "one", "two")
        lookup = np.array([0, 1, 1, 2, 2, 0, 255], np.uint8)
        assert np.array_equal(conditions.masks, lookup[plain.masks])
        inside = np.isin(plain.masks, (1, 2, 3, 4))
        assert np.array_equal(conditions.instances, np.where(inside, plain.instances, 0))
    assert plain.classes == ("background", *(f"type-{i}" for i in range(1, 7)))
    assert NucleiFolder(whole, size=32, class_map="1=1,2=1,3=1,4=1,5=2,6=2").split("R1").conditions.classes[1:] == (
        "type-1",
        "type-2",
    )


def test_the_tile_summary_states_a_type_that_is_absent_and_no_nucleus_at_all_is_refused(data: Path) -> None:
    tile_summary = NucleiFolder(data, size=32, types=SIX + ",seventh").tile_summary
    assert (
        tile_summary["images"] == 5 == sum(tile_summary[name] for name in FOUR)
        and tile_summary["seventh"] == 0 < tile_summary["plasma"]
    )
    for path in (data / "type").iterdir():
        Image.fromarray(np.where(np.array(Image.open(path)) == 255, 255, 0).astype(np.uint8)).save(path)
        Image.fromarray(np.zeros((70, 100), np.uint16)).save(data / "inst" / path.name)
    with pytest.raises(MissingError, match="no nucleus of any type"):
        NucleiFolder(data, size=32).split("train")


def test_the_key_follows_options_and_content(data: Path) -> None:
    changed: list[dict[str, Any]] = [
        {},
        {"seed": 2},
        {"stride": 16},
        {"nuclei": 1},
        {"types": SIX},
        {"mpp": 0.5},
        {"patches": ""},
    ]
    assert len({NucleiFolder(data, size=32, **options).split("train").key for options in changed}) == len(changed)
    digest = NucleiFolder(data).digest
    held = np.array(Image.open(data / "inst/p2.png"))
    held[held == 5] = 4
    Image.fromarray(held).save(data / "inst/p2.png")
    assert NucleiFolder(data).digest != digest


def change_map(folder: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Changes the map of p2 in one folder."""
    return lambda data: Image.fromarray(change(np.array(Image.open(data / folder / "p2.png")))).save(data / folder / "p2.png")


def cut(path: str) -> Callable[[Path], None]:
    return lambda data: (data / path).write_bytes((data / path).read_bytes()[:90]) and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            change_map("type", lambda a: np.where(a == 3, 9, a).astype(np.uint8)),
            r"type/p2\.png holds type 9; known are 1, 2, 3",
        ),
        (change_map("type", lambda a: a * 0), r"inst/p2\.png and .*type/p2\.png: \d+ pixels have a nucleus without a type"),
        (change_map("inst", lambda a: a * 0), r"p2\.png: \d+ pixels .* a type without a nucleus"),
        (change_map("inst", lambda a: np.minimum(a, 5)), r"type/p2\.png: nucleus 5 has several types"),
        (change_map("type", lambda a: a[1:]), r"inst/p2\.png is 100 x 70 px, .*type/p2\.png is 100 x 69"),
        (change_map("images", lambda a: a[:, 1:]), r"images/p2\.png is 99 x 70 px, .*inst/p2\.png is 100 x 70"),
        (change_map("type", lambda a: a.astype(np.uint16)), r"type/p2\.png has 16 bits a pixel"),
        (change_map("inst", lambda a: np.stack([a.astype(np.uint8)] * 3, -1)), r"inst/p2\.png is stored as RGB"),
        (cut("images/p2.png"), r"cannot read .*images/p2\.png"),
        (cut("inst/p2.png"), r"cannot read .*inst/p2\.png"),
        (cut("type/p2.png"), r"cannot read .*type/p2\.png"),
        (lambda data: (data / "inst/p2.png").unlink(), r"inst lacks 1 of 5 files.*p2"),
        (lambda data: (data / "images/p2.png").unlink(), r"images lacks 1 of 5 files.*p2"),
    ],
)
def test_damaged_and_absent_files_are_named(data: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(data)
    with pytest.raises(BenchError, match=message):
        everything(NucleiFolder(data, size=32, types=SIX))


def test_a_folder_that_is_none_is_refused_at_once(data: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no folder .*nowhere"):
        NucleiFolder(tmp_path / "nowhere")
    shutil.rmtree(data / "inst")
    with pytest.raises(MissingError, match=r"has no inst\. A nuclei folder holds"):
        NucleiFolder(data)


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"stride": 0}, {"nuclei": -1}, {"mpp": 0.0}, {"types": "a,,b"}, {"class_map": "1=2"}, {"class_map": "x"}],
)
def test_impossible_options_are_refused(whole: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        NucleiFolder(whole, **options)


def test_the_registered_name_carries_the_folder(whole: Path) -> None:
    data = registry.load("datasets", f"nuclei-folder:{whole}", size="32", mpp="none")
    assert data.card.name == "nuclei-mine" and data.mpp is None and json.dumps(registry.describe(data))


def shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no ../shared/data/nuclei/{name}")
    return SHARED / name


def test_real_patches_of_lizard_come_by_their_list() -> None:
    folder = NucleiFolder(shared("lizard6"), types=SIX)
    assert (
        folder.tile_summary["images"] == 29 and folder.tile_summary["epithelial"] > 50 * folder.tile_summary["neutrophil"] > 0
    )
    patches = folder.split("validation")
    conditions = patches.conditions
    assert sum(map(len, folder._corners.values())) == 1360
    assert not (conditions.masks == 255).any() and set(np.unique(conditions.masks)) <= set(range(7))
    darkness = 255 - patches.images.mean(axis=-1)
    assert darkness[conditions.masks > 0].mean() > 1.3 * darkness[conditions.masks == 0].mean()


def test_real_instances_of_consep_touch_and_stay_apart() -> None:
    folder = NucleiFolder(shared("consep"), mpp=0.5, types="other,inflammatory,epithelial,spindle")
    conditions = folder.split("test").conditions
    assert len(conditions) == 48 and len(set(conditions.groups.tolist())) == 3
    left, right = conditions.instances[:, :, :-1], conditions.instances[:, :, 1:]
    assert ((left != right) & (left > 0) & (right > 0)).any()


def crowded(folder: Path, renumber: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], dtype: type) -> NucleiFolder:
    """Five images of 289 nuclei, whose instance maps are written as `renumber` makes them from 1, 2, ..."""
    nuclei(folder, shape=(288, 288), types=1)
    for path in sorted((folder / "inst").iterdir()):
        numbers = np.unique(np.array(Image.open(path)), return_inverse=True)[1].reshape(288, 288)
        Image.fromarray(renumber(numbers).astype(dtype)).save(path)
    return NucleiFolder(folder, size=96)


def wrapped(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.where(numbers > 0, (numbers - 1) % 255 + 1, 0)


def test_numbers_beyond_8_bits_are_read_from_16(tmp_path: Path) -> None:
    everything(crowded(tmp_path / "d", lambda numbers: numbers, np.uint16))


@pytest.mark.parametrize("renumber", [lambda numbers: np.minimum(numbers, 255), wrapped], ids=["clipped", "wrapped"])
def test_8_bit_maps_that_lost_numbers_are_refused(tmp_path: Path, renumber: Any) -> None:
    with pytest.raises(BenchError, match=r"inst/p\d\.png numbers nuclei in 8 bits and holds 255"):
        everything(crowded(tmp_path / "d", renumber, np.uint8))


def test_numbers_that_began_again_are_refused_in_any_depth(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"inst/p\d\.png .*: parts of nucleus \d+ lie \d+ px apart"):
        everything(crowded(tmp_path / "d", wrapped, np.uint16))


@pytest.mark.parametrize(("apart", "is_refused"), [(15, False), (32, False), (33, True)])
def test_parts_of_a_nucleus_that_a_border_cut_stay_one(data: Path, apart: int, is_refused: bool) -> None:
    instances, types = np.zeros((70, 100), np.uint16), np.zeros((70, 100), np.uint8)
    instances[:2, 10:12] = instances[:2, 12 + apart : 14 + apart] = 7
    instances[40:44, 40:44] = 8
    types[instances > 0] = 1
    Image.fromarray(instances).save(data / "inst/p2.png")
    Image.fromarray(types).save(data / "type/p2.png")
    if is_refused:
        with pytest.raises(BenchError, match=rf"parts of nucleus 7 lie {apart} px apart"):
            everything(NucleiFolder(data, size=32))
    else:
        everything(NucleiFolder(data, size=32))


@pytest.mark.parametrize(("name", "size"), [("consep", 256), ("lizard6", 128)])
def test_real_maps_have_all_their_numbers(name: str, size: int) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{SHARED / name} is not here")
    folder = NucleiFolder(SHARED / name, size=size)
    assert folder.tile_summary["images"] in (272, 29) and folder.sampling.unit == "source images"
