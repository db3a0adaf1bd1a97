"""Prepared folders of random patches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.datasets.prepared.writer import PreparedPart, assemble, write_part

SIZE, MPP, CLASSES = 16, 0.5, ("normal", "tumour", "necrosis")
SLIDES = 12


def make_part(number: int, patches: int = 6, **texts: str) -> PreparedPart:
    """A slide whose patches show all three classes; splits take turns, centres are two."""
    rng = np.random.default_rng(number)
    images = rng.integers(0, 256, (patches, SIZE, SIZE, 3), np.uint8)
    masks = np.zeros((patches, SIZE, SIZE), np.uint8)
    masks[:, :, 8:] = 1
    masks[:, :2, :2] = 2
    masks[:, -1] = 255
    masks[: patches // 2, :, 4:8] = 1  # tumour has the larger share in half of them
    corners = np.array([(0, SIZE * i) for i in range(patches)], np.int64).reshape(-1, 2)
    split = ("train", "train", "validation", "test")[number % 4]
    known = {"case": "", "patient": f"patient-{number}", "centre": ("A", "B")[number % 2], "split": split, **texts}
    return PreparedPart(slide=f"slide-{number:02d}", images=images, masks=masks, corners=corners, **known)


def write_parts(place: Path, parts: Sequence[PreparedPart]) -> list[Path]:
    folders = []
    for part in parts:
        folder = place / part.slide
        folder.mkdir(parents=True)
        write_part(folder, part, CLASSES, MPP)
        folders.append(folder)
    return folders


def make_folder(place: Path, parts: Sequence[PreparedPart] | None = None, name: str = "set") -> Path:
    """A prepared folder of `SLIDES` slides."""
    made = write_parts(place / f"parts-{name}", [make_part(i) for i in range(SLIDES)] if parts is None else parts)
    assemble(made, place / name, SIZE, MPP, CLASSES, {"by": "test"}, [("slide-99", "blank")])
    return place / name
