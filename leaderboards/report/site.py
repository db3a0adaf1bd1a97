"""Builds the site: from records and manifests to one HTML file, a folder of pictures, and the same data as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.errors import MissingError
from bench.files import json_files
from bench.files.regular import read_bytes
from bench.histology import pictures
from bench.jobs.store import Store
from bench.pipeline.plugins import Plugin
from bench.results.schema import ResultRecord
from bench.types import Progress, silent
from leaderboards.report import (
    data,
    exports,
    findings,
    inventory,
    page,
    patches,
    provenance,
    training_mixes,
)
from leaderboards.report.inventory import Inventory
from leaderboards.tables import reading
from leaderboards.tables.build import boards as build_boards
from leaderboards.tables.labels import name_rows


@dataclass(frozen=True)
class ReportConfig:
    """Sources, content and folder of a report."""

    places: tuple[Path, ...]
    out: Path
    title: str = "Conditional histology image generators"
    patches: int = 12
    """Patches of each generator spread over slides, and at either end of each distance; 0 for no pictures."""
    encoder: str = "texture"
    """Encoder of the distances between patches. The default needs no download."""
    published: Path = reading.PUBLISHED
    """Folder with records that papers reported."""


def build(config: ReportConfig, store: Store, progress: Progress = silent, log: Callable[[str], None] = print) -> Path:
    """Writes the site and returns its page. Raises UsageError if the folder contains something else."""
    records = reading.read_records(config.places)
    if not records:
        raise MissingError(f"no measured records in {', '.join(map(str, config.places))}.")
    tasks = {record.task for record in records}
    reported = [record for record in _reported(config) if record.task in tasks]
    files = inventory.open_folder(config.out)
    named = name_rows(records)
    boards = build_boards(named)
    tables, charts = data.tables_of(boards, reported), training_mixes.build_charts(records)
    undownloaded = registry.expand("encoders", ("embedded",))
    gallery, absent = _gallery(config, records, store, files, progress) if config.patches else ({}, [])
    for reason in absent:
        log(reason)
    shown = page.Site(
        title=config.title,
        made=_period(records),
        embedded=any("embedded" in record.flags for record in records),
        findings=tuple(findings.find(board, data.title_of(board), named, undownloaded) for board in boards),
        limits=tuple(_limits(tables, undownloaded)),
        tables=tuple(tables),
        charts=tuple(charts),
        gallery=gallery,
        absent=tuple(absent),
        origins=tuple(provenance.list_origins(records)),
        manifests=_manifests(config.places),
        used=tuple(provenance.list_used(records)),
    )
    sections = page.list_sections(shown)
    exports.write(sections, tables, charts, files)
    files.write(inventory.PAGE, page.render_page(shown, sections).encode())
    files.close({"title": config.title, "records": len(records), "gallery": gallery})
    return config.out / inventory.PAGE


def _limits(tables: Sequence[data.Table], undownloaded: Sequence[str]) -> Iterator[str]:
    """What each encoder behind the numbers of real tissue can and cannot see, if all of them need no download."""
    measured = [
        cell for one in tables if not one.embedded for _, row in one.rows for cell in row.values() if cell.value is not None
    ]
    known = {cell.encoder for cell in measured if cell.encoder}
    if known and known <= set(undownloaded):
        for name in sorted(known):
            card = registry.card("encoders", name)
            yield f"{name}: {card.summary} {card.notes}".strip()


def _reported(config: ReportConfig) -> list[ResultRecord]:
    """Numbers from papers: the shipped ones, and those among the given records."""
    published = [config.published] if any(config.published.glob("*.jsonl")) else []
    return reading.reported([*config.places, *published])


def _gallery(
    config: ReportConfig, records: Sequence[ResultRecord], store: Store, files: Inventory, progress: Progress
) -> tuple[dict[str, Any], list[str]]:
    """Data of the gallery, and reasons for patches that cannot be shown."""
    plugin = Plugin("encoders", config.encoder)
    sets = patches.find_sets(store)
    exhibits, absent = [], []
    everyone = patches.list_wanted(records)
    titles = Counter(_name_of(one) for one in everyone)
    for number, one in enumerate(everyone):
        progress(number, len(everyone), "patches")
        found = patches.load_exhibit(one, sets, plugin.build(), store)
        if isinstance(found, str):
            absent.append(found)
            continue
        name = _name_of(one) if titles[_name_of(one)] == 1 else f"{_name_of(one)} ({one.samples[:8]})"
        held = list(patches.describe_patches(found, config.patches, files))
        bar = pictures.scale_bar(found.conditions)
        colours = [("#{:02x}{:02x}{:02x}".format(*colour), name) for colour, name in pictures.list_classes(found.conditions)]
        about = {"generator": one.generator, "dataset": one.dataset, "promptSource": one.prompt_source}
        shown = {"classes": colours, "bar": None if bar is None else [bar.share, bar.text]}
        sizes = {"size": found.conditions.size, "all": len(found.generated)}
        exhibits.append({"name": name, **about, **sizes, **shown, "measures": list(found.measures), "patches": held})
    progress(len(everyone), len(everyone), "patches")
    if not exhibits:
        return {}, absent
    return {"encoder": plugin.label, "ends": config.patches, "exhibits": exhibits}, absent


def _name_of(one: patches.Wanted) -> str:
    return f"{one.generator} on {one.dataset}" + (
        "" if one.prompt_source == "none" else f", prompts from: {one.prompt_source}"
    )


def _period(records: Sequence[ResultRecord]) -> str:
    days = sorted({record.stamp["made"][:10] for record in records if record.stamp.get("made")})
    return "unknown" if not days else days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def json_text(file: Path) -> str:
    """The text of a JSON file. Raises DamagedError where it is none."""
    content = read_bytes(file)
    json_files.parse(content, str(file))
    return content.decode("utf-8-sig")


def _manifests(places: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """(path below the place, text) of every manifest and suite that runs wrote."""
    found = []
    for place in places:
        for name in ("suite.json", "manifest.json"):
            files = sorted(place.rglob(name)) if place.is_dir() else []
            found += [(str(file.relative_to(place.parent)), json_text(file)) for file in files]
    return tuple(found)
