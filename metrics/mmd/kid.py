"""Kernel inception distance, over the features of any encoder."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from bench import statistics
from bench.errors import UsageError
from bench.results.terms import Reason
from bench.statistics import Estimate
from bench.types import Card, Direction, Features, Strings
from metrics.features import Table, check_features, positive
from metrics.mmd.kernel import discrepancy_jackknife, shared_labels, unbiased_estimate
from metrics.subsets import Mask

Pairs = Literal["other-slides", "all"]


class KernelDistance:
    """Squared discrepancy under the cubic kernel (x.y / d + 1)^3, without bias: 0 on average where both sides are alike.

    Result records hold the mean over pairs of patches of different slides, of both sides and across them, where a generated
    patch belongs to the slide of its condition: patches of one slide resemble each other, and their pairs would raise the
    two terms of single sides and not the term across. `pairs=all` is the published statistic, every pair of patches once.
    Without slides both are the same but for the pairs of a generated patch and the real one of its condition. With `subset`,
    the mean of the published statistic over `subsets` draws of so many patches of each side without replacement
    (`pairs=all`, `subset=1000`, `subsets=100`): noisier, and for less memory only.
    """

    card = Card(
        "kid",
        "2",
        "Unbiased squared discrepancy of real and generated features under a cubic kernel, over pairs of different slides.",
        licence="Apache-2.0",
        source="Bińkowski et al. 2018, arXiv 1801.01401; Gretton et al. 2012, JMLR 13, eq. 3 (pairs=all)",
        cost="O(n^2 d) time, O(n d) memory, with interval too; with subsets O(subsets subset^2 d)",
        sees=("jpeg", "blur", "stain-shift", "gaussian-noise", "nuclei-removed", "mode-dropped"),
        notes="Biased neither by n nor by resemblance within slides, so that small sets can be compared, but noisy there, and "
        "below 0 where sides are alike. Pairs of one slide are left out (pairs=all keeps them, as published). The kernel is "
        "not bounded: few patches with long feature vectors decide. Its scale is the encoder's. Blind to copies of training "
        "patches.",
    )
    direction: Direction = "lower"
    bounds = (None, None)

    def __init__(self, pairs: Pairs = "other-slides", subset: int = 0, subsets: int = 100) -> None:
        if subset < 0 or subset == 1:
            raise UsageError(f"kid: subset is 0 for all patches, or at least 2, not {subset}.")
        if subset and pairs != "all":
            raise UsageError(f"kid: subset={subset} draws patches of all slides: give pairs=all too, or leave subset out.")
        self.pairs, self.subset, self.subsets = pairs, subset, positive(self.card.name, "subsets", subsets)

    def minimum_n(self, d: int) -> int:
        """2 rows a side, or one subset."""
        return max(2, self.subset)

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        """The published statistic, since rows alone name no slides; `rng` is drawn from for subsets only."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        if not self.subset:
            return unbiased_estimate(a, b, cubic)
        draws = [[rng.choice(len(side), self.subset, replace=False) for side in (a, b)] for _ in range(self.subsets)]
        return float(np.mean([unbiased_estimate(a[rows], b[columns], cubic) for rows, columns in draws]))

    def estimate(
        self, real: Features, fake: Features, groups_real: Strings, groups_fake: Strings, rng: np.random.Generator
    ) -> Estimate:
        """Over pairs of different slides, or the published statistic (`pairs=all`), with an interval over slides."""
        a, b = check_features(self.card.name, real, fake, self.minimum_n(real.shape[-1]))
        groups = groups_real, groups_fake
        if self.subset:
            seed = int(rng.integers(2**32))  # the same draws for every subset of slides

            def statistic(x: Mask, y: Mask) -> float:
                is_enough = min(x.sum(), y.sum()) >= self.subset
                return self.compare(real[x], fake[y], np.random.default_rng(seed)) if is_enough else math.nan

            return statistics.group_jackknife(statistic, *groups)
        if self.pairs == "all":
            return discrepancy_jackknife(a, b, cubic, groups, (np.arange(len(a)), len(a) + np.arange(len(b))))
        if min(map(statistics.count_groups, groups)) < 2:
            reason = f"{Reason.UNDERPOWERED}: kid compares patches of different slides, found one slide on a side"
            return Estimate(math.nan, None, None, reason=reason)
        return discrepancy_jackknife(a, b, cubic, groups, shared_labels(*groups))


def cubic(x: Table, y: Table) -> Table:
    """(x.y / d + 1)^3 - 1, float64 (n, m). The 1 cancels in a discrepancy, and would cost digits where features are small."""
    product: Table = (x / x.shape[1]) @ y.T
    cubed = product + 3
    cubed *= product
    cubed += 3
    cubed *= product
    return cubed
