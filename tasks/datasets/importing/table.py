"""A CSV table that names images and maps, with column names of its own and ids with or without extensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from bench.errors import MissingError, UsageError, did_you_mean
from bench.files.image_files import FORMATS
from bench.files.regular import describe_fault, is_folder, list_folder
from tasks.datasets.importing import pairs
from tasks.datasets.importing.pairing import ImportOptions, Item, Pairing, Stored
from tasks.datasets.importing.reading import images_in
from tasks.datasets.index import read_table, some, spelling

IMAGE_NAMES = (
    "image",
    "imagepath",
    "imagefile",
    "imagename",
    "img",
    "imgpath",
    "filename",
    "file",
    "path",
    "filepath",
    "id",
    "",
)
MASK_NAMES = (
    *("mask", "maskpath", "maskfile", "maskname", "label", "labelpath", "segmentation", "segmentationpath", "annotation"),
    *("region", "regionpath", "gt"),
)
"""Columns that are taken for images and maps, as `spelling` has them, the first that is there."""
LAYOUT = "A table names an image in each row, relative to its own folder."
ENOUGH = 0.5
"""Share of rows whose image must be found for a table to be recognised."""


def describe(source: Path) -> str:
    """What of this layout the source has; empty if nothing."""
    for path in tables(source):
        try:
            rows = read_table(path, (), LAYOUT)
        except MissingError:
            continue
        column = pick(rows[0], IMAGE_NAMES)
        if column is None:
            continue
        search = Search(path.parent)
        found = sum(bool(search.find(row[column], False)) for row in rows)
        if found >= ENOUGH * len(rows):
            return f"{path.name} names {found} images in its column {column}"
    return ""


def open_pairing(options: ImportOptions) -> Pairing:
    """The rows of the table. Raises MissingError where the table cannot be read, UsageError where a column is not there."""
    path = _table(options.source)
    rows = read_table(path, (), LAYOUT)
    check_columns(options.columns, list(rows[0]), path)
    image_column = options.columns.get("image") or pick(rows[0], IMAGE_NAMES)
    mask_column = options.columns.get("mask") or pick(rows[0], MASK_NAMES)
    if image_column is None:
        raise UsageError(
            f"which column of {path} names the images? It has {', '.join(rows[0])}. Give --columns image=COLUMN,mask=COLUMN."
        )
    id_column = options.columns.get("id")
    search = Search(path.parent)
    items, unpaired = [], {}
    beside = None if mask_column else _beside(path.parent)
    for number, row in enumerate(rows, start=1):
        name = row[image_column] or f"row {number}"
        image = search.find(row[image_column], False)
        mask = search.find(row[mask_column], True) if mask_column else (beside or {}).get(image or path)
        if image is None or mask is None:
            unpaired[name] = _absence(path, number, image_column if image is None else mask_column, row, image)
            continue
        made = row[id_column] if id_column else image.stem
        items.append(Item(_without_extension(made), Stored(str(image), image), Stored(str(mask), mask), row))
    meanings = {
        image_column: "image",
        **({mask_column: "mask"} if mask_column else {}),
        **({id_column: "id"} if id_column else {}),
    }
    rule = f"rows of {path.name}" + ("" if mask_column else ", maps by the names of the images")
    return Pairing("table", rule, items, meanings=meanings, unpaired=unpaired)


def check_columns(columns: Mapping[str, str], known: Sequence[str], path: Path) -> None:
    """Raises UsageError if `--columns` names a column that is not there."""
    for meaning, column in columns.items():
        if column not in known:
            raise UsageError(
                f"--columns {meaning}={column}: {path} has no column {column!r}.{did_you_mean(column, known)} "
                f"Its columns are: {', '.join(known)}."
            )


def pick(columns: Mapping[str, str] | Sequence[str], names: Sequence[str]) -> str | None:
    """The first column with one of the names."""
    spelled = {spelling(column): column for column in reversed(list(columns))}
    return next((spelled[name] for name in names if name in spelled), None)


def tables(source: Path) -> list[Path]:
    """The CSV files of the source, or the source itself if it is one."""
    if source.suffix.lower() == ".csv" and not describe_fault(source):
        return [source]
    return [path for path in list_folder(source) if path.suffix.lower() == ".csv" and not describe_fault(path)]


class Search:
    """Finds image files by the text of a cell: a path, a path from another machine, or a name without extension."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[bool, dict[str, list[Path]]] = {False: {}, True: {}}
        for part in [folder, *filter(is_folder, list_folder(folder))]:
            is_mask = part != folder and part.name.casefold() in pairs.MASK_FOLDERS
            for path in images_in(part):
                for kind in (False, True) if part == folder else (is_mask,):
                    for name in {path.name, path.stem}:
                        self._by_name[kind].setdefault(name, []).append(path)

    def find(self, cell: str, is_mask: bool) -> Path | None:
        """The one file of a cell; None if there is none. Raises MissingError if several files have this name."""
        if not cell:
            return None
        path = Path(cell.replace("\\", "/"))
        for place in (path if path.is_absolute() else self.folder / path, *self._tails(path)):
            if place.suffix.lower() in FORMATS and not describe_fault(place):
                return place
        found = self._by_name[is_mask].get(path.name, [])
        if len(found) > 1:
            raise MissingError(f"{cell} may be {some([str(each) for each in found])}. Give paths in the table.")
        return found[0] if found else None

    def _tails(self, path: Path) -> list[Path]:
        """The last parts of a path of another machine, the longest first."""
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        return [self.folder.joinpath(*parts[start:]) for start in range(1, len(parts) - 1)]


def _beside(folder: Path) -> dict[Path, Path]:
    matched = pairs.find_in(folder)
    return dict(matched.pairs)


def _table(source: Path) -> Path:
    found = tables(source)
    if len(found) != 1:
        shown = some([path.name for path in found]) or "none"
        raise UsageError(f"{source} has {len(found)} CSV tables ({shown}). Give the one that is meant as SOURCE.")
    return found[0]


def _absence(path: Path, number: int, column: str | None, row: Mapping[str, str], image: Path | None) -> str:
    if image is not None and column is None:
        return f"{image} has no map beside it, and {path.name} has no column of maps. Give --columns mask=COLUMN"
    what = "image" if image is None else "map"
    return f"{path.name}, row {number}: the {what} {row[column or '']!r} of column {column} does not exist"


def _without_extension(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.stem if path.suffix.lower() in FORMATS else path.name
