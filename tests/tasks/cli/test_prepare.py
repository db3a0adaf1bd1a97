"""`bench prepare` on slides in the layouts of the releases: what is cut, what is refused, and runs on the result."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from click.testing import Result

from tasks.datasets.prepared.dataset import Prepared
from tasks.datasets.slides.phantom_files import write_pyramid
from tasks.datasets.slides.phantom_slides import write_phantom_slides
from tests.small_run import bench, run

SMALL = ("--size", "32", "--mpp", "1")
QUICK = ("-g", "blur", "--controls", "none", "--seeds", "0", "--no-downstream", "-e", "stain", "-m", "fd", "--workers", "1")
SHARED = Path(__file__).parents[4] / "shared" / "data" / "wsi"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides of both data sets, which tests copy before they harm them, and a store."""
    place = tmp_path_factory.mktemp("slides")
    write_phantom_slides(place / "cam", 8, 0, 512, 0.5, "camelyon16")
    write_phantom_slides(place / "panda", 8, 0, 512, 0.5, "panda")
    return place


def prepare(place: Path, *words: object, home: Path | None = None) -> Result:
    return bench("prepare", *words, "--workers", "1", home=home or place / "home")


def copied(place: Path, name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / name, tmp_path / name))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def manifest(folder: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    return held


def test_camelyon16_to_a_table(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "cam16"
    done = prepare(place, "camelyon16", "--root", place / "cam", "--out", out, *SMALL)
    assert done.exit_code == 0 and done.stdout.strip() == str(out), done.stderr
    assert "-t cam16-seg" in done.stderr and "the official test slides" in done.stderr
    index = pandas.read_parquet(out / "index.parquet")
    assert set(index["split"]) <= {"train", "validation", "test"} and index["share tumour"].between(0.2, 0.8).all()
    assert (index.loc[index["slide"].str.startswith("test_"), "split"] == "test").all() and (index["mpp"] == 1).all()
    slides = manifest(out)["described"]["slides"]
    assert len(slides) == 8 and all(seen["mpp_source"].startswith(("tiff.", "openslide.")) for seen in slides.values())
    assert len(list((out / "overviews").glob("*.png"))) == 8
    wide = ("-o", "dataset.class_map=0=0,1=1", "-o", "classes=normal,tumour")
    folder = run(*QUICK, "-t", "cam16-seg", "--data", out, *wide, home=place / "home", out=tmp_path / "run")
    assert "prepared-cam16" in (folder / "results.jsonl").read_text(encoding="utf-8")


def test_maps_are_those_of_the_outlines(place: Path, tmp_path: Path) -> None:
    """Against the true tissue of the phantom, which the outlines were drawn from."""
    import tifffile

    out = tmp_path / "out"
    done = prepare(place, "camelyon16", "--root", place / "cam", "--out", out, *SMALL)
    assert done.exit_code == 0, done.stderr
    dataset = Prepared(out)
    test = dataset.split("test")
    slide = str(test.conditions.origins[0]) if test.conditions.origins is not None else ""
    truth = tifffile.imread(place / "cam" / "truth" / f"{slide}.tif")[::2, ::2]
    tumour = [number for number in np.unique(truth) if number > 1]
    assert test.conditions.corners is not None
    agree = []
    for (y, x), mask in zip(test.conditions.corners.tolist(), np.asarray(test.conditions.masks), strict=True):
        agree.append((np.isin(truth[y : y + 32, x : x + 32], tumour) == (mask == 1)).mean())
    assert np.mean(agree) > 0.9


def test_panda_keeps_the_meanings_of_centres_apart(place: Path, tmp_path: Path) -> None:
    apart, paper = tmp_path / "apart", tmp_path / "paper"
    for out, mapping in ((apart, "apart"), (paper, "paper")):
        done = prepare(place, "panda", "--root", place / "panda", "--out", out, "--mapping", mapping, *SMALL)
        assert done.exit_code == 0 and "names no patients" in done.stderr, done.stderr
    assert manifest(apart)["classes"] == ["background", "stroma", "benign", "cancer"]
    assert manifest(paper)["classes"] == ["background", "stroma", "epithelium"]
    index = pandas.read_parquet(apart / "index.parquet")
    assert set(index["centre"]) == {"radboud", "karolinska"}
    assert (index.loc[index["centre"] == "karolinska", "share stroma"] == 0).all()
    assert Prepared(apart, centre="radboud", seed=3).split("train").conditions.clusters is None
    words = ("-t", "panda-seg", "--data", apart, "-o", "dataset.sampling_unit=slide")
    folder = run(*QUICK, *words, home=place / "home", out=tmp_path / "run")
    assert "prepared-apart" in (folder / "results.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "check"),
    [
        (("--patches", "all"), lambda index: len(index) > 40),
        (("--patches", "normal-only"), lambda index: (index["share normal"] == 1).all()),
        (("--patches", "tumour-only"), lambda index: (index["share tumour"] == 1).all()),
        (("--most", "2"), lambda index: index.groupby("slide").size().max() == 2),
        (("--smallest", "0.4", "--largest", "0.6"), lambda index: index["share tumour"].between(0.4, 0.6).all()),
        (("--size", "16"), lambda index: (index["x"] % 16 == 0).all() and (index["x"] % 32 != 0).any()),
        (("--mpp", "2"), lambda index: (index["mpp"] == 2).all()),
    ],
)
def test_options_say_what_is_cut(place: Path, tmp_path: Path, words: tuple[str, ...], check: Any) -> None:
    done = prepare(place, "camelyon16", "--root", place / "cam", "--out", tmp_path / "out", *SMALL, *words)
    assert done.exit_code == 0, done.stderr
    assert check(pandas.read_parquet(tmp_path / "out" / "index.parquet"))


def test_a_dry_run_writes_nothing(place: Path, tmp_path: Path) -> None:
    done = prepare(place, "camelyon16", "--root", place / "cam", "--out", tmp_path / "out", *SMALL, "--dry-run", home=tmp_path)
    assert done.exit_code == 0 and "8 slides, of which 0 are in the store" in done.stdout and "GB before" in done.stdout
    assert not (tmp_path / "out").exists()


def test_workers_give_the_same_bytes_and_no_slide_is_cut_twice(place: Path, tmp_path: Path) -> None:
    words = ("prepare", "camelyon16", "--root", place / "cam", *SMALL, "--patches", "all")
    one = bench(*words, "--out", tmp_path / "one", "--workers", "1", home=tmp_path / "a")
    two = bench(*words, "--out", tmp_path / "two", "--workers", "2", home=tmp_path / "b")
    again = bench(*words, "--out", tmp_path / "again", "--workers", "1", home=tmp_path / "a")
    assert one.exit_code == two.exit_code == again.exit_code == 0, two.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "again")
    assert "patches of" in one.stderr and "patches of" not in again.stderr, "nothing was cut a second time"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_ten_kills_cost_no_finished_slide(place: Path, tmp_path: Path) -> None:
    """At random moments, and directly after a slide; what is finished stays as it is, and the folder has the same bytes."""
    slow = ("--size", "16", "--mpp", "0.5", "--patches", "all")
    words = ["prepare", "camelyon16", "--root", str(place / "cam"), *slow, "--out", str(tmp_path / "out")]
    given = {**os.environ, "BENCH_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "bench", *words, "--workers", "1"]
    rng, kept = np.random.default_rng(0), {}
    for attempt in range(10):
        with subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            if attempt % 3 == 2:
                next((line for line in process.stderr if "patches of" in line), "")
                time.sleep(0.2)  # the entry is put in place behind its line
            else:
                time.sleep(rng.uniform(0.2, 2.0))
            process.kill()
        if (tmp_path / "out").exists():  # a fast machine finishes before it is killed
            shutil.rmtree(tmp_path / "out")
        found = {path: path.stat().st_mtime_ns for path in (tmp_path / "home" / "slides").glob("*/entry.json")}
        assert kept.items() <= found.items()
        kept = found
    assert 3 <= len(kept)
    done = subprocess.run(command, env=given, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("patches of") == 8 - len(kept), done.stderr
    whole = prepare(place, "camelyon16", "--root", place / "cam", "--out", tmp_path / "w", *slow)
    assert whole.exit_code == 0 and contents(tmp_path / "w") == contents(tmp_path / "out")


def test_two_commands_do_not_write_one_folder(place: Path, tmp_path: Path) -> None:
    """The second is refused with a sentence, and the first ends as if it were alone."""
    words = [
        "prepare",
        "camelyon16",
        "--root",
        str(place / "cam"),
        *SMALL,
        "--out",
        str(tmp_path / "new" / "out"),
        "--workers",
        "1",
    ]
    given = {**os.environ, "BENCH_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "bench", *words]
    both = [subprocess.Popen(command, env=given, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(process.communicate()[1], process.returncode) for process in both]
    assert sorted(code for _, code in ends) == [0, 2] and not any("Traceback" in text for text, _ in ends), ends
    assert any("another command writes" in text or "exists" in text for text, _ in ends)
    alone = prepare(place, "camelyon16", "--root", place / "cam", "--out", tmp_path / "alone", *SMALL)
    assert alone.exit_code == 0 and contents(tmp_path / "alone") == contents(tmp_path / "new" / "out")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_a_name_that_is_not_utf8_is_refused_before_any_work(place: Path, tmp_path: Path) -> None:
    root = tmp_path / "slides"
    root.mkdir()
    slide = sorted((place / "cam" / "training" / "normal").glob("*.tif"))[0]
    shutil.copy(slide, os.fsdecode(os.fsencode(root) + b"/a\xff.tif"))
    for words in (("slides", "--maps", "tissue"), ("tcga",)):
        done = prepare(place, *words, "--root", root, "--out", tmp_path / "out", *SMALL, "--skip-damaged")
        refused(done, 3, "a\ufffd.tif is not UTF-8. Rename the file.")
    done = bench("pseudo-maps", "--root", root, "--out", tmp_path / "out", "-e", "texture", home=place / "home")
    refused(done, 3, "is not UTF-8")


def refused(done: Result, code: int, *shown: str) -> None:
    assert done.exit_code == code, done.stderr
    assert all(text in done.stderr for text in shown), done.stderr


def test_slides_that_are_left_out_are_listed_with_reasons(place: Path, tmp_path: Path) -> None:
    root = copied(place, "cam", tmp_path)
    lesions = sorted((root / "training" / "lesion_annotations").glob("*.xml"))
    lesions[0].unlink()
    normal = sorted((root / "training" / "normal").glob("*.tif"))[0]
    normal.rename(normal.with_name("normal_086.tif"))
    done = prepare(place, "camelyon16", "--root", root, "--out", tmp_path / "out", *SMALL)
    assert done.exit_code == 0, done.stderr
    left = {entry["slide"]: entry["reason"] for entry in manifest(tmp_path / "out")["exclusions"]}
    assert left == {
        lesions[0].stem: "the file with its outlines is missing",
        "normal_086": REMOVED,
    }
    assert Prepared(tmp_path / "out").tile_summary["excluded"] == 2


def test_a_damaged_slide_costs_itself(place: Path, tmp_path: Path) -> None:
    root = copied(place, "cam", tmp_path)
    slide = sorted((root / "training" / "tumor").glob("*.tif"))[0]
    slide.write_bytes(slide.read_bytes()[:20000])
    words = ("camelyon16", "--root", root, "--out", tmp_path / "out", *SMALL)
    refused(prepare(place, *words, home=tmp_path / "home"), 3, "1 slides cannot be prepared", slide.stem, "--skip-damaged")
    assert not (tmp_path / "out").exists()
    done = prepare(place, *words, "--skip-damaged", home=tmp_path / "home")
    assert done.exit_code == 0 and "patches of" not in done.stderr, "the others were kept"
    assert [entry["slide"] for entry in manifest(tmp_path / "out")["exclusions"]] == [slide.stem]


def test_wrong_layouts_and_labels_are_named(place: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out", *SMALL)
    refused(prepare(place, "camelyon16", "--root", place / "panda", *out), 3, "neither training/ and testing/")
    refused(prepare(place, "panda", "--root", place / "cam", *out), 3, "train.csv")
    refused(prepare(place, "slides", "--root", place, "--classes", "a=b", *out), 3, "holds no slide")
    refused(prepare(place, "slides", "--root", place, *out), 2, "needs --classes")
    refused(
        prepare(place, "camelyon16", "--root", place / "cam", *out, "--patches", "stroma-only"), 2, "normal-only, tumour-only"
    )
    refused(prepare(place, "camelyon16", "--root", place / "cam", *out, "--largest", "0.1"), 2, "--smallest lies")
    (tmp_path / "there").mkdir()
    refused(prepare(place, "camelyon16", "--root", place / "cam", "--out", tmp_path / "there"), 2, "exists")
    root = copied(place, "panda", tmp_path)
    table = (root / "train.csv").read_text()
    (root / "train.csv").write_text(table.replace("karolinska", "stanford"))
    refused(prepare(place, "panda", "--root", root, *out), 3, "stanford", "radboud, karolinska")
    swapped = table.replace("karolinska", "x").replace("radboud", "karolinska").replace("x", "radboud")
    (root / "train.csv").write_text(swapped)
    refused(prepare(place, "panda", "--root", root, *out), 3, "has the label", "of this source and centre")


def test_a_label_slide_of_another_size_and_an_impossible_mpp(place: Path, tmp_path: Path) -> None:
    root = copied(place, "panda", tmp_path)
    masks = sorted((root / "train_label_masks").glob("*.tiff"))
    write_pyramid(masks[0], np.zeros((300, 300), np.uint8), 0.5)
    out = ("--out", tmp_path / "out", *SMALL)
    refused(prepare(place, "panda", "--root", root, *out), 3, "300 x 300", "512 x 512")
    name = masks[1].stem.removesuffix("_mask")
    (tmp_path / "mpp.csv").write_text(f"slide,mpp\n{name}.tiff,5\n")
    done = prepare(place, "panda", "--root", root, *out, "--mpp-csv", tmp_path / "mpp.csv", "--skip-damaged")
    assert done.exit_code == 0, done.stderr
    reasons = {entry["slide"]: entry["reason"] for entry in manifest(tmp_path / "out")["exclusions"]}
    assert len(reasons) == 2 and "0.1 to 4" in reasons[name]
    (tmp_path / "mpp.csv").write_text("slide,mpp\na,quick\n")
    refused(prepare(place, "panda", "--root", root, *out, "--mpp-csv", tmp_path / "mpp.csv"), 2, "exists")
    refused(
        prepare(place, "panda", "--root", root, "--out", tmp_path / "b", "--mpp-csv", tmp_path / "mpp.csv"), 3, "mpp.csv:2"
    )


@pytest.fixture
def own(place: Path, tmp_path: Path) -> Path:
    """Slides with outlines beside them, and a table."""
    folder = tmp_path / "own"
    folder.mkdir()
    slides = [path for path in sorted((place / "cam").rglob("*.tif")) if "truth" not in path.parts]
    drawn = {path.stem: path for path in (place / "cam").rglob("*.xml")}
    rows = [("slide", "patient", "split")]
    for number, path in enumerate(path for path in slides if path.stem in drawn):
        shutil.copy(path, folder)
        shutil.copy(drawn[path.stem], folder)
        rows.append((path.name, f"p{number}", ("train", "train", "test")[number % 3]))
    with (folder / "slides.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


REMOVED = "shows the slide tumor_111 (README of the release)"
GROUPS = "_0=tumour,_1=tumour,Tumor=tumour,_2=normal,Exclusion=normal,None=normal"


def test_slides_of_ones_own(place: Path, own: Path, tmp_path: Path) -> None:
    words = ("slides", "--root", own, "--classes", GROUPS, *SMALL)
    done = prepare(place, *words, "--outside", "normal", "--out", tmp_path / "a")
    assert done.exit_code == 0 and "region-seg" in done.stderr, done.stderr
    index = pandas.read_parquet(tmp_path / "a" / "index.parquet")
    assert set(index["patient"]) == {"p0", "p1", "p2", "p3"} and set(index["split"]) == {"train", "test"}
    assert manifest(tmp_path / "a")["classes"] == ["tumour", "normal"]
    done = prepare(place, *words, "--patches", "tumour-only", "--out", tmp_path / "b")
    masks = (
        np.asarray(Prepared(tmp_path / "b", class_map="0=0,1=1")._part("test").conditions.masks) if done.exit_code else None
    )
    assert masks is None and (pandas.read_parquet(tmp_path / "b" / "index.parquet")["share tumour"] == 1).all()


def test_wrong_slides_of_ones_own(place: Path, own: Path, tmp_path: Path) -> None:
    words = ("slides", "--root", own, *SMALL, "--out", tmp_path / "out")
    refused(prepare(place, *words, "--classes", "Stroma=stroma,Gland=gland"), 3, "has the label", "Stroma")
    refused(prepare(place, *words, "--classes", GROUPS, "--outside", "glass"), 2, "tumour, normal")
    refused(prepare(place, *words, "--classes", "a"), 2, "LABEL=CLASS")
    table = own / "slides.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, "ghost.tif,p9,test"]))
    refused(prepare(place, *words, "--classes", GROUPS), 3, "ghost")
    table.write_text("\n".join(line.replace("p2", "p0") for line in lines))
    refused(prepare(place, *words, "--classes", GROUPS), 3, "patient are in two splits: p0")
    table.write_text("\n".join([*lines, lines[1]]))
    refused(prepare(place, *words, "--classes", GROUPS), 3, "twice")
    table.write_text("\n".join(line.replace("train", "early") for line in lines))
    refused(prepare(place, *words, "--classes", GROUPS), 3, "'early'")
    table.unlink()
    slide = next(own.glob("*.tif"))
    shutil.copy(slide, slide.with_suffix(".tiff"))
    refused(prepare(place, *words, "--classes", GROUPS), 3, "two slides have one name")
    slide.with_suffix(".tiff").unlink()
    moved = slide.with_suffix(".xml").read_text().replace('X="', 'X="9')
    slide.with_suffix(".xml").write_text(moved)
    refused(prepare(place, *words, "--classes", GROUPS), 3, "outside")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real slides in {SHARED}")
def test_real_crops_with_outlines(place: Path, tmp_path: Path) -> None:
    """MoNuSAC: Aperio crops with ImageScope XML, nuclei by type."""
    nuclei = "Epithelial=epithelial,Lymphocyte=lymphocyte,Macrophage=macrophage,Neutrophil=neutrophil,Ambiguous=ignore"
    words = ("--classes", nuclei, "--outside", "epithelial", "--mpp", "0.25", "--size", "64", "--patches", "all")
    done = prepare(place, "slides", "--root", SHARED / "monusac_svs_xml", *words, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert len(pandas.read_parquet(tmp_path / "out" / "index.parquet")) > 10
