"""Several fits as one number: closed forms, what one fit changes, and how often intervals hold the method's value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.statistics import combine_fits, combine_seeds, student
from bench.statistics.claims import Uncertainty, find_uncertainty, p_of_claim
from bench.statistics.equivalence import Claim, verdict
from bench.statistics.estimates import Estimate

VALUES = [0.70, 0.72, 0.76, 0.78, 0.70, 0.74]
FITS, SEEDS = ["a", "a", "b", "b", "c", "c"], [0, 1, 0, 1, 0, 1]


def test_one_fit_is_what_its_seeds_are() -> None:
    lows, highs = [v - 0.05 for v in VALUES[:2]], [v + 0.03 for v in VALUES[:2]]
    assert combine_fits(VALUES[:2], lows, highs, ["a", "a"], [0, 1]) == combine_seeds(VALUES[:2], lows, highs)


def test_variances_of_slides_fits_and_seeds_add_up_by_hand() -> None:
    found = combine_fits(VALUES, [v - 0.05 for v in VALUES], [v + 0.05 for v in VALUES], FITS, SEEDS)
    slides = (0.05 / student(math.inf)) ** 2
    fits = np.var([0.71, 0.77, 0.72], ddof=1) / 3
    seeds = np.var([np.mean(VALUES[0::2]), np.mean(VALUES[1::2])], ddof=1) / 2
    total = slides + fits + seeds
    reach = (student(math.inf) * slides + student(2) * fits + student(1) * seeds) / math.sqrt(total)
    assert found.value == pytest.approx(np.mean(VALUES))
    assert found.low == pytest.approx(found.value - reach) and found.high == pytest.approx(found.value + reach)


def test_fits_that_agree_leave_the_interval_of_slides() -> None:
    found = combine_fits([0.7] * 4, [0.6] * 4, [0.75] * 4, ["a", "a", "b", "b"], [0, 1, 0, 1])
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.6, 0.75))


def test_a_number_without_an_interval_leaves_none_for_the_mean() -> None:
    found = combine_fits([0.7, 0.8], [0.6, None], [0.8, None], ["a", "b"], [0, 0])
    assert found.value == pytest.approx(0.75) and found.low is None and "no interval" in found.reason


@pytest.mark.parametrize("fits", [2, 3, 5])
def test_intervals_hold_the_value_of_the_method_and_those_of_one_fit_do_not(fits: int) -> None:
    """Slides add an error of 0.02 to all fits alike, a fit has an offset of 0.05, a seed one of 0.005."""
    rng = np.random.default_rng(fits)
    held, alone = [], []
    for _ in range(1500):
        drawn = rng.normal(0, 0.02) + rng.normal(0, 0.05, (fits, 1)) + rng.normal(0, 0.005, (fits, 2))
        names = np.arange(fits).repeat(2).tolist()
        values = drawn.ravel().tolist()
        lows, highs = [v - 1.96 * 0.02 for v in values], [v + 1.96 * 0.02 for v in values]
        found = combine_fits(values, lows, highs, names, [0, 1] * fits)
        one = combine_fits(values[:2], lows[:2], highs[:2], names[:2], [0, 1])
        assert found.low is not None and found.high is not None and one.low is not None and one.high is not None
        held.append(found.low <= 0 <= found.high)
        alone.append(one.low <= 0 <= one.high)
    assert np.mean(held) > 0.93 and np.mean(alone) < 0.85


@pytest.mark.parametrize("claim", ["superior", "non-inferior", "equivalent"])
@pytest.mark.parametrize("value", [-0.2, -0.09, -0.03, 0.0, 0.04, 0.11, 0.3])
def test_a_claim_is_decided_at_5_percent_exactly_where_its_interval_decides(claim: Claim, value: float) -> None:
    for half in (0.02, 0.05, 0.12):
        reach = half / student(9)
        margin = 0.0 if claim == "superior" else 0.1
        p = p_of_claim(Uncertainty(value, reach, reach, 9, 9), claim, margin)
        decided = verdict(Estimate(value, value - half, value + half), claim, margin) != "inconclusive"
        assert decided == (p < 0.05)


def test_of_few_slides_and_one_seed_the_tail_is_students() -> None:
    found = find_uncertainty([0.1], [0.0], [0.2], ["w"], [0], groups=6)
    assert found is not None and p_of_claim(found, "superior", 0.0) == pytest.approx(0.05)
    assert find_uncertainty([0.1], [None], [None], ["w"], [0], groups=6) is None
