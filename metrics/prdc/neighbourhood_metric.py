"""What the metrics of nearest neighbours share: the option k, the check of sizes, the value and its interval."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from bench.statistics import Estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import check_sizes, positive
from metrics.prdc.manifold import Neighbourhoods, manifold_jackknife, whole_value
from metrics.subsets import Subset


class NeighbourhoodMetric(ABC):
    """A `FeatureMetric` that is a mean over the k-nearest-neighbour balls of both sides."""

    card: ClassVar[Card]
    direction: Direction = "higher"

    def __init__(self, k: int) -> None:
        self.k = positive(self.card.name, "k", k)

    @staticmethod
    @abstractmethod
    def statistic(found: Neighbourhoods, subset: Subset, column: int) -> float:
        """The value on the real and generated rows of a subset, from the counts of a column of the neighbourhoods."""

    def minimum_n(self, d: int) -> int:
        """k + 1 rows a side, whatever d: each point needs k neighbours."""
        return self.k + 1

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The value; exact, so that `rng` is not drawn from."""
        check_sizes(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return whole_value(self.statistic, real, fake, self.k)

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """The value with its interval over slides, from one pass over the distances."""
        check_sizes(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return manifold_jackknife(self.statistic, real, fake, self.k, groups_real, groups_fake)
