"""How phantom slides are written: pyramids of tiles, and the folders and tables of CAMELYON16, PANDA and TCGA."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tasks.datasets.slides.annotations import Region

if TYPE_CHECKING:
    from tasks.datasets.slides.phantom_slides import PhantomSlide

TILE = 256
STEP = 4
"""Ratio of neighbouring levels."""
_GLEASON = (3, 4, 5)
_PROVIDERS = ("radboud", "karolinska")
_RADBOUD = {"glass": 0, "stroma": 1, "benign": 2}
_KAROLINSKA = {"glass": 0, "stroma": 1, "benign": 1, "cancer": 2}


def write_pyramid(path: Path, pixels: NDArray[np.uint8], mpp: float, description: str | None = None) -> None:
    """A tiled TIFF with levels of a quarter of the side each, deflated. Levels of images are averages, levels of maps samples.

    `pixels` uint8 (h, w, 3) or (h, w). The resolution stands in the TIFF tags; or in a `description` in Aperio's format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as file:
        factor = 1
        while factor == 1 or min(pixels.shape[:2]) // factor >= TILE // STEP:
            level = _shrink(pixels, factor)
            height, width = level.shape[:2]
            text = None if description is None else f"Aperio Image Library v12.0.15\r\n{width}x{height} {description}"
            file.write(
                level,
                tile=(TILE, TILE),
                photometric="rgb" if level.ndim == 3 else "minisblack",
                compression="adobe_deflate",
                subfiletype=1 if factor > 1 and description is None else 0,
                resolution=None if description else (1e4 / mpp / factor, 1e4 / mpp / factor),
                resolutionunit=None if description else "CENTIMETER",
                description=text,
                metadata=None,
            )
            factor *= STEP


def write_asap(path: Path, annotations: list[tuple[str, Region]]) -> None:
    """An annotation file of ASAP with one polygon for each pair of group and region; holes are left to groups."""
    root = ElementTree.Element("ASAP_Annotations")
    listed = ElementTree.SubElement(root, "Annotations")
    for number, (group, region) in enumerate(annotations):
        names = {"Name": f"Annotation {number}", "Type": "Polygon", "PartOfGroup": group, "Color": "#F4FA58"}
        coordinates = ElementTree.SubElement(ElementTree.SubElement(listed, "Annotation", names), "Coordinates")
        for order, (x, y) in enumerate(region.polygon.exterior.coords[:-1]):
            ElementTree.SubElement(coordinates, "Coordinate", {"Order": str(order), "X": repr(x), "Y": repr(y)})
    groups = ElementTree.SubElement(root, "AnnotationGroups")
    for group in sorted({group for group, _ in annotations}):
        ElementTree.SubElement(groups, "Group", {"Name": group, "PartOfGroup": "None", "Color": "#00ff00"})
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _write_camelyon16(out: Path, slide: PhantomSlide, mpp: float) -> None:
    lesions = [("_0" if region.label == "tumour" else "_2", region) for region in slide.regions[1:]]
    number = slide.number + 1
    if slide.number % 3 == 2:
        folder, name, home = out / "testing", f"test_{number:03d}", "images"
        _append(folder / "reference.csv", (), (name, "Tumor" if lesions else "Normal", "IDC" if lesions else "None", "None"))
    else:
        home = "tumor" if lesions else "normal"
        folder, name = out / "training", f"{home}_{number:03d}"
    write_pyramid(folder / home / f"{name}.tif", slide.image, mpp)
    if lesions:
        write_asap(folder / "lesion_annotations" / f"{name}.xml", lesions)
    write_pyramid(out / "truth" / f"{name}.tif", slide.truth, mpp)


def _write_panda(out: Path, slide: PhantomSlide, mpp: float) -> None:
    """Radboud gives cancer a Gleason grade, here one for each slide; Karolinska knows benign tissue and cancer."""
    name = _digest(slide, mpp)
    provider = _PROVIDERS[slide.number % 2]
    grade = _GLEASON[slide.number // 2 % 3]
    meaning = _KAROLINSKA if provider == "karolinska" else {**_RADBOUD, "cancer": grade}
    labels = np.array([meaning[tissue] for tissue in ("glass", "stroma", "benign", "cancer")], dtype=np.uint8)[slide.truth]
    has_cancer = any(region.label == "cancer" for region in slide.regions)
    score, isup = (f"{grade}+{grade}", {3: 1, 4: 4, 5: 5}[grade]) if has_cancer else ("0+0", 0)
    write_pyramid(out / "train_images" / f"{name}.tiff", slide.image, mpp)
    mask = np.zeros((*labels.shape, 3), dtype=np.uint8)
    mask[..., 0] = labels
    write_pyramid(out / "train_label_masks" / f"{name}_mask.tiff", mask, mpp)
    columns = ("image_id", "data_provider", "isup_grade", "gleason_score")
    _append(
        out / "train.csv", columns, (name, provider, isup, score if has_cancer or provider == "karolinska" else "negative")
    )
    write_pyramid(out / "truth" / f"{name}.tif", slide.truth, mpp)


def _write_tcga(out: Path, slide: PhantomSlide, mpp: float) -> None:
    """Slides 0 and 1 are of one patient, 2 of the next, 3 and 4 of one, 5 of the next, and so on."""
    identity, file_id = (uuid.UUID(_digest(slide, mpp, word)) for word in ("slide", "file"))
    group, place = divmod(slide.number, 3)
    patient = 2 * group + place // 2
    barcode = f"TCGA-P{patient % 4}-{patient:04d}-01Z-00-DX{1 + place % 2}"
    name = f"{barcode}.{str(identity).upper()}"
    path = out / str(file_id) / f"{name}.svs"
    side = len(slide.image)
    description = f"[0,0 {side}x{side}] ({TILE}x{TILE}) DEFLATE/RGB|AppMag = {round(10 / mpp)}|MPP = {mpp:g}"
    write_pyramid(path, slide.image, mpp, description)
    content = path.read_bytes()
    row = (str(file_id), path.name, hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content), "released")
    _append(out / "gdc_manifest.txt", ("id", "filename", "md5", "size", "state"), row, "\t")
    write_pyramid(out / "truth" / f"{name}.tif", slide.truth, mpp)


WRITERS: dict[str, Callable[[Path, PhantomSlide, float], None]] = {
    "camelyon16": _write_camelyon16,
    "panda": _write_panda,
    "tcga": _write_tcga,
}
"""Kind -> writes a slide and what belongs to it."""


def _shrink(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    if factor == 1:
        return pixels
    height, width = (length // factor * factor for length in pixels.shape[:2])
    if pixels.ndim == 3 and pixels[..., 1:].any():
        return np.asarray(Image.fromarray(pixels[:height, :width]).reduce(factor))
    return np.ascontiguousarray(pixels[factor // 2 : height : factor, factor // 2 : width : factor])


def _append(path: Path, columns: tuple[str, ...], row: tuple[object, ...], delimiter: str = ",") -> None:
    """Adds a row to a table, below the names of its columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        for line in [columns, row] if is_new and columns else [row]:
            file.write(delimiter.join(map(str, line)) + "\n")


def _digest(slide: PhantomSlide, mpp: float, word: str = "slide") -> str:
    """32 hexadecimal digits that name the content of a slide."""
    return hashlib.sha256(f"{word}/{mpp}/".encode() + slide.image.tobytes()).hexdigest()[:32]
