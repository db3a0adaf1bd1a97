"""Cells of CSV files: no text is a formula, and what was written comes back."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import mock
from bench.files.csv_files import read_cell_text, write_cell, write_cell_text
from bench.pipeline.exporting import write_conditions, write_images
from bench.registry import load

FORMULAS = ("=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1", "''+1")


@pytest.mark.parametrize("text", FORMULAS)
def test_what_looks_like_a_formula_is_a_text(text: str) -> None:
    assert write_cell_text(text) == f"'{text}" and str(write_cell(text))[0] in "' "


def test_numbers_dashes_and_usual_texts_stay() -> None:
    for value in (-1, -0.5, None, "-", "a=b", "tumour", "'quoted'", ""):
        assert write_cell(value) == value


@given(st.text(alphabet="'=+-@a\t", max_size=6))
def test_what_was_written_comes_back(text: str) -> None:
    assert read_cell_text(write_cell_text(text)) == text


def test_exported_conditions_have_no_formulas_and_are_matched_by_their_ids(tmp_path: Path) -> None:
    """Images that are named by the ids of conditions.csv are found, as those that are named by the ids themselves."""
    real = mock(32)[:4]
    ids = np.array(["=cmd|'/C calc'!A0", "+1", "-1", "plain"])
    texts = np.array(["@SUM(A1)", "=1", "\x1b[31mred", "a b"])
    labels = np.array(["=1", "-1", "a", "b"])
    conditions = replace(real.conditions, ids=ids, texts=texts, labels=labels, classes=("=a", "@b"))
    held = replace(real, conditions=conditions)
    write_conditions({"test": held}, tmp_path / "out", 0)
    for file in (tmp_path / "out" / "conditions.csv", tmp_path / "out" / "classes.csv"):
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        assert all(cell.isprintable() and cell[:1] not in tuple("=+-@") for row in rows for cell in row)
    with (tmp_path / "out" / "conditions.csv").open(newline="", encoding="utf-8") as stream:
        written = [row["id"] for row in csv.DictReader(stream)]
    assert written == [f"'{name}" for name in ids[:3].tolist()] + ["plain"]
    for number, names in enumerate((np.array(written), ids)):
        write_images(np.array([name.replace("/", "__") for name in names.tolist()]), real.images, tmp_path / str(number))
        folder = load("generators", f"folder:{tmp_path / str(number)}")
        folder.check_conditions(ids)
        assert np.array_equal(folder.generate(conditions, np.zeros(4, np.uint64)), real.images)
