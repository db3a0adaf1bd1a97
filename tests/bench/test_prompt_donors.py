"""Which patches crops are cut from: through the command line and files, on folders and on phantoms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.types import Conditions
from tests.small_run import bench, export_conditions, read_values
from tests.tasks import small_folder, small_nuclei

SIZE = 32


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of 96 px, each of its own slide, in squares of 12 px of two classes."""
    squares = (np.indices((96, 96)) // 12).sum(axis=0) % 2
    pictures = {f"p{i}": (small_folder.photo(96, 96, i), np.roll(squares, i, 1).astype(np.uint8)) for i in range(10)}
    return small_folder.write(tmp_path_factory.mktemp("regions") / "set", pictures)


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
    found = list(donors(export_conditions(tmp_path, "--task", "cam16-seg", "--data", regions, *options)))
    assert len(found) > 100
    assert not [pair for pair in found if share_pixels(*pair, SIZE)]


def test_no_donor_of_a_folder_of_nuclei_has_a_pixel_of_its_target(tmp_path: Path) -> None:
    data = small_nuclei.nuclei(tmp_path / "data", count=6, shape=(96, 96), types=2)
    options = ["-o", f"size={SIZE}", "-o", "stride=16", "-o", "smallest=0.05"]
    found = list(donors(export_conditions(tmp_path, "--task", "lizard-nuclei", "--data", data, *options)))
    assert len(found) > 50
    assert not [pair for pair in found if share_pixels(*pair, SIZE)]


def test_patches_of_conic_whose_places_nobody_knows_give_no_crop_to_others_of_their_image(tmp_path: Path) -> None:
    data = small_nuclei.conic(tmp_path / "data", sources=12, each=3)
    options = ["-o", f"size={SIZE}", "-o", "smallest=0.05"]
    beside = export_conditions(tmp_path / "slide", "--task", "lizard-nuclei", "--data", data, *options)
    assert not list(donors(beside))
    options += ["--prompt-source", "cohort"]
    elsewhere = list(donors(export_conditions(tmp_path / "cohort", "--task", "lizard-nuclei", "--data", data, *options)))
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


TINY = ["-o", "dataset.train_slides=4", "-o", "dataset.validation_slides=2", "-o", "dataset.test_slides=4"]


def test_prompts_of_phantoms_are_cut_from_patches_in_no_reference_set(tmp_path: Path) -> None:
    words = ["--task", "cam16-seg", *TINY, "-o", "per_slide=5"]
    rows = export_conditions(tmp_path, *words)
    tested = {row["id"]: row["group"] for row in rows if row["split"] == "test"}
    found = [pair for pair in donors(rows) if pair[0] in tested]
    assert len(found) > 30
    for target, donor in found:
        slide, _, number = donor.partition("/")
        assert slide == tested[target]
        assert 10 <= int(number) < 15, "0 to 4 are test patches, 5 to 9 the holdout"


def test_prompts_of_training_patches_are_cut_from_training_patches(tmp_path: Path) -> None:
    rows = export_conditions(tmp_path, "--task", "cam16-seg", *TINY, "-o", "per_slide=5")
    trained = {row["id"] for row in rows if row["split"] == "train"}
    found = [pair for pair in donors(rows) if pair[0] in trained]
    assert found and all(donor in trained for _, donor in found)


@pytest.mark.parametrize(("source", "share"), [("slide", 0.0), ("cohort", 0.0), ("self", 1.0)])
def test_a_run_records_and_announces_the_share_of_crops_from_reference_patches(
    source: str, share: float, tmp_path: Path
) -> None:
    words = [
        "-g",
        "crop-paste",
        "-t",
        "cam16-seg",
        "--no-downstream",
        "--controls",
        "none",
        "-e",
        "stain",
        "-m",
        "kid",
        "--seeds",
        "0",
    ]
    done = bench(
        "run", *words, *TINY, "-o", "per_slide=5", "--prompt-source", source, "--out", tmp_path / "out", home=tmp_path / "home"
    )
    assert done.exit_code == 0, done.stderr
    lines = read_values(Path(done.stdout.splitlines()[-1]))
    assert lines["prompt-reference"] == pytest.approx(share * (1 - lines["prompt-missing"]))
    text = "crops are cut from reference patches" if source == "self" else "0 of 40 crops are cut from reference patches"
    assert text in done.stderr


def test_a_folder_reserves_donors_and_says_how_many_crops_they_could_not_give(regions: Path, tmp_path: Path) -> None:
    size = ["--task", "cam16-seg", "--data", regions, "-o", f"size={SIZE}"]
    plain = export_conditions(tmp_path / "plain", *size)
    reserving = export_conditions(tmp_path / "reserving", *size, "-o", "donors=0.3")
    tested, left = ({row["id"] for row in rows if row["split"] == "test"} for rows in (plain, reserving))
    reserved = tested - left
    assert left < tested and len(reserved) == 2 * 3, "three of nine patches of each of two slides"
    found = [pair for pair in donors(reserving) if pair[0] in left]
    assert found and all(donor in reserved for _, donor in found)
    assert all(donor in tested for target, donor in donors(plain) if target in tested)
    same = [[row for row in rows if row["split"] == "train"] for rows in (plain, reserving)]
    assert same[0] == same[1]


def test_patches_that_overlap_a_reserved_one_are_in_no_split(regions: Path, tmp_path: Path) -> None:
    words = ["--task", "cam16-seg", "--data", regions, "-o", f"size={SIZE}", "-o", "stride=16", "-o", "donors=0.3"]
    rows = export_conditions(tmp_path, *words)
    tested = {row["id"] for row in rows if row["split"] == "test"}
    found = {donor for target, donor in donors(rows) if target in tested}
    assert found and tested
    assert not [pair for pair in ((a, b) for a in found for b in tested) if share_pixels(*pair, SIZE)]


def test_crops_come_from_reference_patches_where_no_other_shows_the_class(tmp_path: Path) -> None:
    """Slides whose last tile, the reserved one, shows class 0 and class 2, and whose others show class 0 and class 1."""
    pictures = {}
    for i in range(10):
        mask = np.zeros((SIZE, 4 * SIZE), np.uint8)
        mask[: SIZE // 2] = 1
        mask[: SIZE // 2, 3 * SIZE :] = 2
        pictures[f"p{i}"] = small_folder.photo(SIZE, 4 * SIZE, i), mask
    data = small_folder.write(tmp_path / "set", pictures)
    words = [
        "-g",
        "crop-paste",
        "-t",
        "region-seg",
        "--no-downstream",
        "--controls",
        "none",
        "-e",
        "stain",
        "-m",
        "kid",
        "--seeds",
        "0",
    ]
    options = ["-o", f"size={SIZE}", "-o", "donors=0.25"]
    done = bench("run", *words, "--data", data, *options, "--out", tmp_path / "out", home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    assert "6 of 12 crops are cut from reference patches, the others from 2 patches" in done.stderr
    assert read_values(Path(done.stdout.splitlines()[-1]))["prompt-reference"] == 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-o", "donors=1"], r"in \[0, 1\), not 1.0"),
        (["-o", "donors=0.01"], "reserves no patch of any test source"),
        (["-o", "donors=0.95", "-o", "stride=2"], "Give a smaller share, or a larger stride"),
    ],
)
def test_impossible_shares_of_donors_are_refused(regions: Path, options: list[str], text: str, tmp_path: Path) -> None:
    done = bench(
        "export",
        "conditions",
        "--task",
        "cam16-seg",
        "--data",
        regions,
        "--out",
        tmp_path / "out",
        "-o",
        "size=32",
        *options,
        home=tmp_path,
    )
    assert done.exit_code == 2
    assert re.search(text, done.stderr)
