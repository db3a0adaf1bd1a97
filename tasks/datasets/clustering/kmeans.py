"""k-means by faiss (Johnson and others 2021) from the starts of k-means++ (Arthur and Vassilvitskii 2007), on a GPU where the
installed faiss has one, and clusters of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    """Each cluster is divided into so many as its share of the sum of squared distances asks for, at least one."""
    labels, ancestors = np.zeros(len(rows), np.int64), np.zeros((1, 0), np.int64)
    centroids = rows.mean(axis=0, keepdims=True)
    for scale in scales:
        counts = np.bincount(labels, minlength=len(centroids))
        spreads = np.bincount(labels, np.square(rows - centroids[labels]).sum(axis=1), minlength=len(centroids))
        children: list[Floats] = []
        offspring: list[NDArray[np.int64]] = []
        next_labels = np.empty_like(labels)
        for number, count in enumerate(_divide(spreads, counts, scale).tolist()):
            members = np.flatnonzero(labels == number)
            inner = centre(rows[members], count, seed)
            next_labels[members] = assign(rows[members], inner) + sum(len(made) for made in children)
            children.append(inner)
            offspring += [np.append(ancestors[number], number)] * count
        labels, centroids, ancestors = next_labels, np.concatenate(children), np.array(offspring)
    order = _by_frequency(labels, scales[-1])
    found.centroids[scales[-1]] = centroids[order]
    for place, scale in enumerate(scales[:-1], start=1):
        parents = ancestors[order, place]
        counts = np.bincount(parents[np.argsort(order)][labels], minlength=scale)
        found.parents[scale] = np.argsort(np.argsort(-counts, kind="stable"))[parents]
    return found


def _divide(spreads: NDArray[Any], counts: NDArray[Any], wanted: int) -> NDArray[np.int64]:
    """int64 (k,): one for each cluster, then one by one to where the most spread is left for each, up to its count."""
    given = np.ones(len(spreads), np.int64)
    for _ in range(wanted - len(spreads)):
        left = np.where(given < counts, spreads / given, -1.0)
        given[int(left.argmax())] += 1
    return given


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
