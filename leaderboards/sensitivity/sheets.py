"""Tables of responses and equivalents, their rows as data, and the file of flags."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.files.text import write_text
from bench.results.tables import number, sizes
from bench.results.terms import Flag
from bench.sensitivity.flags import Examined
from leaderboards.sensitivity.equivalents import Equivalent
from leaderboards.sensitivity.responses import Response
from leaderboards.tables.sheets import Sheet

NOTES = (
    "Entries: the weakest strength at which the measure is surely worse than on the test patches themselves (for jpeg the "
    "highest quality). Surely: one-sided p of at most 2.5 % in pairs of blocks "
    "of slides, after Holm's adjustment for the strengths.",
    "not seen: the strongest corruption is not surely worse than none. reversed: a step from one strength to the next is "
    "surely in the wrong direction. In brackets: the card claims nothing. With !: the card claims to see it.",
)


def response_sheets(responses: Sequence[Response]) -> list[Sheet]:
    """A table for each task and dataset: a row for each measure and encoder, a column for each corruption."""
    places = dict.fromkeys((response.of.task, response.of.dataset) for response in responses)
    return [
        _responses(task, dataset, [r for r in responses if (r.of.task, r.of.dataset) == (task, dataset)])
        for task, dataset in places
    ]


def _responses(task: str, dataset: str, own: Sequence[Response]) -> Sheet:
    ladders = {response.ladder.corruption: response.ladder for response in own}
    rows = [["measure", *(f"{name} ({ladder.unit})" for name, ladder in ladders.items())]]
    grouped: dict[Any, dict[str, Response]] = {}
    for response in own:
        grouped.setdefault(response.of, {})[response.ladder.corruption] = response
    for measure, found in grouped.items():
        arrow = "↓" if next(iter(found.values())).direction == "lower" else "↑"
        rows.append([f"{measure.label} {arrow}", *(_entry(found[name]) if name in found else "–" for name in ladders)])
    measured = [point.cell for response in own for point in response.points if point.cell.value is not None]
    notes = [f"n: {'; '.join(sizes(measured))}.", *NOTES]
    if any(Flag.EMBEDDED in cell.flags for cell in measured):
        notes.append("Embedded phantom tissue: these numbers say nothing of real patients.")
    notes += _reasons(own)
    return Sheet(f"{task} on {dataset}: what metrics see", rows, notes, [as_json(response) for response in own])


def _reasons(own: Sequence[Response]) -> list[str]:
    """Why strengths are left out and responses are undecided, each reason once with its measures."""
    whose: dict[tuple[str, str], list[str]] = {}
    for response in own:
        if response.reason:
            kind = "Undecided" if response.verdict == "undecided" else "Tested without"
            whose.setdefault((kind, response.reason), []).append(response.of.label)
    return [f"{kind} {reason} ({', '.join(dict.fromkeys(labels))})" for (kind, reason), labels in whose.items()]


def _entry(response: Response) -> str:
    if response.verdict == "undecided":
        return "undecided"
    text: str = {
        "seen": f"{response.sure_from:g}" if response.sure_from is not None else "",
        "not seen": "not seen",
        "reversed": f"reversed at {response.wrong_at:g}" if response.wrong_at is not None else "",
    }[response.verdict]
    return text + " !" if response.is_flagged else text if response.claimed else f"[{text}]"


def as_json(response: Response) -> dict[str, Any]:
    """The response as JSON."""
    return {
        **asdict(response.of),
        "corruption": response.ladder.corruption,
        "unit": response.ladder.unit,
        "direction": response.direction,
        "metric": response.metric,
        "version": response.version,
        "verdict": response.verdict,
        "reason": response.reason,
        "sure_from": response.sure_from,
        "wrong_at": response.wrong_at,
        "claimed": response.claimed,
        "flagged": response.is_flagged,
        "points": [
            {
                "strength": point.strength,
                **{name: getattr(point.cell, name) for name in ("value", "low", "high", "n", "groups")},
            }
            for point in response.points
        ],
    }


def equivalent_sheets(found: Sequence[Equivalent], refused: Sequence[str]) -> list[Sheet]:
    """A table for each task and dataset: a row for each generator and measure, a column for each corruption."""
    places = dict.fromkeys((one.response.of.task, one.response.of.dataset) for one in found)
    sheets = []
    for task, dataset in places:
        own = [one for one in found if (one.response.of.task, one.response.of.dataset) == (task, dataset)]
        units = {one.response.ladder.corruption: one.response.ladder.unit for one in own}
        grouped: dict[tuple[str, Any], dict[str, Equivalent]] = {}
        for one in own:
            grouped.setdefault((one.cell.generator, one.response.of), {})[one.response.ladder.corruption] = one
        rows = [["generator", "measure", "score", *(f"{name} ({unit})" for name, unit in units.items())]]
        for (generator, measure), by_corruption in grouped.items():
            cell = next(iter(by_corruption.values())).cell
            shown = [str(by_corruption[name]) if name in by_corruption else "–" for name in units]
            rows.append([generator, measure.label, number(cell.value or 0.0), *shown])
        notes = [
            "Each score as the strength of the corruption of test patches that gets the same score, with the ends of its "
            "interval. A generator's patches also differ from the test patches as other real patches do: see real.",
            *refused,
        ]
        title = f"{task} on {dataset}: what scores are worth"
        sheets.append(Sheet(title, rows, notes, [_equivalent_json(one) for one in own]))
    return sheets


def _equivalent_json(one: Equivalent) -> dict[str, Any]:
    ends = None if one.ends is None else [asdict(end) for end in one.ends]
    cell = {name: getattr(one.cell, name) for name in ("generator", "prompt_source", "value", "low", "high")}
    corruption = {"corruption": one.response.ladder.corruption, "unit": one.response.ladder.unit}
    return {**asdict(one.response.of), **cell, **corruption, "strength": asdict(one.strength), "ends": ends}


def examined(responses: Iterable[Response]) -> list[Examined]:
    """What was examined of each measure: the claims of its card."""
    grouped: dict[tuple[str, ...], list[Response]] = {}
    for response in responses:
        if response.claimed and response.verdict != "undecided":
            key = (*asdict(response.of).values(), response.metric, response.version, response.encoder_version)
            grouped.setdefault(key, []).append(response)
    found = []
    for own in grouped.values():
        first = own[0]
        names = {
            verdict: tuple(r.ladder.corruption for r in own if r.verdict == verdict)
            for verdict in ("seen", "not seen", "reversed")
        }
        found.append(
            Examined(
                metric=first.metric,
                version=first.version,
                measure=first.of.measure,
                encoder=first.of.encoder,
                encoder_version=first.encoder_version,
                task=first.of.task,
                dataset=first.of.dataset,
                n=first.points[-1].cell.n,
                groups=first.points[-1].cell.groups,
                seen=names["seen"],
                not_seen=names["not seen"],
                reversed=names["reversed"],
            )
        )
    return found


def write_flags(responses: Iterable[Response], path: Path) -> None:
    """The file that `bench.sensitivity.flags` reads, one row a line."""
    rows = ",\n".join(json.dumps(asdict(one)) for one in examined(responses))
    write_text(path, f'{{"examined": [\n{rows}\n]}}\n')
