"""Joins result records of several machines: each number once, never one in place of another without a word.

Which records are of one number, and when two of them contradict each other, is the rule of `duplicates.each_once`, which holds
for tables, comparisons and gates too. Where records contradict each other nothing is written. A record without a number gives
way to one with it, and is counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import DamagedError, MissingError
from bench.files.regular import check_regular, is_folder, is_there
from bench.files.text import write_text
from bench.provenance import manifest
from bench.provenance.digests import digest_of
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.terms import State
from leaderboards.tables import duplicates, reading

SCHEMA = 1
NAME = "merged.json"


@dataclass(frozen=True)
class Merged:
    """The lines that remain, and what became of the others."""

    records: tuple[ResultRecord, ...]
    files: tuple[Path, ...]
    again: int = 0
    """Lines whose number was there already."""
    filled: tuple[str, ...] = ()
    """Where a number took the place of a line without one."""
    farthest: float = 0.0
    """Largest relative difference that `tolerance` let pass."""
    counts: dict[Path, int] = field(default_factory=dict)


def merge(places: Sequence[Path], leaving: Path | None = None, tolerance: float = duplicates.TOLERATED) -> Merged:
    """The lines of the .jsonl files and of those below the folders, but for the file `leaving`. Raises NotComparableError
    where two lines of one number differ by more than the share `tolerance`, with both files and rows."""
    files = _files(places, leaving)
    for file in files:
        _as_recorded(file)
    found = list(schema.read_numbered(files))
    counts = dict.fromkeys(files, 0)
    for file, _, _ in found:
        counts[file] += 1
    once = duplicates.each_once(_checked(found), tolerance)
    records = tuple(found[i][2] for i in once.kept)  # as they were written: whoever reads them withdraws what is wrong
    return Merged(records, tuple(files), once.again, once.filled, once.farthest, counts)


def _checked(found: list[duplicates.Found]) -> list[duplicates.Found]:
    """The records as tables see them: one that is withdrawn there contradicts nothing and gives way to a number."""
    ours = [i for i, (*_, record) in enumerate(found) if record.state != State.REPORTED]
    seen = list(found)
    for i, entry in zip(ours, reading.checked([found[i] for i in ours]), strict=True):
        seen[i] = entry
    return seen


def write(merged: Merged, out: Path, tolerance: float = duplicates.TOLERATED) -> Path:
    """Writes the lines, and `merged.json` beside them: files, their digests and those of their manifests."""
    schema.write(merged.records, out)
    held = {
        "schema": SCHEMA,
        "out": out.name,
        "digest": digest_of(out),
        "lines": len(merged.records),
        "again": merged.again,
        "filled": list(merged.filled),
        "tolerance": tolerance,
        "farthest": merged.farthest,
        "sources": [_source(file, merged.counts[file]) for file in merged.files],
    }
    write_text(out.parent / NAME, json.dumps(held, indent=1) + "\n")
    return out.parent / NAME


def _source(file: Path, records: int) -> dict[str, Any]:
    beside = file.parent / manifest.NAME
    known = digest_of(beside) if beside.is_file() else None
    return {"file": str(file), "digest": digest_of(file), "lines": records, "manifest": known}


def _files(places: Sequence[Path], leaving: Path | None) -> list[Path]:
    if absent := [str(place) for place in places if not is_there(place)]:
        raise MissingError(f"no file or folder {', '.join(absent)}. Give those that a run wrote: bench run … --out DIR")
    found = [f for place in places for f in (sorted(place.rglob("*.jsonl")) if is_folder(place) else [place])]
    for file in found:
        check_regular(file, "file of result records")
    unlike = {f.resolve(): f for f in found if leaving is None or f.resolve() != leaving.resolve()}
    if not unlike:
        raise MissingError(f"no result records in {', '.join(map(str, places))}: there is nothing to merge.")
    return list(unlike.values())


def _as_recorded(file: Path) -> None:
    """Raises DamagedError where the lines of a run are not those that its manifest lists."""
    if file.name != manifest.RECORDS or not (file.parent / manifest.NAME).is_file():
        return
    if manifest.read(file.parent)["files"].get(file.name) != digest_of(file):
        raise DamagedError(f"{file} has not the digest of its {manifest.NAME}. See: bench verify {file.parent}")
