"""The tables of docs/gate.md on error rates of the gate, from the simulation."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.gate_simulation import Finding, Setting


def tables(held: Mapping[Setting, Finding]) -> dict[str, str]:
    """Mark -> table of docs/gate.md."""
    return {"alarms": alarms(held), "power": power(held)}


def alarms(held: Mapping[Setting, Finding]) -> str:
    """One row a setting without a change: how often any of its six numbers was called a regression."""
    lines = ["| slides x patches | seeds | margins | gates | false alarms |", "|---|---|---|---|---|"]
    for s, f in held.items():
        if s.change == "none":
            share = f"{f.alarms / s.trials:.1%}"
            lines.append(f"| {s.slides} x {s.per_slide} | {s.seeds} | {s.margins} | {s.trials} | {f.alarms} ({share}) |")
    return "\n".join(lines)


def power(held: Mapping[Setting, Finding]) -> str:
    """One row a setting and a number that was made worse: by how much, and how often each verdict was given."""
    lines = [
        "| slides x patches | seeds | worse by | number | measured worsening | visible | regress | inconclusive | pass "
        "| false alarms of the rest |",
        "|---" * 10 + "|",
    ]
    for s, f in held.items():
        if s.change == "none":
            continue
        for name, found in f.verdicts.items():
            sizes = f"{f.worsening[name]:.3f} | {f.visible[name]:.3f}"
            shares = " | ".join(f"{found[v] / s.trials:.0%}" for v in ("regress", "inconclusive", "pass"))
            who = f"{s.slides} x {s.per_slide} | {s.seeds} | {s.change} | {name}"
            lines.append(f"| {who} | {sizes} | {shares} | {f.alarms} of {s.trials} |")
    return "\n".join(lines)
