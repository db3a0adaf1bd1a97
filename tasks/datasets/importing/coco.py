"""COCO annotations: one JSON file with images, annotations (polygons or run lengths) and categories.

Format: https://cocodataset.org/#format-data. Run lengths count down the columns of an image, first of 0, then of 1; the
compressed text of them is that of pycocotools' `rleFrString`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, UsageError
from bench.files.regular import describe_fault, list_folder
from bench.messages import shorten
from tasks.datasets.importing import polygons
from tasks.datasets.importing.pairing import ImportOptions, Item, Pairing, Stored
from tasks.datasets.importing.polygons import Shape, Window
from tasks.datasets.importing.shapes import ClassTable, polygon_map, read_json
from tasks.datasets.importing.table import Search
from tasks.datasets.index import some

PARTS = ("images", "annotations", "categories")


def describe(source: Path) -> str:
    """What of this layout the source has; empty if nothing."""
    found = _files(source)
    return f"COCO annotations in {some([path.name for path in found])}" if found else ""


def _check_ids(ids: list[Any], annotated: Mapping[Any, Any], path: Path) -> None:
    """DamagedError where two images have one id, or an annotation is of an image that is not listed."""
    counts = Counter(ids)
    if twice := [each for each, count in counts.items() if count > 1]:
        raise DamagedError(f"{path}: two images have the id {shorten(twice[0])}, and annotations are found by it.")
    if strange := [each for each in annotated if each not in counts]:
        raise DamagedError(f"{path}: an annotation has the image_id {shorten(strange[0])}, which images does not list.")


def open_pairing(options: ImportOptions) -> Pairing:
    """The images of the one COCO file. Raises DamagedError where it is not as the format says."""
    found = _files(options.source)
    if len(found) != 1:
        shown = some([path.name for path in found]) or "none"
        raise UsageError(f"{options.source} has {len(found)} COCO files ({shown}). Give the one that is meant as SOURCE.")
    path = found[0]
    held = read_json(path)
    records = {part: _records(held, part, path) for part in PARTS}
    numbers = {_key(each, "id", path): str(_key(each, "name", path)) for each in records["categories"]}
    table = ClassTable.make(list(numbers.values()), options)
    by_image: dict[Any, list[tuple[str, Mapping[str, Any]]]] = {}
    for note in records["annotations"]:
        category = _key(note, "category_id", path)
        if category not in numbers:
            raise DamagedError(
                f"{path}: an annotation has the category_id {shorten(category)}, which categories does not list."
            )
        by_image.setdefault(_key(note, "image_id", path), []).append((numbers[category], note))
    _check_ids([_key(each, "id", path) for each in records["images"]], by_image, path)
    search = Search(path.parent)
    items, unpaired = [], {}
    for each in records["images"]:
        name = str(_key(each, "file_name", path))
        image = search.find(name, False)
        if image is None:
            unpaired[name] = f"{path.name}: the image {name} does not exist below {path.parent}"
            continue
        notes = by_image.get(_key(each, "id", path), [])
        make = partial(_shapes, notes, table, f"{path.name}, {name}", (each.get("height"), each.get("width")))
        items.append(Item(image.stem, Stored(name, image), polygon_map(make, table, f"{path.name}, {name}")))
    statements = table.statements(options)
    return Pairing(
        "coco",
        f"annotations of {path.name} by image_id",
        items,
        kind=options.kind,
        classes=table.classes,
        statements=statements,
        unpaired=unpaired,
    )


def _files(source: Path) -> list[Path]:
    paths = [source] if source.suffix.lower() == ".json" else list_folder(source)
    if source.suffix.lower() != ".json" and (source / "annotations").is_dir():
        paths = [*paths, *list_folder(source / "annotations")]
    return [path for path in paths if path.suffix.lower() == ".json" and not describe_fault(path) and _is_coco(path)]


def _is_coco(path: Path) -> bool:
    try:
        held = read_json(path)
    except DamagedError:
        return False
    return isinstance(held, dict) and all(isinstance(held.get(part), list) for part in PARTS)


def _records(held: Any, part: str, path: Path) -> list[Mapping[str, Any]]:
    if not all(isinstance(each, dict) for each in held[part]):
        raise DamagedError(f"{path}: {part} is a list of objects in COCO.")
    return list(held[part])


def _key(record: Mapping[str, Any], name: str, path: Path) -> Any:
    found = record.get(name)
    if not isinstance(found, str | int):
        raise DamagedError(f"{path}: {shorten(str(dict(record)), 60)} has no {name}.")
    return found


def _shapes(
    notes: Sequence[tuple[str, Mapping[str, Any]]],
    table: ClassTable,
    where: str,
    stated: tuple[Any, Any],
    size: tuple[int, int],
) -> list[Shape]:
    """The annotations of an image of the `size` height, width. DamagedError where the file states another one: what was
    annotated is another version of the image, and polygons would lie elsewhere."""
    if any(given is not None and given != real for given, real in zip(stated, size, strict=True)):
        height, width = (shorten("?" if given is None else given, 20) for given in stated)
        raise DamagedError(
            f"{where}: the file of annotations states {width} x {height} px, and the image is {size[1]} x {size[0]} px. Give "
            "the image that was annotated, or correct width and height."
        )
    made = []
    for category, note in notes:
        found = note.get("segmentation")
        number = table.number(category)
        if isinstance(found, dict):
            made.append(Shape(number, (), Window.crop(decode_runs(found, where, size))))
        elif isinstance(found, list) and found:
            rings = tuple((polygons.to_ring(_as_pairs(ring, where), where),) for ring in found)
            made.append(Shape(number, rings))
        else:
            raise DamagedError(f"{where}: an annotation of {shorten(category)} has no segmentation. Boxes are no maps.")
    return made


def _as_pairs(ring: Any, where: str) -> list[tuple[Any, Any]]:
    if not isinstance(ring, list) or len(ring) % 2:
        raise DamagedError(f"{where}: a polygon of COCO is a list x1, y1, x2, y2, ...")
    return list(zip(ring[::2], ring[1::2], strict=True))


def decode_runs(held: Mapping[str, Any], where: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """bool (h, w) of COCO run lengths. Raises DamagedError if they are of another size."""
    counts = held.get("counts")
    found = _uncompress(counts, where) if isinstance(counts, str) else counts
    numbers = found if isinstance(found, list) and all(isinstance(n, int) and n >= 0 for n in found) else []
    if held.get("size") != list(size) or sum(numbers) != size[0] * size[1]:
        raise DamagedError(
            f"{where}: run lengths of the size {held.get('size')} for an image of {list(size)} (height, width)."
        )
    values = np.arange(len(numbers)) % 2 == 1
    return np.repeat(values, numbers).reshape(size, order="F")


def _uncompress(text: str, where: str) -> list[int]:
    """The numbers of compressed run lengths: 5 bits a letter, the sixth says that more follow, from the third number on as
    differences from the number two before."""
    numbers: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise DamagedError(f"{where}: damaged run lengths.")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    return numbers
