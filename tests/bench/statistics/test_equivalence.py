"""Verdicts: a rule on an interval, each claim in each position of the interval, and never on none."""

from __future__ import annotations

import pytest

from bench.statistics import Estimate
from bench.statistics.equivalence import INCONCLUSIVE, Claim, verdict


@pytest.mark.parametrize(
    ("low", "high", "claim", "margin", "expected"),
    [
        (0.01, 0.05, "superior", 0.0, "better"),
        (-0.05, -0.01, "superior", 0.0, "worse"),
        (-0.01, 0.05, "superior", 0.0, INCONCLUSIVE),
        (0.0, 0.05, "superior", 0.0, INCONCLUSIVE),  # no better than nothing is not better
        (-0.01, 0.05, "non-inferior", 0.02, "not inferior"),
        (-0.03, 0.05, "non-inferior", 0.02, INCONCLUSIVE),
        (-0.02, 0.05, "non-inferior", 0.02, INCONCLUSIVE),
        (-0.09, -0.03, "non-inferior", 0.02, "inferior"),
        (-0.01, 0.01, "equivalent", 0.02, "equivalent"),
        (-0.01, 0.03, "equivalent", 0.02, INCONCLUSIVE),
        (-0.03, 0.01, "equivalent", 0.02, INCONCLUSIVE),
        (0.03, 0.09, "equivalent", 0.02, "different"),
        (-0.09, -0.03, "equivalent", 0.02, "different"),
        (0.005, 0.015, "equivalent", 0.02, "equivalent"),  # a difference that is there and too small to matter
    ],
)
def test_each_claim_by_where_the_interval_lies(low: float, high: float, claim: Claim, margin: float, expected: str) -> None:
    assert verdict(Estimate((low + high) / 2, low, high), claim, margin) == expected


@pytest.mark.parametrize("claim", ["superior", "non-inferior", "equivalent"])
def test_without_an_interval_nothing_is_concluded(claim: Claim) -> None:
    assert verdict(Estimate(0.5, None, None), claim, 0.1) == INCONCLUSIVE
