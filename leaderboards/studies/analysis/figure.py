"""A figure of an analysis: every number of an arm with its intervals, by question."""

from __future__ import annotations

from pathlib import Path

from leaderboards.studies.analysis.analysis import Analysis
from leaderboards.studies.analysis.rows import Row

MEASURES = {
    **{"accuracy": 0.5, "d'": 0.0, "AUC": 0.5, "difference": 0.0, "mean": None, "rate": None},
    **{"regions per image": None, "seconds": None},
}
"""Measures that are shown -> the value that stands for no difference."""
FORMATS = ("svg", "png")


def draw_figure(found: Analysis, folder: Path) -> list[Path]:
    """Writes `figure.svg` and `figure.png` and returns their paths: one panel for each question and measure, one line for
    each arm. Thick: these readers, other slides. Thin: other readers and slides. Small points: single readers."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = list(dict.fromkeys((row.question, row.measure) for row in found.rows if row.arm and row.measure in MEASURES))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    arms = max(len({row.arm for row in found.rows if (row.question, row.measure) == panel}) for panel in panels)
    size = (4.2 * columns, lines * (0.9 + 0.35 * arms))
    with matplotlib.rc_context({"svg.hashsalt": "histobench"}):
        figure, axes = pyplot.subplots(lines, columns, figsize=size, squeeze=False, constrained_layout=True)
        for place, (question, measure) in zip(axes.flat, panels, strict=False):
            rows = [row for row in found.rows if (row.question, row.measure) == (question, measure)]
            _draw_panel(place, rows, f"{question}: {measure}", MEASURES[measure])
        for place in axes.flat[len(panels) :]:
            place.axis("off")
        paths = [folder / f"figure.{style}" for style in FORMATS]
        for path in paths:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)
    return paths


def _draw_panel(place, rows: list[Row], title: str, null: float | None) -> None:  # type: ignore[no-untyped-def]
    whole = [row for row in rows if not row.reader and row.value is not None]
    for height, row in enumerate(reversed(whole)):
        if row.low is not None:
            place.plot([row.low, row.high], [height, height], color="0.35", lw=1, zorder=1)
        if row.low_these is not None:
            place.plot([row.low_these, row.high_these], [height, height], color="C0", lw=4, solid_capstyle="butt", zorder=2)
        each = [one.value for one in rows if one.reader and one.arm == row.arm and one.value is not None]
        place.plot(each, [height + 0.22] * len(each), "|", color="C1", ms=7, zorder=3)
        place.plot(row.value, height, "o", color="black", ms=5, zorder=4)
    if null is not None:
        place.axvline(null, color="0.7", lw=1, ls="--", zorder=0)
    place.set(
        title=title, yticks=range(len(whole)), yticklabels=[row.arm for row in reversed(whole)], ylim=(-0.6, len(whole) - 0.4)
    )
    place.title.set_fontsize(9)
    place.tick_params(labelsize=8)
