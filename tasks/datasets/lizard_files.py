"""The files of the Lizard release: where they lie, what a label file holds, and what is refused.

As unpacked from Kaggle or from the University of Warwick, the nested and the flat layout:

    lizard_images1/Lizard_Images1/*.png   or  Lizard_Images1/*.png    RGB, 20x
    lizard_images2/Lizard_Images2/*.png   or  Lizard_Images2/*.png
    lizard_labels/Lizard_Labels/          or  Lizard_Labels/          Labels/*.mat, info.csv

A label file has `inst_map` (h, w), `id` (n, 1), `class` (n, 1), `bbox` (n, 4) as y1, y2, x1, x2, and `centroid`, which is not
read. Numbers in `inst_map` have gaps: the place of a number in `id` is its place in `class` and `bbox`. Types are
1 neutrophil, 2 epithelial, 3 lymphocyte, 4 plasma, 5 eosinophil, 6 connective; the release's README calls 5 neutrophil,
which is a slip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, MissingError
from bench.files.regular import is_folder, is_there
from tasks.datasets.index import find_column, read_table, some
from tasks.datasets.instance_maps import STRAY, check_depth, check_parts
from tasks.datasets.mat_files import read_arrays
from tasks.datasets.nuclei_tiles import CLASSES

LAYOUT = "Lizard has Lizard_Images1/, Lizard_Images2/ and Lizard_Labels/ with Labels/*.mat and info.csv (column Filename)."
LABELS = ("lizard_labels/Lizard_Labels", "Lizard_Labels")
IMAGES = tuple(name for i in (1, 2) for name in (f"lizard_images{i}/Lizard_Images{i}", f"Lizard_Images{i}"))
LARGEST = 2**31 - 1
"""Largest number of a nucleus: maps are int32."""
SLACK = 2
"""Pixels by which the border of a stated box may be off: conventions differ in whether the last row is inside."""
WRONG_BOXES = 0.1
"""Share of nuclei whose box may disagree: single boxes of the release may be off, a wrong order of axes is off everywhere."""


@dataclass(frozen=True)
class Entry:
    """One image of the release and its labels; `slide` is the image's own name where none is given."""

    name: str
    slide: str
    image: Path
    labels: Path


def label_folder(folder: Path) -> Path | None:
    """The folder with Labels/ and info.csv, None where this is not Lizard."""
    return next((folder / name for name in LABELS if is_folder(folder / name / "Labels")), None)


def read_release(folder: Path) -> list[Entry]:
    """Every image of the release in the order of info.csv, each with image, labels and row.

    A column patient, case or slide of info.csv, which the release does not have, says which images are of one slide; an
    empty cell leaves the image to itself. `Source` and `Split` of the release are no such columns: the first names the
    laboratory, the second three cross-validation folds.
    """
    home = label_folder(folder)
    if home is None:
        raise MissingError(f"{folder} is not the Lizard release. {LAYOUT}")
    if not is_there(home / "info.csv"):
        raise MissingError(f"{home} has no info.csv. {LAYOUT}")
    rows = read_table(home / "info.csv", ("Filename",), LAYOUT)
    names = [row["Filename"].removesuffix(".png") for row in rows]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise MissingError(f"{home}/info.csv has {some(twice)} more than once. Keep one row for each image.")
    images = _by_stem([path for place in IMAGES for path in sorted((folder / place).glob("*.png"))])
    labels = _by_stem(sorted((home / "Labels").glob("*.mat")))
    _complete(set(names), set(images), set(labels), home)
    unit = unit_column(rows, f"{home}/info.csv")
    slides = [row.get(unit, "") or name for row, name in zip(rows, names, strict=True)]
    return [Entry(name, slide, images[name], labels[name]) for name, slide in zip(names, slides, strict=True)]


def unit_column(rows: Sequence[Mapping[str, str]], where: str) -> str:
    """The column of info.csv that tells which images belong together, empty without one."""
    return next((column for kind in ("patient", "case", "slide") if (column := find_column(rows, kind, where))), "")


