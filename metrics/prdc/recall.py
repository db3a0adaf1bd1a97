"""Recall of a generator: how much of what is real lies among the neighbourhoods of what is generated."""

from __future__ import annotations

from bench.types import Card
from metrics.prdc.manifold import Neighbourhoods
from metrics.prdc.neighbourhood_metric import NeighbourhoodMetric
from metrics.subsets import Subset


class Recall(NeighbourhoodMetric):
    """Share of real patches in the ball of any generated one, in [0, 1]: is all that is real generated too?"""

    card = Card(
        "recall",
        "2",
        "Share of real features inside the generated manifold.",
        licence="Apache-2.0",
        source="Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 and 2",
        cost="O(n^2 d) time, O(n d) memory, with interval too; shared with precision, density and coverage of the same k",
        sees=("mode-dropped",),
        notes="Depends on n and k: compare only equal numbers of patches. A few generated outliers have huge balls, so that "
        "noise is rewarded. Copies of training patches score perfectly. Balls are closed: constant features score 1 where "
        "the constants are equal and 0 where they differ.",
    )
    bounds = (0.0, 1.0)

    def __init__(self, k: int = 3) -> None:
        super().__init__(k)

    @staticmethod
    def statistic(found: Neighbourhoods, subset: Subset, column: int) -> float:
        return float((found.balls_of_real[subset[0], column] > 0).mean())
