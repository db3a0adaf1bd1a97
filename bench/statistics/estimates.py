"""What an estimate is: a value with its 95 % interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.results.terms import Reason
from bench.types import Strings

VERSION = "3"
"""Part of the key of every estimate that is kept: raise it when an interval changes."""

LEVEL = 0.95

MINIMUM_GROUPS = 5
"""Fewer effective slides than this say nothing about other slides."""

Floats = NDArray[np.float64]

Rows = NDArray[np.bool_]

Statistic = Callable[[Rows, Rows], float]
"""From the real and the generated rows to use, bool (n,) and bool (m,), to a value."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    """NaN where there is nothing to measure."""
    low: float | None
    high: float | None
    error: float | None = None
    """Standard error."""
    reason: str = ""
    """Why the value is undefined or the interval missing, or what the interval leaves out."""
    replicates: tuple[float, ...] = ()
    """The value without each block of slides, so that two numbers of the same slides can be compared in pairs later; empty
    where there is no such value. See `blocks`."""
    freedom: float | None = None
    """Degrees of freedom of the standard error, which slides of unequal size lower; None without an interval."""


def undefined_estimate(reason: str) -> Estimate:
    return Estimate(math.nan, None, None, reason=reason)


def too_few_groups(value: float, sides: Iterable[Strings], minimum: int) -> Estimate | None:
    """The value without an interval where a side has fewer effective groups than the minimum, with both counts; None where
    all sides have enough. Counts are compared as they are printed, to one decimal."""
    effective, groups = min((effective_groups(side), count_groups(side)) for side in sides)
    if round(effective, 1) >= minimum:
        return None
    counted = count_in_words(groups, effective)
    return Estimate(value, None, None, reason=f"{Reason.UNDERPOWERED}: {counted}, an interval needs {minimum}")


def count_in_words(groups: int, effective: float) -> str:
    """`12 slides`, or `12 slides, effective 4.1` where they are of unequal size."""
    words = f"{groups} slide{'s' if groups > 1 else ''}"
    return words if round(effective, 1) == groups else f"{words}, effective {effective:.1f}"


def count_groups(groups: Strings) -> int:
    return len(np.unique(groups))


def effective_groups(groups: Strings) -> float:
    """How many groups of equal size say as much: (sum n)^2 / sum n^2 for groups of n patches (Kish 1965).

    Equal to the count where all groups have the same number of patches, and near 1 where one group has nearly all.
    """
    return effective_number(np.unique(groups, return_counts=True)[1].astype(np.float64))


def effective_number(weights: Floats) -> float:
    """(sum w)^2 / sum w^2 of weights of at least 0, of which one is above (Kish 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def finite_replicates(replicates: Floats) -> tuple[float, ...]:
    return tuple(replicates.tolist()) if np.isfinite(replicates).all() else ()


def student(freedom: float) -> float:
    from scipy.special import stdtrit  # not at the top: `bench --help` should not wait for it

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


NOTHING = "nothing to measure in these patches"
"""Why a measure has no value, where its tally does not say more."""

_ROUNDING = 1e-9
"""Share of a value that its corrections may amount to by rounding alone."""
