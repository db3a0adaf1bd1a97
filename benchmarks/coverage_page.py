"""The page on how often intervals hold the truth, from what was simulated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.candidates import ALL, CHOSEN
from benchmarks.coverage_simulation import Finding, Setting

FEW = 10
"""Trials with an interval, below which a share says nothing."""


def tables(held: Mapping[Setting, Finding]) -> dict[str, str]:
    """Mark -> table of docs/coverage.md."""
    return {
        "trials": trials(held),
        "chosen": table(held, chosen(held, 64, "other")),
        "perfect": table(held, chosen(held, 64, "perfect")),
        "few": table(held, [s for s in held if s.per_slide == 32 and s.d == 64]),
        "wide": table(held, chosen(held, 768, "other")),
        "candidates": candidates(held),
    }


def trials(held: Iterable[Setting]) -> str:
    """How often each setting was simulated, and what a share of so many is good for."""
    text = []
    for count, d in sorted({(s.trials, s.d) for s in held}, reverse=True):
        error = 100 * math.sqrt(0.95 * 0.05 / count)
        text.append(f"{count} with {d} features (a share of 95 % has a standard error of {error:.1f} points)")
    return f"Trials of each setting: {'; '.join(text)}."


def chosen(held: Iterable[Setting], d: int, generator: str) -> list[Setting]:
    """The settings of the harness's own way in the main grid, in order."""
    main = [s for s in held if (s.d, s.generator, s.candidate) == (d, generator, CHOSEN) and s.slides >= 20]
    return sorted(main, key=lambda s: (s.spectrum == "flat", s.slides, s.icc))


def table(held: Mapping[Setting, Finding], rows: Iterable[Setting]) -> str:
    """One row a setting: what is true, what came out, how often an interval was given and held the truth."""
    lines = [
        "| features | spectrum | slides x patches | ICC | truth | mean value | spread | intervals given | held the truth |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for s in rows:
        f = held[s]
        found = "" if f.value is None or f.spread is None else f"{f.value:.2%} | {f.spread:.2%}"
        lines.append(
            f"| {s.d} | {s.spectrum} | {s.slides} x {s.per_slide} | {s.icc:g} | {f.truth:.2%} | {found or '– | –'} "
            f"| {f.given} of {s.trials} | {share(f)} |"
        )
    return "\n".join(lines)


def share(finding: Finding) -> str:
    """How many of the intervals held the truth; as a share where there are enough of them to have one."""
    if not finding.given:
        return "underpowered"
    if finding.given < FEW:
        return f"{finding.held} of {finding.given}"
    return f"{finding.held / finding.given:.1%}"


def candidates(held: Mapping[Setting, Finding]) -> str:
    """One row a candidate, one column a setting: share that held the truth, and mean value beside it."""
    compared = [s for s in held if s.candidate == "slides, bootstrap"]
    heads = [f"{s.slides} slides, ICC {s.icc:g}, {s.spectrum}" for s in compared]
    truth = [f"{held[s].truth:.1%}" for s in compared]
    lines = ["| way | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|", f"| truth | {' | '.join(truth)} |"]
    for candidate in ALL:
        cells = []
        for like in compared:
            same = [s for s in held if _same(s, like) and s.candidate == candidate]
            value = held[same[0]].value if same else None
            cells.append("–" if value is None else f"{share(held[same[0]])} ({value:.1%})")
        lines.append(f"| {candidate} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _same(a: Setting, b: Setting) -> bool:
    mine, theirs = ((s.d, s.slides, s.per_slide, s.icc, s.spectrum, s.generator) for s in (a, b))
    return mine == theirs


def picture(held: Mapping[Setting, Finding], folder: Path) -> None:
    """`coverage.png`. Left: coverage of each way in the compared settings. Right: its mean value against the truth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    compared = [s for s in held if s.candidate == "slides, bootstrap"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), sharey=True, constrained_layout=True)
    names = list(ALL)[::-1]
    for number, like in enumerate(compared):
        found = [next((held[s] for s in held if _same(s, like) and s.candidate == name), None) for name in names]
        rows = [row for row, f in enumerate(found) if f is not None and f.given >= FEW]
        kept = [f for f in found if f is not None and f.given >= FEW]
        offset = (number - len(compared) / 2) * 0.1
        label = f"{like.slides} slides, ICC {like.icc:g}, {like.spectrum}"
        left.plot([f.held / f.given for f in kept], [row - offset for row in rows], "o", ms=4, label=label)
        right.plot([(f.value or 0.0) / f.truth for f in kept], [row - offset for row in rows], "o", ms=4)
    left.axvspan(0.90, 0.99, color="0.9", zorder=0)
    left.set(xlabel="intervals that held the truth (grey: 0.90 to 0.99)", yticks=range(len(names)), yticklabels=names)
    right.axvline(1, color="0.6", zorder=0)
    right.set(xlabel="mean value / truth")
    if compared:
        left.legend(fontsize=7, loc="lower left")
    figure.savefig(folder / "coverage.png", dpi=110)
