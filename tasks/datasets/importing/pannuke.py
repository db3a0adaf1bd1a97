"""PanNuke's `.npy` files: images.npy, masks.npy and types.npy, in one folder or as released.

Format: Gamper and others 2020, https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke. images (n, 256, 256, 3) of 0 to 255;
masks (n, 256, 256, 6): channels 0 to 4 number the nuclei of a type, the last is background. Numbers occur again in other
channels, and types.npy names the tissue of each image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError
from bench.files.array_files import open_npy
from bench.files.regular import describe_fault
from tasks.datasets.importing.pairing import Computed, ImportOptions, Item, Pairing, Stored
from tasks.datasets.importing.reading import encode_png

TYPES = ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
MPP = 0.25
DEPTH = 4
"""Folders below the source that are searched."""
BACKGROUND_FITS = 0.99
"""Share of an image's pixels that are background where no nucleus is, and only there."""
SAMPLED = 50
"""Images that are looked at to find the channel of the background."""


@dataclass(frozen=True)
class _Part:
    name: str
    images: NDArray[Any]
    masks: NDArray[Any]
    tissues: list[str]


def describe(source: Path) -> str:
    """What of this layout the source has; empty if nothing."""
    found = _find(source)
    return f"{len(found)} pair{'s' * (len(found) > 1)} of images.npy and masks.npy" if found else ""


def open_pairing(options: ImportOptions) -> Pairing:
    """Every image of every part. Raises DamagedError where arrays are not of the release."""
    found = _find(options.source)
    if not found:
        raise DamagedError(f"{options.source} has no images.npy with a masks.npy.")
    parts = [_open(name, images, masks) for name, (images, masks) in found.items()]
    items = [_item(part, row) for part in parts for row in range(len(part.images))]
    tissues = any(part.tissues for part in parts)
    return Pairing(
        "pannuke",
        "rows of masks.npy are those of images.npy",
        items,
        kind="nuclei",
        classes=("background", *TYPES),
        statements=(
            "the last channel of masks is background; channels 0 to 4 are " + ", ".join(TYPES),
            "nuclei are numbered anew over the channels; where two channels overlap, the later one is seen",
            *(
                ("patches of one slide are not marked in the release: each image is its own source",)
                if not options.unit_from
                else ()
            ),
        ),
        meanings={"part": "part, the name of the folder", **({"tissue": "tissue, types.npy"} if tissues else {})},
        mpp=MPP,
        mpp_from="the publication of PanNuke (Gamper and others 2020): 40x",
    )


