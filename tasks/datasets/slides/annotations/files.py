"""Annotation files, recognised by extension and content: ASAP XML, ImageScope XML, QuPath GeoJSON, and the JSON of NCRF.

XML is parsed without entities and document types, JSON strictly, and both up to a stated size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DamagedError
from bench.files import json_files
from bench.files.regular import check_regular, read_bytes
from tasks.datasets.slides.annotations import geojson, xml_files
from tasks.datasets.slides.annotations.polygons import Collected, Region

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LARGEST = 512 * 2**20
"""Bytes of an annotation file that is read."""
FORMATS = "ASAP XML, ImageScope XML, GeoJSON of QuPath, and JSON with the polygons `positive` and `negative`"


@dataclass(frozen=True)
class Annotations:
    """What a file holds: its regions in order, and what had to be changed or left out."""

    regions: tuple[Region, ...]
    format: str
    """`asap`, `imagescope`, `geojson` or `ncrf`."""
    repaired: Mapping[str, int]
    """Fault -> outlines that were repaired, e.g. `crosses itself`."""
    dropped: Mapping[str, int]
    """Reason -> shapes that are no area, e.g. `Dot`."""


def read_annotations(path: Path) -> tuple[Region, ...]:
    """The regions of an annotation file, in its order. Raises as `load_annotations`."""
    return load_annotations(path).regions


def load_annotations(path: Path) -> Annotations:
    """The regions of a file with counts of what was repaired or dropped.

    Raises MissingError if the file is absent, and DamagedError, with file and fault, if it is in none of the formats, too
    large, or has a shape without usable coordinates.
    """
    path = Path(path)
    check_regular(path, "annotation file")
    if (size := path.stat().st_size) > LARGEST:
        raise DamagedError(f"the annotation file {path} has {size} bytes, and at most {LARGEST} are read. Split it.")
    if path.suffix.lower() == ".xml":
        name, collected = _collect_xml(path)
    elif path.suffix.lower() in (".json", ".geojson"):
        name, collected = _collect_json(path)
    else:
        raise DamagedError(f"the annotation file {path} has none of the extensions .xml, .json and .geojson.")
    return Annotations(tuple(collected.regions), name, dict(+collected.repaired), dict(+collected.dropped))


def _collect_xml(path: Path) -> tuple[str, Collected]:
    root = _parse_xml(path)
    if root.tag == "ASAP_Annotations":
        return "asap", xml_files.collect_asap(path, root)
    if root.tag == "Annotations":
        return "imagescope", xml_files.collect_imagescope(path, root)
    raise DamagedError(f"{path} is XML with the root <{root.tag[:40]}>. These are read: {FORMATS}.")


def _parse_xml(path: Path) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    content = read_bytes(path, "annotation file")
    try:
        return fromstring(content, forbid_dtd=True)  # type: ignore[no-any-return]
    except ParseError as error:
        raise DamagedError(f"the annotation file {path} is no XML: {error}. Export it again.") from error
    except DefusedXmlException as error:
        raise DamagedError(f"the annotation file {path} has a document type or entities, which are not read.") from error
    except (ValueError, LookupError) as error:  # an unknown or wrong encoding
        raise DamagedError(f"the annotation file {path} cannot be decoded: {error}. Save it as UTF-8.") from error


def _collect_json(path: Path) -> tuple[str, Collected]:
    content: Any = json_files.read(path, "annotation file")
    if isinstance(content, dict) and ("positive" in content or "negative" in content):
        return "ncrf", geojson.collect_ncrf(path, content)
    if isinstance(content, list) or (isinstance(content, dict) and "type" in content):
        return "geojson", geojson.collect_geojson(path, content)
    raise DamagedError(f"{path} is JSON without annotations. These are read: {FORMATS}.")
