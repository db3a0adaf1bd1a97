"""Coverage of a generator: how many real patches have something generated in their neighbourhood."""

from __future__ import annotations

import numpy as np

from bench.statistics import Estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import check_sizes, positive
from metrics.prdc.manifold import Neighbourhoods, manifold_jackknife, whole_value
from metrics.subsets import Subset


class Coverage:
    """Share of real patches whose ball holds any generated patch, in [0, 1]."""

    card = Card(
        "coverage",
        "2",
        "Share of real neighbourhoods that hold a generated patch.",
        source="Naeem et al. 2020, arXiv 2002.09797, section 3",
        cost="O(n^2 d) time, O(n d) memory, with interval too; shared with precision, recall and density of the same k",
        notes="Another real sample of n patches scores 1 - (n - 1)! (2n - k - 1)! / ((n - k - 1)! (2n - 1)!), 0.97 for k = 5, "
        "and no more. Rises with the number of generated patches: compare equal numbers. Copies of training patches score as "
        "well as new ones. Balls are closed.",
    )
    direction: Direction = "higher"
    bounds = (0.0, 1.0)

    def __init__(self, k: int = 5) -> None:
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
    return float((found.found_by_real[subset[0], column] > 0).mean())
