"""Kernel inception distance, over the features of any encoder."""

from __future__ import annotations

import numpy as np

from bench.errors import UsageError
from bench.types import Card, Direction, Features
from metrics.features import Table, check_features, positive
from metrics.mmd.kernel import unbiased_estimate


class KernelDistance:
    """Squared discrepancy under the cubic kernel (x.y / d + 1)^3, without bias: 0 on average where both sides are alike.

    By default every pair of patches counts once. With `subset`, the mean over `subsets` draws of so many patches of each
    side without replacement, as published (`subset=1000`, `subsets=100`): noisier, and for less memory only.
    """

    card = Card(
        "kid",
        "1",
        "Unbiased squared discrepancy of real and generated features under a cubic kernel.",
        source="Bińkowski et al. 2018, arXiv 1801.01401; Gretton et al. 2012, JMLR 13, eq. 3",
        cost="O(n^2 d) time, O(n d) memory; with subsets O(subsets subset^2 d)",
        notes="Not biased by n, so that small sets can be compared, but noisy there, and below 0 where sides are alike. The "
        "kernel is not bounded: few patches with long feature vectors decide. Its scale is the encoder's. Blind to copies of "
        "training patches.",
    )
    direction: Direction = "lower"
    bounds = (None, None)

    def __init__(self, subset: int = 0, subsets: int = 100) -> None:
        if subset < 0 or subset == 1:
            raise UsageError(f"kid: subset is 0 for all patches, or at least 2, not {subset}.")
        self.subset, self.subsets = subset, positive(self.card.name, "subsets", subsets)

    def minimum_n(self, d: int) -> int:
        """2 rows a side, or one subset."""
        return max(2, self.subset)

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The statistic; `rng` is drawn from for subsets only."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        if not self.subset:
            return unbiased_estimate(a, b, cubic)
        draws = [[rng.choice(len(side), self.subset, replace=False) for side in (a, b)] for _ in range(self.subsets)]
        return float(np.mean([unbiased_estimate(a[rows], b[columns], cubic) for rows, columns in draws]))


def cubic(x: Table, y: Table) -> Table:
    """(x.y / d + 1)^3, float64 (n, m)."""
    product: Table = x @ y.T
    product /= x.shape[1]
    product += 1
    cubed: Table = product * product * product
    return cubed
