"""Reads the tables of a data folder and finds the files that they name."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from bench.errors import MissingError, UsageError
from bench.files.regular import is_folder, list_folder, open_regular, read_bytes
from bench.histology.sampling import Sampling, implausible_mpp, is_plausible_mpp
from bench.messages import printable

LAYOUT = "A data folder holds images/, region/ or masks/, and index.csv with a column id."
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
MASK_FOLDERS = ("region", "masks")
UNITS = {
    "patient": "patients",
    "case": "cases",
    "source": "sources",
    "slide": "slides",
    "sourceimage": "source images",
}
"""Columns that say which images belong together, as `spelling` has them, the first that is there goes before the others;
and what their values are called."""
CLUSTERS = {
    "cluster": "clusters",
    "laboratory": "laboratories",
    "lab": "laboratories",
    "centre": "centres",
    "center": "centres",
    "site": "sites",
    "hospital": "hospitals",
}
"""Columns that say which sources resemble each other, as `spelling` has them, the first that is there goes before the others;
and what their values are called."""
SamplingUnit = Literal["auto", "slide"]
"""What intervals range over: the values of a column of `CLUSTERS` where there is one, or sources whatever there is."""
SOURCE_COLUMNS = ("patient", "case", "source", "slide", "source_image")
"""The same as messages name them."""
EARLIER = frozenset({"source", "slide", "source_image"})
"""Spellings that were read from the first version on: sets that use them keep their digests."""
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Record:
    """One image of the index; `mpp` is NaN where the index has none, `split` empty where the index has no such column."""

    id: str
    source: str
    mpp: float
    split: str
    cluster: str = ""
    """Laboratory or centre; empty where the index has no such column."""


@dataclass(frozen=True)
class Index:
    """The rows of index.csv, and what its columns say of sampling."""

    records: tuple[Record, ...]
    unit: str
    """Column that names the sampling unit, as the file spells it; empty where each image is its own."""
    split: str
    """Column that names the split, as the file spells it; empty where there is none."""
    cluster: str = ""
    """Column that names the laboratory or centre, as the file spells it; empty where there is none."""

    @property
    def splits(self) -> dict[str, str]:
        """Source -> split; empty where the index has no splits."""
        return {record.source: record.split for record in self.records if record.split}

    @property
    def is_plain(self) -> bool:
        """Whether sampling units and splits are read as the first version did."""
        return not self.split and not self.cluster and (not self.unit or self.unit in EARLIER)

    @property
    def clusters(self) -> dict[str, str]:
        """Id of image -> its laboratory or centre; empty where the index has no such column."""
        return {record.id: record.cluster for record in self.records} if self.cluster else {}

    def sampling(self, dealt: str, made: Sequence[str] = (), sampling_unit: SamplingUnit = "auto") -> Sampling:
        """What the groups are and where splits come from: `dealt` says how sources are assigned where the index has no
        splits, `made` names the splits that the index lacks and that are made from train."""
        unit = UNITS[spelling(self.unit)] if self.unit else "images"
        basis = f"column {self.unit} of index.csv"
        if not self.unit:
            basis = f"index.csv has no column {' or '.join(SOURCE_COLUMNS)}: images of one slide may be in several splits"
        splits = f"column {self.split} of index.csv" if self.split else dealt
        if self.split and made:
            splits += f", which names no {' and no '.join(made)}: made from {unit} of train"
        if not self.cluster:
            return Sampling(unit, basis, splits, bool(self.unit))
        laboratories = len({record.cluster for record in self.records if record.split == "test"})
        named = CLUSTERS[spelling(self.cluster)] if sampling_unit == "auto" else ""
        return Sampling(
            unit,
            basis,
            splits,
            bool(self.unit),
            clusters=named,
            cluster_basis=f"column {self.cluster} of index.csv",
            laboratories=0 if named else laboratories,
        )


@dataclass(frozen=True, kw_only=True)
class Row(Record):
    """One image of the index and its files."""

    image: Path
    mask: Path


def find_rows(folder: Path, index: Index) -> list[Row]:
    """The rows of index.csv with the files that belong to them, all of which exist."""
    records = index.records
    ids = [record.id for record in records]
    images = find_files(folder / "images", SUFFIXES, ids)
    masks = find_files(_mask_folder(folder), frozenset({".png"}), ids)
    return [Row(**vars(r), image=images[r.id], mask=masks[r.id]) for r in records]


def read_records(folder: Path, layout: str, names: Mapping[str, str] = SPLIT_NAMES) -> Index:
    """The rows of index.csv, ids unique; `layout` says in every refusal what the folder should hold, and `names` are the
    accepted values of a column of splits."""
    records = read_table(folder / "index.csv", ("id",), layout)
    ids = [record["id"] for record in records]
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise MissingError(f"{folder}/index.csv has {some(twice)} more than once. Keep one row for each image.")
    where = f"{folder}/index.csv"
    unit = next((column for kind in UNITS if (column := find_column(records, kind, where))), "")
    cluster = next((column for kind in CLUSTERS if (column := find_column(records, kind, where))), "")
    split, mpp = find_column(records, "split", where), find_column(records, "mpp", where)
    for column in filter(None, (unit, split, cluster)):
        if empty := [record["id"] for record in records if not record[column]]:
            raise MissingError(
                f"{where} has no {column} for {some(empty)}. Fill in the column {column}, or take the column out."
            )
    made = tuple(
        Record(
            r["id"],
            r[unit or "id"],
            _mpp(folder, r, mpp),
            _split(where, r, split, names) if split else "",
            r[cluster] if cluster else "",
        )
        for r in records
    )
    if split:
        _check_splits(where, made, unit or "id")
    if cluster:
        _check_clusters(where, made, unit or "id", cluster)
    return Index(made, unit, split, cluster)


def check_mpp(records: Iterable[Record], asked: float | None, where: str) -> None:
    """Raises UsageError if the resolution of an image, or the one that was asked for, cannot be that of histology."""
    if asked is not None and not is_plausible_mpp(asked):
        raise UsageError(implausible_mpp(f"mpp={asked:g} was asked for"))
    if strange := [f"{record.id} ({record.mpp:g})" for record in records if not is_plausible_mpp(record.mpp)]:
        raise UsageError(implausible_mpp(f"{where}: mpp of {some(strange)}"))


def spelling(column: str) -> str:
    """What is left of a name without case, blanks, underscores, hyphens and a last "id": patient of `Patient_ID`."""
    return re.sub(r"[\s_-]+", "", column.casefold()).removesuffix("id")


def find_column(records: Sequence[Mapping[str, str]], kind: str, where: str) -> str:
    """The column of this kind as the table spells it, empty without one. Two that tell images apart differently are
    refused."""
    first, *others = [column for column in records[0] if spelling(column) == kind] or [""]
    for other in others:
        pairs = {(record[first], record[other]) for record in records}
        if not len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}):
            raise MissingError(f"{where} has the columns {first} and {other}, which differ. Keep the one that is meant.")
    return first


def _split(where: str, record: Mapping[str, str], column: str, names: Mapping[str, str]) -> str:
    found = names.get(record[column].casefold())
    if found is None:
        known = ", ".join(dict.fromkeys(names.values()))
        raise MissingError(
            f"{where}: {column} of {record['id']} is {record[column]!r}; known are {known}. Correct it, or rename the column."
        )
    return found


def _check_splits(where: str, records: Sequence[Record], unit: str) -> None:
    """Raises MissingError if a source is in two splits, or nothing trains or nothing tests."""
    homes: dict[str, set[str]] = {}
    for record in records:
        homes.setdefault(record.source, set()).add(record.split)
    if torn := [f"{source} ({', '.join(sorted(names))})" for source, names in homes.items() if len(names) > 1]:
        raise MissingError(
            f"{where}: {len(torn)} values of {unit} are in two splits: {some(torn)}. Images of one {unit} belong together."
        )
    named = {"train" if record.split == "R1" else record.split for record in records}
    if absent := [name for name in ("train", "test") if name not in named]:
        raise MissingError(
            f"{where}: the column of splits names no {' and no '.join(absent)}. Complete it, or take it out to have "
            "splits made by hash."
        )


def _check_clusters(where: str, records: Sequence[Record], unit: str, cluster: str) -> None:
    """Raises MissingError if a source is of two clusters."""
    homes: dict[str, set[str]] = {}
    for record in records:
        homes.setdefault(record.source, set()).add(record.cluster)
    if torn := [f"{source} ({', '.join(sorted(names))})" for source, names in homes.items() if len(names) > 1]:
        raise MissingError(
            f"{where}: {len(torn)} values of {unit} have two values of {cluster}: {some(torn)}. All images of one {unit} "
            f"are of one {cluster}: correct the table, or rename the column {cluster}."
        )


def read_table(path: Path, needed: Sequence[str], layout: str) -> list[dict[str, str]]:
    """Records of a CSV file, at least one, cells stripped and absent ones empty; the needed columns have no gaps."""
    content = read_bytes(path, "table")
    try:
        file = io.StringIO(content.decode("utf-8-sig"), newline="")
        lines = [[cell.strip() for cell in line] for line in csv.reader(file, strict=True) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise MissingError(
            f"cannot read {path}: {error}. Save it as CSV with commas, in UTF-8, and close each quote in its row."
        ) from error
    columns = lines[0] if lines else []
    _check_table(path, columns, lines)
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


def _check_table(path: Path, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Raises MissingError where a quote swallows rows, a row has more cells than columns, or two columns have one name."""
    for number, line in enumerate(lines):
        if swallowed := [cell for cell in line if "\n" in cell or "\r" in cell]:
            start = " ".join(swallowed[0].split())[:40]
            raise MissingError(
                f"{path}: a quote that is opened in row {number} swallows what follows it ({start!r}). Close it in its row."
            )
        if any(line[len(columns) :]):
            raise MissingError(
                f"{path}: row {number} has {len(line)} cells for {len(columns)} columns ({', '.join(line)[:60]}). Quote cells "
                "that hold a comma."
            )
    if twice := [name for name, count in Counter(filter(None, columns)).items() if count > 1]:
        raise MissingError(f"{path} has the column {some(twice)} more than once. Keep one.")