def renumber(masks: NDArray[Any], where: str) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Instances, int32 (h, w), and types 0 to 5, uint8 (h, w), of one image's channels (h, w, 6).

    Raises DamagedError where values are no whole numbers of 0 and above, or the last channel is not the background.
    """
    held = np.asarray(masks)
    if not np.isfinite(held).all() or (held < 0).any() or (held != np.floor(held)).any() or (held >= 2**31).any():
        raise DamagedError(f"{where}: numbers of nuclei are whole numbers of 0 and above.")
    nuclei = held[..., :-1].astype(np.int64)
    empty = (nuclei == 0).all(axis=-1)
    if ((held[..., -1] > 0) == empty).mean() < BACKGROUND_FITS:
        raise DamagedError(f"{where}: the last channel is not the background, which is where no other channel has a nucleus.")
    instances = np.zeros(empty.shape, np.int32)
    types = np.zeros(empty.shape, np.uint8)
    count = 0
    for channel in range(nuclei.shape[-1]):
        numbers, ranks = np.unique(nuclei[..., channel], return_inverse=True)
        ranks = ranks.reshape(empty.shape) + (numbers[0] != 0)
        inside = ranks > 0
        instances[inside] = ranks[inside] + count
        types[inside] = channel + 1
        count += int(ranks.max())
    return instances, types


def _item(part: _Part, row: int) -> Item:
    name = f"{part.name}_{row:05d}"
    where = f"row {row} of {part.name}"
    columns = {"part": part.name, **({"tissue": part.tissues[row]} if part.tissues else {})}

    def draw(size: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        return renumber(part.masks[row], where)

    return Item(name, Stored(where, read=partial(_png, part.images, row, where)), Computed(where, draw), columns)


def _png(images: NDArray[Any], row: int, where: str) -> bytes:
    pixels = np.asarray(images[row])
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 255:
        raise DamagedError(f"{where}: values of an image lie between 0 and 255.")
    if pixels.size and pixels.max() <= 1 and pixels.dtype.kind == "f":
        raise DamagedError(f"{where}: values of an image lie between 0 and 255, and these between 0 and 1.")
    return encode_png(np.rint(pixels).astype(np.uint8))


def _open(name: str, images_at: Path, masks_at: Path) -> _Part:
    images, masks = open_npy(images_at), open_npy(masks_at)
    channels = len(TYPES) + 1
    if images.ndim != 4 or images.shape[-1] != 3 or masks.shape != (*images.shape[:-1], channels):
        raise DamagedError(
            f"{images_at} has the shape {images.shape}, {masks_at} {masks.shape}; expected are (n, h, w, 3) and "
            f"(n, h, w, {channels})."
        )
    if images.dtype.kind not in "uif" or masks.dtype.kind not in "uif":
        raise DamagedError(f"{images_at} and {masks_at} hold {images.dtype} and {masks.dtype}; expected are numbers.")
    _check_background(masks, masks_at)
    types_at = images_at.with_name("types.npy")
    if describe_fault(types_at):
        return _Part(name, images, masks, [])
    types = open_npy(types_at)
    if types.dtype.kind not in "US" or types.shape != images.shape[:1]:
        raise DamagedError(f"{types_at} has the shape {types.shape} of {types.dtype}; expected is a name of a tissue a row.")
    return _Part(name, images, masks, _name_tissues(types, types_at))


def _name_tissues(types: NDArray[Any], path: Path) -> list[str]:
    """The tissue of each image. DamagedError on characters that cannot be printed, or that do not exist."""
    try:
        words: list[str] = types.astype(str).tolist()
    except (SystemError, ValueError) as error:  # a code point that no character has
        raise DamagedError(f"{path} holds names of tissues that are no text ({error}).") from error
    if not all(word.isprintable() for word in words):
        raise DamagedError(f"{path} holds names of tissues with characters that cannot be printed.")
    return words


def _check_background(masks: NDArray[Any], path: Path) -> None:
    """Raises DamagedError where another channel than the last covers most pixels of some images, spread over the part."""
    rows: NDArray[np.int64] = (
        np.unique(np.linspace(0, len(masks) - 1, SAMPLED).astype(np.int64)) if len(masks) else np.zeros(0, np.int64)
    )
    covered = np.sum([(np.asarray(masks[row]) > 0).sum(axis=(0, 1)) for row in rows], axis=0)
    if len(rows) and (largest := int(covered.argmax())) != masks.shape[-1] - 1:
        raise DamagedError(
            f"{path}: the last channel is the background in the release, and here channel {largest} covers most pixels. If it "
            "is the background, move it to the end."
        )


def _find(source: Path) -> dict[str, tuple[Path, Path]]:
    """Name of the part -> its images and masks."""
    made: dict[str, tuple[Path, Path]] = {}
    paths = [path for depth in range(DEPTH) for path in sorted(source.glob("*/" * depth + "images.npy"))]
    for images in paths:
        inner = images.relative_to(source).parts
        swapped = [part.replace("images", "masks") for part in inner]
        masks = next((p for p in (images.with_name("masks.npy"), source.joinpath(*swapped)) if not describe_fault(p)), None)
        if masks is not None:
            name = next((part for part in reversed(inner[:-1]) if part != "images"), source.name)
            made[name.replace(" ", "-").lower()] = (images, masks)
    return made
