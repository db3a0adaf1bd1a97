"""Sources that are wrong: each has a message of its own, an exit code, and leaves no folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.datasets.importing import sources
from tests.tasks.datasets.importing.sources import imported, index, refusal
from tests.tasks.small_folder import halves, photo


def test_a_map_of_another_size(tmp_path: Path) -> None:
    source = sources.flat(tmp_path / "source")
    sources.save(halves(32, 64), source / "s0_1_mask.png")
    assert "s0_1.png is 64 x 64 px, its map s0_1_mask.png is 64 x 32" in refusal(source, tmp_path / "out")
    made = imported(source, tmp_path / "out", "--skip-damaged")
    assert list(made["skipped"]) == ["s0_1.png"] and made["images"] == 7
    assert not (tmp_path / "out/images/s0_1.png").exists() and len(index(tmp_path / "out")) == 7


def test_damaged_files_are_named_or_skipped(tmp_path: Path) -> None:
    source = sources.flat(tmp_path / "source")
    for name in ("s0_0.png", "s1_0_mask.png"):
        path = source / name
        path.write_bytes(path.read_bytes()[:100])
    first = refusal(source, tmp_path / "out")
    assert "s1_0_mask.png" in first and "cut short" in first and "Nothing was written" in first
    made = imported(source, tmp_path / "out", "--skip-damaged")
    assert set(made["skipped"]) == {"s0_0.png", "s1_0.png"} and made["images"] == 6


def test_a_missing_map(tmp_path: Path) -> None:
    source = sources.two_folders(tmp_path / "source")
    (source / "masks/s2_0.png").unlink()
    assert "s2_0.png has no map" in refusal(source, tmp_path / "out")
    assert imported(source, tmp_path / "out", "--skip-damaged")["images"] == 7


def test_maps_without_an_image_are_counted(tmp_path: Path) -> None:
    source = sources.two_folders(tmp_path / "source")
    (source / "images/s2_0.png").unlink()
    assert "1 maps without an image are not read: masks/s2_0.png" in imported(source, tmp_path / "out")["statements"]


def test_two_images_of_one_id(tmp_path: Path) -> None:
    source = sources.two_folders(tmp_path / "source")
    sources.save(photo(), source / "images/s0_0.jpg")
    assert "one id, s0_0" in refusal(source, tmp_path / "out")
    listed = sources.table(tmp_path / "table")
    (listed / "list.csv").write_text((listed / "list.csv").read_text().replace("s0_1.png", "s0_0.png"))
    assert "s0_0" in refusal(listed, tmp_path / "out") and "occur more than once" in refusal(listed, tmp_path / "out")


def test_two_maps_of_one_image(tmp_path: Path) -> None:
    source = sources.flat(tmp_path / "source")
    sources.save(halves(), source / "s0_0_seg.png")
    assert "several maps" in refusal(source, tmp_path / "out")


def test_a_palette_without_a_colour_of_the_maps(tmp_path: Path) -> None:
    source = sources.two_folders(tmp_path / "source", sources.coloured(halves()))
    strange = sources.coloured(halves())
    strange[0, 0] = (1, 2, 3)
    sources.save(strange, source / "masks/s1_1.png")
    words = ("--palette", "0,0,0=normal;255,0,0=tumour")
    assert "masks/s1_1.png holds the colour 1,2,3 (1 px)" in refusal(source, tmp_path / "out", *words)
    assert imported(source, tmp_path / "out", *words, "--skip-damaged")["images"] == 7


def test_maps_with_soft_edges(tmp_path: Path) -> None:
    ramp = np.zeros((64, 64, 3), np.uint8)
    ramp[..., 0] = np.arange(64) * 4
    message = refusal(sources.two_folders(tmp_path / "source", ramp), tmp_path / "out", "--accept-palette")
    assert "64 colours" in message and "anti-aliased" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--palette", "255,0,0"], "no palette"),
        (["--palette", "red=tumour"], "Write 255,0,0=NAME"),
        (["--palette", "300,0,0=tumour"], "between 0 and 255"),
        (["--palette", "0,0,0=a;0,0,0=b"], "twice"),
        (["--palette", "0,0,0=a;1=b"], "together"),
        (["--palette", "0=a;1=b"], "maps are in colour"),
        (["--palette", "0,0,0=a;255,0,0=b", "--classes", "a,c"], "disagree"),
        (["--accept-palette", "--classes", "a,b,c"], "names 3 classes"),
        (["--accept-palette", "--classes", "a,a"], "double name"),
        (["--accept-palette", "--columns", "image"], "--columns has 'image'"),
        (["--accept-palette", "--columns", "colour=x"], "known meanings are image"),
        (["--accept-palette", "--columns", "patient=x"], "no column 'x'"),
        (["--accept-palette", "--unit-from", "patient"], "has no group"),
        (["--accept-palette", "--unit-from", "(x"], "no regular expression"),
        (["--accept-palette", "--unit-from", "(x)"], "does not match s0_0"),
        (["--accept-palette", "--unit-from", "(?P<colour>s)"], "groups are named"),
        (["--accept-palette", "--split-from", r"(s\d)"], "--splits s0=train"),
        (["--accept-palette", "--mpp", "25"], "--mpp"),
        (["--layout", "pears"], "Did you mean 'pairs'"),
        (["--kind", "nuclei"], "needs numbered nuclei"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, words: list[str], message: str) -> None:
    source = sources.two_folders(tmp_path / "source", sources.coloured(halves()))
    assert message in refusal(source, tmp_path / "out", *words, code=2)


def test_an_mpp_that_is_confirmed(tmp_path: Path) -> None:
    imported(sources.flat(tmp_path / "source"), tmp_path / "out", "--mpp", "8", "--confirm-mpp")
    assert index(tmp_path / "out")[0]["mpp"] == "8"


def test_a_column_that_the_table_lacks(tmp_path: Path) -> None:
    source = sources.table(tmp_path / "source")
    message = refusal(source, tmp_path / "out", "--columns", "mask=mask_pat", code=2)
    assert "no column 'mask_pat'. Did you mean 'mask_path'" in message and "patient_id" in message
    renamed = (source / "list.csv").read_text().replace("image_path", "bild")
    (source / "list.csv").write_text(renamed)
    asked = ("--layout", "table")
    assert "which column of" in refusal(source, tmp_path / "out", *asked, code=2)
    assert imported(source, tmp_path / "out", *asked, "--columns", "image=bild")["images"] == 8


def test_a_row_whose_file_does_not_exist(tmp_path: Path) -> None:
    source = sources.table(tmp_path / "source")
    (source / "annotated/s1_1-a.png").unlink()
    assert "row 4: the map 'annotated/s1_1-a.png' of column mask_path does not exist" in refusal(source, tmp_path / "out")


def test_a_source_of_two_layouts(tmp_path: Path) -> None:
    source = sources.geojson(tmp_path / "source")
    for i in range(4):
        sources.save(halves(), source / f"s{i}_mask.png")
    message = refusal(source, tmp_path / "out", code=2)
    assert "geojson (" in message and "pairs (" in message and "--layout geojson or --layout pairs" in message
    assert imported(source, tmp_path / "out", "--layout", "pairs")["layout"] == "pairs"


def test_a_source_of_no_layout(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    assert "none of the layouts" in refusal(tmp_path / "source", tmp_path / "out")
    assert "does not exist" in refusal(tmp_path / "nowhere", tmp_path / "out")


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sources.save(photo(), out / "mine.png")
    done = sources.import_source(sources.flat(tmp_path / "source"), out)
    assert done.exit_code == 2 and "not empty" in done.stderr and [path.name for path in out.iterdir()] == ["mine.png"]
    inside = sources.import_source(tmp_path / "source", tmp_path / "source/out")
    assert inside.exit_code == 2 and "lies in the source" in inside.stderr


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = sources.import_source(sources.flat(tmp_path / "source"), tmp_path / "file/a/out")
    assert done.exit_code == 2 and "cannot be made" in done.stderr


def test_polygons_that_are_wrong(tmp_path: Path) -> None:
    outside = sources.geojson(tmp_path / "a", sources.feature("x", [sources.square(100, 100, 4)]))
    assert "covers no pixel" in refusal(outside, tmp_path / "out")
    line = sources.geojson(tmp_path / "b", sources.feature("x", [[1, 2]], "LineString"))  # type: ignore[list-item]
    assert "the geometry LineString" in refusal(line, tmp_path / "out")
    short = sources.geojson(tmp_path / "c", sources.feature("x", [[[0, 0], [1, 1]]]))
    assert "at least three corners" in refusal(short, tmp_path / "out")
    (line / "s0.geojson").write_text("{")
    assert "s0.geojson is not JSON" in refusal(line, tmp_path / "out")


def test_coco_that_is_wrong(tmp_path: Path) -> None:
    note = {"id": 1, "image_id": 0, "category_id": 8, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    assert "category_id 8" in refusal(sources.coco(tmp_path / "a", annotations=[note]), tmp_path / "out")
    box = {**note, "category_id": 7, "segmentation": []}
    assert "Boxes are no maps" in refusal(sources.coco(tmp_path / "b", annotations=[box]), tmp_path / "out")
    runs = {**note, "category_id": 7, "segmentation": {"size": [9, 9], "counts": [81]}}
    assert "run lengths of the size [9, 9]" in refusal(sources.coco(tmp_path / "c", annotations=[runs]), tmp_path / "out")
    source = sources.coco(tmp_path / "d")
    (source / "images/s3.png").unlink()
    assert "s3.png does not exist" in refusal(source, tmp_path / "out")
    words = ("--classes", "tumour,glass")
    assert "--classes names 'glass'" in refusal(sources.coco(tmp_path / "e"), tmp_path / "out", *words, code=2)


def test_a_hugging_face_file_that_is_damaged(tmp_path: Path) -> None:
    source = sources.hugging_face(tmp_path / "source")
    (source / "test/data-00000-of-00001.arrow").write_bytes(b"no arrow")
    assert "data-00000-of-00001.arrow" in refusal(source, tmp_path / "out")
    (source / "dataset_dict.json").write_text('{"splits": ["../.."]}')
    assert "no path below" in refusal(source, tmp_path / "out")


def test_arrays_that_are_not_of_pannuke(tmp_path: Path) -> None:
    source = sources.pannuke(tmp_path / "source", 1)
    np.save(source / "Part 1/masks/part1/masks.npy", np.zeros((1, 128, 128, 5)))
    assert "expected are (n, h, w, 3) and (n, h, w, 6)" in refusal(source, tmp_path / "out")
    np.save(source / "Part 1/masks/part1/masks.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "damaged, or no array" in refusal(source, tmp_path / "out")


def test_names_of_tissues_that_are_no_text(tmp_path: Path) -> None:
    source = sources.pannuke(tmp_path / "source", 1)
    types = next(source.rglob("types.npy"))
    np.save(types, np.array(["Co\x1blon"] * len(np.load(types))))
    assert "cannot be printed" in refusal(source, tmp_path / "out")
    held = np.full(len(np.load(types)), 0x110000, np.uint32).view("<U1")
    np.save(types, held)
    assert "no text" in refusal(source, tmp_path / "out")


def test_names_that_a_spreadsheet_would_compute(tmp_path: Path) -> None:
    source = sources.flat(tmp_path / "source")
    (source / "s0_0.png").rename(source / "=1+1.png")
    (source / "s0_0_mask.png").rename(source / "=1+1_mask.png")
    assert "not plain" in refusal(source, tmp_path / "out")


def test_a_killed_import_leaves_no_folder_and_the_next_one_succeeds(tmp_path: Path) -> None:
    source, out = sources.flat(tmp_path / "source"), tmp_path / "out"
    code = (
        "import os, signal, sys; from tasks.datasets.importing import writing\n"
        "def kill(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "writing._write_index = kill\n"
        "from bench.cli import main; main()"
    )
    program = [sys.executable, "-c", code, "data", "import", str(source), "--out", str(out)]
    done = subprocess.run(program, capture_output=True, env={**os.environ, "BENCH_HOME": str(tmp_path / "home")})
    assert done.returncode == -signal.SIGKILL and not out.exists()
    assert (tmp_path / ".out.import/images/s0_0.png").exists()
    assert imported(source, out)["images"] == 8
    assert not list(tmp_path.glob(".out*"))


def test_two_imports_into_one_folder(tmp_path: Path) -> None:
    source, out = sources.flat(tmp_path / "source"), tmp_path / "out"
    code = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / ".out.lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    try:
        done = sources.import_source(source, out)
        assert done.exit_code == 2 and "another import writes" in done.stderr
    finally:
        holder.kill()
        holder.wait()


def test_coco_with_ids_that_do_not_fit(tmp_path: Path) -> None:
    source = sources.coco(tmp_path / "source")
    held = json.loads((source / "instances.json").read_text(encoding="utf-8"))
    for change, shown in ((0, "two images have the id 0"), (9, "the image_id 1, which images does not list")):
        images = [{**each, "id": change if each["id"] == 1 else each["id"]} for each in held["images"]]
        (source / "instances.json").write_text(json.dumps({**held, "images": images}), encoding="utf-8")
        assert shown in refusal(source, tmp_path / "out")
