"""Density of a generator: in how many real neighbourhoods a generated patch lies."""

from __future__ import annotations

import numpy as np

from bench.statistics import Estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import check_sizes, positive
from metrics.prdc.manifold import Neighbourhoods, manifold_jackknife, whole_value
from metrics.subsets import Subset


class Density:
    """Mean number of real balls that a generated patch lies in, divided by k: 1 is expected of another real sample."""

    card = Card(
        "density",
        "2",
        "Real neighbourhoods that a generated patch lies in, divided by k.",
        source="Naeem et al. 2020, arXiv 2002.09797, section 3",
        cost="O(n^2 d) time, O(n d) memory, with interval too; shared with precision, recall and coverage of the same k",
        notes="Above 1 where generated patches crowd at the densest real tissue: a generator of the commonest patch again and "
        "again beats real tissue. Outliers matter less than to precision. Depends on n and k. Balls are closed.",
    )
    direction: Direction = "higher"
    bounds = (0.0, None)

    def __init__(self, k: int = 5) -> None:
        self.k = positive(self.card.name, "k", k)

    def minimum_n(self, d: int) -> int:
        """k + 1 rows a side, whatever d: each point needs k neighbours."""
        return self.k + 1

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The mean; exact, so that `rng` is not drawn from."""
        check_sizes(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return whole_value(mean_balls, real, fake, self.k)

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """The same with its interval over slides, from one pass over the distances."""
        check_sizes(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return manifold_jackknife(mean_balls, real, fake, self.k, groups_real, groups_fake)


def mean_balls(found: Neighbourhoods, subset: Subset, column: int) -> float:
    return float(found.balls_of_fake[subset[1], column].mean() / found.k)
