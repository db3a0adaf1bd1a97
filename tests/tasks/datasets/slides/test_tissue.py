"""Where tissue is: on phantom slides against the truth, with ink, on empty glass, and on real slides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.datasets.slides.phantom_slides import make_slide
from tasks.datasets.slides.reader import open_slide
from tasks.datasets.slides.tissue import find_ink, find_tissue, segment_tissue

WSI = Path(__file__).parents[4] / "../shared/data/wsi"


@pytest.fixture(scope="module")
def section() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A phantom slide at 4 microns per pixel, three times in each direction so that it is large, and where its tissue is."""
    made = make_slide("tcga", 0, 0, 120, 4.0)
    return np.tile(made.image, (3, 3, 1)), np.tile(made.truth > 0, (3, 3))


def test_tissue_is_where_the_phantom_has_it(section: tuple[NDArray[np.uint8], NDArray[np.bool_]]) -> None:
    image, truth = section
    found = segment_tissue(image, 4.0)
    assert (found.mask == truth).mean() > 0.93 and found.mask[truth].mean() > 0.99
    assert found.share == found.mask.mean() and found.pen_share < 0.002 and not found.is_blank


@pytest.mark.parametrize("ink", [(30, 60, 160), (20, 110, 60), (25, 25, 28)], ids=["blue", "green", "black"])
def test_ink_is_no_tissue_and_is_counted(
    section: tuple[NDArray[np.uint8], NDArray[np.bool_]], ink: tuple[int, int, int]
) -> None:
    image = section[0].copy()
    image[100:160, 20:340] = ink
    found = segment_tissue(image, 4.0)
    assert not found.mask[100:160, 20:340].any()
    assert found.pen_share == pytest.approx(60 * 320 / 360**2, rel=0.05)
    assert find_ink(image)[100:160, 20:340].all()


@pytest.mark.parametrize("level", [255, 240, 200, 0])
def test_glass_is_blank(level: int) -> None:
    noise = np.random.default_rng(0).normal(level, 2, (300, 300, 3))
    found = segment_tissue(np.clip(noise, 0, 255).astype(np.uint8), 8.0)
    assert found.is_blank and found.share < 0.001
    assert segment_tissue(np.full((50, 50, 3), level, np.uint8), 8.0).is_blank


def test_shares_of_squares_are_areas(section: tuple[NDArray[np.uint8], NDArray[np.bool_]]) -> None:
    found = segment_tissue(section[0], 4.0)
    assert found.share_in(30, 40, 50, 4.0) == pytest.approx(found.mask[40:90, 30:80].mean())
    assert found.share_in(120, 160, 200, 1.0) == pytest.approx(found.mask[40:90, 30:80].mean())
    half = found.mask[40, 30:80].sum() / 2 + found.mask[41, 30:80].sum()  # a square from 40.5 to 42 and 30 to 31.5
    assert 0 <= half and found.share_in(30, 40.5, 1.5, 4.0) == pytest.approx(
        (found.mask[40, 30] * 0.5 + found.mask[40, 31] * 0.25 + found.mask[41, 30] + found.mask[41, 31] * 0.5) / 2.25
    )
    assert found.share_in(-10_000, 0, 100, 4.0) == 0.0
    assert found.share_in(0, 0, 720, 4.0) == pytest.approx(found.share / 4)
    corners = np.array([[0, 0], [100, 50]])
    assert found.shares_in(corners, 64, 4.0).tolist() == [found.share_in(*corner, 64, 4.0) for corner in corners.tolist()]


@pytest.mark.parametrize(
    ("name", "mpp", "low", "high"),
    [
        ("CMU-1-Small-Region.svs", None, 0.25, 0.45),
        ("TCGA-CR-7395-01A-01-TS1.svs", 0.5, 0.55, 0.7),
        ("monusac_svs_xml/TCGA-5P-A9K0-01Z-00-DX1_2.svs", None, 0.8, 1.0),
    ],
)
def test_real_slides_have_tissue(name: str, mpp: float | None, low: float, high: float) -> None:
    if not WSI.is_dir():
        pytest.skip("no ../shared/data/wsi beside the repository")
    with open_slide(WSI / name, mpp) as slide:
        found = find_tissue(slide)
    assert low < found.share <= high and found.pen_share < 0.01 and not found.is_blank
