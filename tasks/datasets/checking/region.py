"""Checks a folder of images and class maps, as the dataset `folder` reads it."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.errors import BenchError, DamagedError
from bench.files import json_files
from bench.files.regular import describe_fault
from bench.histology.sampling import is_plausible_mpp
from tasks.datasets.checking.finding import ClassShare, Report
from tasks.datasets.folder import ENLARGE, Folder, corners, encoder
from tasks.datasets.importing.reading import check_size
from tasks.datasets.importing.writing import MANIFEST
from tasks.datasets.index import LAYOUT, Index, Row, find_rows, read_records, some
from tasks.datasets.pixels import IGNORE, read_classes, read_image, resample

SIZE, SMALLEST, LARGEST = 64, 0.2, 0.8
"""Defaults of the dataset `folder`."""
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bounds of the ranges of shares that patches are counted in."""
STRIDE = 16
"""Of the sides of patches that segmentation takes."""
KNOWN_TASKS = {("normal", "tumour"): "cam16-seg", ("background", "stroma", "benign", "cancer"): "panda-seg"}
"""Names of classes -> the task that means them; any others run as region-seg."""


@dataclass
class _Seen:
    """What the files of a folder hold."""

    sizes: Counter[str] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    shares: dict[int, Counter[str]] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    """Classes that kept patches show."""
    small: int = 0
    shortest: int = 0
    faults: list[str] = field(default_factory=list)


def check_region(folder: Path, size: int | None, mpp: float | None) -> Report:
    """The report of a folder with images/, region/ or masks/, and index.csv."""
    report = Report(str(folder), "a data folder of images and class maps")
    try:
        index = read_records(folder, LAYOUT)
        rows = find_rows(folder, index)
    except BenchError as error:
        report.faults.append(str(error))
        return report
    report.images = len(rows)
    _describe_mpp(report, rows, index)
    names = read_names(folder)
    asked = mpp or _common_mpp(rows)
    seen = _read_all(rows, size or SIZE, asked)
    _describe_files(report, seen, names, size or SIZE, asked)
    report.faults += seen.faults
    sampling = Folder(folder, confirm_mpp=True).sampling if not report.faults else None
    if sampling is not None:
        report.sampling = {
            "sampling unit": f"{len({row.source for row in rows})} {sampling.unit} ({sampling.basis})",
            "splits": _splits(rows, sampling.splits),
        }
        if index.cluster:
            count = len({row.cluster for row in rows})
            report.sampling["laboratories"] = f"{count} (column {index.cluster} of index.csv)"
    if not report.faults:
        _propose_run(report, folder, seen, names, size or SIZE, asked)
    return report


def read_names(folder: Path) -> tuple[str, ...]:
    """Names of classes that an import kept; none without them."""
    path = folder / MANIFEST
    if describe_fault(path):
        return ()
    try:
        held = json_files.read_object(path).get("classes")
    except DamagedError:
        return ()
    found = [each.get("name") for each in held if isinstance(each, dict)] if isinstance(held, list) else []
    return tuple(name for name in found if isinstance(name, str)) if all(isinstance(n, str) for n in found) else ()


def _common_mpp(rows: Sequence[Row]) -> float | None:
    """The coarsest resolution where images differ in it, which all of them can be read at; else None."""
    known = {row.mpp for row in rows if not math.isnan(row.mpp)}
    return max(known) if len(known) > 1 and not any(math.isnan(row.mpp) for row in rows) else None


def _describe_mpp(report: Report, rows: Sequence[Row], index: Index) -> None:
    counts = Counter("not known" if math.isnan(row.mpp) else f"{row.mpp:g}" for row in rows)
    report.mpp = ", ".join(f"{value} ({count} images)" for value, count in counts.items())
    if strange := [f"{row.id} ({row.mpp:g})" for row in rows if not is_plausible_mpp(row.mpp)]:
        report.faults.append(
            f"index.csv: mpp of {some(strange)} lies outside 0.1 to 4 microns per pixel. Correct it, or confirm it with "
            "-o confirm_mpp=true"
        )
    if len(counts) > 1 and "not known" in counts:
        report.faults.append(f"index.csv: {counts['not known']} images have no mpp and others have one. Fill in the column")


def _read_all(rows: Sequence[Row], size: int, mpp: float | None) -> _Seen:
    seen = _Seen()
    for row in rows:
        try:
            image, mask = read_image(row.image), read_classes(row.mask)
            check_size(row.image, image.shape, str(row.mask), mask.shape)
            if mpp is not None and not row.mpp <= ENLARGE * mpp:
                known = "unknown" if math.isnan(row.mpp) else f"{row.mpp:g}"
                raise DamagedError(
                    f"{row.image}: {mpp:g} microns per pixel were asked for, and those of the image are {known}"
                )
        except BenchError as error:
            seen.faults.append(str(error))
            continue
        seen.sizes[f"{image.shape[1]} x {image.shape[0]}"] += 1
        numbers, counts = np.unique(mask, return_counts=True)
        seen.pixels.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        seen.images.update(set(numbers.tolist()))
        if mpp is not None:
            mask = resample(image, mask, row.mpp / mpp)[1]
        seen.small += min(mask.shape) < size
        seen.shortest = max(seen.shortest, min(mask.shape))
        for x, y in corners(mask.shape, size, size):
            _count_tile(mask[y : y + size, x : x + size], seen)
    return seen


