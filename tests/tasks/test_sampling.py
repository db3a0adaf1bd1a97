"""What the columns of index.csv say of sampling units and splits is kept to, in any spelling, by every reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import MissingError, UsageError
from bench.histology.sampling import Sampling
from tasks.datasets.conic import Conic
from tasks.datasets.folder import Folder
from tasks.datasets.lizard import Lizard
from tasks.datasets.nuclei_folder import NucleiFolder
from tests.tasks.small_folder import halves, photo, write
from tests.tasks.small_nuclei import conic, lizard, nuclei

NAMES = [f"p{i}" for i in range(12)]
THREE = ("train", "validation", "test")


def table(folder: Path, columns: str, cells: dict[str, str]) -> Folder:
    """A folder of twelve images with these columns beside the id."""
    rows = "\n".join(f"{name},{cells[name]}" for name in NAMES)
    pictures = {name: (photo(8, 8), halves(8, 8)) for name in NAMES}
    return Folder(write(folder, pictures, f"id,{columns}", rows), size=8)


def table_of_nuclei(folder: Path, columns: str, cells: list[str]) -> NucleiFolder:
    nuclei(folder, count=len(cells))
    (folder / "index.csv").write_text(f"id,{columns}\n" + "".join(f"p{i},{cell}\n" for i, cell in enumerate(cells)))
    return NucleiFolder(folder, size=32)


def images(dataset: Any, name: str) -> set[str]:
    return {patch.partition("/")[0] for patch in dataset.split(name).conditions.ids.tolist()}


def groups(dataset: Any, name: str = "train") -> set[str]:
    return set(dataset.split(name).conditions.groups.tolist())


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("patient", "patients"),
        ("Patient ID", "patients"),
        ("PATIENT_ID", "patients"),
        ("patientId", "patients"),
        ("case", "cases"),
        ("case_id", "cases"),
        ("slide_id", "slides"),
        ("Slide", "slides"),
        ("slide-id", "slides"),
        ("Source Image", "source images"),
    ],
)
def test_images_of_one_sampling_unit_stay_together_in_any_spelling(tmp_path: Path, column: str, unit: str) -> None:
    folder = table(tmp_path / "d", column, {name: f"u{i // 3}" for i, name in enumerate(NAMES)})
    shown = {name: groups(folder, name) for name in THREE}
    assert set.union(*shown.values()) == {"u0", "u1", "u2", "u3"}
    assert not (shown["train"] & shown["test"] | shown["train"] & shown["validation"] | shown["test"] & shown["validation"])
    assert folder.sampling.unit == unit and folder.sampling.basis == f"column {column} of index.csv"
    assert folder.sampling.is_known and "by hash" in folder.sampling.splits


def test_patient_goes_before_case_before_slide(tmp_path: Path) -> None:
    cells = {name: f"s{i},c{i // 2},q{i // 3}" for i, name in enumerate(NAMES)}
    assert table(tmp_path / "a", "slide,case_id,Patient", cells).sampling.unit == "patients"
    assert groups(Folder(tmp_path / "a", size=8)) <= {"q0", "q1", "q2", "q3"}
    assert table(tmp_path / "b", "Slide,Case,pathologist", cells).sampling.unit == "cases"


@pytest.mark.parametrize(
    ("column", "noun"),
    [
        ("cluster", "clusters"),
        ("Laboratory", "laboratories"),
        ("LAB", "laboratories"),
        ("lab_id", "laboratories"),
        ("Centre", "centres"),
        ("center", "centres"),
        ("Site", "sites"),
        ("hospital", "hospitals"),
    ],
)
def test_a_column_of_laboratories_is_what_intervals_range_over(tmp_path: Path, column: str, noun: str) -> None:
    cells = {name: f"s{i // 2},l{i // 6}" for i, name in enumerate(NAMES)}
    folder = table(tmp_path / "a", f"slide,{column}", cells)
    plain = table(tmp_path / "b", "slide", {name: f"s{i // 2}" for i, name in enumerate(NAMES)})
    nuclear = table_of_nuclei(tmp_path / "n", f"slide,{column}", [f"s{i},l{i // 3}" for i in range(6)])
    for name in THREE:
        assert images(folder, name) == images(plain, name) and groups(folder, name) == groups(plain, name)
        for reader in (folder, nuclear):
            conditions = reader.split(name).conditions
            per = 3 if reader is folder else 3
            assert [f"l{int(g[1:]) // per}" for g in conditions.groups.tolist()] == conditions.units.tolist()
    for reader in (folder, nuclear):
        assert reader.sampling.unit == "slides" and reader.sampling.interval_unit == noun
        assert reader.sampling.population == f"other {noun}"
        over_slides = type(reader)(reader.folder, size=reader.size, sampling_unit="slide")
        conditions = over_slides.split("test").conditions
        assert conditions.clusters is None and np.array_equal(conditions.units, conditions.groups)
        assert over_slides.sampling.population == "other slides of the same laboratories"
        assert over_slides.split("test").key != reader.split("test").key
    assert plain.sampling.population == "other slides of the same laboratories"


def test_laboratories_are_counted_where_the_index_names_the_test_images(tmp_path: Path) -> None:
    cells = {name: f"s{i},l{i % 3},{('train', 'validation', 'test')[i % 4 // 2 + i % 2]}" for i, name in enumerate(NAMES)}
    folder = table(tmp_path / "d", "slide,lab,split", cells)
    tested = {cell.split(",")[1] for cell in cells.values() if cell.endswith("test")}
    over_slides = Folder(folder.folder, size=8, sampling_unit="slide")
    assert over_slides.sampling.population == f"other slides of the same {len(tested)} laboratories"


def test_a_slide_of_two_laboratories_and_an_empty_cell_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"1 values of slide have two values of Lab: s0 \(l0, l1\)"):
        cells = {name: f"s{max(i - 1, 0)},l{i % 2}" for i, name in enumerate(NAMES)}
        table(tmp_path / "a", "slide,Lab", cells).split("train")
    with pytest.raises(MissingError, match="no Lab for p0"):
        table(tmp_path / "b", "slide,Lab", {name: f"s{i},{'l' if i else ''}" for i, name in enumerate(NAMES)}).split("train")


def test_two_columns_of_one_kind_that_differ_are_refused(tmp_path: Path) -> None:
    same = {name: f"a{i // 3},{i // 3}" for i, name in enumerate(NAMES)}
    assert groups(table(tmp_path / "a", "slide,slide_id", same)) <= {"a0", "a1", "a2", "a3"}
    other = {name: f"a{i // 3},{i // 4}" for i, name in enumerate(NAMES)}
    with pytest.raises(MissingError, match="columns slide and slide_id, which differ"):
        table(tmp_path / "b", "slide,slide_id", other).split("train")


def test_without_a_column_sources_are_unknown(tmp_path: Path) -> None:
    folder = table(tmp_path / "d", "stain", dict.fromkeys(NAMES, "H&E"))
    assert not folder.sampling.is_known and folder.sampling.unit == "images"
    assert "no column patient or case or source or slide or source_image" in folder.sampling.basis


def test_splits_of_the_index_are_kept(tmp_path: Path) -> None:
    home = {name: ("Train", "val", "TEST")[i % 3] for i, name in enumerate(NAMES)}
    folder = table(tmp_path / "d", "Split,slide", {name: f"{home[name]},s{i}" for i, name in enumerate(NAMES)})
    for number, name in enumerate(THREE):
        assert images(folder, name) == set(NAMES[number::3])
    assert folder.sampling.splits == "column Split of index.csv"


def test_a_validation_split_that_is_not_named_is_made_of_whole_training_sources(tmp_path: Path) -> None:
    cells = {name: f"{'test' if i < 4 else 'train'},u{i // 2}" for i, name in enumerate(NAMES)}
    folder = table(tmp_path / "d", "split,case", cells)
    assert images(folder, "test") == set(NAMES[:4])
    assert images(folder, "train") | images(folder, "validation") == set(NAMES[4:])
    assert len(groups(folder, "validation")) == 1 and not groups(folder) & groups(folder, "validation")
    assert folder.sampling.splits == "column split of index.csv, which names no validation: made from cases of train"


@pytest.mark.parametrize(
    ("cells", "with_estimate"),
    [
        (["train,a", "dev,b", "test,c"], "split of p1 is 'dev'; known are train, validation, test"),
        (["train,a", "test,a", "test,b"], r"1 values of slide are in two splits: a \(test, train\)"),
        (["train,a", ",b", "test,c"], "no split for p1"),
        (["train,a", "train,b", "validation,c"], "names no test"),
        (["test,a", "test,b", "validation,c"], "names no train"),
        (["train,a", "test,b", "test,c"], "no validation split, and 1 source of train"),
    ],
)
def test_splits_that_cannot_be_kept_are_refused(tmp_path: Path, cells: list[str], with_estimate: str) -> None:
    pictures = {f"p{i}": (photo(8, 8), halves(8, 8)) for i in range(3)}
    rows = "\n".join(f"p{i},{cell}" for i, cell in enumerate(cells))
    with pytest.raises(MissingError, match=with_estimate):
        Folder(write(tmp_path / "d", pictures, "id,split,slide", rows), size=8).split("train")


def test_a_split_without_a_patch_is_refused(tmp_path: Path) -> None:
    pictures = {f"p{i}": (photo(8, 8), halves(8, 8, share=0.5 if i else 0.0)) for i in range(4)}
    rows = "\n".join(f"p{i},{split}" for i, split in enumerate(("test", "train", "train", "validation")))
    with pytest.raises(MissingError, match="no patch .* is left in test"):
        Folder(write(tmp_path / "d", pictures, "id,split", rows), size=8).split("train")


def test_nuclei_keep_the_splits_and_pools_of_the_index(tmp_path: Path) -> None:
    homes = ["train", "R1", "R2", "validation", "test", "train"]
    folder = table_of_nuclei(tmp_path / "d", "split,slide_id", [f"{home},s{i}" for i, home in enumerate(homes)])
    assert images(folder, "test") == {"p4"} and images(folder, "validation") == {"p3"} and images(folder, "R2") == {"p2"}
    assert images(folder, "R1") == {"p1"} and images(folder, "train") == {"p0", "p1", "p5"}
    assert folder.sampling == Sampling("slides", "column slide_id of index.csv", "column split of index.csv")


def test_what_the_index_of_nuclei_does_not_name_is_made_of_training_patients(tmp_path: Path) -> None:
    cells = [f"{'test' if i < 2 else 'train'},u{i // 2}" for i in range(12)]
    folder = table_of_nuclei(tmp_path / "d", "split,patient", cells)
    assert images(folder, "test") == {"p0", "p1"}
    parts = [groups(folder, name) for name in ("train", "validation", "R2", "test")]
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 6
    assert groups(folder, "R1") <= groups(folder, "train")
    assert folder.sampling.splits.endswith("which names no validation and no R2: made from patients of train")
    with pytest.raises(MissingError, match="no validation and no R2, and 2 sources of train"):
        table_of_nuclei(tmp_path / "few", "split", ["test", "train", "train"]).split("train")


def test_the_releases_say_that_their_images_are_not_slides(tmp_path: Path) -> None:
    release = lizard(tmp_path / "lizard")
    assert Lizard(release).sampling.unit == "source images"
    assert Conic(conic(tmp_path / "conic")).sampling.unit == "source images"
    info = release / "lizard_labels/Lizard_Labels/info.csv"
    header, *rows = info.read_text().splitlines()
    info.write_text("\n".join([f"{header},Case ID", *(f"{row},c{i % 4}" for i, row in enumerate(rows))]) + "\n")
    named = Lizard(release, size=64)
    assert named.sampling.unit == "cases" and named.sampling.basis == "column Case ID of info.csv"
    assert groups(named) <= {"c0", "c1", "c2", "c3"}


@pytest.mark.parametrize("mpp", ["0.027", "5.0", "0.099", "4.01"])
def test_a_resolution_that_cannot_be_histology_is_refused_unless_confirmed(tmp_path: Path, mpp: str) -> None:
    pixels = table(tmp_path / "d", "slide,MPP", {name: f"s{name},{mpp}" for name in NAMES})
    nuclear = table_of_nuclei(tmp_path / "n", "mpp", [mpp] * 5)
    for reader, size in ((pixels, 8), (nuclear, 32)):
        with pytest.raises(UsageError, match=rf"index\.csv: mpp of p0 \({float(mpp):g}\).*ten times off.*confirm_mpp=true"):
            reader.split("train")
        confirmed = type(reader)(reader.folder, size=size, confirm_mpp=True)
        assert confirmed.split("train").conditions.mpp == float(mpp)


def test_a_resolution_that_is_asked_for_is_held_to_the_same(tmp_path: Path) -> None:
    readers = table(tmp_path / "d", "mpp", dict.fromkeys(NAMES, "0.1")), table_of_nuclei(tmp_path / "n", "mpp", ["4"] * 5)
    for reader in readers:
        reader.split("train")
        with pytest.raises(UsageError, match="mpp=4.5 was asked for, outside 0.1 to 4 microns"):
            type(reader)(reader.folder, size=4, mpp=4.5).split("train")
