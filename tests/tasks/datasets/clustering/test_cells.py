"""Which cells of a slide are clustered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from bench.errors import UsageError
from tasks.datasets.clustering.cells import CellRule, apportion, choose_cells, find_cells, read_windows
from tasks.datasets.slides.phantom_files import write_pyramid
from tasks.datasets.slides.reader import Slide, open_slide
from tasks.datasets.slides.tissue import find_tissue

RULE = CellRule(16, 32, 0.5, most=100)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slide]:
    """Nine tenths pink and a tenth blue tissue, and glass on the right."""
    pixels = np.full((640, 800, 3), 245, np.uint8)
    pixels[:, :640] = (220, 120, 170)
    pixels[:64, :640] = (90, 60, 150)
    path = tmp_path_factory.mktemp("slide") / "s.tif"
    write_pyramid(path, pixels, 0.5)
    with open_slide(path) as opened:
        yield opened


def test_cells_lie_on_tissue(slide: Slide) -> None:
    corners = find_cells(slide, find_tissue(slide), RULE)
    assert (corners % 16 == 0).all() and 640 - 16 <= corners[:, 0].max() <= 640 + 16
    assert len(corners) == pytest.approx(1600, rel=0.05)


def test_windows_lie_around_cells(slide: Slide) -> None:
    corners = np.array([[160, 160], [0, 0]])
    windows = dict(read_windows(slide, corners, RULE))
    assert windows[0].shape == (32, 32, 3)
    assert np.array_equal(windows[0], slide.read(152, 152, 32, 32, 0.5))
    assert (windows[1][:8] == 255).all() and not (windows[1][8:, 8:] == 255).any()


def test_colours_keep_their_shares_and_places_are_spread(slide: Slide) -> None:
    corners = find_cells(slide, find_tissue(slide), RULE)
    chosen = choose_cells(slide, corners, RULE, "s")
    assert len(chosen) == len(set(chosen.tolist())) == 100 and (np.diff(chosen) > 0).all()
    blue = corners[chosen][:, 1] < 64
    assert blue.mean() == pytest.approx((corners[:, 1] < 64).mean(), abs=0.03)
    quadrants = (corners[chosen][:, 0] > 320) * 2 + (corners[chosen][:, 1] > 320)
    assert np.bincount(quadrants).min() >= 15
    assert np.array_equal(chosen, choose_cells(slide, corners, RULE, "s"))


def test_all_are_taken_where_there_are_few(slide: Slide) -> None:
    corners = find_cells(slide, find_tissue(slide), RULE)
    for most in (0, 10_000):
        assert len(choose_cells(slide, corners, CellRule(16, 16, 0.5, most=most), "s")) == len(corners)


def test_seats_are_in_proportion() -> None:
    assert apportion(np.array([50, 30, 20]), 10).tolist() == [5, 3, 2]
    assert apportion(np.array([1, 1, 1]), 2).sum() == 2
    assert apportion(np.array([3, 0, 1]), 100).tolist() == [3, 0, 1]
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(0, 50, rng.integers(1, 9)) + np.eye(1, 1, dtype=int)[0, 0]
        wanted = int(rng.integers(1, 120))
        seats = apportion(counts, wanted)
        assert seats.sum() == min(wanted, counts.sum()) and (seats <= counts).all()


@pytest.mark.parametrize("wrong", [{"side": 4}, {"side": 64, "window": 32}, {"most": -1}])
def test_impossible_cells_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="a cell has 8 pixels or more"):
        CellRule(**wrong)  # type: ignore[arg-type]
