"""A folder that Hugging Face's `datasets` saved to disk (`.arrow` files), or one of its `.parquet` files.

Images are structs of `bytes` and `path`. Format: https://huggingface.co/docs/datasets/about_arrow. No code of the folder is
run, and its table is read with pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from bench.errors import DamagedError, MissingError, UsageError
from bench.files import json_files, names
from bench.files.regular import check_regular, describe_fault, is_folder, list_folder, read_bytes
from tasks.datasets.importing.pairing import ImportOptions, Item, Pairing, Stored
from tasks.datasets.importing.table import IMAGE_NAMES, MASK_NAMES, check_columns, pick
from tasks.datasets.index import SPLIT_NAMES


def describe(source: Path) -> str:
    """What of this layout the source has; empty if nothing."""
    found = _find(source)
    return f"{sum(len(paths) for paths in found.values())} files of Hugging Face datasets" if found else ""


def open_pairing(options: ImportOptions) -> Pairing:
    """The rows of every split. Raises DamagedError where a file is damaged, UsageError where columns are not known."""
    found = _find(options.source)
    if not found:
        raise DamagedError(f"{options.source} has no .arrow or .parquet files of Hugging Face datasets.")
    items: list[Item] = []
    meanings: dict[str, str] = {}
    for split, paths in found.items():
        row = 0
        for path in paths:
            table = _open(path)
            image, mask = _columns(table, options, path)
            meanings = {image: "image", mask: "mask"}
            for i in range(table.num_rows):
                items.append(_item(table, i, (image, mask), split, row, options))
                row += 1
    named = [split for split in found if split.casefold() in SPLIT_NAMES]
    return Pairing(
        "hf",
        "a row holds an image and its map",
        items,
        meanings={**meanings, **({"split": "split, the name of the part"} if len(named) == len(found) else {})},
    )


def _find(source: Path) -> dict[str, list[Path]]:
    """Split, empty without one, -> its files in order."""
    if not describe_fault(source / "dataset_dict.json"):
        splits = json_files.read_object(source / "dataset_dict.json").get("splits")
        if not isinstance(splits, list) or not splits:
            raise DamagedError(f"{source / 'dataset_dict.json'} names no splits.")
        return {str(name): _arrow(names.path_below(source, name, "split")) for name in splits}
    if not describe_fault(source / "state.json") and (found := _arrow(source)):
        return {"": found}
    made: dict[str, list[Path]] = {}
    for folder in (source, source / "data"):
        for path in list_folder(folder) if is_folder(folder) else ():
            if path.suffix == ".parquet" and not describe_fault(path):
                made.setdefault(path.stem.split("-")[0] if "-" in path.stem else "", []).append(path)
    return made


def _arrow(folder: Path) -> list[Path]:
    """The data files of one split, as its state.json lists them."""
    held = json_files.read_object(folder / "state.json").get("_data_files")
    files = (
        [each.get("filename") for each in held] if isinstance(held, list) and all(isinstance(e, dict) for e in held) else []
    )
    if not files:
        raise DamagedError(f"{folder / 'state.json'} names no data files.")
    return [names.path_below(folder, file, "data file") for file in files]


def _open(path: Path) -> Any:
    """The table of a file, memory-mapped."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_regular(path, "table")
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        mapped = pa.memory_map(str(path))
        try:
            return pa.ipc.open_stream(mapped).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"cannot read {path}: {' '.join(str(error).split())[:200]}. Copy it again.") from error


def _columns(table: Any, options: ImportOptions, path: Path) -> tuple[str, str]:
    known = list(table.column_names)
    check_columns(options.columns, known, path)
    image = options.columns.get("image") or pick(known, IMAGE_NAMES)
    mask = options.columns.get("mask") or pick(known, MASK_NAMES)
    pictures = [name for name in known if _is_picture(table.schema.field(name).type)]
    if image not in pictures or mask not in pictures:
        raise UsageError(
            f"which columns of {path} hold images and maps? Columns of images are {', '.join(pictures) or 'none'}. Give "
            "--columns image=COLUMN,mask=COLUMN."
        )
    return str(image), str(mask)


def _is_picture(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind)) and {kind.field(i).name for i in range(kind.num_fields)} >= {"bytes", "path"}


def _item(table: Any, row: int, pictures: tuple[str, str], split: str, number: int, options: ImportOptions) -> Item:
    columns = dict(_texts(table, row))
    if split:
        columns["split"] = split
    paths = [table.column(name)[row]["path"].as_py() for name in pictures]
    own = options.columns.get("id")
    chosen = columns.get(own, "") if own else PurePosixPath(str(paths[0] or "")).stem
    name = chosen or f"{split or 'row'}-{number:06d}"
    image, mask = (
        Stored(
            f"{column} of row {number}{f' of {split}' if split else ''}", read=partial(_content, table, column, row, options)
        )
        for column in pictures
    )
    return Item(name, image, mask, columns)


def _texts(table: Any, row: int) -> Iterator[tuple[str, str]]:
    for name in table.column_names:
        if not _is_picture(table.schema.field(name).type):
            value = table.column(name)[row].as_py()
            if isinstance(value, str | int | float):
                yield name, str(value)


def _content(table: Any, column: str, row: int, options: ImportOptions) -> bytes:
    """The bytes of an image, from the table or from the file below the source that it names."""
    held = table.column(column)[row].as_py()
    if held is None or (held["bytes"] is None and not held["path"]):
        raise MissingError(f"{column} of row {row} is empty.")
    if held["bytes"] is not None:
        return bytes(held["bytes"])
    path = Path(held["path"])
    if path.is_absolute():
        if not path.resolve().is_relative_to(options.source.resolve()):
            raise DamagedError(f"{column} of row {row} is the file {path}, which does not lie below {options.source}.")
        return read_bytes(path, "image")
    return read_bytes(names.path_below(options.source, held["path"], "image"), "image")
