"""Annotations in JSON: GeoJSON as QuPath writes it, and the JSON that NCRF converts CAMELYON16 to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError
from tasks.datasets.slides.annotations.polygons import Collected

UNCLASSIFIED = "unclassified"
"""Label of a GeoJSON object that has no classification."""


def collect_ncrf(path: Path, content: dict[str, Any]) -> Collected:
    """Regions with the labels `positive` and `negative`, of objects with `name` and `vertices`."""
    found = Collected()
    for label in ("positive", "negative"):
        for number, shape in enumerate(_list(content.get(label, []), f"{path}: {label}")):
            where = f"{path}: {label} {number}"
            if not isinstance(shape, dict) or "vertices" not in shape:
                raise DamagedError(f"{where} has no vertices. Export the file again.")
            found.add(label, _points(shape["vertices"], where))
    return found


def collect_geojson(path: Path, content: Any) -> Collected:
    """Polygons of a feature collection, a list of features or one feature; the label is the name of the classification."""
    found = Collected()
    for number, feature in enumerate(_features(path, content)):
        where = f"{path}: feature {number}"
        if not isinstance(feature, dict):
            raise DamagedError(f"{where} is no object. Export the file again as GeoJSON.")
        _add_geometry(found, _label(feature), feature.get("geometry"), where)
    return found


def _features(path: Path, content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    kind = content.get("type")
    if kind == "FeatureCollection":
        return _list(content.get("features"), f"{path}: features")
    if kind == "Feature":
        return [content]
    raise DamagedError(f"{path} is a GeoJSON object of type {kind!r}, and a FeatureCollection or Feature is needed.")


def _label(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    kind = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(kind, str):
        return kind or UNCLASSIFIED
    if not isinstance(kind, dict):
        return UNCLASSIFIED
    names = kind.get("names")
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return ": ".join(names)
    return str(kind.get("name") or UNCLASSIFIED)


def _add_geometry(found: Collected, label: str, geometry: Any, where: str) -> None:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":
        for part in _list(geometry.get("geometries"), where):
            _add_geometry(found, label, part, where)
    elif kind == "Polygon":
        _add_polygon(found, label, geometry.get("coordinates"), where)
    elif kind == "MultiPolygon":
        for rings in _list(geometry.get("coordinates"), where):
            _add_polygon(found, label, rings, where)
    else:
        found.dropped[str(kind or "no geometry")[:40]] += 1


def _add_polygon(found: Collected, label: str, rings: Any, where: str) -> None:
    outlines = [_points(ring, where) for ring in _list(rings, where)]
    if not outlines:
        raise DamagedError(f"{where} has a polygon without points. Export the file again.")
    found.add(label, outlines[0], outlines[1:])


def _list(held: Any, where: str) -> list[Any]:
    if not isinstance(held, list):
        raise DamagedError(f"{where} has {type(held).__name__} where a list is needed. Export the file again.")
    return held


def _points(held: Any, where: str) -> NDArray[np.float64]:
    """float64 (n, 2); a third number of a point, its height, is left out."""
    points = _list(held, where)
    for point in points:
        if not isinstance(point, list) or len(point) < 2 or not all(_is_number(value) for value in point[:2]):
            raise DamagedError(f"{where} has the point {str(point)[:40]}, and two numbers are needed. Export the file again.")
    return np.array([point[:2] for point in points], dtype=np.float64).reshape(-1, 2)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
