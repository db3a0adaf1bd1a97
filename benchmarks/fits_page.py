"""The tables of docs/fits.md on how gate and comparison err between fits, from what was simulated."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.fits_simulation import Finding, Setting


def tables(held: Mapping[Setting, Finding]) -> dict[str, str]:
    """Mark -> table of docs/fits.md."""
    return {"alarms": alarms(held), "power": power(held)}


def alarms(held: Mapping[Setting, Finding]) -> str:
    """One row a setting in which both sides are fits of one method."""
    lines = [
        "| slides x patches | spread of fits | fits a side | tested as | trials | `gate`: regress | `compare`: differ |",
        "|---" * 7 + "|",
    ]
    for s, f in held.items():
        if not s.worse:
            shares = " | ".join(f"{count} ({count / s.trials:.1%})" for count in (f.alarms, f.differences))
            tested = "same method" if s.mode == "same-method" else "same weights, fits not stated"
            lines.append(f"| {s.slides} x {s.per_slide} | {s.spread} | {s.fits} | {tested} | {s.trials} | {shares} |")
    return "\n".join(lines)


def power(held: Mapping[Setting, Finding]) -> str:
    """One row a setting in which one number of the candidate's method is truly worse."""
    lines = ["| slides x patches | fits a side | worse by | trials | seen | false alarms of the rest |", "|---" * 6 + "|"]
    for s, f in held.items():
        if s.worse:
            by = f"{s.worse:g} standard deviations between fits"
            found = f"{f.seen / s.trials:.0%} | {f.alarms} of {s.trials}"
            lines.append(f"| {s.slides} x {s.per_slide} | {s.fits} | {by} | {s.trials} | {found} |")
    return "\n".join(lines)
