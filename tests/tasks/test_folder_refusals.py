"""Every folder that `folder` cannot use is refused with the file that is wrong and the next step."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from bench.errors import BenchError, MissingError, UsageError
from tasks.datasets.folder import Folder
from tests.tasks.small_folder import five, halves, many, photo, write


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return five(tmp_path / "mine")


def test_a_folder_that_is_missing_empty_or_without_an_index_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no folder .*nowhere.*index\.csv with a column id"):
        Folder(tmp_path / "nowhere")
    with pytest.raises(MissingError, match="is empty"):
        Folder(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(MissingError, match=r"has no index\.csv"):
        Folder(tmp_path)


@pytest.mark.parametrize(
    ("index", "with_estimate"),
    [
        ("", "no column id; its columns are: none"),
        ("name,mpp\np0,1\n", "no column id; its columns are: name, mpp"),
        ("id\n", "names no image"),
        ("id,source\np0,a\n,b\n", "no id in row 2"),
        ("id\np0\np1\np0\n", "has p0 more than once.*Keep one row"),
        ("id,source\np0,a\np1,\n", "no source for p1.*Fill in"),
        ('id,source\np0,a\np1,"b\np2,c\np3,d\n', "unexpected end of data.*close each quote in its row"),
        ('id,source\np0,"a\np1,b"\np2,c\n', "a quote that is opened in row 1 swallows"),
        ('id,source\np0,"a"b\np1,b\n', "cannot read .*close each quote"),
        ("id,source\np0,a, b\np1,b\n", r"row 1 has 3 cells for 2 columns \(p0, a, b\)"),
        ("id,source,source\np0,a,b\n", "has the column source more than once"),
        ("id,mpp\np0,nan\n", "mpp of p0 is 'nan'"),
        ("id,mpp\np0,inf\n", "mpp of p0 is 'inf'"),
        ("id\np0\nq1\nq2\nq3\nq4\nq5\nq6\n", "lacks 6 of 7 files.*q1, q2, q3, q4, q5 and 1 more"),
    ],
)
def test_a_bad_index_is_refused(data: Path, index: str, with_estimate: str) -> None:
    (data / "index.csv").write_text(index)
    with pytest.raises(MissingError, match=with_estimate):
        Folder(data).split("train")


def test_an_index_that_is_no_text_is_refused(data: Path) -> None:
    (data / "index.csv").write_bytes(b"id\n\xff\xfe\n")
    with pytest.raises(MissingError, match=r"cannot read .*index\.csv.*UTF-8"):
        Folder(data).split("train")


def test_missing_and_double_files_are_named(data: Path) -> None:
    shutil.copy(data / "images/p1.png", data / "images/p1.webp")
    with pytest.raises(MissingError, match=r"p1\.png, .*p1\.webp.*Keep one"):
        Folder(data).split("train")
    (data / "images/p1.webp").unlink()
    (data / "region/p4.png").unlink()
    with pytest.raises(MissingError, match=r"region lacks 1 of 5 files.*p4"):
        Folder(data).split("train")
    (data / "masks").mkdir()
    with pytest.raises(MissingError, match="both region/ and masks/"):
        Folder(data).split("train")
    shutil.rmtree(data / "masks")
    shutil.rmtree(data / "region")
    with pytest.raises(MissingError, match="no region/ or masks/"):
        Folder(data).split("train")


def test_an_image_and_a_map_of_different_sizes_are_named(data: Path) -> None:
    Image.fromarray(halves(64, 65)).save(data / "region/p2.png")
    with pytest.raises(MissingError, match=r"p2\.png is 64 x 64 px, .*p2\.png is 65 x 64"):
        Folder(data).split("train")


@pytest.mark.parametrize("options", [{"classes": "normal,tumour"}, {"class_map": "0=0,1=1"}])
def test_a_class_that_nobody_named_is_refused_with_its_file(data: Path, options: dict[str, str]) -> None:
    Image.fromarray(halves(right=7)).save(data / "region/p2.png")
    with pytest.raises(UsageError, match=r"region/p2\.png holds class 7.*class_map.*7=ignore"):
        Folder(data, **options).split("train")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [{"classes": "normal,tumour,necrosis"}, {"class_map": "0=0,1=1,5=2", "classes": "normal,tumour,necrosis"}],
)
def test_a_named_class_that_never_occurs_is_refused(data: Path, options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"no patch .* shows necrosis \(2\)"):
        Folder(data, **options).split("train")  # type: ignore[arg-type]


def test_a_gap_in_the_numbers_and_a_class_that_no_patch_keeps_are_refused(data: Path) -> None:
    Image.fromarray(halves(right=3, share=0.9)).save(data / "region/p2.png")
    with pytest.raises(UsageError, match=r"no patch .* shows class-2 \(2\), class-3 \(3\)"):
        Folder(data).split("train")


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_sources_are_refused_with_the_reason(tmp_path: Path, count: int) -> None:
    with pytest.raises(MissingError, match=rf"patches of {count} source.*a slide would be on both sides") as with_estimate:
        Folder(many(tmp_path / "d", count), size=8).split("train")
    assert with_estimate.value.exit_code == 3


def test_no_patch_at_all_is_refused_with_the_counts(tmp_path: Path) -> None:
    pictures = {"small": (photo(8, 8), halves(8, 8)), "one": (photo(), halves(share=0.1)), "none": (photo(), halves())}
    pictures["none"][1][:40] = 255
    with pytest.raises(
        MissingError, match=r"3 images, 1 smaller than 64 px; 2 tiles, 1 dropped .* 1 because"
    ) as with_estimate:
        Folder(write(tmp_path / "d", pictures)).split("train")
    assert with_estimate.value.exit_code == 3


def test_a_damaged_map_is_named(data: Path) -> None:
    (data / "region/p1.png").write_bytes(b"")
    with pytest.raises(MissingError, match=r"cannot read .*region/p1\.png"):
        Folder(data).split("train")


@pytest.mark.parametrize(
    ("column", "mpp", "with_estimate"),
    [
        ("0.5,,", 1.0, r"no mpp for b, c.*Fill in"),
        ("1.0,1.0,2.0", 1.0, r"finer than the images are: c"),
        ("0.5,,0.5", None, r"a has 0\.5, b has none"),
        ("0.5,many,0.5", None, r"mpp of b is 'many'"),
        ("0.5,0.5,-1", None, r"mpp of c is '-1'"),
    ],
)
def test_a_resolution_that_cannot_be_had_is_refused(
    tmp_path: Path, column: str, mpp: float | None, with_estimate: str
) -> None:
    table = "\n".join(f"{name},{cell}" for name, cell in zip("abc", column.split(","), strict=True))
    folder = write(tmp_path / "d", {name: (photo(), halves()) for name in "abc"}, "id,mpp", table)
    with pytest.raises(BenchError, match=with_estimate):
        Folder(folder, mpp=mpp).split("train")


@pytest.mark.parametrize(
    ("options", "with_estimate"),
    [
        ({"size": 0}, "at least 1 px"),
        ({"stride": 0}, "at least 1 px"),
        ({"mpp": 0.0}, "positive number"),
        ({"smallest": 0.6}, r"smallest lies in \[0, 0\.5\]"),
        ({"smallest": 0.3, "largest": 0.2}, r"largest in \[smallest, 1\]"),
        ({"classes": "normal"}, "at least two classes"),
        ({"classes": "normal,,tumour"}, "empty or a double name"),
        ({"classes": "a,a"}, "empty or a double name"),
        ({"class_map": "0:1"}, "class_map has '0:1'"),
        ({"class_map": "0=tumour"}, "class_map has '0=tumour'"),
        ({"class_map": "0=1,1=300"}, "class_map has '1=300'"),
        ({"class_map": "0=0,0=1"}, "maps 0 twice"),
        ({"class_map": "0=0,1=2"}, r"leads to \[0, 2\].*without a gap"),
        ({"class_map": "0=0,1=1", "classes": "a,b,c"}, "makes 2 classes.*names 3"),
    ],
)
def test_options_without_sense_are_refused_before_anything_is_read(
    data: Path, options: dict[str, object], with_estimate: str
) -> None:
    with pytest.raises(UsageError, match=with_estimate):
        Folder(data, **options)  # type: ignore[arg-type]


def test_an_unknown_split_is_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="train, validation, test, holdout; asked for 'dev'"):
        Folder(data).split("dev")
