"""What is exported can be generated from elsewhere: files, names, boxes and seeds."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import mock
from bench.errors import UsageError
from bench.pipeline.exporting import write_conditions, write_images
from bench.types import GREY, ImageSet, image_seeds


@pytest.fixture
def sets() -> dict[str, ImageSet]:
    real = mock(32)
    return {"train": real[:8], "test": real[8:]}


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def test_conditions_come_back_whole(sets: dict[str, ImageSet], tmp_path: Path) -> None:
    write_conditions(sets, tmp_path / "out", run_seed=7)
    rows = table(tmp_path / "out/conditions.csv")
    conditions = mock(32).conditions
    prompts = conditions.prompts
    assert [row["id"] for row in rows] == conditions.ids.tolist()
    assert [row["split"] for row in rows] == ["train"] * 8 + ["test"] * 4
    assert [row["group"] for row in rows] == conditions.groups.tolist()
    assert [int(row["seed"]) for row in rows] == image_seeds(7, conditions.ids).tolist()
    assert prompts is not None
    for i, row in enumerate(rows):
        for column in ("masks", "instances", "types"):
            assert np.array_equal(pixels(tmp_path / "out" / row[column]), getattr(conditions, column)[i])
        for c, name in enumerate(conditions.classes):
            assert np.array_equal(pixels(tmp_path / "out" / row[f"prompt_{name}"]), prompts.canvases[i, c])
            assert [int(edge) for edge in row[f"box_{name}"].split()] == prompts.boxes[i, c].tolist()
            assert row[f"source_{name}"] == prompts.sources[i, c]
        assert (row["prompt_source"], row["size"], row["mpp"]) == ("slide", "32", "1.0")
        assert (row["label"], row["text"]) == (str(conditions.labels[i]), conditions.texts[i])  # type: ignore[index]
    assert rows[0]["masks"] == "masks/mock-0__0.png"
    assert table(tmp_path / "out/classes.csv") == [{"value": "0", "name": "light"}, {"value": "1", "name": "dark"}]


def test_a_class_without_a_crop_has_no_canvas(tmp_path: Path) -> None:
    real = mock(32)
    assert real.conditions.prompts is not None
    real.conditions.prompts.sources[0, 1] = ""
    real.conditions.prompts.canvases[0, 1] = GREY
    write_conditions({"test": real}, tmp_path, 0)
    row = table(tmp_path / "conditions.csv")[0]
    assert (row["prompt_dark"], row["box_dark"], row["source_dark"]) == ("", "", "")
    assert not (tmp_path / "prompts/dark/mock-0__0.png").exists()


def test_absent_columns_are_left_out(tmp_path: Path) -> None:
    real = mock(32)
    bare = replace(real.conditions, prompts=None, instances=None, types=None, labels=None, texts=None)
    write_conditions({"test": ImageSet("bare", real.images, bare)}, tmp_path, 0)
    assert list(table(tmp_path / "conditions.csv")[0]) == ["id", "split", "group", "seed", "size", "mpp", "masks"]


def test_nothing_is_overwritten_or_mixed_up(sets: dict[str, ImageSet], tmp_path: Path) -> None:
    write_conditions(sets, tmp_path, 0)
    with pytest.raises(UsageError, match="is not empty"):
        write_conditions(sets, tmp_path, 0)
    with pytest.raises(UsageError, match="share a file name: mock-0/0 and mock-0/0"):
        write_conditions({"train": sets["train"], "test": sets["train"]}, tmp_path / "twice", 0)
    with pytest.raises(UsageError, match="a/b and a__b"):
        write_images(np.array(["a/b", "a__b"]), sets["train"].images[:2], tmp_path / "clash")


def test_more_nuclei_than_a_png_counts_are_refused(tmp_path: Path) -> None:
    real = mock(32)
    assert real.conditions.instances is not None
    real.conditions.instances[3, 0, 0] = 70_000
    with pytest.raises(UsageError, match="instances of mock-0/3 go up to 70000"):
        write_conditions({"test": real}, tmp_path, 0)


def test_images_of_several_calls_share_a_folder(sets: dict[str, ImageSet], tmp_path: Path) -> None:
    for chosen in sets.values():
        write_images(chosen.conditions.ids, chosen.images, tmp_path)
    assert len(list((tmp_path / "samples").glob("*.png"))) == 12
    assert np.array_equal(pixels(tmp_path / "samples/mock-2__3.png"), sets["test"].images[3])
    with pytest.raises(UsageError, match="already holds mock-2__0.png, mock-2__1.png"):
        write_images(sets["test"].conditions.ids, sets["test"].images, tmp_path)
