"""When a Fréchet distance can be extrapolated to endlessly many slides, and what it is then."""

from __future__ import annotations

from bench.statistics import EXTRAPOLATED_GROUPS, Blocks, Estimate, too_few_groups
from bench.types import Strings
from metrics.features import Table
from metrics.frechet.block_moments import extrapolate_distance
from metrics.frechet.gaussians import feature_distance

ROWS_PER_FEATURE = 4
"""Rows a side for each feature: half of the slides must still hold twice as many rows as features, or the distance of the
halves follows another law than that of the whole."""

INSTEAD = "fd-pca16 measures a subspace instead"
"""What refusals point to."""
AS_MEASURED = "the value is the distance of these slides, with its bias"
"""What is given where nothing can be extrapolated."""


def extrapolate(real: Table, fake: Table, groups_real: Strings, groups_fake: Strings) -> Estimate:
    """The distance between the populations of slides, with its interval, from two tables of features (n, d) and (m, d).

    Without an interval, as underpowered, where there are too few rows or slides; docs/coverage.md is the study behind it.
    """
    groups = groups_real, groups_fake
    if refused := too_few_groups(0.0, groups, EXTRAPOLATED_GROUPS):
        return Estimate(feature_distance(real, fake), None, None, reason=f"{refused.reason}; {AS_MEASURED}")
    found = extrapolate_distance(real, fake, Blocks.of(*groups))
    fewest, d = min(len(real), len(fake)), real.shape[1]
    if fewest < ROWS_PER_FEATURE * d and found.low is not None:
        reason = f"underpowered: {fewest} patches, {ROWS_PER_FEATURE * d} are needed for {d} features"
        found = Estimate(found.value, None, None, found.error, reason)
    return found if found.low is not None else Estimate(found.value, None, None, found.error, f"{found.reason}; {INSTEAD}")
