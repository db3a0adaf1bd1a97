"""Vendi score: how many different patches there are, in effect, and how that compares with real ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bench import statistics
from bench.errors import UsageError
from bench.statistics import Estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import Table, check_features, directions
from metrics.subsets import Mask


class VendiScore:
    """|ln(score of the generated side / score of as many real patches)|: 0 where generated patches are as varied as real ones.

    The Vendi score is the effective number of different patches, from 1 (all alike) to n (nothing in common). `q` is the
    order of its entropy: below 1 rare patches weigh more, above 1 less, `inf` sees the commonest alone. With
    `relative=false` the published score of the generated side, which never looks at real patches; higher is better there.
    """

    card = Card(
        "vendi",
        "2",
        "Difference in diversity: how far the effective number of different patches is from that of as many real ones.",
        licence="Apache-2.0",
        source="Friedman and Dieng 2023, arXiv 2210.02410 (cosine kernel); Pasarkar and Dieng 2023, arXiv 2310.12952 (q)",
        cost="O(n d min(n, d)) time, O(min(n, d)^2) memory beside the features; with interval 20 times the eigenvalues",
        sees=("mode-dropped",),
        notes="Noise is more varied than tissue, a collapsed generator less: both are away from 0. Of the larger side as many "
        "patches are used as the smaller has. relative=false gives the published score, which grows with n and calls noise "
        "good. Features that lie in a narrow cone, as most encoders' do, give scores of little more than 1. Blind to what the "
        "patches show, and to copies of training patches.",
    )
    direction: Direction = "lower"
    bounds = (0.0, None)

    def __init__(self, q: float | Literal["inf"] = 1.0, relative: bool = True) -> None:
        if not float(q) >= 0:
            raise UsageError(f"vendi: the order q is 0 or more, or inf, not {q}.")
        self.q, self.relative = q, relative
        self._order = float(q)
        if not relative:
            self.direction = "higher"

    def minimum_n(self, d: int) -> int:
        """2 rows a side: the score of one patch is 1, whatever it shows."""
        return 2

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The difference or score; `rng` chooses as many of the larger side as the smaller has, if `relative`."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        if not self.relative:
            return vendi_score(directions(self.card.name, b), self._order)
        n = min(len(a), len(b))
        sides = (side if len(side) == n else side[rng.choice(len(side), n, replace=False)] for side in (a, b))
        theirs, ours = (vendi_score(directions(self.card.name, side), self._order) for side in sides)
        return abs(math.log(ours / theirs))

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """The difference or score with its interval over slides. Where a side has more patches, so many as the other has are
        taken evenly from its slides."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        orders = [np.argsort(groups, kind="stable") for groups in (groups_real, groups_fake)]
        ours = Products.of(directions(self.card.name, b[orders[1]]))
        if not self.relative:
            return statistics.group_jackknife(lambda _, y: ours.score(y[orders[1]], self._order), groups_real, groups_fake)
        theirs = Products.of(directions(self.card.name, a[orders[0]]))

        def log_ratio(x: Mask, y: Mask) -> float:
            n = int(min(x.sum(), y.sum()))
            if n < self.minimum_n(a.shape[1]):
                return math.nan
            kept = [spread_evenly(rows[order], n) for rows, order in zip((x, y), orders, strict=True)]
            return math.log(ours.score(kept[1], self._order) / theirs.score(kept[0], self._order))

        return without_sign(statistics.group_jackknife(log_ratio, groups_real, groups_fake))


def without_sign(found: Estimate) -> Estimate:
    """The absolute value of an estimate: an interval that holds 0 begins there. Replicates are turned with the value, so that
    their spread stays."""
    sign = math.copysign(1.0, found.value)
    low, high = found.low, found.high
    if low is not None and high is not None:
        low, high = 0.0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high))
    return replace(
        found, value=abs(found.value), low=low, high=high, replicates=tuple(sign * value for value in found.replicates)
    )


def spread_evenly(rows: Mask, count: int) -> Mask:
    """`count` of the chosen rows, evenly spaced among them."""
    chosen = np.flatnonzero(rows)
    if len(chosen) > count:
        chosen = chosen[(np.arange(count) * len(chosen)) // count]
    kept = np.zeros(len(rows), np.bool_)
    kept[chosen] = True
    return kept


@dataclass(frozen=True)
class Products:
    """One side, whose score is asked for without some of its rows."""

    rows: Table
    """float64 (n, d), of length 1."""
    products: Table
    """Of rows, (n, n), or of columns, (d, d), whichever is smaller."""

    @staticmethod
    def of(rows: Table) -> Products:
        n, d = rows.shape
        return Products(rows, rows @ rows.T if n <= d else rows.T @ rows)

    def score(self, kept: Mask, q: float) -> float:
        """The Vendi score of the rows that are kept, bool (n,)."""
        n, d = self.rows.shape
        count = int(kept.sum())
        if n <= d:
            return effective_number(self.products[np.ix_(kept, kept)] / count, max(count, d), q)
        few = self.rows[~kept]
        return effective_number((self.products - few.T @ few) / count, max(count, d), q)


def vendi_score(rows: Table, q: float = 1.0) -> float:
    """exp of the entropy of order q of the eigenvalues of K / n, where K (n, n) holds the products of rows of length 1.

    The products of columns, (d, d), have the same eigenvalues but for zeros: the smaller of both is taken.
    """
    n, d = rows.shape
    return effective_number((rows @ rows.T if n <= d else rows.T @ rows) / n, max(n, d), q)


def effective_number(matrix: Table, size: int, q: float) -> float:
    """exp of the entropy of order q of the eigenvalues of a matrix of trace 1; `size` terms were summed in its products."""
    values = np.linalg.eigvalsh(matrix)
    shares = values[values > size * np.finfo(np.float64).eps]  # the others are rounding of zeros
    if q == 1:
        return float(np.exp(-(shares * np.log(shares)).sum()))
    if np.isinf(q):
        return float(1 / shares.max())
    return float((shares**q).sum() ** (1 / (1 - q)))
