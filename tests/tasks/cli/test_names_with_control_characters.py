"""Names of strangers with line breaks and control characters stay on the line that shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from tasks.datasets.slides.phantom_files import write_pyramid
from tests.small_run import bench
from tests.tasks.datasets.importing import sources
from tests.tasks.datasets.importing.sources import feature, square

BAD = "tu\nbench: all is well\x1b[2K\r\u202emour"
SHOWN = "tu bench: all is well\ufffd[2K \ufffdmour"


def check(done: Result, code: int = 0) -> None:
    message = done.stdout + done.stderr
    assert done.exit_code == code, message
    assert SHOWN in message and "\nbench: all" not in message
    assert not {"\x1b", "\r", "\u202e"} & set(message)


def test_a_category_of_coco(tmp_path: Path) -> None:
    categories = [{"id": 7, "name": BAD}, {"id": 9, "name": "stroma"}]
    source = sources.coco(tmp_path / "source", categories=categories)
    words = ["data", "import", source, "--out", tmp_path / "out"]
    check(bench(*words, "--classes", "stroma", home=tmp_path / "home"), 2)
    check(bench(*words, "--classes", "stroma,other", home=tmp_path / "home"), 2)
    check(bench(*words, home=tmp_path / "home"))


def test_an_annotation_without_a_shape_names_its_category(tmp_path: Path) -> None:
    note = {"image_id": 0, "category_id": 7}
    source = sources.coco(tmp_path / "source", categories=[{"id": 7, "name": BAD}], annotations=[note])
    check(bench("data", "import", source, "--out", tmp_path / "out", home=tmp_path / "home"), 3)


@pytest.mark.parametrize("kind", ["region", "nuclei"])
def test_a_class_of_geojson(tmp_path: Path, kind: str) -> None:
    source = sources.geojson(tmp_path / "source", feature(BAD, [square(4, 4, 20)]), feature("other", [square(30, 30, 20)]))
    check(bench("data", "import", source, "--out", tmp_path / "out", "--kind", kind, home=tmp_path / "home"))


def test_a_geometry_of_geojson(tmp_path: Path) -> None:
    source = sources.geojson(tmp_path / "source", feature("a", [square(4, 4, 20)], kind=BAD))
    check(bench("data", "import", source, "--out", tmp_path / "out", home=tmp_path / "home"), 3)
    check(bench("data", "check", source, home=tmp_path / "home"), 3)


def test_a_name_of_a_palette(tmp_path: Path) -> None:
    source = sources.two_folders(tmp_path / "source", sources.coloured(sources.halves()))
    name = BAD.replace("\n", "\v")
    words = ["data", "import", source, "--out", tmp_path / "out", "--palette", f"0,0,0=normal;255,0,0={name}"]
    check(bench(*words, "--classes", "a,b", home=tmp_path / "home"), 2)
    check(bench(*words, home=tmp_path / "home"))


def test_slides_of_a_table_and_their_classes(tmp_path: Path) -> None:
    root = tmp_path / "slides"
    root.mkdir()
    write_pyramid(root / "s.tiff", np.full((256, 256, 3), 150, np.uint8), mpp=1)
    (root / "s.xml").write_text("<ASAP_Annotations/>")
    words = ["prepare", "slides", "--root", root, "--out", tmp_path / "out", "--size", 32, "--mpp", 1, "--classes"]
    check(bench(*words, f"a={BAD}", "--dry-run", home=tmp_path / "home"))
    name = BAD.replace("\n", "\v").replace("\r", "\t")  # a line break in a cell is refused before
    for text in (f"slide\n{name}\n", f"slide,split\n{name},train\n{name},train\n", f"slide,split\n{name},elsewhere\n"):
        (root / "slides.csv").write_text(text)
        check(bench(*words, "a=b", home=tmp_path / "home"), 3)
