"""Slides that nobody has annotated: those of TCGA as the GDC delivers them, or any others.

    ROOT/*.svs    or    ROOT/<file id>/*.svs, as gdc-client writes them
    ROOT/gdc_manifest*.txt    optional: id, filename, md5, size
    ROOT/slides.csv           optional: slide, patient, case, centre, split

A name that begins with a TCGA barcode, TCGA-2J-AAB1-01Z-00-DX1, says the tissue source site (2J) and the patient
(TCGA-2J-AAB1). A folder `truth` is left out: phantom slides have their true maps there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DamagedError, MissingError
from bench.files.regular import is_folder, is_there, list_folder, read_text
from tasks.datasets.index import some
from tasks.datasets.preparing.slide_list import SLIDES, MapRule, SlideList, SlideSource, check_splits
from tasks.datasets.preparing.slides import COLUMNS, read_slide_table

CLASSES = ("glass", "tissue")
BARCODE = re.compile(r"TCGA-(\w{2})-(\w{4})-\d{2}\w-\d{2}-\w{2,3}", re.ASCII)
"""Tissue source site, participant; then sample, portion and slide (docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode)."""
MANIFESTS = "gdc_manifest*.txt"
_NEEDED = ("id", "filename", "md5", "size")


@dataclass(frozen=True)
class _Listed:
    """One row of a manifest of the GDC."""

    folder: str
    md5: str
    size: int


def list_slides(root: Path, manifest: Path | None = None, check_md5: bool = False) -> SlideList:
    """The slides in `root` and in the folders in it. With a manifest (given, or `gdc_manifest*.txt` in root) those it lists;
    files that are absent or of another size are left out, with `check_md5` also those of another content.

    MissingError where there is no slide, two have one name, or a patient is in two splits; DamagedError for what is no
    manifest.
    """
    found = _find(root)
    path = manifest or _find_manifest(root)
    listed = {} if path is None else _read_manifest(path)
    table = read_slide_table(root)
    slides, exclusions = [], []
    for name, file in sorted(found.items()):
        reason = _find_fault(file, listed, check_md5) if path is not None else ""
        if reason:
            exclusions.append((name, reason))
            continue
        known: dict[str, Any] = {column: table.get(name, {}).get(column, "") for column in COLUMNS}
        if barcode := BARCODE.match(name):
            known["patient"] = known["patient"] or f"TCGA-{barcode[1]}-{barcode[2]}"
            known["centre"] = known["centre"] or barcode[1]
        slides.append(SlideSource(name, file, MapRule(tissue=True), **known))
    there = {file.name for file in found.values()}
    exclusions += [(Path(name).stem, "the manifest lists it, and it is not there") for name in sorted(listed.keys() - there)]
    if absent := sorted(table.keys() - found.keys()):
        raise MissingError(f"{root / 'slides.csv'} names slides that are not there: {some(absent)}.")
    check_splits(slides)
    return SlideList("slides without annotation", CLASSES, tuple(slides), tuple(exclusions), _notes(slides, path))


def _notes(slides: list[SlideSource], manifest: Path | None) -> tuple[str, ...]:
    barcodes = sum(BARCODE.match(slide.slide) is not None for slide in slides)
    known = f"{barcodes} of {len(slides)} names are TCGA barcodes, which say patient and tissue source site"
    if unknown := sum(not slide.patient for slide in slides):
        known += f"; of {unknown} slides no patient is known: each is a sampling unit"
    return (known, *([f"slides of the manifest {manifest.name}"] if manifest is not None else []))


def _find(root: Path) -> dict[str, Path]:
    """Stem -> slide."""
    if not is_folder(root):
        raise MissingError(f"no folder {root}.")
    here = sorted(path for path in list_folder(root) if not path.name.startswith("."))
    deeper = [path for folder in here if is_folder(folder) for path in sorted(list_folder(folder))]
    found: dict[str, Path] = {}
    for path in (*here, *deeper):
        if path.suffix.lower() not in SLIDES or path.name.startswith(".") or path.parent.name == "truth":
            continue
        if path.stem in found:
            raise MissingError(f"two slides have one name: {found[path.stem]} and {path}. Keep one.")
        found[path.stem] = path
    if not found:
        raise MissingError(f"{root} and the folders in it hold no slide ({', '.join(sorted(SLIDES))}).")
    return found


def _find_manifest(root: Path) -> Path | None:
    found = sorted(root.glob(MANIFESTS))
    if len(found) > 1:
        raise MissingError(f"{root} has several manifests: {some([path.name for path in found])}. Give one with --manifest.")
    return found[0] if found else None


def _read_manifest(path: Path) -> dict[str, _Listed]:
    """File name -> its row."""
    if not is_there(path):
        raise MissingError(f"no manifest {path}.")
    rows = csv.DictReader(io.StringIO(read_text(path, "manifest of the GDC"), newline=""), delimiter="\t")
    if absent := [name for name in _NEEDED if name not in (rows.fieldnames or ())]:
        raise DamagedError(f"{path} is no manifest of the GDC: it has no column {', '.join(absent)} (separated by tabs).")
    listed: dict[str, _Listed] = {}
    for number, row in enumerate(rows, start=2):
        name, size = row["filename"] or "", row["size"] or ""
        if not name or not (size.isascii() and size.isdecimal() and len(size) < 16):
            raise DamagedError(
                f"{path}:{number}: a file name and its size in bytes are needed; found {name[:80]!r} and {size[:20]!r}."
            )
        if name in listed:
            raise DamagedError(f"{path}:{number} lists {name[:200]} twice.")
        listed[name] = _Listed(row["id"] or "", (row["md5"] or "").lower(), int(size))
    return listed


def _find_fault(path: Path, listed: dict[str, _Listed], check_md5: bool) -> str:
    """Why a file is not what the manifest lists; empty if it is."""
    known = listed.get(path.name)
    if known is None:
        return "the manifest does not list it"
    if (size := path.stat().st_size) != known.size:
        return f"it has {size} bytes, and the manifest says {known.size}: download it again"
    if check_md5:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != known.md5:
            return f"its md5 is {found}, and the manifest says {known.md5[:40]}: download it again"
    return ""
