"""Patches with maps of clusters: where they lie, how they are read, and what is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.errors import UsageError
from tasks.datasets.clustering.regions import CellMap, Region, RegionRule, choose_regions, cut_regions
from tasks.datasets.preparing.slide_list import MapRule, SlideSource
from tasks.datasets.slides.phantom_files import write_pyramid
from tasks.datasets.slides.reader import Slide, open_slide

SIDE, CELL = 512, 16
PLAN = SlideSource("s", Path("s.tif"), MapRule())


def quarters() -> CellMap:
    """Four clusters, one in each quarter of the slide."""
    half = SIDE // CELL // 2
    labels = np.kron(np.array([[0, 1], [2, 3]], np.uint8), np.ones((half, half), np.uint8))
    return CellMap(labels, CELL)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slide]:
    """The same four quarters as grey levels, 60 a cluster."""
    pixels = np.kron(np.array([[0, 60], [120, 180]], np.uint8), np.ones((SIDE // 2, SIDE // 2), np.uint8))
    path = tmp_path_factory.mktemp("slide") / "s.tif"
    write_pyramid(path, np.repeat(pixels[..., None], 3, axis=2), 0.5)
    with open_slide(path) as opened:
        yield opened


def test_cells_are_put_in_their_places() -> None:
    corners = np.array([[0, 0], [32, 16]])
    cells = CellMap.of_cells(corners, np.array([3, 5]), 16, 50, 40)
    assert cells.labels.shape == (2, 3) and (cells.labels == [[3, 255, 255], [255, 255, 5]]).all()
    found = cells.under(np.array([0.0, 15.9, 16.0, 40.0, -1.0, 48.0]), np.array([0.0, 15.9, 0.0, 20.0, 0.0, 0.0]))
    assert found.tolist() == [3, 3, 255, 5, 255, 255]


def test_only_mixed_patches_are_taken() -> None:
    chosen = choose_regions(quarters(), 4, SIDE, SIDE, RegionRule(96, 0.0), "s")
    assert len(chosen) == 25
    mixed = choose_regions(quarters(), 4, SIDE, SIDE, RegionRule(96), "s")
    assert {(one.x, one.y) for one in mixed} == {(one.x, one.y) for one in chosen if 240 in (one.x, one.y)} and len(mixed) == 9
    assert max(one.bits for one in mixed) == pytest.approx(2, abs=0.2)
    assert not choose_regions(quarters(), 4, SIDE, SIDE, RegionRule(96, 2.1), "s")


def test_some_are_drawn_by_their_entropy() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (64, 64)).astype(np.uint8)
    labels[:, 32:] = np.where(rng.uniform(size=(64, 32)) < 0.03, 1, 0)
    cells = CellMap(labels, 8)
    rule = RegionRule(32, 0.0, most=60)
    drawn = choose_regions(cells, 2, 512, 512, rule, "s")
    assert len(drawn) == 60 and len(choose_regions(cells, 2, 512, 512, RegionRule(32, 0.0), "s")) == 256
    assert sum(one.x < 256 for one in drawn) >= 45
    assert drawn == choose_regions(cells, 2, 512, 512, rule, "s") != choose_regions(cells, 2, 512, 512, rule, "t")


def test_the_map_lies_under_the_image(slide: Slide) -> None:
    for rule in (
        RegionRule(96),
        RegionRule(96, growth=0.5),
        RegionRule(125, 0.3, rotation=30),
        RegionRule(102, 0.3, 0, 0.3, 20),
    ):
        regions = choose_regions(quarters(), 4, SIDE, SIDE, rule, "s")
        part = cut_regions(PLAN, slide, regions, quarters(), rule, 0.5)
        assert len(part.images) and part.images.shape[1:] == (rule.size, rule.size, 3)
        wrong = np.abs(part.images[..., 0].astype(int) - 60 * part.masks.astype(int)) > 30
        assert wrong.mean() < 0.02, rule


def test_patches_grow_with_their_complexity(slide: Slide) -> None:
    rule = RegionRule(64, 0.1, growth=1.0)
    regions = choose_regions(quarters(), 4, SIDE, SIDE, rule, "s")
    assert {round(one.scale, 6) for one in regions} == {round(1 + one.bits / 2, 6) for one in regions}
    part = cut_regions(PLAN, slide, regions, quarters(), rule, 0.5)
    assert part.mpps is not None and part.mpps.tolist() == [0.5 * one.scale for one in regions]


def test_patches_do_not_overlap() -> None:
    rule = RegionRule(40, 0.0, growth=0.7, rotation=45)
    assert rule.pitch == math.ceil(40 * 1.7 * math.sqrt(2)) and RegionRule(40).pitch == 40
    regions = choose_regions(quarters(), 4, SIDE, SIDE, rule, "s")
    taken = np.zeros((SIDE, SIDE), int)
    for one in regions:
        x, y = one.positions(40)
        assert x.min() >= 0 and y.min() >= 0 and x.max() <= SIDE and y.max() <= SIDE
        taken[np.unique(y.astype(int)).min() : y.astype(int).max() + 1, x.astype(int).min() : x.astype(int).max() + 1] += 1
    assert taken.max() == 1
    assert len({one.angle for one in regions}) == len(regions) and all(abs(one.angle) <= math.pi / 4 for one in regions)


def test_turned_positions() -> None:
    x, y = Region(10.0, 20.0, 2.0, math.pi / 2, 0.0).positions(2)
    assert np.allclose(x, [[11, 11], [9, 9]]) and np.allclose(y, [[19, 21], [19, 21]])


def test_stain_varies_by_patch(slide: Slide) -> None:
    regions = choose_regions(quarters(), 4, SIDE, SIDE, RegionRule(96), "s")
    plain = cut_regions(PLAN, slide, regions, quarters(), RegionRule(96), 0.5)
    rule = RegionRule(96, stain=0.2)
    varied = cut_regions(PLAN, slide, regions, quarters(), rule, 0.5)
    assert np.array_equal(plain.masks, varied.masks) and not np.array_equal(plain.images, varied.images)
    assert np.array_equal(varied.images, cut_regions(PLAN, slide, regions, quarters(), rule, 0.5).images)


@pytest.mark.parametrize(
    "wrong", [{"size": 4}, {"most": -1}, {"heterogeneity": 9}, {"growth": -1}, {"rotation": 50}, {"stain": 2}]
)
def test_impossible_rules_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="--heterogeneity in"):
        RegionRule(**wrong)  # type: ignore[arg-type]
