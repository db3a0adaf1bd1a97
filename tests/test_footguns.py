"""The traps of docs/footguns.md that no other page measures cost what the page says."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from bench import registry

PAGE = (Path(__file__).parent.parent / "docs/footguns.md").read_text()


def test_maps_as_jpeg_and_turned_maps() -> None:
    options = {"train_slides": 8, "validation_slides": 2, "test_slides": 2}
    maps = np.asarray(registry.load("datasets", "phantom-panda", **options).split("train").conditions.masks)
    assert f"({len(maps)} maps of `phantom-panda`)" in PAGE
    wrong = []
    for quality in (75, 95):
        changed = 0
        for each in maps:
            stream = io.BytesIO()
            Image.fromarray(each).save(stream, "JPEG", quality=quality)
            changed += int((np.asarray(Image.open(stream)) != each).sum())
        wrong.append(100 * changed / maps.size)
    turned = 100 * float(np.mean([(np.rot90(each) != each).mean() for each in maps]))
    shown = re.search(r"in ([\d.]+) % of the pixels at quality 75 and in ([\d.]+) % at quality 95; .* image (\d+) % of", PAGE)
    assert shown is not None
    assert np.allclose([float(number) for number in shown.groups()], [*wrong, turned], atol=0.6)
