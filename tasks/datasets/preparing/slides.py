"""Slides of one's own: any format of OpenSlide, each with its annotation beside it.

ROOT/<slide>.svs   with   <slide>.xml, .geojson or .json (polygons), or <slide>_mask.tif (a label slide)
ROOT/slides.csv    optional: slide, patient, case, centre, split
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.errors import MissingError, UsageError
from bench.files.regular import is_there
from bench.messages import shorten
from bench.types import NOT_ANNOTATED
from tasks.datasets.index import SPLIT_NAMES, read_table, some
from tasks.datasets.preparing.slide_list import MapRule, SlideList, SlideSource, check_splits, slide_name, slides_below

POLYGONS = (".xml", ".geojson", ".json")
MASKS = ("_mask.tif", "_mask.tiff")
WITHOUT = "Slides without annotation: bench prepare slides --maps tissue, or bench pseudo-maps"
COLUMNS = ("patient", "case", "centre", "split")


def list_slides(root: Path, classes: str, outside: str = "") -> SlideList:
    """Slides with annotations.

    `classes` is "LABEL=CLASS,...", the last one over all others; labels of a label slide are numbers. `outside` is the class
    of what no polygon covers; empty for not annotated. UsageError and MissingError on what does not fit.
    """
    names, labels = parse_classes(classes)
    if outside and outside not in names:
        raise UsageError(f"--outside {outside}: the classes are {', '.join(names)}.")
    polygons = MapRule(labels, outside=names.index(outside) if outside else NOT_ANNOTATED)
    numbers = tuple(_label_numbers(labels)) if all(label.isdecimal() for label in labels) else ()
    table = read_slide_table(root)
    slides, exclusions = [], []
    for name, path in sorted(slides_below(root).items()):
        if name.endswith("_mask"):
            continue
        known = table.pop(name, {})
        texts = {column: known.get(column, "") for column in COLUMNS}
        drawn = next((p for suffix in POLYGONS if is_there(p := path.with_suffix(suffix))), None)
        mask = next((p for suffix in MASKS if is_there(p := path.with_name(name + suffix))), None)
        if drawn is not None and mask is not None:
            raise MissingError(f"{path} has polygons ({drawn.name}) and a label slide ({mask.name}). Keep one.")
        if drawn is None and mask is None:
            exclusions.append((name, f"no annotation beside it: {', '.join((*POLYGONS, *MASKS))}. {WITHOUT}"))
        elif mask is not None and not numbers:
            raise UsageError(f"{mask} is a label slide: --classes takes its numbers, e.g. 0=normal,1=tumour.")
        else:
            map_rule = polygons if mask is None else MapRule(labels=numbers)
            slides.append(SlideSource(name, path, map_rule, annotation=drawn, labels=mask, **texts))
    if table:
        raise MissingError(f"{root / 'slides.csv'} names slides that are not there: {some(sorted(table))}.")
    check_splits(slides)
    covered = f"what no polygon covers is {outside or 'not annotated'}"
    return SlideList("slides", names, tuple(slides), tuple(exclusions), (f"classes {classes}", covered))


def parse_classes(text: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes in the order of first use, and label -> number of its class; `ignore` is not annotated."""
    names: list[str] = []
    labels: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        label, equals, name = (word.strip() for word in part.rpartition("="))
        if not equals or not label or not name or label in labels:
            raise UsageError(f"--classes takes LABEL=CLASS,..., each label once, e.g. Tumor=tumour,Fat=fat; not {part!r}.")
        if name not in names and name != "ignore":
            names.append(name)
        labels[label] = NOT_ANNOTATED if name == "ignore" else names.index(name)
    if not names:
        raise UsageError("bench prepare slides needs --classes LABEL=CLASS,... for the labels of the annotations.")
    return tuple(names), labels


def _label_numbers(labels: Mapping[str, int]) -> list[int]:
    numbers = {int(label): number for label, number in labels.items()}
    if max(numbers) >= NOT_ANNOTATED:
        raise UsageError(f"labels of a label slide are 0 to {NOT_ANNOTATED - 1}, not {max(numbers)}.")
    return [numbers.get(label, NOT_ANNOTATED) for label in range(max(numbers) + 1)]


def read_slide_table(root: Path) -> dict[str, dict[str, str]]:
    """Slide -> its row of slides.csv; empty without one."""
    path = root / "slides.csv"
    if not is_there(path):
        return {}
    rows = read_table(path, ("slide",), f"slides.csv has the columns slide, {', '.join(COLUMNS)}.")
    made = {}
    for row in rows:
        name = slide_name(row["slide"])
        split = row.get("split", "")
        if split and split.casefold() not in SPLIT_NAMES:
            raise MissingError(f"{path}: split of {shorten(name)} is {shorten(split)!r}; known are train, validation, test.")
        if name in made:
            raise MissingError(f"{path} lists the slide {shorten(name)} twice.")
        made[name] = {**row, "split": SPLIT_NAMES.get(split.casefold(), "")}
    return made
