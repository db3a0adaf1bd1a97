"""What an analysis finds: one row for each number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.results.terms import Reason
from leaderboards.studies.analysis.intervals import Bounds, ReaderEstimate

NO_SLIDES = f"{Reason.SOURCES_UNKNOWN}: the answers do not tell which images are of one slide, so there is no interval"


@dataclass(frozen=True)
class Row:
    """A number with its intervals, or the reason why there is none."""

    question: str
    measure: str
    """`accuracy`, `d'`, `AUC`, `mean`, `rate`, `difference`, `superiority`, `Cliff's delta`, `odds ratio`, or an agreement."""
    arm: str = ""
    """Empty for agreement over all arms."""
    against: str = ""
    """The arm that this one is compared with; empty for a number of one arm."""
    reader: str = ""
    """Empty for the mean over readers."""
    slide: str = ""
    """Empty for all slides."""
    value: float | None = None
    low: float | None = None
    """Bounds for other readers and other slides; of a single reader, and of agreement, for other slides."""
    high: float | None = None
    low_these: float | None = None
    """Bounds for these readers and other slides."""
    high_these: float | None = None
    detectable: float | None = None
    """Smallest true difference from chance or from 0 that this study would show with a power of 0.8."""
    verdict: str = ""
    """Of the stated margin: `equivalent`, `different`, `inconclusive`; empty without a margin."""
    images: int = 0
    slides: int = 0
    readers: int = 0
    freedom: float | None = None
    reason: str = ""


def finite(value: float | None) -> float | None:
    """None in place of NaN."""
    return value if value is not None and math.isfinite(value) else None


def map_values(row: Row, function: Callable[[float], float], detectable: float | None = None) -> Row:
    """The row on another scale, by an increasing function of its value and bounds."""
    ends = {name: vars(row)[name] for name in ("value", "low", "high", "low_these", "high_these")}
    made = {name: None if end is None else function(end) for name, end in ends.items()}
    return Row(**{**vars(row), **made, "detectable": detectable})


def rows_of(found: ReaderEstimate, like: Row, verdict: str = "") -> list[Row]:
    """The mean over readers, then the value of each reader if there are several; other fields as of `like`."""
    low, high = found.bounds or (None, None)
    low_these, high_these = found.these or (None, None)
    whole = replace(
        like,
        value=finite(found.value),
        low=low,
        high=high,
        low_these=low_these,
        high_these=high_these,
        detectable=finite(found.detectable) if like.against else None,
        verdict=verdict,
        freedom=finite(found.freedom),
        reason=found.reason,
    )
    each = [
        replace(like, reader=name, readers=1, value=finite(value), low=(b or (None,))[0], high=(b or (None, None))[1])
        for name, value, b in found.by_reader
    ]
    return [whole, *(each if like.readers > 1 else [])]


def decide(bounds: Bounds | None, center: float, margin: float | None) -> str:
    """Whether an interval lies within a margin around a value, apart from it, or neither; empty without a margin.

    With an interval of 90 % this is two one-sided tests at 5 % each (Schuirmann 1987).
    """
    if margin is None:
        return ""
    if bounds is None:
        return "inconclusive"
    low, high = bounds.low - center, bounds.high - center
    if -margin < low and high < margin:
        return "equivalent"
    return "different" if low > margin or high < -margin else "inconclusive"
