"""A generator with exactly the variety of the phantom: every map is rendered anew, on the slide of its condition.

    bench run -g ldm-prompt -t cam16-seg -m diversity --controls benchmarks/rendered.py:Rendered

It shows where a perfect generator stands in a measure that compares with real patches of other maps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.messages import needed
from bench.types import Card, Conditions, Images
from tasks.datasets.phantom.render import render


class Rendered:
    """Renders the maps of `phantom`, a phantom of regions, with the seeds of the images."""

    card = Card(
        "rendered",
        "1",
        "The phantom itself: every map rendered anew on the slide of its condition.",
        licence="Apache-2.0",
        needs=("masks",),
    )

    def __init__(self, phantom: str = "phantom-cam16") -> None:
        self.phantom = phantom
        self._phantom = registry.load("datasets", phantom)

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3)."""
        masks = np.asarray(needed("rendered", "masks", conditions.masks))
        images = []
        for mask, group, seed in zip(masks, conditions.groups.tolist(), seeds.tolist(), strict=True):
            slide = self._phantom._slide(group, int(group.rpartition("-")[2]))
            images.append(render(mask, self._phantom.tissues, slide, np.random.default_rng(seed)).image)
        return np.stack(images)
