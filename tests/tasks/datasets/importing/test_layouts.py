"""Every layout becomes a data folder that a run reads."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small_run import bench
from tests.tasks.datasets.importing import sources
from tests.tasks.datasets.importing.sources import check, imported, index, refusal, region
from tests.tasks.small_folder import halves, photo

UNITS = ("--unit-from", r"^(s\d)")
RUN = "--controls none --seeds 0 --no-downstream -e stain -m fd".split()


def run(line: str, out: Path) -> None:
    """Runs the line that `bench data check` printed, with a generator and options that take no time."""
    words = shlex.split(line)[2:]
    words[words.index("-g") + 1] = "blur"
    done = bench("run", *words, *RUN, "--out", out / "run", home=out / "home")
    assert done.exit_code == 0, done.stderr


def test_images_beside_their_maps(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = imported(sources.flat(tmp_path / "source"), out, *UNITS, "--classes", "normal,tumour")
    assert made["layout"] == "pairs" and "_mask" in made["pairs"]["rule"] and made["images"] == 8
    assert (region(out, "s0_0") == halves()).all()
    assert (np.asarray(Image.open(out / "images/s0_1.png")) == photo(seed=1)).all()
    assert [row["source"] for row in index(out)][:3] == ["s0", "s0", "s1"]
    found = check(out)
    assert "-t cam16-seg" in found["commands"][0] and "4 sources" in found["sampling"]["sampling unit"]
    run(found["commands"][0], tmp_path)


def test_maps_in_tiff_and_in_folders_of_equal_or_suffixed_names(tmp_path: Path) -> None:
    flat = imported(sources.flat(tmp_path / "a", "_mask.tif"), tmp_path / "out-a")
    equal = imported(sources.two_folders(tmp_path / "b"), tmp_path / "out-b")
    suffixed = imported(sources.two_folders(tmp_path / "c", suffix="_seg", masks="Labels"), tmp_path / "out-c")
    assert [made["images"] for made in (flat, equal, suffixed)] == [8, 8, 8]
    assert suffixed["pairs"]["files"][0]["mask"] == "Labels/s0_0_seg.png" and "_seg" in suffixed["pairs"]["rule"]
    for name in "abc":
        assert (region(tmp_path / f"out-{name}", "s3_1") == halves()).all()


def test_folders_named_by_splits(tmp_path: Path) -> None:
    for part, seed in (("train", 0), ("val", 10), ("test", 20)):
        for i in range(2):
            sources.save(photo(seed=seed + i), tmp_path / "source" / part / "images" / f"{part}{i}.png")
            sources.save(halves(), tmp_path / "source" / part / "masks" / f"{part}{i}.png")
    made = imported(tmp_path / "source", tmp_path / "out")
    assert made["splits"] == {"test": 2, "train": 2, "validation": 2}


def test_a_table_with_columns_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--columns", "mpp=pixel", "--split-from", "group", "--classes", "normal,tumour")
    made = imported(sources.table(tmp_path / "source"), out, *words)
    assert made["columns"] == {"image_path": "image", "mask_path": "mask"}
    assert made["index"]["patient"] == "column patient_id" and made["index"]["mpp"] == "column pixel"
    assert index(out)[-1] == {"id": "s3_1", "patient": "s3", "mpp": "0.5", "split": "test"}
    assert made["splits"] == {"train": 4, "validation": 2, "test": 2}
    run(check(out)["commands"][0], tmp_path)


def test_a_table_beside_two_folders_whose_ids_have_extensions(tmp_path: Path) -> None:
    source = sources.two_folders(tmp_path / "source")
    sources.write_csv(source / "index.csv", [{"id": f"{name}.png", "slide": name[:2]} for name in sources.NAMES])
    found = check(source, code=3)
    assert "bench data import" in found["commands"][0] and "lacks 8 of 8 files" in found["faults"][0]
    made = imported(source, tmp_path / "out")
    assert made["layout"] == "table" and index(tmp_path / "out")[0] == {"id": "s0_0", "slide": "s0"}


def test_a_table_with_paths_of_another_machine(tmp_path: Path) -> None:
    source = sources.table(tmp_path / "source")
    rows = [
        {"image_path": f"/home/other/data/pictures/{n}.png", "mask_path": f"C:\\data\\annotated\\{n}-a.png", "case": n[:2]}
        for n in sources.NAMES
    ]
    sources.write_csv(source / "list.csv", rows)
    assert imported(source / "list.csv", tmp_path / "out")["images"] == 8


def test_maps_in_colours(tmp_path: Path) -> None:
    source = sources.two_folders(tmp_path / "source", sources.coloured(halves()))
    proposal = refusal(source, tmp_path / "out", code=2)
    assert '--palette "0,0,0=class-0;255,0,0=class-1"' in proposal and "50.0%" in proposal
    made = imported(source, tmp_path / "out", "--palette", "255,0,0=tumour;0,0,0=normal", *UNITS)
    assert made["values"]["meaning"] == {"255,0,0": "0 tumour", "0,0,0": "1 normal"}
    assert (region(tmp_path / "out", "s0_0") == 1 - halves()).all()
    accepted = imported(source, tmp_path / "accepted", "--accept-palette", "--classes", "normal,tumour")
    assert [each["name"] for each in accepted["classes"]] == ["normal", "tumour"]
    run(check(tmp_path / "out")["commands"][0], tmp_path)


def test_a_palette_in_a_file_with_a_colour_that_is_not_annotated(tmp_path: Path) -> None:
    three = halves()
    three[:8] = 2
    colours = {0: (0, 0, 0), 1: (255, 0, 0), 2: (255, 255, 255)}
    source = sources.two_folders(tmp_path / "source", sources.coloured(three, colours))
    palette = tmp_path / "palette.txt"
    palette.write_text("# of our laboratory\n#000000=normal\n#ff0000=tumour\n255,255,255=ignore\n")
    made = imported(source, tmp_path / "out", "--palette", palette)
    assert (region(tmp_path / "out", "s0_0")[:8] == 255).all() and made["not_annotated"] == 0.125


@pytest.mark.parametrize("grey", [False, True])
def test_maps_of_0_and_255_ask_what_255_means(tmp_path: Path, grey: bool) -> None:
    mask = halves(right=255)
    source = sources.two_folders(tmp_path / "source", np.stack([mask] * 3, -1) if grey else mask)
    assert "255 means not annotated" in refusal(source, tmp_path / "out", code=2)
    imported(source, tmp_path / "out", "--palette", "0=normal;255=tumour")
    assert (region(tmp_path / "out", "s0_0") == halves()).all()


def test_coco(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = imported(sources.coco(tmp_path / "source"), out)
    assert [each["name"] for each in made["classes"]] == ["tumour", "stroma"]
    assert (region(out, "s0") == halves()).all()
    run(check(out)["commands"][0], tmp_path)


def test_coco_classes_in_another_order_and_a_class_outside(tmp_path: Path) -> None:
    source = sources.coco(tmp_path / "source", annotations=[
        {"id": i, "image_id": i, "category_id": 7, "segmentation": [[0, 0, 32, 0, 32, 64, 0, 64]]} for i in range(4)
    ], categories=[{"id": 7, "name": "tumour"}])  # fmt: skip
    ignored = imported(source, tmp_path / "ignored")
    assert ignored["not_annotated"] == 0.5 and any("255" in text for text in ignored["statements"])
    imported(source, tmp_path / "out", "--outside", "normal", "--classes", "normal,tumour")
    assert (region(tmp_path / "out", "s0") == 1 - halves()).all()


def test_coco_as_nuclei(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = imported(sources.coco(tmp_path / "source"), out, "--kind", "nuclei")
    assert made["nuclei"] == {"tumour": 4, "stroma": 4}
    assert np.unique(np.asarray(Image.open(out / "inst/s0.png"))).tolist() == [1, 2]
    assert set(np.unique(np.asarray(Image.open(out / "type/s0.png"))).tolist()) == {1, 2}


def test_compressed_run_lengths_of_coco(tmp_path: Path) -> None:
    """`PPP1PPP1`: as pycocotools encodes 2048 zeros and 2048 ones."""
    right = {"size": [64, 64], "counts": "PP2PP2"}
    notes = [{"id": i, "image_id": i, "category_id": 7, "segmentation": right} for i in range(4)]
    imported(sources.coco(tmp_path / "source", annotations=notes), tmp_path / "out", "--outside", "stroma")
    assert (region(tmp_path / "out", "s0") == 1 - halves()).all()


def test_qupath(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = imported(sources.geojson(tmp_path / "source"), out, "--classes", "Tumor,Stroma")
    expected = halves()
    expected[8:12, 8:12] = 255
    assert made["layout"] == "geojson" and (region(out, "s0") == expected).all()
    run(check(out)["commands"][0], tmp_path)


def test_of_polygons_that_overlap_the_smaller_one_is_seen(tmp_path: Path) -> None:
    whole, small = sources.square(0, 0, 64), sources.square(10, 20, 6)
    source = sources.geojson(tmp_path / "source", sources.feature("a", [small]), sources.feature("b", [whole]))
    imported(source, tmp_path / "out")
    found = region(tmp_path / "out", "s0")
    assert (found[20:26, 10:16] == 0).all() and (found == 1).sum() == 64 * 64 - 36


@pytest.mark.parametrize("embed", [True, False])
def test_hugging_face(tmp_path: Path, embed: bool) -> None:
    out = tmp_path / "out"
    made = imported(sources.hugging_face(tmp_path / "source", embed=embed), out)
    assert made["splits"] == {"train": 4, "validation": 2, "test": 2} and made["columns"]["label"] == "mask"
    assert index(out)[0] == {"id": "s0_0", "patient": "s0", "split": "train"}
    assert (region(out, "s3_1") == halves()).all()
    if embed:
        run(check(out)["commands"][0], tmp_path)


def test_hugging_face_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = [{"bytes": sources.png(photo(seed=i)), "path": None} for i in range(4)]
    maps = [{"bytes": sources.png(halves()), "path": None}] * 4
    (tmp_path / "source/data").mkdir(parents=True)
    held = pa.table({"photo": pa.array(pictures, kind), "classes": pa.array(maps, kind)})
    pq.write_table(held, tmp_path / "source/data/train-00000-of-00001.parquet")
    assert "photo, classes" in refusal(tmp_path / "source", tmp_path / "out", code=2)
    imported(tmp_path / "source", tmp_path / "out", "--columns", "image=photo,mask=classes")
    assert index(tmp_path / "out")[3] == {"id": "train-000003", "split": "train"}


def test_pannuke(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = imported(sources.pannuke(tmp_path / "source"), out)
    assert made["kind"] == "nuclei" and made["nuclei"] == {
        "neoplastic": 32,
        "inflammatory": 0,
        "connective": 0,
        "dead": 0,
        "epithelial": 16,
    }
    inst, types = (np.asarray(Image.open(out / part / "part1_00000.png")) for part in ("inst", "type"))
    assert np.unique(inst).tolist() == [0, 1, 2, 3] and inst[25, 65] == 3 and inst[5, 5] == 1
    assert types[25, 65] == 5 and types[5, 5] == 1 and types[0, 0] == 0
    assert index(out)[0] == {"id": "part1_00000", "mpp": "0.25", "part": "part1", "tissue": "Colon"}
    found = check(out)
    assert "neoplastic" in found["commands"][0] and "lizard-nuclei" in found["commands"][0]
    run(found["commands"][0], tmp_path)


def test_pannuke_whose_background_is_the_first_channel(tmp_path: Path) -> None:
    assert "move it to the end" in refusal(sources.pannuke(tmp_path / "source", 1, last=False), tmp_path / "out")


def test_the_published_split_of_pannuke(tmp_path: Path) -> None:
    words = ("--split-from", "part", "--splits", "part1=train,part2=test")
    assert imported(sources.pannuke(tmp_path / "source", 2), tmp_path / "out", *words)["splits"] == {"train": 2, "test": 2}


def test_the_summary_on_the_screen_is_that_of_the_manifest(tmp_path: Path) -> None:
    source = sources.flat(tmp_path / "source")
    done = sources.import_source(source, tmp_path / "out", "--mpp", "0.5")
    for text in ("layout: pairs", "images: 8", "classes: 0 class-0 50.0%", "mpp: from --mpp", "sampling unit: not known"):
        assert text in done.stdout
    assert "--unit-from '(?P<source>" in done.stdout and "makes 4 of them (s0, s1, s2, s3)" in done.stdout
    asked = sources.import_source(source, tmp_path / "json", "--json")
    assert json.loads(asked.stdout) == json.loads((tmp_path / "json/import.json").read_text())
