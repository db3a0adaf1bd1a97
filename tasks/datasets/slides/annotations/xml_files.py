"""Annotations of ASAP and of Aperio ImageScope, from parsed XML."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError
from tasks.datasets.slides.annotations.polygons import Collected

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_ASAP_AREAS = ("Polygon", "Rectangle", "Spline")
"""Kinds of annotation that enclose an area. A spline is read as the polygon through its points."""
_POLYGON, _RECTANGLE, _ELLIPSE = "0", "1", "2"
"""Values of `Type` of an ImageScope region; others are arrows and rulers."""
_ELLIPSE_POINTS = 64
_DEFAULT_NAME = re.compile(r"Layer \d+")


def collect_asap(path: Path, root: Element) -> Collected:
    """Regions of an ASAP file; the label is `PartOfGroup`, and `None` where it is absent, as ASAP writes it."""
    found = Collected()
    for number, annotation in enumerate(root.iter("Annotation")):
        kind = annotation.get("Type", "Polygon")
        if kind not in _ASAP_AREAS:
            found.dropped[kind] += 1
            continue
        where = f"{path}: annotation {annotation.get('Name') or number}"
        points = sorted(annotation.iter("Coordinate"), key=lambda point: _number(where, point, "Order", "0"))
        found.add(annotation.get("PartOfGroup") or "None", _read_points(where, points))
    return found


def collect_imagescope(path: Path, root: Element) -> Collected:
    """Regions of an ImageScope file. The label is the name of the layer, or of its attribute where the layer has none.

    A region with `NegativeROA="1"` is cut out of the other regions of its layer.
    """
    found = Collected()
    for layer in root.iter("Annotation"):
        label = _name_layer(layer)
        shells: list[NDArray[np.float64]] = []
        holes: list[NDArray[np.float64]] = []
        for region in layer.iter("Region"):
            where = f"{path}: region {region.get('Id', '?')} of {label}"
            outline = _outline(where, region)
            if outline is None:
                found.dropped[f"region of type {region.get('Type')}"] += 1
            else:
                (holes if region.get("NegativeROA") == "1" else shells).append(outline)
        _add_layer(found, label, shells, holes)
    return found


def _add_layer(found: Collected, label: str, shells: list[NDArray[np.float64]], holes: list[NDArray[np.float64]]) -> None:
    """Shells without the holes that touch them, by `shapely.difference`: a hole need not lie inside one shell."""
    import shapely

    negative = Collected()
    for hole in holes:
        negative.add(label, hole)
    found.repaired += negative.repaired
    found.dropped += negative.dropped
    cut = shapely.union_all([region.polygon for region in negative.regions]) if negative.regions else None
    for shell in shells:
        found.add(label, shell, cut=cut)


def _outline(where: str, region: Element) -> NDArray[np.float64] | None:
    """float64 (n, 2), or None for a shape that encloses nothing. Two corners of a rectangle or ellipse stand for the whole."""
    kind = region.get("Type", _POLYGON)
    if kind not in (_POLYGON, _RECTANGLE, _ELLIPSE):
        return None
    points = _read_points(where, list(region.iter("Vertex")))
    if kind == _POLYGON or len(points) == 0 or (kind == _RECTANGLE and len(points) > 2):
        return points
    low, high = points.min(axis=0), points.max(axis=0)
    if kind == _RECTANGLE:
        return np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    angle = np.linspace(0, 2 * math.pi, _ELLIPSE_POINTS, endpoint=False)
    return (low + high) / 2 + (high - low) / 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _name_layer(layer: Element) -> str:
    """The layer's name; where it has none but that of ImageScope, `Layer 2`, the name of its attribute, or the value of its
    attribute `Description`; else `Layer` and its number."""
    given = (layer.get("Name") or "").strip()
    if given and not _DEFAULT_NAME.fullmatch(given):
        return given
    for attribute in layer.findall("Attributes/Attribute"):
        name, value = (attribute.get("Name") or "").strip(), (attribute.get("Value") or "").strip()
        if name and name != "Description":
            return name
        if name and value:
            return value
    return given or f"Layer {layer.get('Id', '?')}"


def _read_points(where: str, points: list[Element]) -> NDArray[np.float64]:
    return np.array([[_number(where, point, axis) for axis in "XY"] for point in points], dtype=np.float64).reshape(-1, 2)


def _number(where: str, point: Element, name: str, default: str | None = None) -> float:
    text = point.get(name, default)
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DamagedError(f"{where} has a point whose {name} is {text!r}, and a number is needed. Export the file again.")
    return value
