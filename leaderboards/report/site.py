"""Builds the site: records and what lies beside them -> one HTML file, a folder of pictures, and the same as JSON."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import MissingError, UsageError
from bench.files.text import write_text
from bench.jobs.store import Store
from bench.pipeline.plugins import Plugin
from bench.results.schema import ResultRecord
from bench.types import Progress, silent
from leaderboards.report import data, page, patches, provenance, training_mixes
from leaderboards.tables import reading

MARKER = "report.json"
"""The page's data, and the sign that a folder holds a report, which another may replace."""
PICTURES = "images"


@dataclass(frozen=True)
class Asked:
    """What the report is made of and where it goes."""

    places: tuple[Path, ...]
    out: Path
    title: str = "Conditional histology image generators"
    patches: int = 12
    """Patches of each generator that come as they are, and at either end of each measure; 0 for no pictures at all."""
    encoder: str = "texture"
    """Whose features say which patches are alike. One without a download, so that every report can be made everywhere."""
    published: Path = reading.PUBLISHED
    """Folder with records that papers reported."""


def build(asked: Asked, store: Store, progress: Progress = silent, log: Callable[[str], None] = print) -> Path:
    """Writes the site and returns its page. Raises UsageError where the folder holds something else."""
    if asked.out.exists() and any(asked.out.iterdir()) and not (asked.out / MARKER).exists():
        raise UsageError(f"{asked.out} is not empty and holds no report: give --out another folder.")
    lines = reading.lines(asked.places)
    if not lines:
        raise MissingError(f"no measured records in {', '.join(map(str, asked.places))}.")
    tasks = {line.task for line in lines}
    reported = [line for line in _reported(asked) if line.task in tasks]
    asked.out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(asked.out / PICTURES, ignore_errors=True)  # an older report's patches must not stay behind
    gallery, absent = _gallery(asked, lines, store, progress) if asked.patches else ({}, [])
    for reason in absent:
        log(reason)
    shown = page.Site(
        title=asked.title,
        made=_period(lines),
        embedded=any("embedded" in line.flags for line in lines),
        tables=tuple(data.report_tables(lines, reported)),
        charts=tuple(training_mixes.charts(lines)),
        gallery=gallery,
        absent=tuple(absent),
        origins=tuple(provenance.origins(lines)),
        manifests=_manifests(asked.places),
        used=tuple(provenance.used(lines)),
    )
    write_text(asked.out / MARKER, json.dumps({"title": asked.title, "lines": len(lines), "gallery": gallery}))
    write_text(asked.out / "index.html", page.render_page(shown))
    return asked.out / "index.html"


def _reported(asked: Asked) -> list[ResultRecord]:
    """Numbers from papers: those that ship, and those among the lines that were given."""
    published = [asked.published] if any(asked.published.glob("*.jsonl")) else []
    return reading.reported([*asked.places, *published])


def _gallery(
    asked: Asked, lines: Sequence[ResultRecord], store: Store, progress: Progress
) -> tuple[dict[str, Any], list[str]]:
    """What the script draws patches from, and why some cannot be drawn."""
    plugin = Plugin("encoders", asked.encoder)
    sets = patches.find_sets(store)
    folder = patches.PatchStore(asked.out / PICTURES)
    exhibits, absent = [], []
    everyone = patches.wanted(lines)
    titles = Counter(_called(one) for one in everyone)
    for number, one in enumerate(everyone):
        progress(number, len(everyone), "patches")
        found = patches.exhibit(one, sets, plugin.build(), store)
        if isinstance(found, str):
            absent.append(found)
            continue
        name = _called(one) if titles[_called(one)] == 1 else f"{_called(one)} ({one.samples[:8]})"
        held = list(patches.entries(found, asked.patches, folder))
        size = found.conditions.size
        exhibits.append(
            {"name": name, "size": size, "all": len(found.generated), "measures": list(found.measures), "patches": held}
        )
    progress(len(everyone), len(everyone), "patches")
    if not exhibits:
        return {}, absent
    return {"encoder": plugin.label, "ends": asked.patches, "exhibits": exhibits}, absent


def _called(one: patches.Wanted) -> str:
    return f"{one.generator} on {one.dataset}" + (
        "" if one.prompt_source == "none" else f", prompts from: {one.prompt_source}"
    )


def _period(lines: Sequence[ResultRecord]) -> str:
    days = sorted({line.stamp["made"][:10] for line in lines if line.stamp.get("made")})
    return "unknown" if not days else days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _manifests(places: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """(path below the place, text) of every manifest and suite that runs wrote."""
    found = []
    for place in places:
        for name in ("suite.json", "manifest.json"):
            files = sorted(place.rglob(name)) if place.is_dir() else []
            found += [(str(file.relative_to(place.parent)), file.read_text(encoding="utf-8")) for file in files]
    return tuple(found)
