"""COCO files that are of other versions of their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tasks.datasets.importing import sources
from tests.tasks.datasets.importing.sources import imported, refusal


def listed(**size: Any) -> list[dict[str, Any]]:
    """The images of `sources.coco`, the third of another size."""
    return [{"id": i, "file_name": f"s{i}.png", **(size if i == 2 else {"height": 64, "width": 64})} for i in range(4)]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ({"width": 128, "height": 64}, "128 x 64"),
        ({"width": 64, "height": 32}, "64 x 32"),
        ({"height": 63}, "? x 63"),
        ({"width": "64", "height": "sixty\nfour"}, "64 x sixty four"),
        ({"width": 10**18, "height": 64}, f"{10**18} x 64"),
    ],
)
def test_an_image_of_another_size_than_is_stated(tmp_path: Path, size: dict[str, Any], shown: str) -> None:
    source = sources.coco(tmp_path / "source", images=listed(**size))
    message = refusal(source, tmp_path / "out")
    assert f"s2.png: the file of annotations states {shown} px, and the image is 64 x 64 px" in message
    assert list(imported(source, tmp_path / "out", "--skip-damaged")["skipped"]) == ["s2.png"]


def test_an_image_of_no_stated_size(tmp_path: Path) -> None:
    assert imported(sources.coco(tmp_path / "source", images=listed()), tmp_path / "out")["images"] == 4


def test_an_annotation_outside_its_image(tmp_path: Path) -> None:
    note = {"image_id": 1, "category_id": 7, "segmentation": [[70, 70, 90, 70, 90, 90]]}
    source = sources.coco(tmp_path / "source", annotations=[note])
    assert "s1.png: object 1 covers no pixel of the image of 64 x 64 px" in refusal(source, tmp_path / "out")
