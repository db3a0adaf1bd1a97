"""Discrepancy of feature directions under a Gaussian kernel (CMMD)."""

from __future__ import annotations

import numpy as np

from bench.statistics import Estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import Table, check_features, directions
from metrics.mmd.kernel import biased_estimate, discrepancy_jackknife

SIGMA = 10.0
"""Width of the kernel, far beyond the largest distance of 2."""
SCALE = 1000.0
"""For numbers that can be read."""


class GaussianDistance:
    """1000 times the squared discrepancy of features scaled to length 1 under a Gaussian kernel of width 10, in [0, 40)."""

    card = Card(
        "cmmd",
        "1",
        "Squared discrepancy of feature directions under a wide Gaussian kernel.",
        licence="Apache-2.0",
        source="Jayasumana et al. 2024, arXiv 2401.09603; its code google-research/cmmd (the V-statistic)",
        cost="O(n^2 d) time, O(n d) memory, with interval too",
        sees=("jpeg", "blur", "stain-shift", "gaussian-noise", "nuclei-removed", "mode-dropped"),
        notes="Published over CLIP ViT-L/14 at 336 px, trained on pictures of the web; over other encoders the constants stay "
        "and the scale is the encoder's. The kernel is so wide that it is nearly |difference of mean directions|^2 / sigma^2: "
        "what keeps the mean direction is hardly seen. Pairs of a patch with itself count, which adds a little, the more the "
        "fewer patches. Blind to the length of feature vectors and to copies of training patches.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)

    def minimum_n(self, d: int) -> int:
        """2 rows a side: one patch is no distribution."""
        return 2

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The statistic; exact, so that `rng` is not drawn from. Refuses rows that are all zero."""
        return scaled(biased_estimate(*self._directions(real, fake), wide))

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """The same statistic with its interval over slides, from one pass over the kernel."""
        return discrepancy_jackknife(*self._directions(real, fake), wide, (groups_real, groups_fake), (None, None), scaled)

    def _directions(self, real: Features, fake: Features) -> tuple[Table, Table]:
        sides = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        a, b = (directions(self.card.name, side) for side in sides)
        return a, b


def scaled(discrepancy: float) -> float:
    return max(SCALE * discrepancy, 0.0)  # rounding alone can take it below zero


def wide(x: Table, y: Table) -> Table:
    """exp(-|x - y|^2 / (2 sigma^2)) - 1 for rows of length 1. The 1 cancels in a discrepancy, and would cost five digits."""
    kernel: Table = np.expm1((x @ y.T - 1) / SIGMA**2)
    return kernel
