"""Share of generated patches that are farther from their nearest training patch than that is from its own nearest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.statistics import Estimate, group_jackknife
from bench.types import Card, Direction, Features, Strings
from metrics.features import check_features


class AuthenticShare:
    """100 times the share of authentic patches (Alaa and others 2022, section 3.3)."""

    card = Card(
        "authpct",
        "1",
        "Percentage of generated patches that are farther from their nearest training patch than that from its own nearest.",
        licence="Apache-2.0",
        source="Alaa et al. 2022, arXiv 2102.08921; as marcojira/fls and layer6ai-labs/dgm-eval compute it",
        cost="O(m n d) time for m generated and n training patches, and once O(n^2 d)",
        sees=("memorized-share",),
        notes="Known failures: patches of new slides are called copies in large part, as training patches of a slide lie near "
        "one another or far apart as the slide is; blur and noise raise it, since they lead away from every training "
        "patch; a few copies among many patches do not show (Stein et al. 2023). Not calibrated: see `memorization`.",
    )
    direction: Direction = "higher"
    bounds = (0.0, 100.0)

    def minimum_n(self, d: int) -> int:
        """Two rows of each: a training patch needs another one."""
        return 2

    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float:
        """The percentage; real test patches and `rng` have no part in it."""
        return float(100 * self._authentic(fake, train).mean())

    def estimate_trained(
        self,
        real: Features,
        fake: Features,
        train: Features,
        groups_real: Strings,
        groups_fake: Strings,
        rng: np.random.Generator,
    ) -> Estimate:
        """The percentage with an interval from leaving out slides of generated patches."""
        authentic = self._authentic(fake, train)

        def share(real_rows: NDArray[np.bool_] | None = None, fake_rows: NDArray[np.bool_] | None = None) -> float:
            return float(100 * (authentic if fake_rows is None else authentic[fake_rows]).mean())

        return group_jackknife(share, groups_real, groups_fake)

    def _authentic(self, fake: Features, train: Features) -> NDArray[np.bool_]:
        """bool (m,)."""
        from sklearn.neighbors import NearestNeighbors

        trained, generated = check_features(f"{self.card.name} (training patches as real)", train, fake, self.minimum_n(0))
        index = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(trained)
        own, near = index.kneighbors(None, 1)[0][:, 0], index.kneighbors(generated, 1)
        return np.asarray(own[near[1][:, 0]] < near[0][:, 0])
