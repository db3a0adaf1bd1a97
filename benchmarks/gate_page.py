"""The tables of docs/gate.md on how the gate errs, from what was simulated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.gate import Finding, Setting

PAGE = Path(__file__).parents[1] / "docs" / "gate.md"


def write(held: Mapping[Setting, Finding]) -> None:
    """The tables between their marks."""
    text = PAGE.read_text()
    for name, made in {"alarms": alarms(held), "power": power(held)}.items():
        before, _, rest = text.partition(f"<!-- table: {name} -->")
        after = rest.partition("<!-- end -->")[2]
        text = f"{before}<!-- table: {name} -->\n{made}\n<!-- end -->{after}"
    PAGE.write_text(text)


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
