"""QuPath's GeoJSON polygons beside images: X.png and X.geojson, coordinates in pixels of the image.

Format: RFC 7946, with QuPath's property `classification` (`{"name": ...}`, or `{"names": [...]}` of derived classes).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench.errors import DamagedError
from bench.files.regular import describe_fault, is_folder, list_folder
from bench.messages import shorten
from tasks.datasets.importing import polygons
from tasks.datasets.importing.pairing import ImportOptions, Item, Pairing, Stored
from tasks.datasets.importing.pairs import IMAGE_FOLDERS, check_unique
from tasks.datasets.importing.polygons import Shape
from tasks.datasets.importing.reading import images_in
from tasks.datasets.importing.shapes import ClassTable, polygon_map, read_json
from tasks.datasets.index import some

SUFFIXES = (".geojson", ".json")
UNCLASSIFIED = "unclassified"
AREAS = ("Polygon", "MultiPolygon")


def describe(source: Path) -> str:
    """What of this layout the source has; empty if nothing."""
    pairs, _, _ = _find(source)
    return f"{len(pairs)} images with a GeoJSON file of the same name" if pairs else ""


def open_pairing(options: ImportOptions) -> Pairing:
    """Images with their GeoJSON files. Raises DamagedError where one is not as the format says."""
    pairs, alone, spare = _find(options.source)
    if not pairs:
        raise DamagedError(f"{options.source} has no image with a GeoJSON file of the same name: X.png and X.geojson.")
    check_unique([image for image, _ in pairs])
    features, faults = {}, {}
    for image, notes in pairs:
        try:
            features[image] = _features(notes)
        except DamagedError as error:
            faults[image.name] = str(error).rstrip(".")
    if not features:
        raise DamagedError(f"{next(iter(faults.values()))}.")
    table = ClassTable.make(sorted({name for found in features.values() for name, _ in found}), options)
    items = [
        Item(
            image.stem,
            Stored(image.relative_to(options.source).as_posix(), image),
            polygon_map(
                partial(_shapes, features[image], table, notes.name), table, notes.relative_to(options.source).as_posix()
            ),
        )
        for image, notes in pairs
        if image in features
    ]
    statements = (*table.statements(options), "coordinates are pixels of the image")
    if any(name == UNCLASSIFIED for found in features.values() for name, _ in found):
        statements += (f"objects without a classification are the class {UNCLASSIFIED}",)
    if spare:
        statements += (f"{len(spare)} GeoJSON files without an image are not read: {some([path.name for path in spare])}",)
    return Pairing(
        "geojson",
        "GeoJSON files have the names of their images",
        items,
        kind=options.kind,
        classes=table.classes,
        statements=statements,
        unpaired={**{image.name: f"{image} has no GeoJSON file of the same name" for image in alone}, **faults},
    )


def _find(source: Path) -> tuple[list[tuple[Path, Path]], list[Path], list[Path]]:
    """Images with annotations, images without, annotations without an image."""
    folders = [source, *filter(is_folder, list_folder(source))]
    notes = {
        path.name[: -len(suffix)]: path
        for folder in folders
        for path in list_folder(folder)
        for suffix in SUFFIXES[:1]
        if path.name.lower().endswith(suffix) and not describe_fault(path)
    }
    if not notes:
        return [], [], []
    images = [path for folder in folders if folder == source or folder.name in IMAGE_FOLDERS for path in images_in(folder)]
    pairs = [(image, notes[name]) for image in images if (name := image.name if image.name in notes else image.stem) in notes]
    used = {found for _, found in pairs}
    found = {image for image, _ in pairs}
    return pairs, [image for image in images if image not in found], [path for path in notes.values() if path not in used]


def _features(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Class and geometry of each object. Raises DamagedError."""
    held = read_json(path)
    found = held.get("features", [held]) if isinstance(held, dict) else held
    if not isinstance(found, list) or not all(isinstance(each, dict) and each.get("type") == "Feature" for each in found):
        raise DamagedError(f"{path} is no GeoJSON: a FeatureCollection, or a list of Features, is expected.")
    made: list[tuple[str, Mapping[str, Any]]] = []
    for number, each in enumerate(found, start=1):
        geometry = each.get("geometry")
        if not isinstance(geometry, dict) or geometry.get("type") not in AREAS:
            kind = geometry.get("type") if isinstance(geometry, dict) else "none"
            raise DamagedError(f"{path}: object {number} has the geometry {shorten(kind)}; {' and '.join(AREAS)} are read")
        made.append((_class_of(each.get("properties"), path, number), geometry))
    return made


def _class_of(properties: Any, path: Path, number: int) -> str:
    found = (properties or {}).get("classification") if isinstance(properties, dict | None) else None
    if found is None:
        return UNCLASSIFIED
    name = found if isinstance(found, str) else None
    if isinstance(found, dict):
        names = found.get("names")
        name = found.get("name") or (": ".join(map(str, names)) if isinstance(names, list) and names else None)
    if not isinstance(name, str) or not name:
        raise DamagedError(f"{path}: object {number} has a classification without a name")
    return name


def _shapes(found: list[tuple[str, Mapping[str, Any]]], table: ClassTable, where: str, size: tuple[int, int]) -> list[Shape]:
    made = []
    for name, geometry in found:
        held = geometry.get("coordinates")
        parts = [held] if geometry["type"] == "Polygon" else held
        if not isinstance(parts, list) or not all(isinstance(part, list) and part for part in parts):
            raise DamagedError(f"{where}: a polygon has no coordinates.")
        rings = tuple(tuple(polygons.to_ring(ring, where) for ring in part) for part in parts)
        made.append(Shape(table.number(name), rings))
    return made
