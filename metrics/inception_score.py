"""Inception score: are ImageNet classes of patches certain, and are there many classes?"""

from __future__ import annotations

import numpy as np

from bench.types import Card, Direction, Features
from metrics.features import Table, check_features, positive


class InceptionScore:
    """Exponential of the mean divergence between the class distribution of one generated patch and of all; from 1 to the
    number of classes.

    `splits` random parts are scored separately and averaged, as published (`splits=10`): each part is smaller, so that the
    score is lower.
    """

    card = Card(
        "is",
        "1",
        "Inception score of the generated patches alone.",
        licence="Apache-2.0",
        source="Salimans et al. 2016, arXiv 1606.03498, section 4; torch-fidelity (1008 logits without bias)",
        cost="O(n c) for c classes",
        notes="Made for ImageNet photographs: the network distinguishes dogs from cars, and has no class for tissue. It does "
        "not use real patches, so that textures unlike tissue can score higher than real tissue if they resemble many "
        "ImageNet classes. Reported because papers report it: not evidence of quality. Grows with n.",
    )
    direction: Direction = "higher"
    bounds = (1.0, None)
    encoder = "inception-logits"

    def __init__(self, splits: int = 1) -> None:
        self.splits = positive(self.card.name, "splits", splits)

    def minimum_n(self, d: int) -> int:
        """2 rows for each split: the score of a single patch is always 1."""
        return 2 * self.splits

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The score of `fake`, logits (m, c); `real` is checked and not used. `rng` decides which patches share a split."""
        _, logits = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        if self.splits > 1:
            logits = rng.permutation(logits)
        edges = [i * len(logits) // self.splits for i in range(self.splits + 1)]
        return float(np.mean([score(logits[a:b]) for a, b in zip(edges, edges[1:], strict=False)]))


def score(logits: Table) -> float:
    """exp of the mean over patches of sum p (ln p - ln mean p), at least 1."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    shares = np.exp(logs)
    divergence = np.where(shares > 0, shares * (logs - np.log(np.maximum(shares.mean(axis=0), np.finfo(float).tiny))), 0.0)
    return max(float(np.exp(divergence.sum(axis=1).mean())), 1.0)  # rounding alone can take it below 1
