"""Fréchet distance between two sets of features, each seen as a Gaussian."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.statistics import (
    MINIMUM_GROUPS,
    Blocks,
    Estimate,
    Rows,
    Statistic,
    group_jackknife,
    jackknife_interval,
    too_few_groups,
)
from bench.types import Card, Direction, Features, Moments, Strings
from metrics.features import Table, check_features
from metrics.frechet.gaussians import feature_distance, frechet_distance


class FrechetDistance:
    """Squared 2-Wasserstein distance of the Gaussians fitted to both sides, in squared units of the features, >= 0."""

    card = Card(
        "fd",
        "1",
        "Fréchet distance between Gaussians fitted to real and generated features.",
        licence="Apache-2.0",
        source="Dowson and Landau 1982; Heusel et al. 2017, arXiv 1706.08500, eq. 6",
        cost="O(n d^2 + d^3) time, O(n d + d^2) memory",
        sees=("jpeg", "blur", "stain-shift", "gaussian-noise", "nuclei-removed", "mode-dropped"),
        notes="Biased upwards at small n, the more so the wider the encoder; its scale is the encoder's, so values of two "
        "encoders are never compared. Blind to everything beyond mean and covariance, and to copies of training patches.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)
    normalised = True

    def minimum_n(self, d: int) -> int:
        """d + 1 rows a side: with fewer, the covariance cannot have full rank."""
        return d + 1

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The distance; exact, so that `rng` is not drawn from. Refuses fewer rows than `minimum_n` on either side."""
        return feature_distance(*check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1])))

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """The distance with the interval of the jackknife over slides, for its average over as many other slides.

        Values without a block of slides are taken to first order (`linear_replicates`); where covariances are nearly singular
        each is calculated. The interval is formed on the root of the distance (`root_interval`).
        """
        from metrics.frechet.linear_jackknife import linear_replicates

        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        blocks = Blocks.of(groups_real, groups_fake)
        found = linear_replicates(a, b, blocks.real, blocks.fake, blocks.count)
        if found is None:
            exact = group_jackknife(self._of_rows(a, b), groups_real, groups_fake)
            return root_interval(exact, exact.value)
        value, without = found
        if refused := too_few_groups(value, (groups_real, groups_fake), MINIMUM_GROUPS):
            return refused
        fewest = min(int(len(rows) - np.bincount(rows).max()) for rows in (blocks.real, blocks.fake))
        enough = fewest >= self.minimum_n(a.shape[1])
        without = without if enough else np.full(blocks.count, np.nan)
        return root_interval(jackknife_interval(value, without, blocks), value)

    def compare_moments(self, real: Moments, fake: Moments) -> float:
        """The same from means and covariances: see `ComparesMoments`."""
        return frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)

    def compare_without_blocks(
        self, real: Features, fake: Features, blocks_real: NDArray[np.int64], blocks_fake: NDArray[np.int64], count: int
    ) -> tuple[float, NDArray[np.float64]] | None:
        """The distance, and to first order the distance without each block of rows: see `ComparesWithoutBlocks`.

        None for at most `EXACT` features, where each distance costs little: between two halves of one population the standard
        error to first order is 1.5 times the true one, the exact jackknife's 1.2 times (120 sets of 40 slides, 16 features).
        """
        if real.shape[-1] <= EXACT:
            return None
        from metrics.frechet.linear_jackknife import linear_replicates

        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        return linear_replicates(a, b, blocks_real, blocks_fake, count)

    def _of_rows(self, real: Table, fake: Table) -> Statistic:
        """The distance of some rows; NaN where they are too few."""
        fewest = self.minimum_n(real.shape[1])

        def distance(x: Rows, y: Rows) -> float:
            return feature_distance(real[x], fake[y]) if min(x.sum(), y.sum()) >= fewest else np.nan

        return distance


def root_interval(found: Estimate, distance: float) -> Estimate:
    """An estimate with its interval formed on the root of the distance as measured, >= 0, and squared.

    Slides spread the root, a length, evenly around its value, and the distance further up than down: with reach r on the scale
    of the distance the interval of the root is sqrt(distance) -+ r / (2 sqrt(distance)). What is taken off the distance as
    bias is taken off both bounds.
    """
    if found.low is None or found.high is None or distance <= 0:
        return found
    root, bias = np.sqrt(distance), distance - found.value
    reach = (found.high - found.value) / (2 * root)
    low, high = float(max(root - reach, 0.0) ** 2), float((root + reach) ** 2)
    return replace(found, low=low - bias, high=high - bias)


EXACT = 256
"""Features up to which values without a block of slides are calculated one by one for the lower reference."""
