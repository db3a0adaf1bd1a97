"""k-means by faiss (Johnson and others 2021) from the starts of k-means++ (Arthur and Vassilvitskii 2007), on a GPU where the
installed faiss has one, and clusters of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError

ITERATIONS, REPEATS = 50, 3
"""Of k-means, and how often it begins anew; the one with the smallest distances is kept."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Clusters:
    """Clusters at several scales, each numbered from the most frequent one. Features are standardised first: each has mean 0
    and variance 1 over what was clustered."""

    mean: Floats
    """float32 (d,)."""
    deviation: Floats
    """float32 (d,)."""
    centroids: dict[int, Floats]
    """Number of clusters -> float32 (k, d), standardised. Only the finest scale has them where `parents` has others."""
    parents: dict[int, NDArray[np.int64]]
    """Number of clusters -> int64 (finest,): the cluster of each of the finest ones, where scales are nested."""

    @property
    def finest(self) -> int:
        return max(self.centroids)

    @property
    def scales(self) -> tuple[int, ...]:
        """Numbers of clusters, ascending."""
        return tuple(sorted({*self.centroids, *self.parents}))

    def standardise(self, features: Floats) -> Floats:
        return np.ascontiguousarray((features - self.mean) / self.deviation, dtype=np.float32)

    def labels(self, features: Floats, scale: int) -> NDArray[np.int64]:
        """int64 (n,): the cluster of each row of features (n, d) at a scale."""
        if scale in self.parents:
            return self.parents[scale][self.labels(features, self.finest)]
        return assign(self.standardise(features), self.centroids[scale])

    def coarser(self, scale: int) -> NDArray[np.int64]:
        """int64 (finest,): the cluster at a scale in which the centroid of each of the finest clusters lies."""
        if scale in self.parents:
            return self.parents[scale]
        return assign(self.centroids[self.finest], self.centroids[scale])


def cluster(features: Floats, scales: Sequence[int], seed: int, nested: bool = False) -> Clusters:
    """Clusters rows of features (n, d), at each scale by itself; or, `nested`, each cluster of a scale within one of the next
    coarser scale. UsageError where there are fewer rows than clusters."""
    if max(scales) > len(features):
        raise UsageError(
            f"{max(scales)} clusters of {len(features)} cells: there are at least as many cells as clusters. "
            "Give fewer --clusters, a smaller --cell, or more slides."
        )
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    deviation[deviation == 0] = 1
    found = Clusters(mean.astype(np.float32), deviation.astype(np.float32), {}, {})
    rows = found.standardise(features)
    if nested:
        return _nest(rows, sorted(scales), seed, found)
    for scale in sorted(scales):
        centroids = centre(rows, scale, seed)
        found.centroids[scale] = centroids[_by_frequency(assign(rows, centroids), scale)]
    return found


def _nest(rows: Floats, scales: list[int], seed: int, found: Clusters) -> Clusters:
    """Bisecting k-means (Steinbach and others 2000): the cluster with the largest sum of squared distances is divided in
    two, until there are enough. A scale is the state at its number of clusters."""
    labels = np.zeros(len(rows), np.int64)
    middles, spreads, states = [rows.mean(axis=0)], [1.0], {}
    for count in range(2, scales[-1] + 1):
        divided = int(np.argmax(spreads))
        members = np.flatnonzero(labels == divided)
        halves = centre(rows[members], 2, seed)
        sides = assign(rows[members], halves)
        labels[members[sides == 1]] = count - 1
        distances = np.square(rows[members] - halves[sides]).sum(axis=1)
        middles[divided], spreads[divided] = halves[0], float(distances[sides == 0].sum())
        middles.append(halves[1])
        spreads.append(float(distances[sides == 1].sum()))
        if count in scales:
            states[count] = labels.copy()
    order = _by_frequency(labels, scales[-1])
    found.centroids[scales[-1]] = np.stack(middles)[order]
    for scale in scales[:-1]:
        ranks = np.argsort(_by_frequency(states[scale], scale))
        first = np.unique(labels, return_index=True)[1]
        found.parents[scale] = ranks[states[scale][first]][order]
    return found


def centre(rows: Floats, count: int, seed: int) -> Floats:
    """float32 (count, d): centroids of k-means of rows (n, d), n >= count."""
    import faiss

    rows = np.ascontiguousarray(rows, dtype=np.float32)
    if count == 1:
        return rows.mean(axis=0, keepdims=True)
    settings = {
        "niter": ITERATIONS,
        "nredo": REPEATS,
        "seed": seed % 2**31,
        "min_points_per_centroid": 1,
        "max_points_per_centroid": len(rows),  # otherwise 256 of each are drawn
        "init_method": faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        "gpu": bool(faiss.get_num_gpus()),
    }
    model = faiss.Kmeans(rows.shape[1], count, **settings)
    model.train(rows)
    return np.asarray(model.centroids, dtype=np.float32)


def assign(rows: Floats, centroids: Floats) -> NDArray[np.int64]:
    """int64 (n,): the nearest centroid of each row; the first of equally near ones."""
    import faiss

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(np.ascontiguousarray(centroids, dtype=np.float32))
    return np.asarray(index.search(np.ascontiguousarray(rows, dtype=np.float32), 1)[1][:, 0], dtype=np.int64)


def _by_frequency(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """int64 (count,): the labels, the most frequent first."""
    return np.argsort(-np.bincount(labels, minlength=count), kind="stable")
