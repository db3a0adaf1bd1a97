"""Precision of a generator: how much of what is generated lies among the neighbourhoods of what is real."""

from __future__ import annotations

import numpy as np

from bench.statistics import Estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import check_sizes, positive
from metrics.prdc.manifold import Neighbourhoods, manifold_jackknife, whole_value
from metrics.subsets import Subset


class Precision:
    """Share of generated patches in the ball of any real one, in [0, 1]: does what is generated look real?"""

    card = Card(
        "precision",
        "2",
        "Share of generated features inside the real manifold.",
        source="Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 and 2",
        cost="O(n^2 d) time, O(n d) memory, with interval too; shared with recall, density and coverage of the same k",
        notes="Depends on n and k: compare only equal numbers of patches. One real outlier has a huge ball that much falls "
        "into. Copies of training patches score perfectly. Balls are closed: constant features score 1 where the constants "
        "are equal and 0 where they differ.",
    )
    direction: Direction = "higher"
    bounds = (0.0, 1.0)

    def __init__(self, k: int = 3) -> None:
        self.k = positive(self.card.name, "k", k)

    def minimum_n(self, d: int) -> int:
        """k + 1 rows a side, whatever d: each point needs k neighbours."""
        return self.k + 1

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The share; exact, so that `rng` is not drawn from."""
        check_sizes(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return whole_value(share, real, fake, self.k)

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """The same with its interval over slides, from one pass over the distances."""
        check_sizes(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return manifold_jackknife(share, real, fake, self.k, groups_real, groups_fake)


def share(found: Neighbourhoods, subset: Subset, column: int) -> float:
    return float((found.balls_of_fake[subset[1], column] > 0).mean())
