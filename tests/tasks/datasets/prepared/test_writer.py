"""Writes prepared folders: the same bytes however slides were made, an index with class shares, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from pyarrow import parquet

from bench.errors import UsageError
from tasks.datasets.prepared import writer
from tasks.datasets.prepared.writer import assemble, class_shares, entropy, read_part_index, write_part
from tests.tasks.datasets.prepared.parts import CLASSES, MPP, SIZE, make_folder, make_part, write_parts


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_order_of_slides_changes_no_byte(tmp_path: Path) -> None:
    parts = [make_part(i) for i in range(4)]
    one, other = make_folder(tmp_path / "a", parts), make_folder(tmp_path / "b", parts[::-1])
    assert contents(one) == contents(other)


def test_the_rows_in_memory_change_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [make_part(i, patches=2 + i) for i in range(4)]
    whole = pandas.read_parquet(make_folder(tmp_path / "a", parts) / "index.parquet")
    monkeypatch.setattr(writer, "ROWS_HELD", 4)
    few = make_folder(tmp_path / "b", parts) / "index.parquet"
    pandas.testing.assert_frame_equal(pandas.read_parquet(few), whole)
    groups = parquet.ParquetFile(few).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [4, 1, 4, 4, 1]


def test_the_index_says_where_each_patch_lies_and_what_it_shows(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [make_part(0), make_part(1, patches=0), make_part(2)])
    index = pandas.read_parquet(folder / "index.parquet")
    assert list(index["slide"].unique()) == ["slide-00", "slide-02"] and len(index) == 12
    assert index.loc[1, "id"] == "slide-00/16_0" and (index.loc[1, "x"], index.loc[1, "y"]) == (SIZE, 0)
    shares = index[[f"share {name}" for name in CLASSES]].to_numpy()
    assert np.allclose(shares.sum(axis=1), 1) and shares[0, 1] > shares[-1, 1] > 0.4
    assert index["heterogeneity"].between(0.5, np.log2(3)).all() and (index["mpp"] == MPP).all()
    held = json.loads((folder / "dataset.json").read_text())
    assert held["exclusions"] == [{"slide": "slide-99", "reason": "blank"}] and held["described"] == {"by": "test"}


def test_shares_are_of_annotated_pixels_and_entropy_is_in_bits() -> None:
    masks = np.array([[[0, 0], [1, 255]], [[255, 255], [255, 255]]], np.uint8)
    shares = class_shares(masks, 2)
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3], [0, 0]])
    np.testing.assert_allclose(entropy(np.array([[0.5, 0.5], [1, 0], [0, 0]])), [1, 0, 0])


def test_what_cannot_be_assembled_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    parts = write_parts(tmp_path / "more", [make_part(1)])
    with pytest.raises(UsageError, match="exists"):
        assemble(parts, folder, SIZE, MPP, CLASSES, {}, [])
    twice = write_parts(tmp_path / "again", [make_part(1)])
    with pytest.raises(UsageError, match="slide-01 was prepared twice"):
        assemble([*parts, *twice], tmp_path / "twice", SIZE, MPP, CLASSES, {}, [])
    empty = write_parts(tmp_path / "empty", [make_part(1, patches=0)])
    assert len(read_part_index(empty[0])) == 0
    with pytest.raises(UsageError, match="none of the 1 slides has a patch"):
        assemble(empty, tmp_path / "none", SIZE, MPP, CLASSES, {}, [])
    wrong = make_part(3)
    with pytest.raises(ValueError, match="differ"):
        write_part(tmp_path, type(wrong)(**{**vars(wrong), "masks": wrong.masks[:2]}), CLASSES, MPP)
    assert not list(tmp_path.glob(".*")), "nothing half written is left"
