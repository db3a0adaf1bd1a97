"""Reads index.csv of a data folder and finds the files that it names."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from bench.errors import MissingError

LAYOUT = "A data folder holds images/, region/ or masks/, and index.csv with a column id."
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
SOURCE_COLUMNS = ("source", "slide", "source_image")


@dataclass(frozen=True)
class Row:
    """One image of the index and its files; `mpp` is NaN where the index has none."""

    id: str
    source: str
    mpp: float
    image: Path
    mask: Path


def read_index(folder: Path) -> list[Row]:
    """The rows of index.csv with the files that belong to them, all of which exist."""
    records, columns = _read_csv(folder / "index.csv")
    ids = [record["id"] for record in records]
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise MissingError(f"{folder}/index.csv has {some(twice)} more than once. Keep one row for each image.")
    source = next((column for column in SOURCE_COLUMNS if column in columns), "id")
    if empty := [record["id"] for record in records if not record[source]]:
        raise MissingError(f"{folder}/index.csv has no {source} for {some(empty)}. Fill in the column {source}.")
    images = _files(folder / "images", SUFFIXES, ids)
    masks = _files(_mask_folder(folder), frozenset({".png"}), ids)
    return [Row(r["id"], r[source], _mpp(folder, r), images[r["id"]], masks[r["id"]]) for r in records]


def _read_csv(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Records and columns of a table, cells stripped, absent ones empty; a column id without gaps is certain."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise MissingError(f"cannot read {path}: {error}. Save it as CSV with commas, in UTF-8.") from error
    columns = lines[0] if lines else []
    if "id" not in columns:
        raise MissingError(f"{path} has no column id; its columns are: {', '.join(columns) or 'none'}. {LAYOUT}")
    if len(lines) < 2:
        raise MissingError(f"{path} names no image. {LAYOUT}")
    records = [dict(zip_longest(columns, line[: len(columns)], fillvalue="")) for line in lines[1:]]
    if gaps := [str(i) for i, record in enumerate(records, start=1) if not record["id"]]:
        raise MissingError(f"{path} has no id in row {some(gaps)}.")
    return records, columns


def _mask_folder(folder: Path) -> Path:
    found = [folder / name for name in ("region", "masks") if (folder / name).is_dir()]
    if len(found) != 1:
        raise MissingError(f"{folder} has {'both region/ and masks/' if found else 'no region/ or masks/'}. {LAYOUT}")
    return found[0]


def _files(folder: Path, suffixes: frozenset[str], ids: list[str]) -> dict[str, Path]:
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
