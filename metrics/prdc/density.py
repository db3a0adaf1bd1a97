"""Density of a generator: in how many real neighbourhoods a generated patch lies."""

from __future__ import annotations

from bench.types import Card
from metrics.prdc.manifold import Neighbourhoods
from metrics.prdc.neighbourhood_metric import NeighbourhoodMetric
from metrics.subsets import Subset


class Density(NeighbourhoodMetric):
    """Mean number of real balls that a generated patch lies in, divided by k: 1 is expected of another real sample."""

    card = Card(
        "density",
        "2",
        "Real neighbourhoods that a generated patch lies in, divided by k.",
        licence="Apache-2.0",
        source="Naeem et al. 2020, arXiv 2002.09797, section 3",
        cost="O(n^2 d) time, O(n d) memory, with interval too; shared with precision, recall and coverage of the same k",
        sees=("blur", "stain-shift", "gaussian-noise", "nuclei-removed"),
        notes="Above 1 where generated patches crowd at the densest real tissue: a generator of the commonest patch again and "
        "again beats real tissue. Outliers matter less than to precision. Depends on n and k. Balls are closed.",
    )
    bounds = (0.0, None)

    def __init__(self, k: int = 5) -> None:
        super().__init__(k)

    @staticmethod
    def statistic(found: Neighbourhoods, subset: Subset, column: int) -> float:
        return float(found.balls_of_fake[subset[1], column].mean() / found.k)
