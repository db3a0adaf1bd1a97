"""What pictures show of maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.histology.pictures import choose_rows, render_maps, scale_bar, write_picture
from bench.types import Conditions, ImageSet


def test_nuclei_are_outlined_all_around_and_nothing_else_is() -> None:
    instances = np.zeros((1, 9, 9), np.int32)
    instances[0, 2:7, 2:7] = 4
    masks = (instances > 0).astype(np.uint8)
    shown = render_maps(
        Conditions(np.array(["a"]), np.array(["s"]), ("background", "cell"), 9, 1.0, masks=masks, instances=instances)
    )
    dark = (shown[0] == 0).all(axis=-1)
    ring = masks[0].astype(bool)
    ring[3:6, 3:6] = False
    assert (dark == ring).all()


TISSUE = (7, 99, 200)


def conditions(slides: list[str], mpp: float = 0.5, size: int = 64, classes: tuple[str, ...] = ("a", "b")) -> Conditions:
    masks = np.zeros((len(slides), size, size), np.uint8)
    return Conditions(np.array([f"p{i}" for i in range(len(slides))]), np.array(slides), classes, size, mpp, masks=masks)


def test_rows_are_of_different_slides_as_long_as_there_are_any() -> None:
    few = conditions(["a"] * 20 + ["b"] * 20 + ["c"])
    assert choose_rows(few, 4).tolist() == [0, 1, 20, 40]
    many = conditions([f"s{i}" for i in range(9) for _ in range(3)])
    assert len({many.groups[row] for row in choose_rows(many, 5)}) == 5
    assert choose_rows(conditions(["a", "a"]), 5).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("mpp", "size", "text", "share"), [(0.5, 64, "10 microns", 10 / 32), (0.25, 1024, "100 microns", 100 / 256)]
)
def test_the_bar_is_a_round_length_of_at_most_half_a_patch(mpp: float, size: int, text: str, share: float) -> None:
    bar = scale_bar(conditions(["a"], mpp, size))
    assert bar is not None and bar.text == text and bar.share == pytest.approx(share)


def drawn(path: Path, names: tuple[str, ...], shown: Conditions) -> Image.Image:
    patches = ImageSet("k", np.full((len(shown), shown.size, shown.size, 3), TISSUE, np.uint8), shown)
    write_picture(patches, {name: patches for name in names}, path)
    return Image.open(path)


def test_tiles_have_gutters_and_the_legend_its_colours(tmp_path: Path) -> None:
    one, two = (drawn(tmp_path / "a.png", names, conditions(["a", "b"])) for names in (("g",), ("g", "h")))
    assert two.width - one.width == 136 and two.height == one.height
    columns = (np.asarray(two.convert("RGB")) == TISSUE).all(axis=-1).any(axis=0)
    assert int((np.diff(columns.astype(int)) == 1).sum()) == 3, "a gap between neighbours"
    assert {(232, 232, 232), (190, 60, 110)} <= {colour for _, colour in two.convert("RGB").getcolors(1 << 20)}
    without = drawn(tmp_path / "b.png", ("g",), conditions(["a", "b"], mpp=float("nan")))
    assert without.height < one.height, "no bar where the resolution is not known"
