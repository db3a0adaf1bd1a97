"""A generator to start from: each class in a colour of its own, with grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.messages import needed
from bench.types import GREY, NOT_ANNOTATED, Card, Conditions, Images


class ExamplePlugin:
    """Put your model in `generate`. Load weights at first use there: constructors are cheap."""

    card = Card(
        name="example-plugin",
        version="1",  # raise it with every change that changes an image
        summary="Each class in a colour of its own, with grain.",
        source="the paper or repository that defines it",
        needs=("masks",),  # add "prompts" for a crop of tissue per class
    )

    def __init__(self, grain: float = 12.0) -> None:
        if not grain > 0:
            raise UsageError(f"example-plugin: grain is a positive number of grey values, not {grain}.")
        self.grain = grain

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3). Image i depends on condition i and seed i alone."""
        masks = needed(self.card.name, "masks", conditions.masks)
        colours = np.full((NOT_ANNOTATED + 1, 3), float(GREY))  # maps hold 0..k-1, and NOT_ANNOTATED where nobody knows
        colours[: len(conditions.classes)] = np.linspace((230, 180, 210), (120, 60, 140), len(conditions.classes))
        images = np.empty((len(conditions), conditions.size, conditions.size, 3), dtype=np.uint8)
        for i, seed in enumerate(seeds.tolist()):
            grain = np.random.default_rng(seed).normal(0, self.grain, images[i].shape)
            images[i] = np.clip(colours[masks[i]] + grain, 0, 255)
        return images
