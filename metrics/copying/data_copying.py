"""The three-sample test of data copying: are generated patches nearer to the training patches than real test patches are?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.statistics import Estimate, group_jackknife, undefined_estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import Table, check_features

CELLS, COMPONENTS, LEAST = 3, 64, 20
"""Cells of k-means, principal components of the training features, and generated patches of a cell that counts: those of
dgm-eval."""
Rows = NDArray[np.bool_]


class DataCopying:
    """C_T (Meehan and others 2020, section 3.3): mean over cells of the z-score of a Mann-Whitney test."""

    card = Card(
        "ct",
        "1",
        "Whether generated patches are nearer to training patches than real test patches are: far below 0 where they copy.",
        licence="Apache-2.0",
        source="Meehan et al. 2020, arXiv 2004.05675; casey-meehan/data-copying, with the cells of layer6ai-labs/dgm-eval",
        cost="O((m + n) t d) time for m generated, n test and t training patches",
        sees=("memorized-share",),
        notes="Known failures: it asks about the whole set, so a few copies among many do not show; patches worse than real "
        "ones lie farther away and hide copies; slides differ, so real patches of a third set of slides are not at 0; a "
        "z-score grows with the number of patches: values of different numbers cannot be compared (Stein et al. 2023). Far "
        "above 0 it means underfitting, which this direction does not show.",
    )
    direction: Direction = "higher"
    one_sided = True

    def minimum_n(self, d: int) -> int:
        """`LEAST` rows of each."""
        return LEAST

    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float:
        """C_T; NaN where no cell has enough generated patches and a test patch. `rng` has no part in it."""
        return self._place(real, fake, train).score()

    def estimate_trained(
        self,
        real: Features,
        fake: Features,
        train: Features,
        groups_real: Strings,
        groups_fake: Strings,
        rng: np.random.Generator,
    ) -> Estimate:
        """C_T with an interval from leaving out slides of test and generated patches; the cells are those of the training
        patches, found once."""
        placed = self._place(real, fake, train)
        if np.isnan(placed.score()):
            counts = np.bincount(placed.generated_cells).tolist()
            return undefined_estimate(
                f"underpowered: a cell counts with more than {LEAST} generated patches and a test patch, and the cells have "
                f"{', '.join(map(str, counts))} generated patches"
            )
        return group_jackknife(placed.score, groups_real, groups_fake)

    def _place(self, real: Features, fake: Features, train: Features) -> Placed:
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA

        test, generated = check_features(self.card.name, real, fake, LEAST)
        trained = check_features(f"{self.card.name} (training patches as real)", train, fake, LEAST)[0]
        if trained.shape[1] > COMPONENTS:
            components = min(COMPONENTS, len(trained))
            axes = PCA(components, svd_solver="full").fit(trained)
            trained, test, generated = (axes.transform(side) for side in (trained, test, generated))
        cells = KMeans(min(CELLS, len(np.unique(trained, axis=0))), n_init=10, random_state=0).fit(trained)
        test_cells, generated_cells = cells.predict(test), cells.predict(generated)
        return Placed(
            test_cells,
            generated_cells,
            _distances(test, test_cells, trained, cells.labels_),
            _distances(generated, generated_cells, trained, cells.labels_),
        )


@dataclass(frozen=True)
class Placed:
    """Cell of each test and generated patch, and its distance to the nearest training patch of the cell."""

    test_cells: NDArray[np.int32]
    generated_cells: NDArray[np.int32]
    test_distances: NDArray[np.float64]
    generated_distances: NDArray[np.float64]

    def score(self, test_rows: Rows | None = None, generated_rows: Rows | None = None) -> float:
        """C_T of the chosen rows, of all without a choice: the z-scores of the cells, weighted by their test patches."""
        test = np.ones(len(self.test_cells), bool) if test_rows is None else test_rows
        generated = np.ones(len(self.generated_cells), bool) if generated_rows is None else generated_rows
        scores, weights = [], []
        for cell in np.unique(self.test_cells[test]):
            ours = self.generated_distances[generated & (self.generated_cells == cell)]
            theirs = self.test_distances[test & (self.test_cells == cell)]
            if len(ours) > LEAST:
                scores.append(z_score(ours, theirs))
                weights.append(len(theirs))
        return float(np.average(scores, weights=weights)) if weights else float("nan")


def z_score(generated: NDArray[np.float64], test: NDArray[np.float64]) -> float:
    """z of the Mann-Whitney statistic that counts pairs in which the generated patch lies farther away, with the continuity
    correction of the published code."""
    from scipy.stats import mannwhitneyu

    m, n = len(generated), len(test)
    farther = float(mannwhitneyu(generated, test, alternative="less").statistic)
    return float((farther - (m * n / 2 - 0.5)) / np.sqrt(m * n * (m + n + 1) / 12))


def _distances(
    points: Table, cells: NDArray[np.int32], trained: Table, trained_cells: NDArray[np.int32]
) -> NDArray[np.float64]:
    """float64 (n,): to the nearest training patch of the same cell."""
    from sklearn.neighbors import NearestNeighbors

    found = np.zeros(len(points))
    for cell in np.unique(cells):
        index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(trained[trained_cells == cell])
        found[cells == cell] = index.kneighbors(points[cells == cell])[0][:, 0]
    return found
