"""Fréchet distance in the leading directions of the training features, with endlessly many slides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.statistics import Blocks, Estimate, too_few_groups, undefined_estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import Table, check_features
from metrics.frechet.block_moments import extrapolate_distance
from metrics.frechet.extrapolation import AS_MEASURED
from metrics.frechet.frechet_infinity import FrechetInfinity
from metrics.frechet.gaussians import feature_distance

Axes = NDArray[np.float64]

_DENSE = 256
"""Columns up to which all directions are calculated, of which the leading ones are taken."""


class FrechetSubspace:
    """Fréchet distance of the features on the first `k` principal axes of the training patches, extrapolated to endlessly many
    slides: in squared units of the features, 0 where both sides have one mean and one covariance there, below 0 by chance.

    The axes are fitted once, to patches of which neither side has any, and held: what is estimated is the distance of two
    populations in k dimensions, whatever the number of features. Encoders with fewer than k features are taken whole.
    """

    card: Card
    k: int
    slides: int
    """Fewest effective slides a side for an interval."""
    direction: Direction = "lower"
    bounds = (None, None)

    def minimum_n(self, d: int) -> int:
        """2 (k + 1) rows of each: subsets of k + 1 and up, with room for a line."""
        return 2 * (min(self.k, d) + 1)

    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float:
        """Extrapolated over patches, where nothing is known of slides; `rng` orders the patches."""
        a, b = self._projected(real, fake, train)
        return FrechetInfinity().compare(a.astype(np.float32), b.astype(np.float32), rng)

    def estimate_trained(
        self,
        real: Features,
        fake: Features,
        train: Features,
        groups_real: Strings,
        groups_fake: Strings,
        rng: np.random.Generator,
    ) -> Estimate:
        """Extrapolated over slides, with the interval of the jackknife; none with fewer effective slides than `slides`,
        no value with too few training patches."""
        fewest = self.minimum_n(real.shape[-1])
        if len(train) < fewest:
            return undefined_estimate(f"underpowered: {len(train)} training patches, {fewest} are needed for the axes")
        a, b = self._projected(real, fake, train)
        groups = groups_real, groups_fake
        if refused := too_few_groups(0.0, groups, self.slides):
            return Estimate(feature_distance(a, b), None, None, reason=f"{refused.reason}; {AS_MEASURED}")
        return extrapolate_distance(a, b, Blocks.of(*groups))

    def _projected(self, real: Features, fake: Features, train: Features) -> tuple[Table, Table]:
        fewest, name = self.minimum_n(real.shape[-1]), self.card.name
        a, b = check_features(name, real, fake, fewest)
        trained = check_features(f"{name} (training patches as real)", train, fake, fewest)[0]
        middle, axes = trained.mean(axis=0), principal_axes(trained, self.k)
        return (a - middle) @ axes, (b - middle) @ axes


class FrechetPca16(FrechetSubspace):
    """`FrechetSubspace` with 16 axes."""

    card = Card(
        "fd-pca16",
        "1",
        "Fréchet distance on 16 principal axes of the training features, extrapolated to infinitely many slides.",
        licence="Apache-2.0",
        source="Dowson and Landau 1982; axes, extrapolation and the study behind them: docs/subspace.md",
        cost="O(n d^2) time, O(n d + d^2) memory",
        sees=("jpeg", "blur", "stain-shift", "gaussian-noise", "nuclei-removed", "mode-dropped"),
        notes="Says nothing of the other directions: what changes there alone is not seen. For comparisons of one training "
        "set: other training patches, other axes. Its scale is the encoder's. Blind to everything beyond mean and covariance, "
        "and to copies of training patches.",
    )
    k = 16
    slides = 20


def principal_axes(table: Table, k: int) -> Axes:
    """The first k principal axes of at least two rows (n, d) as columns, float64 (d, min(k, d)), orthonormal.

    Whole decompositions of few columns; of more, the leading axes by Lanczos' method from a fixed start.
    """
    covariance = np.atleast_2d(np.cov(table, rowvar=False))
    d = len(covariance)
    if d <= max(_DENSE, 4 * k):
        return np.asarray(np.linalg.eigh(covariance)[1][:, ::-1][:, :k])
    from scipy.sparse.linalg import eigsh  # not at the top: `bench list` should not wait for it

    axes: Axes = eigsh(covariance, k, which="LA", v0=np.full(d, d**-0.5))[1]
    return axes
