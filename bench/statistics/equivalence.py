"""What an interval says of a claim, by rule and never by eye.

The interval is a 95 % interval of a difference for which more is better. A claim of equivalence that holds it within the
margin on both sides is two one-sided tests at 2.5 % each (Schuirmann 1987); non-inferiority is one of the two.
"""

from __future__ import annotations

from typing import Literal

from bench.statistics import Estimate

Claim = Literal["superior", "non-inferior", "equivalent"]
INCONCLUSIVE = "inconclusive"


def verdict(found: Estimate, claim: Claim, margin: float) -> str:
    """`better`, `worse` (of superior), `not inferior`, `inferior` (of non-inferior), `equivalent`, `different` (of
    equivalent), or `inconclusive` where the interval is missing or allows both."""
    if found.low is None or found.high is None:
        return INCONCLUSIVE
    low, high = found.low, found.high
    if claim == "superior":
        return "better" if low > 0 else "worse" if high < 0 else INCONCLUSIVE
    if claim == "non-inferior":
        return "not inferior" if low > -margin else "inferior" if high < -margin else INCONCLUSIVE
    if -margin < low and high < margin:
        return "equivalent"
    return "different" if low > margin or high < -margin else INCONCLUSIVE
