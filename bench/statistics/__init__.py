"""Intervals with slides as the sampling unit. Patches of one slide resemble each other, so they are never resampled alone.

Every interval is meant to hold the true value in 95 of 100 repetitions with other slides. An undefined value
stays NaN, an interval that cannot be computed is None, and `reason` gives the cause. Imports numpy and nothing heavier.
"""

from bench.statistics.blocks import BLOCKS, Blocks, assign_blocks, blocks_of, scattered
from bench.statistics.bootstrap import TOLERATED, group_bootstrap, paired_difference
from bench.statistics.estimates import (
    LEVEL,
    MINIMUM_GROUPS,
    NOTHING,
    VERSION,
    Estimate,
    Floats,
    Rows,
    Statistic,
    count_groups,
    count_in_words,
    effective_groups,
    effective_number,
    finite_replicates,
    student,
    too_few_groups,
    undefined_estimate,
)
from bench.statistics.fits import combine_fits, means_by, variance_of_mean, welch_freedom
from bench.statistics.jackknife import (
    EXTRAPOLATED_GROUPS,
    TRUSTED,
    BlockJackknife,
    extrapolated,
    group_extrapolation,
    group_jackknife,
    halves_of,
    jackknife,
    jackknife_interval,
)
from bench.statistics.seeds import combine_seeds

__all__ = [
    "BLOCKS",
    "Blocks",
    "BlockJackknife",
    "EXTRAPOLATED_GROUPS",
    "Estimate",
    "Floats",
    "LEVEL",
    "MINIMUM_GROUPS",
    "NOTHING",
    "Rows",
    "Statistic",
    "TOLERATED",
    "TRUSTED",
    "VERSION",
    "assign_blocks",
    "blocks_of",
    "combine_fits",
    "combine_seeds",
    "count_groups",
    "count_in_words",
    "effective_groups",
    "effective_number",
    "extrapolated",
    "finite_replicates",
    "group_bootstrap",
    "group_extrapolation",
    "group_jackknife",
    "halves_of",
    "jackknife",
    "jackknife_interval",
    "means_by",
    "paired_difference",
    "scattered",
    "student",
    "too_few_groups",
    "undefined_estimate",
    "variance_of_mean",
    "welch_freedom",
]
