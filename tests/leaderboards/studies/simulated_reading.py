"""Readers of known ability who click through the page of a study in a browser.

What a reader sees of an image has parts of its slide, of the image (both the same for all readers) and of the moment, with
variances that sum to 1, and is larger in generated images by the sensitivity to their arm. So a reader's d' is the
sensitivity, whatever the criterion.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leaderboards.studies.schema import REAL, Image, Key

OF_SLIDES, OF_IMAGES = 0.2, 0.3


@dataclass(frozen=True)
class Reader:
    """Opens one page."""

    name: str
    sensitivity: Mapping[str, float]
    """Arm -> d'."""
    hallucinations: Mapping[str, float]
    """Arm -> probability that the reader says yes, and marks a region."""
    criterion: float
    seed: int


def read(page: Any, key: Key, sheet: str, reader: Reader) -> None:
    """Clicks an answer to every question of the form `quality`, marks regions by mouse, and stops before the export."""
    images = {one.image: one for one in key.images}
    rng = np.random.default_rng(reader.seed)
    page.fill("#reader", reader.name)
    page.press("#reader", "Enter")
    for position in key.orders[sheet]:
        image = images[position.image]
        seen = evidence(image, reader, rng)
        score = int(np.clip(np.floor(4.5 - seen), 1, 5))
        for question in ("overall", "structure", "nuclei"):
            page.click(f"label:has(input[name={question}][value='{score}'])")
        if rng.random() < reader.hallucinations[image.arm]:
            mark(page, image, rng)
        else:
            page.click("label:has(input[name=hallucination][value='0'])")
        called = int(seen > np.mean(list(reader.sensitivity.values())) / 2 + reader.criterion)
        page.click(f"label:has(input[name=synthetic][value='{called}'])")
        page.click("#next")


def evidence(image: Image, reader: Reader, rng: np.random.Generator) -> float:
    """Higher for what looks generated."""
    of_slide, of_image = (np.random.default_rng(zlib.crc32(name.encode())).normal() for name in (image.slide, image.condition))
    noise = np.sqrt(1 - OF_SLIDES - OF_IMAGES) * rng.normal()
    sensitivity = 0.0 if image.arm == REAL else reader.sensitivity[image.arm]
    return float(sensitivity + np.sqrt(OF_SLIDES) * of_slide + np.sqrt(OF_IMAGES) * of_image + noise)


def mark(page: Any, image: Image, rng: np.random.Generator) -> None:
    """A box near a place that the image has for all readers."""
    centre = np.random.default_rng(zlib.crc32(image.image.encode())).uniform(0.3, 0.7, 2) + rng.normal(0, 0.04, 2)
    page.click("#mark")
    page.locator("#stage").scroll_into_view_if_needed()
    around = page.locator("#stage").bounding_box()
    corners = [np.array([around["x"], around["y"]]) + around["width"] * (centre + step) for step in (-0.15, 0.15)]
    page.mouse.move(*corners[0].tolist())
    page.mouse.down()
    page.mouse.move(*corners[1].tolist())
    page.mouse.up()
    page.wait_for_selector("#regions li")
