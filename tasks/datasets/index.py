"""Reads the tables of a data folder and finds the files that they name."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from bench.errors import MissingError

LAYOUT = "A data folder holds images/, region/ or masks/, and index.csv with a column id."
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
MASK_ROOMS = ("region", "masks")
SOURCE_COLUMNS = ("source", "slide", "source_image")


@dataclass(frozen=True)
class Record:
    """One image of the index; `mpp` is NaN where the index has none."""

    id: str
    source: str
    mpp: float


@dataclass(frozen=True)
class Row(Record):
    """One image of the index and its files."""

    image: Path
    mask: Path


def read_index(folder: Path) -> list[Row]:
    """The rows of index.csv with the files that belong to them, all of which exist."""
    records = read_records(folder, LAYOUT)
    ids = [record.id for record in records]
    images = find_files(folder / "images", SUFFIXES, ids)
    masks = find_files(_mask_folder(folder), frozenset({".png"}), ids)
    return [Row(r.id, r.source, r.mpp, images[r.id], masks[r.id]) for r in records]


def read_records(folder: Path, layout: str) -> list[Record]:
    """The rows of index.csv, ids unique; `layout` says in every refusal what the folder should hold."""
    records = read_table(folder / "index.csv", ("id",), layout)
    ids = [record["id"] for record in records]
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise MissingError(f"{folder}/index.csv has {some(twice)} more than once. Keep one row for each image.")
    source = next((column for column in SOURCE_COLUMNS if column in records[0]), "id")
    if empty := [record["id"] for record in records if not record[source]]:
        raise MissingError(f"{folder}/index.csv has no {source} for {some(empty)}. Fill in the column {source}.")
    return [Record(record["id"], record[source], _mpp(folder, record)) for record in records]


def read_table(path: Path, needed: Sequence[str], layout: str) -> list[dict[str, str]]:
    """Records of a CSV file, at least one, cells stripped and absent ones empty; the needed columns have no gaps."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise MissingError(f"cannot read {path}: {error}. Save it as CSV with commas, in UTF-8.") from error
    columns = lines[0] if lines else []
    if absent := [column for column in needed if column not in columns]:
        found = ", ".join(columns) or "none"
        raise MissingError(f"{path} has no column {', '.join(absent)}; its columns are: {found}. {layout}")
    if len(lines) < 2:
        raise MissingError(f"{path} names no image. {layout}")
    records = [dict(zip_longest(columns, line[: len(columns)], fillvalue="")) for line in lines[1:]]
    for column in needed:
        if gaps := [str(i) for i, record in enumerate(records, start=1) if not record[column]]:
            raise MissingError(f"{path} has no {column} in row {some(gaps)}.")
    return records


def files_digest(paths: Iterable[Path]) -> str:
    """First 16 hex digits of a sha256 over the content of the files, in their order."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


def _mask_folder(folder: Path) -> Path:
    found = [folder / name for name in MASK_ROOMS if (folder / name).is_dir()]
    if len(found) != 1:
        raise MissingError(f"{folder} has {'both region/ and masks/' if found else 'no region/ or masks/'}. {LAYOUT}")
    return found[0]


def find_files(folder: Path, suffixes: frozenset[str], ids: list[str]) -> dict[str, Path]:
    """Id -> its one file in the folder."""
    found: dict[str, list[Path]] = {name: [] for name in ids}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in suffixes and path.stem in found:
            found[path.stem].append(path)
    if missing := [name for name, paths in found.items() if not paths]:
        kinds = ", ".join(sorted(suffixes))
        raise MissingError(
            f"{folder} lacks {len(missing)} of {len(ids)} files of index.csv ({kinds}): {some(missing)}. "
            "Add them or take their rows out."
        )
    if several := [paths for paths in found.values() if len(paths) > 1]:
        raise MissingError(f"one id has several files: {some([str(path) for path in several[0]])}. Keep one.")
    return {name: paths[0] for name, paths in found.items()}


def _mpp(folder: Path, record: dict[str, str]) -> float:
    text = record.get("mpp", "")
    try:
        value = float(text or "nan")
    except ValueError:
        value = -1.0
    if value <= 0 or math.isinf(value):
        raise MissingError(f"{folder}/index.csv: mpp of {record['id']} is {text!r}. Give microns per pixel or nothing.")
    return value


def some(names: Sequence[str]) -> str:
    """The first five, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