def _by_stem(paths: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise MissingError(f"{found[path.stem]} and {path} have one name. Keep one.")
        found[path.stem] = path
    return found


def _complete(rows: set[str], images: set[str], labels: set[str], home: Path) -> None:
    """Raises MissingError unless images, labels and rows go together."""
    known = {"image": images, "label file": labels, f"row in {home}/info.csv": rows}
    for one, names in known.items():
        for other, others in known.items():
            if lonely := sorted(names - others):
                raise MissingError(
                    f"{len(lonely)} of Lizard have one {one} and no {other}: {some(lonely)}. Unpack the release again, whole."
                )


def read_labels(path: Path) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Instances int32 (h, w), numbered as in the file, and types uint8 (h, w), 0 where there is no nucleus."""
    held = _load(path, ("inst_map", "id", "class", "bbox"))
    instances, ids, types, boxes = held["inst_map"], held["id"].ravel(), held["class"].ravel(), held["bbox"]
    _check_table(path, instances, ids, types, boxes)
    present = np.unique(instances)
    if unlisted := np.setdiff1d(present, [0, *ids.tolist()]).tolist():
        raise DamagedError(f"{path}: inst_map shows nuclei that id does not list: {some([str(i) for i in unlisted])}.")
    if strange := sorted(set(types.tolist()) - set(range(1, len(CLASSES)))):
        raise DamagedError(f"{path}: class holds {some([str(t) for t in strange])}; known are 1 to {len(CLASSES) - 1}.")
    order = np.argsort(ids)
    ids, types, boxes = ids[order], types[order], boxes[order] if len(ids) else boxes
    places = np.where(instances > 0, np.searchsorted(ids, instances) + 1, 0)  # ids may be large: nothing is as long as they
    _check_boxes(path, places, boxes)
    check_parts(instances, str(path), STRAY)
    return instances.astype(np.int32), np.concatenate([[0], types]).astype(np.uint8)[places]


def count_types(path: Path) -> Counter[int]:
    """Type -> number of nuclei that the file lists, without reading its map."""
    return Counter(_load(path, ("class",))["class"].ravel().tolist())


def _load(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The named arrays of whole numbers of a MATLAB file."""
    found, names = read_arrays(path, keys)
    absent = [key for key in keys if key not in found]
    if absent:
        raise DamagedError(
            f"{path} has no {', '.join(absent)}; it holds {', '.join(names) or 'nothing'}: cut short, or of another kind?"
        )
    return {key: _whole(path, key, found[key]) for key in keys}


def _whole(path: Path, key: str, values: Any) -> NDArray[Any]:
    """MATLAB keeps whole numbers as doubles where it likes to."""
    values = np.asarray(values)
    if values.dtype.kind in "iuf" and values.size and max(abs(float(values.max())), abs(float(values.min()))) > LARGEST:
        raise DamagedError(f"{path}: {key} holds {values.max():g}; numbers up to {LARGEST} are read. Number the nuclei anew.")
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and not np.array_equal(values, np.rint(values))):
        raise DamagedError(f"{path}: {key} is of type {values.dtype}, not of whole numbers.")
    if key == "inst_map":
        check_depth(values, 8 * values.dtype.itemsize, f"{path}: inst_map")
    return values.astype(np.int64)


def _check_table(path: Path, instances: Any, ids: Any, types: Any, boxes: Any) -> None:
    n = len(ids)
    if instances.ndim != 2 or len(types) != n or (n and boxes.shape != (n, 4)):
        raise DamagedError(
            f"{path}: for {n} numbers in id, class has {len(types)}, bbox the shape {boxes.shape} and inst_map "
            f"{instances.shape}. Expected are {n}, ({n}, 4) and (height, width)."
        )
    if n and (len(np.unique(ids)) < n or ids.min() < 1):
        raise DamagedError(f"{path}: id lists a number twice or one below 1.")
    if instances.min(initial=0) < 0:
        raise DamagedError(f"{path}: inst_map holds {instances.min()}; nuclei are numbered from 1.")


def _check_boxes(path: Path, places: NDArray[np.int64], boxes: NDArray[np.int64]) -> None:
    """Refuses boxes that are not where the nuclei are: the order y1, y2, x1, x2 and the numbering would be in doubt.

    `places` holds for each pixel the row of its nucleus in `boxes`, counted from 1.
    """
    from scipy.ndimage import find_objects

    found = find_objects(places)
    pairs = list(zip(found, boxes, strict=False))  # the last nuclei of the list may not be drawn
    drawn = [((y.start, y.stop, x.start, x.stop), box) for (y, x), box in ((p, b) for p, b in pairs if p is not None)]
    wrong = sum(bool(np.abs(np.subtract(place, box)).max() > SLACK) for place, box in drawn)
    if wrong > WRONG_BOXES * len(drawn):
        raise DamagedError(
            f"{path}: {wrong} of {len(drawn)} boxes in bbox (y1, y2, x1, x2) are not where inst_map has the nuclei. "
            "Numbers or axes of this file are in another order; take the file of the release."
        )
