"""Does a generator repeat its training patches?

For each generated patch the nearest training patches are looked up in two encoders and by their Fourier amplitudes, each
whitened on the training patches, for every quarter turn and mirror of the generated patch. Each of these is then registered
with the generated patch and compared in pixels. A number between -1 and 1 is left, the correlation of the most similar one.

    memorized  share of generated patches with detail that repeat a training patch

How similar unrelated tissue gets is learned from real patches of other slides (the validation split), looked up and registered
in the same way. A patch repeats a training patch if its correlation is above all of theirs, and above what one of 100,000 of
them would reach: largest values of many follow a Gumbel distribution, which is fitted to theirs on Fisher's scale. The value
on real test patches, which were not trained on either, is the false alarm rate.

Only training patches are looked up: pixels that a generator repeats from its prompt, which is cut from other slides, are
found by `copied-fraction`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import MissingError, UsageError
from bench.files.array_files import open_npy
from bench.jobs.store import key_of
from bench.types import Card, Direction, Encoder, Images, ImageSet, Progress, Tally
from metrics.copying.matching import (
    ORIENTATIONS,
    amplitudes,
    best_matches,
    density,
    is_recognisable,
    orient,
    templates_of,
    without_slow_part,
)
from metrics.features import positive

MEASURE = "memorized"
COLUMNS = ("recognisable", "repeated")
ENCODERS = ("texture", "random-conv")
FALSE_ALARMS = 1e-5
"""Share of unrelated patches above the threshold, by the Gumbel distribution of the null."""
CENTRE = 5 / 8
"""Side of the middle of a training patch that is registered, as a share of the side: it may lie anywhere in the patch."""
HIGHEST = 0.95
"""The highest threshold. A held-out patch above it shows a training patch itself."""
_SHRINK = 1e-2
"""Share of the mean variance that is added to every direction before whitening: directions without variance are noise."""
_LARGEST = 0.999999
LEAST_NULL = 8
"""Held-out patches that a null is learned from."""


@dataclass(frozen=True)
class Nearest:
    """The training patch that each of n patches resembles most, and how much."""

    rows: NDArray[np.int64]
    """int64 (n,): row in the training set."""
    scores: NDArray[np.float64]
    """float64 (n,): correlation after registration, in [-1, 1]."""


class Memorization:
    """The share of generated patches that repeat a training patch, turned, mirrored, shifted, stained anew or recompressed."""

    card = Card(
        "memorization",
        "1",
        "Share of generated patches that repeat a training patch, against what unrelated real tissue resembles.",
        licence="Apache-2.0",
        source="whitened nearest neighbours with a null of held-out data (Dar and others 2025; arXiv 2602.13066), then "
        "registration by normalised cross-correlation (Lewis 1995)",
        cost="8 encodings of each generated patch, and 8 Fourier transforms for each of its neighbours",
        sees=("memorized-share",),
        notes="Looks among real training patches of the run: a generator that was trained on others must be given theirs. "
        "Finds copies of whole patches, shifted by up to 3/16 of the side; not of parts, and not of content in other pixels. "
        "Patches above 128 px are compared at 128 px. Ground without detail is never a copy.",
    )
    directions: Mapping[str, Direction] = {MEASURE: "lower"}
    against_real: Literal["difference"] = "difference"

    def __init__(self, lookup: str = ",".join(ENCODERS), nearest: int = 5) -> None:
        self.lookup, self.nearest = lookup, positive(self.card.name, "nearest", nearest)

    @property
    def digest(self) -> str:
        """Digest of the encoders that patches are looked up with."""
        return key_of([registry.describe(encoder) for encoder in self._encoders])

    @cached_property
    def _encoders(self) -> tuple[Encoder, ...]:
        names = dict.fromkeys(name.strip() for name in self.lookup.split(",") if name.strip())
        if not names:
            usual = ",".join(ENCODERS)
            raise UsageError(f"{self.card.name}: lookup names encoders, separated by commas, e.g. {usual}, and is empty.")
        return tuple(registry.load("encoders", name) for name in names)

    @cached_property
    def _lookups(self) -> tuple[Callable[[Images], NDArray[Any]], ...]:
        return (*(encoder.encode for encoder in self._encoders), amplitudes)

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Writes the whitened features and the densities of the training patches, and the null."""
        for number, describe in enumerate(self._lookups):
            features = describe(np.asarray(train.images)).astype(np.float64)
            mean, matrix = whitening(features)
            np.save(folder / f"mean-{number}.npy", mean)
            np.save(folder / f"matrix-{number}.npy", matrix)
            np.save(folder / f"features-{number}.npy", ((features - mean) @ matrix).astype(np.float32))
        np.save(folder / "planes.npy", without_slow_part(density(np.asarray(train.images))).astype(np.float16))
        null = self.find(np.asarray(validation.images), folder, progress)
        worst = int(np.argmax(null.scores)) if len(null.scores) else 0
        if len(null.scores) and null.scores[worst] > HIGHEST:
            raise UsageError(
                f"{self.card.name}: the validation patch {validation.conditions.ids[worst]} shows the training patch "
                f"{train.conditions.ids[null.rows[worst]]} (correlation {null.scores[worst]:.3f}), so that copies cannot be "
                "distinguished from new tissue. Take one of the two, and others like them, out of the data."
            )
        held = {"threshold": _threshold(null.scores), "null": np.sort(null.scores).tolist()}
        (folder / "null.json").write_text(json.dumps(held), encoding="utf-8")

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """Which patches repeat a training patch."""
        threshold = json.loads((segmenter / "null.json").read_text(encoding="utf-8"))["threshold"]
        images = np.asarray(patches.images)
        found = self.find(images, segmenter)
        has_detail = [is_recognisable(plane) for plane in density(images)]
        return self.tally(np.stack([has_detail, has_detail & (found.scores > threshold)], axis=1).astype(np.float64))

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The counts with their measure."""
        absent = "no patch shows detail that could be recognised"
        return Tally(COLUMNS, counts, {MEASURE: _share}, undefined={} if counts[:, 0].any() else {MEASURE: absent})

    def find(self, images: Images, folder: Path, progress: Progress | None = None) -> Nearest:
        """The training patch that each image, uint8 (n, h, w, 3), resembles most, in the folder that `learn` wrote."""
        planes = open_npy(folder / "planes.npy")
        own = without_slow_part(density(images))
        if own.shape[1:] != planes.shape[1:]:
            raise UsageError(f"{self.card.name} learned patches of {planes.shape[1:]} px and is shown {own.shape[1:]}.")
        near = np.concatenate([self._look_up(images, folder, number) for number in range(len(self._lookups))], axis=1)
        side = planes.shape[1]
        margin = round(side * (1 - CENTRE) / 2)
        rows, scores = np.zeros(len(images), dtype=np.int64), np.zeros(len(images))
        for i, candidates in enumerate(map(np.unique, near)):
            middles = np.asarray(planes[candidates], dtype=np.float32)[:, margin : side - margin, margin : side - margin]
            templates = np.concatenate([templates_of(middle) for middle in middles])
            found = best_matches(templates, own[i]).reshape(len(candidates), ORIENTATIONS).max(axis=1)
            rows[i], scores[i] = candidates[found.argmax()], found.max()
            if progress is not None:
                progress(i + 1, len(images), "held-out patches registered")
        return Nearest(rows, scores)

    def _look_up(self, images: Images, folder: Path, number: int) -> NDArray[np.int64]:
        """int64 (n, k): the training patches nearest to any orientation of each image, in one of the lookups."""
        from sklearn.neighbors import NearestNeighbors

        features = open_npy(folder / f"features-{number}.npy")
        mean, matrix = open_npy(folder / f"mean-{number}.npy"), open_npy(folder / f"matrix-{number}.npy")
        count = min(self.nearest, len(features))
        index = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
        every = []
        for orientation in range(ORIENTATIONS):
            turned = np.ascontiguousarray(orient(images, orientation, axes=(1, 2)))
            described = self._lookups[number](turned).astype(np.float64)
            every.append(index.kneighbors(((described - mean) @ matrix).astype(np.float32)))
        distances, rows = (np.concatenate(part, axis=1) for part in zip(*every, strict=True))
        return np.stack([_first_unique(r[np.argsort(d, kind="stable")], count) for d, r in zip(distances, rows, strict=True)])


def whitening(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and matrix (d, d) that give features (n, d) unit variance in every direction in which they vary."""
    mean = features.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(features, rowvar=False).reshape(len(mean), len(mean)))
    added = _SHRINK * max(float(variances.mean()), np.finfo(np.float64).tiny)
    return mean, directions / np.sqrt(np.maximum(variances, 0) + added)


def p_values(scores: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 (n,): the share of held-out real patches, with the patch itself, that resemble a training patch as much."""
    above = len(null) - np.searchsorted(np.sort(null), scores, side="left")
    return np.asarray((1 + above) / (1 + len(null)))


def _threshold(null: NDArray[np.float64]) -> float:
    """The correlation above which a patch is a repetition: see the head of this file."""
    if len(null) < LEAST_NULL:
        raise MissingError(
            f"memorization learns from the validation split how much unrelated tissue looks alike, found {len(null)} patches "
            f"and needs {LEAST_NULL}. Give that split more slides: bench info DATASET names the options of a data set."
        )
    transformed = np.arctanh(np.clip(null, -_LARGEST, _LARGEST))
    scale = transformed.std(ddof=1) * np.sqrt(6) / np.pi
    rare = transformed.mean() + scale * (-np.log(-np.log1p(-FALSE_ALARMS)) - np.euler_gamma)
    return float(min(max(null.max(), np.tanh(rare)), HIGHEST))


def _share(sums: Mapping[str, float]) -> float:
    return sums["repeated"] / sums["recognisable"] if sums["recognisable"] else float("nan")


def _first_unique(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first `count` different values, in their order."""
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)[:count]]