def files_digest(paths: Iterable[Path]) -> str:
    """First 16 hex digits of a sha256 over the content of the files, in their order."""
    total = hashlib.sha256()
    for path in paths:
        with open_regular(path) as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


def index_digest(files: str, index: Index) -> str:
    """The digest of a set from that of its files and what is read from the columns of its index.

    That of the files alone where the columns are read as ever, so that sets made before keep what was computed of them.
    """
    if index.is_plain:
        return files
    columns = "/".join((index.unit, index.split, *filter(None, (index.cluster,))))
    return hashlib.sha256(f"{files}/{columns}".encode()).hexdigest()[:16]


def _mask_folder(folder: Path) -> Path:
    found = [folder / name for name in MASK_FOLDERS if is_folder(folder / name)]
    if len(found) != 1:
        raise MissingError(f"{folder} has {'both region/ and masks/' if found else 'no region/ or masks/'}. {LAYOUT}")
    return found[0]


def find_files(folder: Path, suffixes: frozenset[str], ids: list[str]) -> dict[str, Path]:
    """Id -> its one file in the folder."""
    found: dict[str, list[Path]] = {name: [] for name in ids}
    for path in list_folder(folder):
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


def _mpp(folder: Path, record: Mapping[str, str], column: str) -> float:
    text = record[column] if column else ""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise MissingError(f"{folder}/index.csv: mpp of {record['id']} is {text!r}. Give microns per pixel or nothing.")
    return value


def some(names: Sequence[str]) -> str:
    """The first five, `printable`, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(printable, names[:5])) + more
