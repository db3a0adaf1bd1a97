"""Data folders in which a file is none, or is damaged: the file is named, and nothing waits or runs out of memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as any_

from bench.errors import BenchError, DamagedError, MissingError
from bench.files.array_files import open_npy
from generators.image_folder import Folder as Images
from tasks.datasets.conic import Conic
from tasks.datasets.folder import Folder
from tasks.datasets.index import read_table
from tasks.datasets.lizard import Lizard
from tasks.datasets.nuclei_folder import NucleiFolder
from tasks.datasets.pixels import read_classes, read_image, read_instances
from tests.hostile import FUZZ, NOT_FILES, damage, put, within
from tests.small_run import bench
from tests.tasks import small_folder, small_nuclei

MADE: dict[str, tuple[Callable[[Path], object], Callable[[Path], Any], tuple[str, ...]]] = {
    "folder": (small_folder.five, lambda path: Folder(path, 64), ("index.csv", "images/p1.png", "region/p1.png")),
    "nuclei": (
        lambda path: small_nuclei.nuclei(path),
        lambda path: NucleiFolder(path, 32),
        ("index.csv", "images/p1.png", "inst/p1.png", "type/p1.png"),
    ),
    "lizard": (lambda path: small_nuclei.lizard(path), Lizard, ("info.csv", "crag_3.mat", "crag_3.png")),
    "conic": (
        lambda path: small_nuclei.conic(path),
        lambda path: Conic(path, 64),
        ("images.npy", "labels.npy", "patch_info.csv"),
    ),
}
PLACES = [(name, file) for name, (_, _, files) in MADE.items() for file in files]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) / "data" for name in MADE}
    for name, folder in folders.items():
        MADE[name][0](folder)
    return folders


def find(folder: Path, file: str) -> Path:
    return folder / file if (folder / file).exists() else next(folder.rglob(file))


def read(name: str, folder: Path) -> None:
    data = MADE[name][1](folder)
    _ = data.digest
    for split in ("train", "test"):
        data.split(split)


@pytest.mark.parametrize("name", MADE)
def test_the_folders_themselves_are_read(name: str, whole: dict[str, Path]) -> None:
    read(name, whole[name])


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize(("name", "file"), PLACES)
def test_what_is_no_file_is_named(name: str, file: str, kind: str, whole: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole[name], tmp_path / "data"))
    put(kind, find(folder, file))
    with within(20), pytest.raises(MissingError, match=Path(file).stem) as text:
        read(name, folder)
    assert text.value.exit_code == 3


def test_a_run_names_it_too(whole: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole["folder"], tmp_path / "data"))
    put("pipe", folder / "images" / "p3.png")
    with within(60):
        done = bench("export", "conditions", "-t", "cam16-seg", "--data", folder, "--out", tmp_path / "out", home=tmp_path)
    assert done.exit_code == 3 and "p3.png is a pipe" in done.stderr, done.output


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no users")
def test_what_may_not_be_read_is_named() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder = small_folder.five(root / "data")
        read("folder", folder)  # imports what the reader needs
        (folder / "images" / "p2.png").chmod(0)
        (folder / "region").chmod(0o755)
        root.chmod(0o755)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(DamagedError, match=r"p2\.png .*[Pp]ermission denied"):
                read("folder", folder)
            os.seteuid(user)
            (folder / "images").chmod(0)
            folder.chmod(0o755)
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(MissingError, match="images"):
                read("folder", folder)
        finally:
            os.seteuid(user)
            (folder / "images").chmod(0o755)


@pytest.mark.parametrize("kind", [*NOT_FILES, "text"])
@pytest.mark.parametrize("file", ["samples.csv", "samples/a.png"])
def test_samples_that_are_no_files_are_named(file: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    put(kind, tmp_path / file) if kind != "text" else (tmp_path / file).write_text("id,file\na,b.png\n")
    with within(10), pytest.raises(MissingError, match="samples|b.png"):
        found = Images(tmp_path)
        _ = found.digest
        found._files["a"].read_text()
        raise MissingError("samples: a file was found where there is none") if kind != "text" else MissingError("samples")


def npy(header: bytes, data: bytes = bytes(64)) -> bytes:
    header = header.ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


ARRAYS = {
    "empty": b"",
    "text": b"not an array",
    "archive": b"PK\x03\x04" + bytes(100),
    "cut header": npy(b"{'descr': '|u1'")[:40],
    "no header": npy(b"nothing"),
    "code": npy(b"__import__('os').getcwd()"),
    "objects": npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (8,), }"),
    "huge": npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 1024), }"),
    "beyond 64 bits": npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999, ), }"),
    "negative": npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-4,), }"),
    "deep": npy(b"(" * 110),
    "unknown type": npy(b"{'descr': 'zz', 'fortran_order': False, 'shape': (8,), }"),
    "true for a shape": npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': True, }"),
    "header of 4 GB": b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{",
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_damaged_arrays_are_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(ARRAYS[kind])
    with within(10), pytest.raises(DamagedError, match=r"a\.npy"):
        open_npy(tmp_path / "a.npy")


def test_numbers_of_nuclei_up_to_the_largest_take_no_memory(whole: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole["conic"], tmp_path / "data"))
    held = np.load(folder / "labels.npy").astype(np.int32)
    held[..., 0] += (held[..., 0] > 0) * 2_000_000_000
    np.save(folder / "labels.npy", held)
    read("conic", folder)


CELLS = any_.text(any_.characters(codec="utf-8"), max_size=6)


@FUZZ
@given(rows=any_.lists(any_.lists(CELLS, max_size=4).map(",".join), max_size=4), tail=any_.binary(max_size=6))
def test_no_index_is_more_than_a_refusal(rows: list[str], tail: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("images", "region"):
        (folder / name).mkdir()
    (folder / "index.csv").write_bytes(("\n".join(["id,source,mpp", *rows])).encode() + tail)
    for ask in (lambda: read_table(folder / "index.csv", ("id",), ""), lambda: read("folder", folder)):
        try:
            with within(10):
                ask()
        except BenchError as error:
            assert folder.name in str(error)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    made = {}
    for suffix in ("png", "jpg", "webp", "tif"):
        Image.fromarray(small_folder.photo(24, 24)).save(folder / f"a.{suffix}")
        made[suffix] = (folder / f"a.{suffix}").read_bytes()
    return made


@pytest.mark.filterwarnings("ignore")
@FUZZ
@given(
    suffix=any_.sampled_from(["png", "jpg", "webp", "tif"]),
    places=any_.lists(any_.tuples(any_.integers(0, 3000), any_.integers(0, 255)), min_size=1, max_size=6),
    cut=any_.none() | any_.integers(0, 3000),
)
def test_no_image_is_more_than_a_refusal(
    suffix: str,
    places: list[tuple[int, int]],
    cut: int | None,
    pictures: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / f"a.{suffix}"
    file.write_bytes(damage(pictures[suffix], places, cut))
    for ask in (read_image, read_classes, read_instances):
        try:
            with within(10):
                ask(file)
        except BenchError as error:
            assert file.name in str(error)
