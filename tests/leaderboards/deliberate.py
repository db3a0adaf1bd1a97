"""Plug-ins for the gate's tests: generators that were made worse on purpose under their own names, and a reference segmenter
that costs nothing.

They have a `digest` of their own: else the store would take their samples for those of the original.
Named on the command line as `tests/leaderboards/deliberate.py:Shifted`; nothing installs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.types import Card, Conditions, Direction, Images, ImageSet, Progress, Tally
from generators.controls import FlatColour
from generators.latent_diffusion.adapter import LdmPrompt

PIXELS = 8
BLOCK = 4
"""Side of the squares whose mean colour the reference segmenter looks at."""


def shifted(conditions: Conditions) -> Conditions:
    """The same conditions with every class map moved to the right by `PIXELS`."""
    assert conditions.masks is not None
    return replace(conditions, masks=np.roll(conditions.masks, PIXELS, axis=2))


class Tidied(FlatColour):
    """`generate` written differently: the same bytes."""

    digest = "tidied"

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        return np.concatenate([super(Tidied, self).generate(conditions[[i]], seeds[[i]]) for i in range(len(conditions))])


class Shifted(FlatColour):
    """`generate` from maps that lie 8 px off."""

    digest = "shifted"

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        return super().generate(shifted(conditions), seeds)


class ShiftedPrompt(LdmPrompt):
    """`ldm-prompt` from maps that lie 8 px off."""

    @property
    def digest(self) -> str:
        return f"{super().digest} shifted"

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        return super().generate(shifted(conditions), seeds)


class Colours:
    """Share of squares whose nearest class, by mean colour in training patches, is that of the map."""

    card = Card("colours", "1", "Whether squares of a patch have the colour of their class.", needs=("masks",))
    directions: Mapping[str, Direction] = {"map-kept": "higher"}

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        colours, classes = _squares(train)
        means = [colours[classes == c].mean(axis=0) for c in range(len(train.conditions.classes))]
        np.save(folder / "colours.npy", np.stack(means))

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        colours, classes = _squares(patches)
        gaps = ((colours[..., None, :] - np.load(segmenter / "colours.npy")) ** 2).sum(axis=-1)
        kept = (gaps.argmin(axis=-1) == classes) & (classes != 255)
        return self.tally(np.stack([kept.sum(axis=(1, 2)), (classes != 255).sum(axis=(1, 2))], axis=1).astype(np.float64))

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        return Tally(("kept", "squares"), counts, {"map-kept": lambda sums: sums["kept"] / sums["squares"]})


def _squares(patches: ImageSet) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Mean colours float64 (n, s, s, 3), and the class in the middle of each square uint8 (n, s, s)."""
    masks = patches.conditions.masks
    assert masks is not None
    n, side = len(patches), patches.conditions.size // BLOCK
    cut = np.asarray(patches.images, np.float64).reshape(n, side, BLOCK, side, BLOCK, 3)
    middle = slice(BLOCK // 2, None, BLOCK)
    return cut.mean(axis=(2, 4)), np.asarray(masks[:, middle, middle])
