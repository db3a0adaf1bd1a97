"""Seconds and marked regions: numbers that are known by construction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from bench.errors import UsageError
from leaderboards.studies.analysis.analysis import Analysis, analyse
from leaderboards.studies.analysis.conduct import READING
from leaderboards.studies.analysis.reading import read_material
from leaderboards.studies.analysis.tabulation import Kind
from leaderboards.studies.analysis.writing import as_markdown
from leaderboards.studies.answers import table_text
from tests.leaderboards.studies.analysis.simulated import simulate_answers

KINDS = {"synthetic": Kind.REAL}
SIZE = 40


def marked(boxes: dict[str, list[tuple[int, int, int, int]]]) -> DataFrame:
    """Answers of three readers who marked these (x, y, width, height) in every generated image of an even slide, and looked
    twice as long at generated images, some of them for an hour."""
    answers = simulate_answers()
    names = ("x", "y", "width", "height")
    chosen = (answers["question"] == "hallucination") & (answers["arm"] == "crop-paste")
    chosen &= answers["slide"].str.removeprefix("s").astype(int) % 2 == 0
    held = [
        [dict(zip(names, box, strict=True)) for box in boxes.get(reader, [])] if here else []
        for reader, here in zip(answers["reader"], chosen, strict=True)
    ]
    seconds = np.where(answers["arm"] == "crop-paste", 8.0, 4.0)
    factor = np.where(answers["slide"] == "s0", 900.0, 1.0)
    return answers.assign(regions=held, seconds=seconds * factor)


ONE = {"r0": [(0, 0, 10, 20)], "r1": [(0, 0, 20, 10)], "r2": []}


@pytest.fixture(scope="module")
def found() -> Analysis:
    return analyse(marked(ONE), kinds=KINDS, size=SIZE)


def value(found: Analysis, measure: str, arm: str = "", reader: str = "", question: str = "hallucination") -> float:
    row = found.of(question, measure, arm, reader)
    assert row is not None and row.value is not None, measure
    return row.value


def test_number_and_area_of_regions_are_means_over_readers_and_images(found: Analysis) -> None:
    assert value(found, "regions per image", "crop-paste") == pytest.approx(2 / 3 / 2)
    assert value(found, "regions per image", "crop-paste", "r0") == pytest.approx(0.5)
    assert value(found, "marked area", "crop-paste") == pytest.approx(200 / SIZE**2 / 3)
    assert value(found, "regions per image", "real") == value(found, "marked area", "real") == 0
    row = found.of("hallucination", "marked area", "crop-paste")
    assert row and row.low is not None and row.high is not None and 0 < row.low < row.value < row.high  # type: ignore[operator]
    counted = found.of("hallucination", "regions per image", "crop-paste")
    assert counted and counted.low is not None and counted.low >= 0


def test_boxes_of_one_reader_that_overlap_are_one_area() -> None:
    twice = analyse(marked({"r0": [(0, 0, 10, 10), (5, 0, 10, 10)]}), kinds=KINDS, size=SIZE)
    assert value(twice, "marked area", "crop-paste", "r0") == pytest.approx(150 / SIZE**2 / 2)
    assert value(twice, "regions per image", "crop-paste", "r0") == pytest.approx(1)


def test_overlap_is_that_of_all_pairs_and_stands_beside_chance(found: Analysis) -> None:
    """r0 and r1 share 100 of 300 pixels, and r2 marked nothing: 200 and 200 more that nobody shares."""
    assert value(found, "overlap of regions") == pytest.approx(100 / (300 + 200 + 200))
    both = (200 / SIZE**2) ** 2
    assert value(found, "overlap by chance") == pytest.approx(both / (4 * 200 / SIZE**2 - both + 0.0), rel=0.35)
    alike = analyse(marked({name: [(3, 4, 5, 6)] for name in ("r0", "r1", "r2")}), kinds=KINDS, size=SIZE)
    assert value(alike, "overlap of regions") == 1
    nobody = analyse(marked({}), kinds=KINDS, size=SIZE)
    assert nobody.of("hallucination", "overlap of regions") is None, "no question has regions"


def test_without_the_size_of_images_there_is_no_area_and_a_reason() -> None:
    bare = analyse(marked(ONE), kinds=KINDS)
    row = bare.of("hallucination", "marked area")
    assert row and row.value is None and "analyse the folder of the study" in row.reason
    assert value(bare, "regions per image", "crop-paste") == pytest.approx(2 / 3 / 2)


def test_seconds_are_geometric_means_and_their_ratio_that_of_arms(found: Analysis) -> None:
    assert value(found, "seconds", "real", question=READING) == pytest.approx(4 * 900 ** (1 / 20))
    assert value(found, "ratio of seconds", "crop-paste", question=READING) == pytest.approx(2)
    row = found.of(READING, "seconds", "real")
    assert row and row.low_these is not None and row.high_these is not None and 0 < row.low_these < 5.6 < row.high_these
    assert "seconds (geometric means)" in as_markdown(found) and "overlap of regions" in as_markdown(found)


def test_regions_of_a_table_of_commas_are_json_and_others_are_refused(tmp_path: Path) -> None:
    frame = marked(ONE)
    frame.assign(regions=frame["regions"].map(json.dumps)).to_csv(tmp_path / "a.csv", index=False)
    again = analyse(read_material(tmp_path / "a.csv").table, kinds=KINDS, size=SIZE)
    assert value(again, "marked area", "crop-paste") == pytest.approx(200 / SIZE**2 / 3)
    (tmp_path / "a.jsonl").write_text(table_text(frame))
    assert value(analyse(read_material(tmp_path / "a.jsonl").table, kinds=KINDS), "regions per image", "real") == 0
    for bad in ("[{'x': 1}]", '[{"x": 1}]', "7"):
        wrong: Any = frame.assign(regions=[bad if held else "[]" for held in frame["regions"]])
        with pytest.raises(UsageError, match="regions are a list of x, y, width and height"):
            analyse(wrong, kinds=KINDS)
