"""`bench data check`: what it says of folders, what is wrong, and the line that runs."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small_run import bench
from tests.tasks import small_folder
from tests.tasks.datasets.importing import sources
from tests.tasks.datasets.importing.sources import check, imported
from tests.tasks.small_folder import halves, photo, write

REAL = Path(__file__).parents[4] / "shared/data"


def runs(line: str, home: Path) -> None:
    words = shlex.split(line)[2:]
    words[words.index("-g") + 1] = "blur"
    options = "--controls none --seeds 0 --no-downstream -e stain -m fd".split()
    done = bench("run", *words, *options, "--out", home / "run", home=home)
    assert done.exit_code == 0, done.stderr


def test_what_a_folder_holds(tmp_path: Path) -> None:
    folder = small_folder.many(tmp_path / "data", 5, "Patient ID")
    found = check(folder, "--size", "8")
    assert found["runnable"] and found["images"] == 10 and found["sizes"] == {"8 x 8": 10}
    assert [(each["number"], each["share"], each["shown"]) for each in found["classes"]] == [
        (0, 0.5, "10 images"),
        (1, 0.5, "10 images"),
    ]
    assert found["classes"][0]["patches"] == {"0.4-0.6": 10}
    assert found["sampling"]["sampling unit"] == "5 patients (column Patient ID of index.csv)"
    assert found["patches"]["patches of 8 px"].startswith("10 kept of 10")
    assert "--no-downstream" in found["commands"][0] and found["notes"]
    runs(found["commands"][0], tmp_path)


def test_the_text_says_the_same(tmp_path: Path) -> None:
    folder = small_folder.five(tmp_path / "data")
    done = bench("data", "check", folder, home=tmp_path)
    assert done.exit_code == 0
    for text in (
        "layout: a data folder",
        "images: 5",
        "64 x 64 px (5)",
        "class 1 class-1: 50.0%",
        "runnable: yes",
        "next: bench run",
    ):
        assert text in done.stdout


def test_splits_centres_and_mpp_of_the_index(tmp_path: Path) -> None:
    rows = "\n".join(f"p{i},s{i},{('train', 'val', 'test')[i % 3]},c{i % 2},0.5" for i in range(6))
    pictures = {f"p{i}": (photo(seed=i), halves()) for i in range(6)}
    folder = write(tmp_path / "data", pictures, "id,slide,split,centre,mpp", rows)
    found = check(folder)
    assert found["mpp"] == "0.5 (6 images)"
    assert found["sampling"]["splits"] == "train 2 images, validation 2 images, test 2 images (column split of index.csv)"
    assert found["sampling"]["laboratories"] == "2 (column centre of index.csv)"


def test_a_class_map_is_proposed_for_numbers_with_gaps(tmp_path: Path) -> None:
    pictures = {f"p{i}": (photo(seed=i), halves(left=2, right=5)) for i in range(5)}
    found = check(write(tmp_path / "data", pictures))
    assert "--class-map 2=0,5=1" in found["commands"][0]
    runs(found["commands"][0], tmp_path)


def test_a_class_that_no_patch_shows_is_left_out(tmp_path: Path) -> None:
    pictures = {f"p{i}": (photo(seed=i), halves()) for i in range(5)}
    pictures["rare"] = (photo(seed=9), np.full((64, 64), 2, np.uint8))
    found = check(write(tmp_path / "data", pictures))
    assert "--class-map 0=0,1=1,2=ignore" in found["commands"][0] and "no patch shows class 2" in found["notes"][0]
    runs(found["commands"][0], tmp_path)


def test_images_of_two_resolutions_are_read_at_the_coarser_one(tmp_path: Path) -> None:
    pictures = {f"p{i}": (photo(128, 128, seed=i), halves(128, 128, share=0.375)) for i in range(6)}
    rows = "\n".join(f"p{i},{0.25 if i % 2 else 0.5}" for i in range(6))
    folder = write(tmp_path / "data", pictures, "id,mpp", rows)
    found = check(folder, "--size", "32")
    assert "dataset.mpp=0.5" in found["commands"][0] and "dataset.size=32" in found["commands"][0]
    runs(found["commands"][0], tmp_path)
    assert check(folder, "--size", "32", "--mpp", "1")["patches"]["patches of 32 px at 1 microns per pixel"].startswith(
        "9 kept"
    )
    finer = check(folder, "--mpp", "0.1", code=3)["faults"]
    assert len(finer) == 6 and "p0.png: 0.1 microns per pixel were asked for" in finer[0]


def test_every_fault_names_its_file(tmp_path: Path) -> None:
    pictures = {f"p{i}": (photo(seed=i), halves()) for i in range(5)}
    pictures["p1"] = (photo(32, 64), halves())
    folder = write(tmp_path / "data", pictures)
    cut = folder / "region/p3.png"
    cut.write_bytes(cut.read_bytes()[:60])
    found = check(folder, code=3)
    assert len(found["faults"]) == 2 and not found["commands"] and not found["runnable"]
    assert "p1.png is 64 x 32 px" in found["faults"][0] and "p3.png" in found["faults"][1]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ("p0\np0\np1", "id", "p0 more than once"),
        ("p0\np9", "id", "lacks 1 of 2 files"),
        ("p0,25\np1,0.5", "id,mpp", "p0 (25) lies outside 0.1 to 4"),
        ("p0,\np1,0.5", "id,mpp", "1 images have no mpp"),
        ("p0,a,train\np1,a,test", "id,slide,split", "in two splits"),
        ("p0,a\np1,b", "id,slide", "patches of 2 sources"),
    ],
)
def test_an_index_that_is_wrong(tmp_path: Path, rows: str, columns: str, message: str) -> None:
    folder = write(tmp_path / "data", {f"p{i}": (photo(seed=i), halves()) for i in range(2)}, columns, rows)
    assert message in " ".join(check(folder, code=3)["faults"])


def test_maps_without_two_classes(tmp_path: Path) -> None:
    pictures = {f"p{i}": (photo(seed=i), halves(right=255)) for i in range(5)}
    message = check(write(tmp_path / "one", pictures), code=3)["faults"][0]
    assert "hold 1 class, and a run needs two" in message and "--palette" in message
    pure = {f"p{i}": (photo(seed=i), np.full((64, 64), i % 2, np.uint8)) for i in range(5)}
    assert "no patch of 64 px has two classes" in check(write(tmp_path / "pure", pure), code=3)["faults"][0]
    assert "Give --size 64" in check(small_folder.five(tmp_path / "small"), "--size", "96", code=3)["faults"][0]


def test_nuclei(tmp_path: Path) -> None:
    out = tmp_path / "out"
    imported(sources.pannuke(tmp_path / "source"), out)
    found = check(out, "--size", "64")
    assert found["layout"] == "nuclei-folder, nuclei with types" and found["sizes"] == {"128 x 128": 16}
    assert found["mpp"] == "0.25 (16 images)" and [each["name"] for each in found["classes"]][:2] == [
        "background",
        "neoplastic",
    ]
    assert "dataset.size=64" in found["commands"][0] and "neoplastic 32" in found["patches"]["nuclei"]
    inst = out / "inst/part1_00001.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(inst)
    assert "part1_00001.png is 9 x 9" in check(out, code=3)["faults"][0]


def test_a_folder_that_has_to_be_imported(tmp_path: Path) -> None:
    source = sources.flat(tmp_path / "my data")
    found = check(source, code=3)
    line = found["commands"][0]
    assert found["layout"].startswith("pairs: 8 images") and found["images"] == 8
    done = bench(*shlex.split(line)[1:], home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    assert check(tmp_path / "my data-data")["runnable"]


def test_a_folder_of_two_layouts_gets_a_line_for_each(tmp_path: Path) -> None:
    source = sources.geojson(tmp_path / "source")
    for i in range(4):
        sources.save(halves(), source / f"s{i}_mask.png")
    commands = check(source, code=3)["commands"]
    assert [line.split("--layout ")[1] for line in commands] == ["geojson", "pairs"]


def test_a_folder_of_nothing_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds nothing" in check(tmp_path / "empty", code=3)["faults"][0]
    done = bench("data", "check", tmp_path / "nowhere", home=tmp_path)
    assert done.exit_code == 3 and "no folder" in done.stderr


@pytest.mark.parametrize("name", ["regions/camelyon", "regions/wsss4luad"])
def test_real_folders_are_runnable(name: str) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"no {REAL / name}")
    done = bench("data", "check", REAL / name, home=Path("unused"))
    assert done.exit_code == 0 and "runnable: yes" in done.stdout
