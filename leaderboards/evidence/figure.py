"""The figure of evidence: for each target the Spearman correlation of each metric with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import MissingError
from leaderboards.evidence.correlations import Correlation
from leaderboards.sensitivity.figure import COLOURS, pyplot, save

HIGH = 0.16
"""Inches of a row."""


def draw(found: Sequence[Correlation], path: Path) -> None:
    """A panel for each target, a row for each metric, in the order of the first target; blue where it is surely above 0, red
    where it is surely below."""
    if not found:
        raise MissingError("no metric has a correlation with a target: there is nothing to draw.")
    plots = pyplot()
    targets = list(dict.fromkeys((one.task, one.dataset, one.target) for one in found))
    metrics = list(dict.fromkeys(one.metric for one in found))
    size = (2.0 * len(targets) + 1.8, HIGH * len(metrics) + 1.0)
    figure, panels = plots.subplots(1, len(targets), figsize=size, squeeze=False, sharey=True, layout="constrained")
    for axes, (task, dataset, target) in zip(panels[0], targets, strict=True):
        axes.axvline(0, color="#999999", linewidth=0.6)
        axes.set_title(f"{target}\n{task}, {dataset}", fontsize=7)
        axes.set(xlim=(-1.05, 1.05), ylim=(len(metrics) - 0.5, -0.5))
        axes.tick_params(labelsize=6, length=2)
        for one in found:
            if (one.task, one.dataset, one.target) == (task, dataset, target):
                low, high = one.spearman.low, one.spearman.high
                sure = COLOURS[0] if one.spearman.value > 0 else COLOURS[1]
                colour = sure if one.is_sure else "#777777"
                at = metrics.index(one.metric)
                if low is not None and high is not None:
                    axes.plot([low, high], [at, at], color=colour, linewidth=1.2)
                axes.plot([one.spearman.value], [at], "o", color=colour, markersize=3)
        axes.set_xlabel("Spearman, 95 % over families", fontsize=6)
    panels[0, 0].set_yticks(range(len(metrics)), metrics)
    save(figure, path)
    plots.close(figure)
