"""Precision of a generator: how much of what is generated lies among the neighbourhoods of what is real."""

from __future__ import annotations

from bench.types import Card
from metrics.prdc.manifold import Neighbourhoods
from metrics.prdc.neighbourhood_metric import NeighbourhoodMetric
from metrics.subsets import Subset


class Precision(NeighbourhoodMetric):
    """Share of generated patches in the ball of any real one, in [0, 1]: does what is generated look real?"""

    card = Card(
        "precision",
        "2",
        "Share of generated features inside the real manifold.",
        licence="Apache-2.0",
        source="Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 and 2",
        cost="O(n^2 d) time, O(n d) memory, with interval too; shared with recall, density and coverage of the same k",
        sees=("blur", "stain-shift", "gaussian-noise", "nuclei-removed"),
        notes="Depends on n and k: compare only equal numbers of patches. One real outlier has a huge ball that much falls "
        "into. Copies of training patches score perfectly. Balls are closed: constant features score 1 where the constants "
        "are equal and 0 where they differ.",
    )
    bounds = (0.0, 1.0)

    def __init__(self, k: int = 3) -> None:
        super().__init__(k)

    @staticmethod
    def statistic(found: Neighbourhoods, subset: Subset, column: int) -> float:
        return float((found.balls_of_fake[subset[1], column] > 0).mean())
