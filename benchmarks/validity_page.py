"""The page on intervals and comparisons where slides are of unequal size, from what was simulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmarks.validity_data import sizes_of
from benchmarks.validity_simulation import Finding, Setting

INTERVALS, ALARMS = (0.93, 0.97), (0.03, 0.06)
"""Bands: shares of intervals that hold the truth, and of comparisons that see a difference where there is none."""
DISTANCES = ("fd", "fd-inf", "fd-pca16", "kid")
SCORES = ("iou:common", "iou-patch:rare", "paired iou:common")
VERDICTS = ("compare fd", "compare iou", "gate fd")


def tables(held: Mapping[Setting, Finding]) -> dict[str, str]:
    """Mark -> table of docs/validity.md."""
    slides = [s for s in held if not s.laboratories and s.sides == "the same slides"]
    return {
        "distances": table(held, [s for s in slides if s.measure in DISTANCES]),
        "scores": table(held, [s for s in slides if s.measure in SCORES]),
        "verdicts": table(held, [s for s in slides if s.measure in VERDICTS]),
        "apart": table(held, [s for s in held if s.sides == "other slides"]),
        "laboratories": laboratories(held),
    }


def table(held: Mapping[Setting, Finding], rows: Iterable[Setting]) -> str:
    """One row a setting: the slides, what is true, what came out, how often it was refused, and whether the share is right."""
    lines = [
        "| measure | slides | effective | tails | truth | mean value | refused | share | in the band |",
        "|---" * 9 + "|",
    ]
    for s in rows:
        count = f"{len(sizes_of(s.sizes, s.effective))}, {s.sizes}"
        lines.append(f"| {s.measure} | {count} | {s.effective} | {s.tails} | {cells(s, held[s])} |")
    return "\n".join(lines)


def laboratories(held: Mapping[Setting, Finding]) -> str:
    """The same where slides come from laboratories."""
    lines = ["| measure | laboratories | unit | truth | mean value | refused | share | in the band |", "|---" * 8 + "|"]
    for s in held:
        if s.laboratories:
            lines.append(f"| {s.measure} | 40 slides of {s.laboratories} | {s.unit} | {cells(s, held[s])} |")
    return "\n".join(lines)


def cells(s: Setting, f: Finding) -> str:
    """Truth, mean value, refusals, share, and whether the share lies in its band."""
    value = "–" if f.value is None else f"{f.value:.3g}"
    refused = "; ".join(f"{count} {reason}" for reason, count in f.refused.items()) or "0"
    true = f"{f.truth:.3g}" if s.measure not in VERDICTS else "no difference"
    return f"{true} | {value} | {refused} | {share(s, f)} | {is_right(s, f)}"


def share(s: Setting, f: Finding) -> str:
    """Of intervals that hold the truth, or of false alarms."""
    if not f.given:
        return "–"
    return f"{1 - f.held / f.given:.1%} alarms" if s.measure in VERDICTS else f"{f.held / f.given:.1%}"


def is_right(s: Setting, f: Finding) -> str:
    """`yes`, `wide` or `no` by the band; `–` below 100 intervals, of which a share says little."""
    if f.given < 100:
        return "–"
    found = 1 - f.held / f.given if s.measure in VERDICTS else f.held / f.given
    low, high = ALARMS if s.measure in VERDICTS else INTERVALS
    if low <= found <= high:
        return "yes"
    is_wide = found < low if s.measure in VERDICTS else found > high
    return "wide" if is_wide else "**no**"
