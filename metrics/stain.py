"""Do amounts of stain in generated patches have the distribution of those in real patches?"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.types import Card, Direction, Features
from metrics.features import Table, check_features

Measure = Literal["distance", "effect"]
Stains = Literal["both", "hematoxylin", "eosin"]

WIDTH = 6
"""Columns of each stain in the encoder `stain`: the mean first, then quantiles; hematoxylin first, then eosin."""


class StainDistance:
    """Distance between the stain amounts of generated and real patches, 0 for equal distributions.

    `measure=distance`: 1-Wasserstein distance in units of optical density, averaged over the columns of the stains.
    `measure=effect`: size of Cohen's d of the mean optical density, averaged over the stains; about 0.2 is small, 0.8 large.
    `stains` chooses hematoxylin or eosin alone.
    """

    card = Card(
        "stain",
        "1",
        "Distance of the distributions of hematoxylin and eosin density, or its effect size.",
        licence="Apache-2.0",
        source="Ruifrok and Johnston 2001 (stain vectors); Cohen 1988, section 2.2 (d with pooled standard deviation)",
        cost="O(n log n)",
        sees=("stain-shift",),
        notes="Depends on amounts of stain only: patches with shuffled pixels score as well as real ones. The effect size "
        "depends on means only, so that patches of one constant strength pass, and it grows without bound as patches become "
        "equal. Real tissue of another laboratory is distant too.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)
    encoder = "stain"

    def __init__(self, measure: Measure = "distance", stains: Stains = "both") -> None:
        self.measure, self.stains = measure, stains

    def minimum_n(self, d: int) -> int:
        """2 rows a side: a single patch has no distribution."""
        return 2

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The measure on columns of the encoder `stain`; exact: `rng` is not used."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        if a.shape[1] != 2 * WIDTH:
            raise UsageError(f"stain reads the {2 * WIDTH} columns of the encoder stain, found {a.shape[1]} features.")
        chosen = {"both": (0, 1), "hematoxylin": (0,), "eosin": (1,)}[self.stains]
        if self.measure == "effect":
            return float(np.mean(np.abs(effect_sizes(a, b)[list(chosen)])))
        return float(np.mean([wasserstein(a, b)[i * WIDTH : (i + 1) * WIDTH] for i in chosen]))


def wasserstein(a: Table, b: Table) -> NDArray[np.float64]:
    """float64 (d,): 1-Wasserstein distance of each column, the mean gap between the quantiles of both sides."""
    n, m = len(a), len(b)
    edges = np.union1d(np.arange(n + 1) / n, np.arange(m + 1) / m)
    middle = (edges[:-1] + edges[1:]) / 2
    gaps = np.sort(a, axis=0)[(middle * n).astype(int)] - np.sort(b, axis=0)[(middle * m).astype(int)]
    distances: NDArray[np.float64] = np.diff(edges) @ np.abs(gaps)
    return distances


def effect_sizes(real: Table, fake: Table) -> NDArray[np.float64]:
    """Cohen's d of the mean density of hematoxylin and of eosin, float64 (2,): above 0 where generated patches have more."""
    a, b = real[:, [0, WIDTH]], fake[:, [0, WIDTH]]
    gap = b.mean(axis=0) - a.mean(axis=0)
    freedom = len(a) + len(b) - 2
    pooled = np.sqrt(((len(a) - 1) * a.var(axis=0, ddof=1) + (len(b) - 1) * b.var(axis=0, ddof=1)) / freedom)
    if not pooled.all():
        raise UsageError("stain: the effect is measured in standard deviations, found patches that are all stained alike.")
    return np.asarray(gap / pooled)
