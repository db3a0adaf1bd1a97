"""Joins result lines of several machines: each number once, never one in place of another without a word.

Two lines are of one number when they agree in who (name, version and options of generator and layouts), data set, track,
task, measure, encoder, diet, experiment, seed, protocol and weights. If their numbers are equal the line is kept once, that
with the furthest state and the earliest stamp; if they are not, nothing is written. A line without a number gives way to one
with it, which is said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import manifest, results
from bench.cache import digest_of, write_text
from bench.errors import DamagedError, MissingError, NotComparableError
from bench.results import STATES, Result

SCHEMA = 1
NAME = "merged.json"
SHOWN = 5


@dataclass(frozen=True)
class Found:
    """A line and where it stands."""

    file: Path
    row: int
    line: Result

    @property
    def where(self) -> str:
        return f"{self.file}:{self.row}"


@dataclass(frozen=True)
class Merged:
    """The lines that remain, and what became of the others."""

    lines: tuple[Result, ...]
    files: tuple[Path, ...]
    again: int = 0
    """Lines whose number was there already."""
    filled: tuple[str, ...] = ()
    """Where a number took the place of a line without one."""
    farthest: float = 0.0
    """Largest relative difference that `tolerance` let pass."""
    counts: dict[Path, int] = field(default_factory=dict)


def merge(places: Sequence[Path], leaving: Path | None = None, tolerance: float = 0.0) -> Merged:
    """The lines of the .jsonl files and of those below the folders, but for the file `leaving`. Raises NotComparableError
    where two lines of one number differ by more than the share `tolerance`, with both files and rows."""
    files = _files(places, leaving)
    for file in files:
        _as_recorded(file)
    held: dict[tuple[str, ...], Found] = {}
    clashes, filled, again, farthest = [], [], 0, 0.0
    counts = dict.fromkeys(files, 0)
    for found in (entry for file in files for entry in _lines(file)):
        counts[found.file] += 1
        known = held.setdefault(key(found.line), found)
        if known is found:
            continue
        apart = difference(known.line, found.line)
        if apart is None:
            filled += [f"{known.where} and {found.where}"]
        elif apart > tolerance:
            clashes.append(_clash(known, found))
        again, farthest = again + 1, max(farthest, apart if apart is not None else 0.0)
        held[key(found.line)] = min(known, found, key=_rank)
    if clashes:
        more = [f"and {len(clashes) - SHOWN} more"] if len(clashes) > SHOWN else []
        raise NotComparableError("\n".join([f"{len(clashes)} numbers differ:", *clashes[:SHOWN], *more, ADVICE]))
    return Merged(tuple(f.line for f in held.values()), tuple(files), again, tuple(filled), farthest, counts)


ADVICE = "Nothing was written. bench verify says which run holds; --tolerance lets small differences between machines pass."


def key(line: Result) -> tuple[str, ...]:
    """What two lines of one number agree in."""
    who = {name: line.described.get(name) for name in ("generator", "layouts", "experiment")}
    where = (line.generator, line.dataset, line.track, line.task, line.source)
    what = (line.measure, line.encoder, line.diet, str(line.seed), line.protocol, line.keys.get("weights", ""))
    return (*where, *what, json.dumps(who, sort_keys=True))


def difference(one: Result, other: Result) -> float | None:
    """The largest relative difference of value and interval, infinite where one has what the other has not; None where one
    of them has no number at all."""
    if (one.value is None) != (other.value is None):
        return None
    if (one.n, one.n_real, one.groups) != (other.n, other.n_real, other.groups) or len(one.folds) != len(other.folds):
        return math.inf
    pairs = zip((one.value, one.low, one.high, *one.folds), (other.value, other.low, other.high, *other.folds), strict=True)
    return max((_share(a, b) for a, b in pairs), default=0.0)


def write(merged: Merged, out: Path, tolerance: float = 0.0) -> Path:
    """Writes the lines, and `merged.json` beside them: files, their digests and those of their manifests."""
    results.write(merged.lines, out)
    held = {
        "schema": SCHEMA,
        "out": out.name,
        "digest": digest_of(out),
        "lines": len(merged.lines),
        "again": merged.again,
        "filled": list(merged.filled),
        "tolerance": tolerance,
        "farthest": merged.farthest,
        "sources": [_source(file, merged.counts[file]) for file in merged.files],
    }
    write_text(out.parent / NAME, json.dumps(held, indent=1) + "\n")
    return out.parent / NAME


def _source(file: Path, lines: int) -> dict[str, Any]:
    beside = file.parent / manifest.NAME
    known = digest_of(beside) if beside.is_file() else None
    return {"file": str(file), "digest": digest_of(file), "lines": lines, "manifest": known}


def _files(places: Sequence[Path], leaving: Path | None) -> list[Path]:
    if absent := [str(place) for place in places if not place.exists()]:
        raise MissingError(f"no file or folder {', '.join(absent)}. Give those that a run wrote: bench run … --out DIR")
    found = [f for place in places for f in (sorted(place.rglob("*.jsonl")) if place.is_dir() else [place])]
    unlike = {f.resolve(): f for f in found if leaving is None or f.resolve() != leaving.resolve()}
    if not unlike:
        raise MissingError(f"no result lines in {', '.join(map(str, places))}: there is nothing to merge.")
    return list(unlike.values())


def _as_recorded(file: Path) -> None:
    """Raises DamagedError where the lines of a run are not those that its manifest lists."""
    if file.name != manifest.LINES or not (file.parent / manifest.NAME).is_file():
        return
    if manifest.read(file.parent)["files"].get(file.name) != digest_of(file):
        raise DamagedError(f"{file} has not the digest of its {manifest.NAME}. See: bench verify {file.parent}")


def _lines(file: Path) -> Iterator[Found]:
    rows = [row for row, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1) if text.strip()]
    for row, line in zip(rows, results.read([file]), strict=True):
        yield Found(file, row, line)


def _rank(found: Found) -> tuple[bool, int, str, str]:
    """The line to keep comes first: with a number, of the furthest state, of the earliest stamp."""
    line = found.line
    return (line.value is None, -STATES.index(line.state), line.stamp.get("made", ""), results.line(line))


def _share(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    larger = max(abs(one), abs(other))
    return abs(one - other) / larger if larger else 0.0


def _clash(one: Found, other: Found) -> str:
    line = one.line
    named = " ".join(filter(None, (line.generator, line.measure, line.encoder or line.diet, f"seed {line.seed}")))
    said = " and ".join(f"{found.line.value!r} in {found.where}" for found in (one, other))
    return f"  {named}: {said}" + ("" if line.value != other.line.value else " (interval, folds or counts differ)")
