"""Every row of the table at the top of docs/data.md is run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.datasets.slides.phantom_slides import Kind, write_phantom_slides
from tests.small_run import SMALL, bench
from tests.tasks.datasets.importing import sources
from tests.tasks.small_folder import five, halves, photo
from tests.tasks.small_nuclei import nuclei

PAGE = Path(__file__).parents[3] / "docs/data.md"
RUN = "--controls none --seeds 0 --no-downstream -e stain -m fd".split()


def split_folders(folder: Path) -> Path:
    for seed, part in enumerate(("train", "val", "test")):
        for i in range(2):
            sources.save(photo(seed=10 * seed + i), folder / part / "images" / f"{part}{i}.png")
            sources.save(halves(), folder / part / "masks" / f"{part}{i}.png")
    return folder


Case = tuple[Callable[[Path], Path], list[str]]
IMPORTS: dict[str, Case] = {
    "`X.png` with": (lambda folder: sources.flat(folder, "_mask.tif"), []),
    "`images/` with `masks/`": (lambda folder: sources.two_folders(folder, suffix="_seg"), []),
    "folders `train/`": (split_folders, []),
    "a CSV with": (sources.table, ["image=image_path,mask=mask_path"]),
    "masks in colours": (lambda folder: sources.two_folders(folder, sources.coloured(halves())), []),
    "a COCO file": (sources.coco, []),
    "QuPath's": (sources.geojson, []),
    "a folder of Hugging": (sources.hugging_face, []),
    "PanNuke's": (sources.pannuke, []),
}
"""Beginning of a row -> the source that it is about, and what its command leaves open."""
OTHERS = ("nothing yet", "a folder, and", "`images/`, `region/`", "`images/`, `inst/`")


SLIDES: dict[str, Kind] = {"CAMELYON16": "camelyon16", "PANDA as": "panda", "slides with": "camelyon16", "TCGA as": "tcga"}
"""Beginning of a row -> the layout of its slides."""
PLUGIN, UNANNOTATED = "a dataset class", "slides that nobody"
MINE = """
from tasks.datasets.phantom.dataset import PhantomPanda

class Mine(PhantomPanda):
    pass
"""


def rows() -> dict[str, str]:
    """First cell -> second cell of the table."""
    text = PAGE.read_text().split("## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    return {first: second for first, second in cells if first != "I have"}


def row(beginning: str) -> str:
    (found,) = [second for first, second in rows().items() if first.startswith(beginning)]
    return found


def test_every_row_has_a_test() -> None:
    known = (*IMPORTS, *OTHERS, *SLIDES, PLUGIN, UNANNOTATED)
    assert all(sum(first.startswith(each) for each in known) == 1 for first in rows()) and len(rows()) == len(known)


@pytest.mark.parametrize("beginning", IMPORTS)
def test_a_row_of_an_import(beginning: str, tmp_path: Path) -> None:
    write, (*values,) = IMPORTS[beginning]
    source, out = write(tmp_path / "source"), tmp_path / "new"
    shown = re.findall(r"`([^`]*)`", row(beginning))
    line = shown[0] if shown[0].startswith("bench") else f"bench data import DIR --out NEW {shown[0]}"
    places = {"DIR": str(source), "NEW": str(out), "list.csv": str(source / "list.csv")}
    words = [places.get(word, word) for word in shlex.split(line)[1:]]
    words = [values[0] if word == "image=COLUMN,mask=COLUMN" else word for word in words]
    done = bench(*words, home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    checked = json.loads(bench("data", "check", out, "--json", home=tmp_path / "home").stdout)
    assert checked["runnable"], checked["faults"]


@pytest.mark.parametrize("beginning", OTHERS)
def test_a_row_of_another_command(beginning: str, tmp_path: Path) -> None:
    folder = nuclei(tmp_path / "data", shape=(140, 140)) if "inst" in beginning else five(tmp_path / "data")
    line = re.findall(r"`([^`]*)`", row(beginning))[0]
    words = [str(folder) if word == "DIR" else word for word in shlex.split(line)[1:]]
    if words[0] == "run":
        words[words.index("-g") + 1] = "blur"  # generators that train take minutes
        small = SMALL if "--data" not in words else []
        words += [*RUN, "--out", str(tmp_path / "run"), *small]
    done = bench(*words, home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("beginning", SLIDES)
def test_a_row_of_slides(beginning: str, tmp_path: Path) -> None:
    root, out = tmp_path / "slides", tmp_path / "new"
    write_phantom_slides(root, 4, 0, 512, 0.5, SLIDES[beginning])
    line = re.findall(r"`([^`]*)`", row(beginning))[0]
    if beginning == "slides with":  # in one folder, as its layout is
        for path in [*root.rglob("*.tif"), *root.rglob("*.xml")]:
            if "truth" not in path.parts:
                path.rename(root / path.name)
        line = line.replace(
            "Tumor=tumour,Stroma=stroma", "_0=tumour,_1=tumour,Tumor=tumour,_2=normal,Exclusion=normal,None=normal"
        )
        line += " --outside normal"
    places = {"DIR": str(root), "NEW": str(out)}
    words = [places.get(word, word) for word in shlex.split(line)[1:]]
    done = bench(*words, "--size", "32", "--mpp", "1", "--workers", "1", home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    assert (out / "dataset.json").exists() and (out / "index.parquet").exists()


def test_the_row_of_slides_without_annotation(tmp_path: Path) -> None:
    write_phantom_slides(tmp_path / "slides", 4, 0, 512, 0.5, "tcga")
    places = {"DIR": str(tmp_path / "slides"), "NEW": str(tmp_path / "new"), "ENCODER": "stain"}
    words = [places.get(word, word) for word in shlex.split(re.findall(r"`([^`]*)`", row(UNANNOTATED))[0])[1:]]
    small = "--clusters 4 --mpp 1 --cell 32 --cells 40 --size 64 --workers 1".split()
    done = bench(*words, *small, home=tmp_path / "home")
    assert done.exit_code == 0 and (tmp_path / "new" / "k004" / "dataset.json").exists(), done.stderr


def test_the_row_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(re.findall(r"`([^`]*)`", row(PLUGIN))[0])[1:]
    words[words.index("-g") + 1] = "blur"
    done = bench(*words, *RUN, "--out", tmp_path / "run", *SMALL, home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
