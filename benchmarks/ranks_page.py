"""The table of docs/ranks.md, from what was simulated."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.ranks_simulation import Finding, Setting


def tables(held: Mapping[Setting, Finding]) -> dict[str, str]:
    """Mark -> table of docs/ranks.md."""
    lines = [
        "| generators x encoders | slides | true distances | encoders see slides | tables | intervals with the true rank "
        "| with the shown rank | mean width |",
        "|---" * 8 + "|",
    ]
    for s, f in held.items():
        seen = "alike" if s.shared else "each in its own way"
        shares = f"{f.held / f.places:.1%} | {f.inside / f.places:.1%} | {f.width:.2f}"
        lines.append(f"| {s.generators} x {s.encoders} | {s.slides} | {s.gaps} | {seen} | {s.trials} | {shares} |")
    return {"ranks": "\n".join(lines)}
