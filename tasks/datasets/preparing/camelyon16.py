"""CAMELYON16: lymph nodes, tumour outlined in XML files of ASAP.

    ROOT/training/normal/*.tif   ROOT/training/tumor/*.tif   ROOT/training/lesion_annotations/*.xml
    ROOT/testing/images/*.tif    ROOT/testing/lesion_annotations/*.xml    ROOT/testing/reference.csv

or, in one folder each, ROOT/images/ and ROOT/annotations/ with the names of the release. The groups _0, _1 and Tumor are
tumour; _2, Exclusion and None are cut out of it. What is not outlined is normal, but for slides that the authors call not
exhaustively annotated: there it is not annotated, except close to an outline.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from bench.errors import MissingError
from bench.files.regular import is_folder, is_there, read_text
from tasks.datasets.preparing.slide_list import MapRule, SlideList, SlideSource, read_manifest, slides_below

CLASSES = ("normal", "tumour")
NORMAL, TUMOUR = 0, 1
GROUPS = {"_0": TUMOUR, "_1": TUMOUR, "Tumor": TUMOUR, "_2": NORMAL, "Exclusion": NORMAL, "None": NORMAL}
"""Label -> class, from the lowest to the highest."""
BY_NAME = {"normal": "normal", "tumor": "tumour"}
"""Begin of the names of training slides -> what they show."""
MARGIN = 64.0
"""Microns around an outline of a slide that is annotated in part."""
WHOLE = MapRule(GROUPS, outside=NORMAL)
PART = MapRule(GROUPS, margin=MARGIN, around=NORMAL)
NOTES = (
    "test: the official test slides; validation: those of PatchCamelyon's validation split; train: the other training slides",
    f"slides that are not exhaustively annotated are used inside their outlines and up to {MARGIN:g} microns around them",
    "glass within a patch is normal; a patch has tissue on at least half of it",
    "the release does not name patients or centres: the slide is the sampling unit",
)


def list_slides(root: Path) -> SlideList:
    """The slides of a copy of the release. MissingError where it has not the layout."""
    held = read_manifest("camelyon16")
    removed: dict[str, str] = held["removed"]
    slides, exclusions = [], []
    for name, (path, xml, status) in sorted(_find(root).items()):
        if name in removed:
            exclusions.append((name, removed[name]))
        elif xml is None and status != "normal":
            exclusions.append((name, _describe_missing(status)))
        else:
            slides.append(_plan_slide(name, path, xml, held))
    return SlideList("camelyon16", CLASSES, tuple(slides), tuple(exclusions), NOTES)


def _plan_slide(name: str, path: Path, xml: Path | None, held: dict[str, Any]) -> SlideSource:
    split = "test" if name.startswith("test_") else "validation" if name in held["validation"]["slides"] else "train"
    map_rule = PART if name in held["partial"]["slides"] else WHOLE
    return SlideSource(name, path, map_rule, split=split, annotation=xml)


def _describe_missing(status: str) -> str:
    if status == "tumour":
        return "the file with its outlines is missing"
    return "neither outlines nor testing/reference.csv say whether it has tumour"


def _find(root: Path) -> dict[str, tuple[Path, Path | None, str]]:
    """Name -> slide, outlines, and "normal", "tumour" or "" where nothing says which."""
    if is_folder(root / "images") and is_folder(root / "annotations"):
        places = [(root / "images", root / "annotations", "")]
    elif is_folder(root / "training"):
        lesions = root / "training" / "lesion_annotations"
        places = [(root / "training" / "normal", lesions, "normal"), (root / "training" / "tumor", lesions, "tumour")]
        if is_folder(root / "testing"):
            places.append((root / "testing" / "images", root / "testing" / "lesion_annotations", ""))
    else:
        raise MissingError(
            f"{root} has neither training/ and testing/, as CAMELYON16 is released, nor images/ and annotations/. "
            "For slides in another layout: bench prepare slides."
        )
    known = _read_reference(root)
    found: dict[str, tuple[Path, Path | None, str]] = {}
    for images, outlines, status in places:
        for name, path in slides_below(images).items():
            if name in found:
                raise MissingError(f"two slides have one name: {found[name][0]} and {path}. Keep one.")
            xml = outlines / f"{name}.xml"
            shown = status or known.get(name, "") or BY_NAME.get(name.partition("_")[0], "")
            found[name] = (path, xml if is_there(xml) else None, shown)
    return found


def _read_reference(root: Path) -> dict[str, str]:
    """Test slide -> "normal" or "tumour", from the table of the release; empty without one."""
    path = next((p for p in (root / "testing" / "reference.csv", root / "reference.csv") if is_there(p)), None)
    if path is None:
        return {}
    rows = csv.reader(io.StringIO(read_text(path, "table of test slides"), newline=""))
    return {Path(row[0]).stem: "tumour" if row[1].strip().lower() == "tumor" else "normal" for row in rows if len(row) > 1}
