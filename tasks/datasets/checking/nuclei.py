"""Checks a nuclei dataset: Lizard, CoNIC, or a folder of images with instance and type maps."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.types import ImageSet
from tasks.datasets import nuclei_tiles
from tasks.datasets.checking.finding import ClassShare, Report
from tasks.datasets.checking.region import read_names
from tasks.datasets.conic import Conic
from tasks.datasets.importing.reading import check_size
from tasks.datasets.index import SPLIT_NAMES, SUFFIXES, find_files, read_records
from tasks.datasets.lizard import Lizard
from tasks.datasets.nuclei_folder import FOLDERS, LAYOUT, NucleiFolder
from tasks.datasets.pixels import IGNORE, read_classes, read_image, read_instances

READERS: Mapping[str, Any] = {"lizard": Lizard, "conic": Conic, "nuclei-folder": NucleiFolder}
"""The readers of the task lizard-nuclei, in its order."""
SIZE = 128
SPLITS = ("train", "validation", "test", "R1", "R2")


def check_nuclei(folder: Path, reader: str, size: int | None, mpp: float | None) -> Report:
    """The report of a folder that one of `READERS` reads."""
    report = Report(str(folder), f"{reader}, nuclei with types")
    options: dict[str, Any] = {"size": size} if size else {}
    if mpp is not None:
        options["mpp"] = mpp
    if reader == "nuclei-folder":
        _check_files(report, folder)
        names = read_names(folder)[1:]
        options |= {"types": ",".join(names)} if names else {}
    elif options:
        report.faults.append(f"{reader} has patches of {SIZE} px of its own resolution: leave out --size and --mpp")
    if report.faults:
        return report
    try:
        data = READERS[reader](folder, **options)
        _describe(report, data)
    except BenchError as error:
        report.faults.append(str(error))
        return report
    words = ["bench", "run", "-g", "nasdm", "-t", "lizard-nuclei", "--data", str(folder)]
    words += [word for name, value in options.items() for word in ("-o", f"dataset.{name}={value}")]
    report.commands.append(shlex.join(words))
    return report


def _check_files(report: Report, folder: Path) -> None:
    """Adds what is wrong with each file, and what all of them hold."""
    try:
        index = read_records(folder, LAYOUT, {**SPLIT_NAMES, "r1": "R1", "r2": "R2"})
        ids = [record.id for record in index.records]
        suffixes = (SUFFIXES, frozenset({".png"}), frozenset({".png"}))
        files = [find_files(folder / part, known, ids) for part, known in zip(FOLDERS, suffixes, strict=True)]
    except BenchError as error:
        report.faults.append(str(error))
        return
    report.images = len(ids)
    counts = Counter("not known" if math.isnan(r.mpp) else f"{r.mpp:g}" for r in index.records)
    report.mpp = ", ".join(f"{value} ({count} images)" for value, count in counts.items())
    sizes: Counter[str] = Counter()
    for name in ids:
        image_at, inst_at, type_at = (part[name] for part in files)
        try:
            image, instances, types = read_image(image_at), read_instances(inst_at), read_classes(type_at)
            check_size(image_at, image.shape, str(inst_at), instances.shape)
            check_size(image_at, image.shape, str(type_at), types.shape)
            nuclei_tiles.check(instances, types, f"{inst_at} and {type_at}")
        except BenchError as error:
            report.faults.append(str(error))
            continue
        sizes[f"{image.shape[1]} x {image.shape[0]}"] += 1
    report.sizes = dict(sizes.most_common())


def _describe(report: Report, data: Any) -> None:
    """Adds classes, sampling and patches, of the splits that a run reads."""
    splits: dict[str, ImageSet] = {name: data.split(name) for name in SPLITS}
    classes = splits["train"].conditions.classes
    disjoint = [splits[name].conditions for name in ("train", "validation", "test", "R2")]
    report.images = report.images or sum(len(set(each.groups.tolist())) for each in disjoint)
    pixels: Counter[int] = Counter()
    shown: Counter[int] = Counter()
    for each in disjoint:
        assert each.masks is not None
        for mask in each.masks:
            numbers, counts = np.unique(mask, return_counts=True)
            pixels.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
            shown.update(set(numbers.tolist()))
    total = pixels.total()
    report.not_annotated = pixels[IGNORE] / total
    report.classes = [
        ClassShare(n, name, pixels[n] / (total - pixels[IGNORE]), f"{shown[n]} patches") for n, name in enumerate(classes)
    ]
    report.mpp = report.mpp or f"{disjoint[0].mpp:g}"
    sampling = data.sampling
    units = sum(len(set(each.groups.tolist())) for each in disjoint)
    report.sampling = {"sampling unit": f"{units} {sampling.unit} ({sampling.basis})", "splits": sampling.splits}
    report.patches = {
        f"patches of {splits['train'].conditions.size} px": ", ".join(f"{n} {len(s.conditions)}" for n, s in splits.items())
    }
    report.patches["nuclei"] = ", ".join(f"{name} {count}" for name, count in data.tile_summary.items())
