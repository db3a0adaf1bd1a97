"""Clusters at several scales."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from bench.errors import UsageError
from tasks.datasets.clustering.kmeans import Clusters, Floats, assign, centre, cluster


def blobs(count: int = 12, each: int = 60, seed: int = 0) -> tuple[Floats, np.ndarray]:
    """Well separated groups, the first ones larger, and their numbers."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(count), each + 5 * np.arange(count)[::-1])
    middles = rng.normal(0, 30, (count, 6))
    return (middles[truth] + rng.normal(0, 1, (len(truth), 6))).astype(np.float32), truth


@pytest.mark.parametrize("nested", [False, True])
def test_groups_are_found_and_numbered_by_size(nested: bool) -> None:
    features, truth = blobs()
    found = cluster(features, (4, 12), 0, nested)
    assert found.scales == (4, 12) and found.finest == 12
    labels = found.labels(features, 12)
    assert adjusted_rand_score(truth, labels) == 1
    assert (np.diff(np.bincount(labels)) <= 0).all() and (
        np.diff(np.bincount(found.labels(features, 4), minlength=4)) <= 0
    ).all()


def test_the_sum_of_squares_is_that_of_scikit_learn() -> None:
    features = np.random.default_rng(1).normal(0, 1, (2000, 8)).astype(np.float32)
    ours = np.square(features - (middles := centre(features, 20, 0))[assign(features, middles)]).sum()
    theirs = KMeans(20, n_init=3, random_state=0).fit(features).inertia_
    assert ours <= 1.01 * theirs


def test_nested_scales_are_parts_of_each_other() -> None:
    features, _ = blobs()
    found = cluster(features, (3, 6, 12), 0, nested=True)
    for coarse, fine in ((3, 6), (6, 12), (3, 12)):
        pairs = set(zip(found.labels(features, fine).tolist(), found.labels(features, coarse).tolist(), strict=True))
        assert len(pairs) == fine
    assert not found.centroids.keys() - {12}
    free = cluster(np.random.default_rng(0).normal(0, 1, (3000, 5)).astype(np.float32), (5, 20), 0)
    rows = np.random.default_rng(2).normal(0, 1, (3000, 5)).astype(np.float32)
    assert len(set(zip(free.labels(rows, 20).tolist(), free.labels(rows, 5).tolist(), strict=True))) > 20


def test_coarser_clusters_of_a_fine_one() -> None:
    features, _ = blobs()
    for nested in (False, True):
        found = cluster(features, (4, 12), 0, nested)
        assert (found.coarser(4)[found.labels(features, 12)] == found.labels(features, 4)).mean() > 0.95
        assert (found.coarser(12) == np.arange(12)).all()


def test_features_are_standardised() -> None:
    """A feature of large numbers does not decide alone, and a constant one does no harm."""
    features, truth = blobs()
    wide = np.column_stack([features * [1, 1, 1, 1, 1, 1e-3], np.full(len(features), 7.0)]).astype(np.float32)
    noise = np.random.default_rng(3).normal(0, 1e6, len(features)).astype(np.float32)
    found = cluster(wide, (12,), 0)
    assert adjusted_rand_score(truth, found.labels(wide, 12)) == 1 and np.isfinite(found.standardise(wide)).all()
    loud = np.column_stack([wide, noise])
    assert adjusted_rand_score(truth, cluster(loud, (12,), 0).labels(loud, 12)) > 0.5


def test_the_seed_decides() -> None:
    features = np.random.default_rng(0).normal(0, 1, (1000, 4)).astype(np.float32)

    def middles(seed: int) -> Floats:
        found: Clusters = cluster(features, (15,), seed)
        return found.centroids[15]

    assert np.array_equal(middles(0), middles(0)) and not np.array_equal(middles(0), middles(1))


def test_more_clusters_than_cells_are_refused() -> None:
    with pytest.raises(UsageError, match="30 clusters of 20 cells.*Give fewer --clusters"):
        cluster(np.zeros((20, 3), np.float32), (30,), 0)
