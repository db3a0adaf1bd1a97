"""`bench prepare slides` on one slide with polygons of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import Result

from tasks.datasets.slides.phantom_files import write_pyramid
from tests.small_run import bench
from tests.tasks.datasets.importing.sources import feature, square


def one_slide(root: Path, *features: object) -> Path:
    """A grey slide of 256 px without background, at 1 micron per pixel."""
    root.mkdir()
    pixels = np.random.default_rng(0).integers(90, 170, (256, 256, 3), np.uint8)
    pixels[..., 1] //= 2
    write_pyramid(root / "s.tiff", pixels, mpp=1)
    (root / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return root


def prepare(root: Path, out: Path, *words: object) -> Result:
    small = ("--size", 32, "--mpp", 1, "--patches", "all", "--classes", "a=a,b=b", "--workers", 1)
    return bench("prepare", "slides", "--root", root, "--out", out, *small, *words, home=out.parent / "home")


def test_polygons_outside_the_slide_are_counted(tmp_path: Path) -> None:
    features = [feature("a", [square(*place, 100)]) for place in ((0, 0), (100, 100), (300, 10), (10, 300))]
    done = prepare(one_slide(tmp_path / "slides", *features), tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "; 2 polygons lie outside the slide" in done.stderr
    held = json.loads((tmp_path / "out/dataset.json").read_text())
    assert held["described"]["slides"]["s"]["outside"] == 2


def test_outlines_beyond_any_slide_are_left_out_and_counted(tmp_path: Path) -> None:
    """Products of such coordinates overflow, and libraries print warnings."""
    far = {"type": "Polygon", "coordinates": [[[1e300, 1], [5, 5], [1e308, 400], [1e300, 1]]]}
    features = [feature("a", [square(0, 0, 100)]), {**feature("a", [square(0, 0, 9)]), "geometry": far}]
    done = prepare(one_slide(tmp_path / "slides", *features), tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    held = json.loads((tmp_path / "out/dataset.json").read_text())
    assert held["described"]["slides"]["s"]["dropped"] == {"more than 10000000 pixels away": 1}
    alone = prepare(one_slide(tmp_path / "far", features[1]), tmp_path / "none")
    assert alone.exit_code == 3 and "more than 10000000 pixels away" in alone.stderr and "Warning" not in alone.stderr
