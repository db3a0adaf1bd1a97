"""Thousands of polygons: the maps are those of one polygon after the other on the whole image, and take seconds."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import polygon

from tasks.datasets.importing import polygons
from tasks.datasets.importing.polygons import Ring, Shape, Window
from tasks.datasets.slides.annotations import Region, load_annotations, rasterise
from tests.tasks.datasets.importing import sources

MANY = 20_000


def ring(generator: np.random.Generator, side: float, radius: float, corners: int = 10) -> Ring:
    angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
    middle = generator.uniform(-radius, side + radius, 2)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * generator.uniform(0.2, 1) * radius + middle


def draw_whole(parts: tuple[tuple[Ring, ...], ...], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of an object, from masks of the whole image."""

    def inside(corners: Ring) -> NDArray[np.bool_]:
        made = np.zeros(shape, bool)
        made[polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, shape)] = True
        return made

    made = np.zeros(shape, bool)
    for outer, *holes in parts:
        made |= inside(outer) & ~np.any([np.zeros(shape, bool), *map(inside, holes)], axis=0)
    return made


@pytest.mark.parametrize("seed", range(3))
def test_objects_of_an_image_are_drawn_as_on_the_whole_image(seed: int) -> None:
    generator, shape = np.random.default_rng(seed), (90, 120)
    made = []
    while len(made) < 60:
        parts = tuple(
            tuple(ring(generator, 100, radius) for radius in (25, 15, 8)[: generator.integers(1, 4)])
            for _ in range(generator.integers(1, 3))
        )
        if (whole := draw_whole(parts, shape)).any():
            number = len(made)
            made.append((Shape(number % 5, parts) if number % 3 else Shape(number % 5, (), Window.crop(whole)), whole))
    instances, classes = polygons.draw([each for each, _ in made], shape, 255, "here")
    expected, of_class = np.zeros(shape, np.int32), np.full(shape, 255, np.uint8)
    for number, i in enumerate(sorted(range(60), key=lambda i: (-made[i][1].sum(), i)), start=1):
        expected[made[i][1]], of_class[made[i][1]] = number, made[i][0].name
    assert np.array_equal(instances, expected) and np.array_equal(classes, of_class)


@pytest.mark.parametrize("scale", [1.0, 0.37, 2.5])
def test_regions_near_a_map_give_the_map_of_each_region_alone(scale: float) -> None:
    import shapely

    generator = np.random.default_rng(0)
    found = [shapely.make_valid(shapely.Polygon(ring(generator, 400, 40))) for _ in range(300)]
    regions = [Region("ab"[i % 2], part) for i, part in enumerate(found) if part.geom_type == "Polygon" and part.area > 0]
    box, order = (int(120 * scale), int(90 * scale), 75, 50), ["b", "a"]
    x, y = ((np.arange(n) + 0.5 + start) / scale for n, start in ((75, box[0]), (50, box[1])))
    expected = np.full((50, 75), 255, np.uint8)
    for label in order:
        for each in (region for region in regions if region.label == label):
            expected[shapely.contains_xy(each.polygon, *np.meshgrid(x, y))] = "ab".index(label)
    made = rasterise(regions, {"a": 0, "b": 1}, order, box, scale)
    assert np.array_equal(made, expected) and len(np.unique(made)) == 3


def test_many_polygons_of_a_slide_over_many_maps(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    features = [sources.feature("ab"[i % 2], [ring(generator, 20_000, 60).tolist()]) for i in range(MANY)]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    began = time.process_time()
    regions = load_annotations(tmp_path / "a.geojson").regions
    for x, y in generator.integers(19_000, size=(200, 2)).tolist():
        rasterise(regions, {"a": 0, "b": 1}, ["a", "b"], (x, y, 256, 256), 1.0)
    assert len(regions) >= MANY and time.process_time() - began < 20  # 4 s on a machine with nothing else to do


def test_many_polygons_of_one_image() -> None:
    generator = np.random.default_rng(0)
    middles = generator.uniform(10, 990, (MANY, 2))
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    circle = 6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    began = time.process_time()
    instances, _ = polygons.draw([Shape(i % 3, ((circle + middles[i],),)) for i in range(MANY)], (1000, 1000), 255, "here")
    assert instances.max() == MANY and time.process_time() - began < 20  # 2 s on a machine with nothing else to do
