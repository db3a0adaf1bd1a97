"""A generator that is trained in no time, and whose training depends on the fit seed: for tests of several fits.

Named on the command line as `tests/fitted.py:Shaded`; nothing installs it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.types import Card, ImageSet, Progress
from generators.controls import FlatColour


class Shaded(FlatColour):
    """Flat colours that each training shifts by its own draw, of so many grey levels."""

    card = Card("shaded", "1", "Flat colours, shifted by what the fit seed draws.", needs=("masks",))
    has_fits = True

    def __init__(self, spread: float = 12.0) -> None:
        super().__init__()
        self.spread = spread

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        super().fit(train, seed, progress, work)
        assert self._colours is not None
        shifted = self._colours + np.random.default_rng(seed).normal(0, self.spread, self._colours.shape)
        self._colours = np.clip(shifted, 0, 255)
