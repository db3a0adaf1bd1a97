"""Coverage of a generator: how many real patches have something generated in their neighbourhood."""

from __future__ import annotations

from bench.types import Card
from metrics.prdc.manifold import Neighbourhoods
from metrics.prdc.neighbourhood_metric import NeighbourhoodMetric
from metrics.subsets import Subset


class Coverage(NeighbourhoodMetric):
    """Share of real patches whose ball holds any generated patch, in [0, 1]."""

    card = Card(
        "coverage",
        "2",
        "Share of real neighbourhoods that hold a generated patch.",
        licence="Apache-2.0",
        source="Naeem et al. 2020, arXiv 2002.09797, section 3",
        cost="O(n^2 d) time, O(n d) memory, with interval too; shared with precision, recall and density of the same k",
        sees=("blur", "gaussian-noise", "mode-dropped"),
        notes="Another real sample of n patches scores 1 - (n - 1)! (2n - k - 1)! / ((n - k - 1)! (2n - 1)!), 0.97 for k = 5, "
        "and no more. Rises with the number of generated patches: compare equal numbers. Copies of training patches score as "
        "well as new ones. Balls are closed.",
    )
    bounds = (0.0, 1.0)

    def __init__(self, k: int = 5) -> None:
        super().__init__(k)

    @staticmethod
    def statistic(found: Neighbourhoods, subset: Subset, column: int) -> float:
        return float((found.found_by_real[subset[0], column] > 0).mean())
