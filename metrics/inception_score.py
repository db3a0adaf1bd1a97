"""Inception score: are patches sure of their ImageNet class, and classes many?"""

from __future__ import annotations

import numpy as np

from bench.types import Card, Direction, Features
from metrics.features import Table, check_features, positive


class InceptionScore:
    """Exponential of the mean divergence between the classes of one generated patch and of all, from 1 to their number.

    `splits` parts, in an order drawn at random, are scored apart and averaged, as published (`splits=10`): each part is
    smaller, so the score falls.
    """

    card = Card(
        "is",
        "1",
        "Inception score of the generated patches alone.",
        source="Salimans et al. 2016, arXiv 1606.03498, section 4; torch-fidelity (1008 logits without bias)",
        cost="O(n c) for c classes",
        notes="Made for ImageNet photographs: the network tells dogs from cars, and it has no class for "
        "tissue. Never looks at real patches, so that textures foreign to tissue that "
        "resemble many ImageNet classes beat real tissue. Reported because papers report it: not evidence of quality. Grows "
        "with n.",
    )
    direction: Direction = "higher"
    bounds = (1.0, None)
    encoder = "inception-logits"

    def __init__(self, splits: int = 1) -> None:
        self.splits = positive(self.card.name, "splits", splits)

    def minimum_n(self, d: int) -> int:
        """2 rows for each split: the score of one patch is 1, whatever it shows."""
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
