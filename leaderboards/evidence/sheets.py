"""Tables of evidence: for each target the metrics by their rank correlation, and what the number of generators allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from leaderboards.evidence.correlations import LEAST_FAMILIES, Coefficient, Correlation, least_sure
from leaderboards.evidence.values import Study
from leaderboards.tables.sheets import Sheet


def sheets(study: Study, found: Sequence[Correlation]) -> list[Sheet]:
    """A table for each target."""
    made = []
    for target in study.targets:
        own = [one for one in found if one.target == target]
        if not own:
            continue
        rows = [["metric", "Spearman", "Kendall", "generators", "families"]]
        rows += [[one.metric, text(one.spearman), text(one.kendall), str(one.generators), str(one.families)] for one in own]
        title = f"{study.task} on {study.dataset}: which metrics follow {target}"
        made.append(Sheet(title, rows, _notes(own), [asdict(one) for one in own]))
    return made


def text(found: Coefficient) -> str:
    """`0.71 [0.40, 0.90]`."""
    bounds = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.2f}{bounds}"


def _notes(own: Sequence[Correlation]) -> list[str]:
    rows, families = max(one.generators for one in own), max(one.families for one in own)
    notes = [
        f"Rank correlation over at most {rows} generators of {families} families (strengths of one corruption are a family), "
        "turned so that 1 means: the better the metric, the better the target. Intervals: 95 % over families; the slides are "
        "the same throughout.",
        f"If the families were one generator each, a correlation below {least_sure(families):.2f} could not be distinguished "
        "from none.",
    ]
    if families < LEAST_FAMILIES:
        notes.append(f"No intervals: {families} families are too few, {LEAST_FAMILIES} are needed.")
        return notes
    follows = [one.metric for one in own if one.is_sure and one.spearman.value > 0]
    against = [one.metric for one in own if one.is_sure and one.spearman.value < 0]
    notes.append(f"Surely in the right direction, by both: {', '.join(follows) or 'none'}.")
    if against:
        notes.append(f"Surely in the wrong direction, by both: {', '.join(against)}.")
    best = own[0]
    alike = [one.metric for one in own[1:] if (one.spearman.high or 0.0) >= (best.spearman.low or 0.0)]
    notes.append(f"Largest: {best.metric}; the intervals of {len(alike)} of the {len(own) - 1} others overlap its own.")
    return notes
