"""Label slides: labels without interpolation, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from bench.errors import DamagedError, MissingError, UsageError
from tasks.datasets.slides import label_slide
from tasks.datasets.slides.label_slide import open_labels
from tasks.datasets.slides.phantom_files import write_pyramid
from tasks.datasets.slides.reader import Slide, open_slide
from tests.tasks.datasets.slides.test_reader import picture


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    write_pyramid(tmp_path / "slide.tif", picture(), 0.25)
    return open_slide(tmp_path / "slide.tif")


def labels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 6, (500, 700), dtype=np.uint8)


@pytest.fixture(params=["one channel", "first of three"])
def masks(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    pixels = labels()
    if request.param == "first of three":
        pixels = np.stack([pixels, 0 * pixels, 0 * pixels], axis=-1)
    write_pyramid(tmp_path / "mask.tiff", pixels, 0.25)
    return tmp_path / "mask.tiff"


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 2.0])
@pytest.mark.parametrize("strip", [2**22, 5000])
def test_labels_are_those_at_the_centres_of_pixels(
    masks: Path, slide: Slide, mpp: float, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_slide, "_STRIP", strip)
    with open_labels(masks, slide) as opened:
        found = opened.read_labels(10, 5, 60, 40, mpp)
        rows = ((5 + np.arange(40) + 0.5) * mpp / 0.25).astype(int)
        columns = ((10 + np.arange(60) + 0.5) * mpp / 0.25).astype(int)
        padded = np.full((2000, 2000), 255)
        padded[:500, :700] = labels()
        assert np.array_equal(found, padded[np.ix_(rows, columns)])


def test_outside_is_not_annotated(masks: Path, slide: Slide) -> None:
    with open_labels(masks, slide) as opened:
        assert (opened.read_labels(5000, 0, 9, 9, 0.5) == 255).all()
        edge = opened.read_labels(-3, -2, 6, 6, 0.25)
        assert (edge[:2] == 255).all() and (edge[:, :3] == 255).all() and np.array_equal(edge[2:, 3:], labels()[:4, :3])
        with pytest.raises(UsageError, match="at least one pixel"):
            opened.read_labels(0, 0, 0, 1, 0.5)


def test_what_is_no_label_slide_is_refused(tmp_path: Path, slide: Slide) -> None:
    path = tmp_path / "mask.tiff"
    with pytest.raises(MissingError, match="the label slide .*mask.tiff does not exist"):
        open_labels(path, slide)
    write_pyramid(path, labels()[:400], 0.25)
    with pytest.raises(DamagedError, match="700 x 400 pixels, and its slide .*slide.tif has 700 x 500"):
        open_labels(path, slide)
    write_pyramid(path, picture(), 0.25)
    with open_labels(path, slide) as opened, pytest.raises(DamagedError, match="holds colours at 0, 0"):
        opened.read_labels(0, 0, 9, 9, 0.25)
    palette = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, labels(), tile=(64, 64), photometric="palette", colormap=palette)
    with pytest.raises(DamagedError, match="stored with a palette"):
        open_labels(path, slide)
    tifffile.imwrite(path, labels().astype(np.uint16), tile=(64, 64))
    with pytest.raises(DamagedError, match="mask.tiff"):
        open_labels(path, slide)
    path.write_bytes(b"II*\0nothing")
    with pytest.raises(DamagedError, match="mask.tiff"):
        open_labels(path, slide)


def test_lossy_labels_are_refused(slide: Slide) -> None:
    real = Path(__file__).parents[4] / "../shared/data/wsi/CMU-1-Small-Region.svs"
    if not real.is_file():
        pytest.skip("no ../shared/data/wsi")
    with open_slide(real) as opened, pytest.raises(DamagedError, match="compressed as JPEG, which changes labels"):
        open_labels(real, opened)
