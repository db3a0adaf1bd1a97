"""Vendi score: how many different patches there are, in effect."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bench.errors import UsageError
from bench.types import Card, Direction, Features
from metrics.features import Table, check_features, directions


class VendiScore:
    """Effective number of different generated patches, from 1 (all alike) to n (nothing in common).

    `q` is the order of the entropy: below 1 rare patches weigh more, above 1 less, `inf` sees the commonest alone. With
    `relative` the score of the generated side is divided by that of as many real patches: 1 is as varied as real tissue.
    """

    card = Card(
        "vendi",
        "1",
        "Effective number of different generated patches: diversity, of any kind.",
        source="Friedman and Dieng 2023, arXiv 2210.02410 (cosine kernel); Pasarkar and Dieng 2023, arXiv 2310.12952 (q)",
        cost="O(n d min(n, d)) time, O(min(n, d)^2) memory beside the features",
        notes="Never looks at real patches unless relative: noise is diverse. Grows with n: compare equal numbers. "
        "Features that lie in a narrow cone, as most encoders' do, give scores of little more than 1: compare ratios.",
    )
    direction: Direction = "higher"
    bounds = (0.0, None)

    def __init__(self, q: float | Literal["inf"] = 1.0, relative: bool = False) -> None:
        if not float(q) >= 0:
            raise UsageError(f"vendi: the order q is 0 or more, or inf, not {q}.")
        self.q, self.relative = q, relative
        self._order = float(q)

    def minimum_n(self, d: int) -> int:
        """2 rows a side: the score of one patch is 1, whatever it shows."""
        return 2

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The score or ratio; `rng` chooses as many of the larger side as the smaller has, if `relative`."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        if not self.relative:
            return vendi_score(directions(self.card.name, b), self._order)
        n = min(len(a), len(b))
        ours, theirs = (side if len(side) == n else side[rng.choice(len(side), n, replace=False)] for side in (b, a))
        return vendi_score(directions(self.card.name, ours), self._order) / vendi_score(
            directions(self.card.name, theirs), self._order
        )


def vendi_score(rows: Table, q: float = 1.0) -> float:
    """exp of the entropy of order q of the eigenvalues of K / n, where K (n, n) holds the products of rows of length 1.

    The products of columns, (d, d), have the same eigenvalues but for zeros: the smaller of both is taken.
    """
    n, d = rows.shape
    values = np.linalg.eigvalsh((rows @ rows.T if n <= d else rows.T @ rows) / n)
    shares = values[values > max(n, d) * np.finfo(np.float64).eps]  # the others are rounding of zeros
    if q == 1:
        return float(np.exp(-(shares * np.log(shares)).sum()))
    if np.isinf(q):
        return float(1 / shares.max())
    return float((shares**q).sum() ** (1 / (1 - q)))
