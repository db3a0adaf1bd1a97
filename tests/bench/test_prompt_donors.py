"""Which patches crops are cut from: through the command line and files, on folders and on phantoms."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.types import Conditions
from tests.small_run import bench
from tests.tasks import small_folder, small_nuclei

SIZE = 32


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of 96 px, each of its own slide, in squares of 12 px of two classes."""
    squares = (np.indices((96, 96)) // 12).sum(axis=0) % 2
    pictures = {f"p{i}": (small_folder.photo(96, 96, i), np.roll(squares, i, 1).astype(np.uint8)) for i in range(10)}
    return small_folder.write(tmp_path_factory.mktemp("regions") / "set", pictures)


def exported(out: Path, *words: object) -> list[dict[str, str]]:
    """The rows of the conditions that a run would show to generators."""
    done = bench("export", "conditions", "--out", out / "conditions", *words, home=out / "home")
    assert done.exit_code == 0, done.stderr
    with (out / "conditions/conditions.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def donors(rows: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    """(target, donor) of every crop."""
    for row in rows:
        yield from ((row["id"], value) for name, value in row.items() if name.startswith("source_") and value)


def place(name: str) -> tuple[str, int, int]:
    image, _, corner = name.rpartition("/")
    x, y = corner.split("_")
    return image, int(x), int(y)


def share_pixels(one: str, other: str, size: int) -> bool:
    (first, x, y), (second, u, v) = place(one), place(other)
    return first == second and abs(x - u) < size and abs(y - v) < size


@pytest.mark.parametrize("stride", [16, 8])
def test_no_donor_of_a_folder_has_a_pixel_of_its_target(regions: Path, stride: int, tmp_path: Path) -> None:
    options = ["-o", f"size={SIZE}", "-o", f"stride={stride}", "-o", "task.patches=40"]
    found = list(donors(exported(tmp_path, "--task", "cam16-seg", "--data", regions, *options)))
    assert len(found) > 100
    assert not [pair for pair in found if share_pixels(*pair, SIZE)]


def test_no_donor_of_a_folder_of_nuclei_has_a_pixel_of_its_target(tmp_path: Path) -> None:
    data = small_nuclei.nuclei(tmp_path / "data", count=6, shape=(96, 96), types=2)
    options = ["-o", f"size={SIZE}", "-o", "stride=16", "-o", "smallest=0.05"]
    found = list(donors(exported(tmp_path, "--task", "lizard-nuclei", "--data", data, *options)))
    assert len(found) > 50
    assert not [pair for pair in found if share_pixels(*pair, SIZE)]


def test_patches_of_conic_whose_places_nobody_knows_give_no_crop_to_others_of_their_image(tmp_path: Path) -> None:
    data = small_nuclei.conic(tmp_path / "data", sources=12, each=3)
    options = ["-o", f"size={SIZE}", "-o", "smallest=0.05"]
    beside = exported(tmp_path / "slide", "--task", "lizard-nuclei", "--data", data, *options)
    assert not list(donors(beside))
    options += ["--track", "cohort"]
    elsewhere = list(donors(exported(tmp_path / "cohort", "--task", "lizard-nuclei", "--data", data, *options)))
    assert elsewhere
    assert all(one.partition("-")[0] != other.partition("-")[0] for one, other in elsewhere)


def test_patches_overlap_where_they_share_a_pixel_of_one_image() -> None:
    corners = np.array([[0, 0], [0, 8], [7, 7], [8, 8], [0, 0], [-1, -1]])
    origins = np.array(["a", "a", "a", "a", "b", "a"])
    made = Conditions(np.arange(6).astype(str), origins, (), 8, 1.0, origins=origins, corners=corners)
    assert made.overlaps(0, made).tolist() == [True, False, True, False, False, True]
    assert made.overlaps(4, made).tolist() == [False, False, False, False, True, False]
    unknown = Conditions(made.ids, made.groups, (), 8, 1.0)
    assert unknown.overlaps(0, unknown).tolist() == [True] + [False] * 5