def _count_tile(tile: np.ndarray, seen: _Seen) -> None:  # type: ignore[type-arg]
    fate = encoder(tile, SMALLEST, LARGEST)
    seen.fates[fate] += 1
    if fate != "kept":
        return
    counts = np.bincount(tile.ravel(), minlength=IGNORE + 1)[:IGNORE]
    for number in np.flatnonzero(counts).tolist():
        share = counts[number] / counts.sum()
        at = next(i for i in range(1, len(EDGES)) if share <= EDGES[i])
        seen.shares.setdefault(number, Counter())[f"{EDGES[at - 1]:g}-{EDGES[at]:g}"] += 1
        seen.kept.add(number)


def _describe_files(report: Report, seen: _Seen, names: tuple[str, ...], size: int, mpp: float | None) -> None:
    report.sizes = dict(seen.sizes.most_common())
    total = sum(seen.pixels.values())
    annotated = total - seen.pixels[IGNORE]
    report.not_annotated = seen.pixels[IGNORE] / total if total else 0.0
    report.classes = [
        ClassShare(
            number,
            names[number] if number < len(names) else f"class-{number}",
            seen.pixels[number] / annotated,
            f"{seen.images[number]} images",
            dict(sorted(seen.shares.get(number, Counter()).items())),
        )
        for number in sorted(seen.pixels)
        if number != IGNORE
    ]
    at = f" at {mpp:g} microns per pixel" if mpp else ""
    report.patches = {
        f"patches of {size} px{at}": f"{seen.fates['kept']} kept of {seen.fates.total()}; {seen.fates['share']} dropped since "
        f"their first class covers more than {LARGEST:.0%} or their second less than {SMALLEST:.0%}, "
        f"{seen.fates['ignored']} since more than half is not annotated; {seen.small} images are smaller"
    }


def _splits(rows: Sequence[Row], origin: str) -> str:
    counts = Counter(row.split for row in rows if row.split)
    shown = ", ".join(f"{name} {count} images" for name, count in counts.items())
    return f"{shown} ({origin})" if shown else origin


def _propose_run(report: Report, folder: Path, seen: _Seen, names: tuple[str, ...], size: int, mpp: float | None) -> None:
    """Adds the command that runs, tried with the dataset itself; or what is wrong."""
    found = sorted(number for number in seen.pixels if number != IGNORE)
    if len(found) < 2:
        hint = " 255 is not annotated: if it is a class, import the folder with --palette" if seen.pixels[IGNORE] else ""
        report.faults.append(f"the maps hold {len(found)} class{'es' * (len(found) != 1)}, and a run needs two.{hint}")
        return
    if not seen.fates["kept"]:
        report.faults.append(_no_patch(seen, size))
        return
    kept = sorted(seen.kept)
    class_map = ""
    if kept != list(range(len(kept))) or kept != found:
        pairs = [f"{number}={kept.index(number) if number in kept else 'ignore'}" for number in found]
        class_map = ",".join(pairs)
        for number in found:
            if number not in kept:
                report.notes.append(f"no patch shows class {number}: it is mapped to ignore")
    is_named = bool(names) and all(number < len(names) for number in kept)
    chosen = tuple(names[number] for number in kept) if is_named and not _is_numbered(names) else ()
    try:
        data = Folder(folder, size=size, mpp=mpp, class_map=class_map, classes=",".join(chosen))
        counts = {name: len(data.split(name).conditions) for name in ("train", "validation", "test")}
    except BenchError as error:
        report.faults.append(str(error))
        return
    report.patches["patches of each split"] = ", ".join(f"{name} {count}" for name, count in counts.items())
    if size % STRIDE:
        report.notes.append(f"segmentation takes patches of a multiple of {STRIDE} px: --no-downstream leaves it out")
    report.commands.append(_run_line(folder, chosen, class_map, size, mpp))


def _run_line(folder: Path, classes: tuple[str, ...], class_map: str, size: int, mpp: float | None) -> str:
    task = KNOWN_TASKS.get(classes, "region-seg")
    words = ["bench", "run", "-g", "ldm-prompt", "-t", task, "--data", str(folder)]
    words += ["--class-map", class_map] if class_map else []
    words += ["-o", f"dataset.classes={','.join(classes)}"] if classes else []
    words += ["-o", f"dataset.size={size}"] if size != SIZE else []
    words += ["-o", f"dataset.mpp={mpp:g}"] if mpp else []
    words += ["--no-downstream"] if size % STRIDE else []
    return shlex.join(words)


def _is_numbered(names: tuple[str, ...]) -> bool:
    return all(name == f"class-{i}" for i, name in enumerate(names))


def _no_patch(seen: _Seen, size: int) -> str:
    if seen.shortest < size:
        return f"all images are smaller than {size} px. Give --size {max(STRIDE, seen.shortest // STRIDE * STRIDE)}"
    return (
        f"no patch of {size} px has two classes of at least {SMALLEST:.0%}: {seen.fates['share']} have one class or a small "
        f"second one, {seen.fates['ignored']} are mostly not annotated. Try another --size, or images with borders of classes"
    )
