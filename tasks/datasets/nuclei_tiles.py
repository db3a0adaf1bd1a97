"""Cuts annotated images into patches of nuclei: the part that every nuclei dataset shares.

In every patch `masks` holds the type of the nucleus at each pixel, 0 = none, 255 = not annotated, and `instances` the
nucleus, 0 where `masks` is 0 or 255. A nucleus that the border of a tile cuts keeps its number; so do the parts of one that
falls into pieces there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, MissingError
from bench.types import Conditions, ImageSet
from tasks.datasets.instance_maps import check_parts, compact
from tasks.datasets.phantom.tissue import TYPES
from tasks.datasets.pixels import IGNORE

CLASSES = ("background", *TYPES)
"""Types of Lizard and CoNIC in the true order of the releases."""


@dataclass(frozen=True)
class Annotated:
    """An image of h x w pixels with its nuclei."""

    image: NDArray[np.uint8]
    """uint8 (h, w, 3), RGB."""
    instances: NDArray[np.int32]
    """int32 (h, w), 0 = none."""
    types: NDArray[np.uint8]
    """uint8 (h, w), 0 = none, 255 = not annotated."""
    counts: NDArray[np.bool_]
    """bool (h, w): the pixels that a tile must have enough of to be kept."""


@dataclass(frozen=True)
class Piece:
    """An image that is yet to be read, and the upper left corners (x, y) of its tiles."""

    name: str
    group: str
    corners: tuple[tuple[int, int], ...]
    read: Callable[[], Annotated]
    origin: str = ""
    """Image that `corners` refer to; `name` if empty. Given if several pieces were cut from one image at unknown places: any
    two tiles of such pieces may overlap."""


def check(instances: NDArray[np.int32], types: NDArray[np.uint8], where: str, stray: float = 0.0) -> None:
    """Raises DamagedError unless each nucleus has one type, each annotated pixel has both or neither, and the parts of a
    nucleus lie together (see `instance_maps.check_parts`, also for `stray`)."""
    known = types != IGNORE
    lonely = int(((instances > 0) != (types > 0))[known].sum())
    if lonely or (instances < 0).any():
        raise DamagedError(
            f"{where}: {lonely} pixels have a nucleus without a type, a type without a nucleus or a number below 0. "
            "Write both maps anew from one source."
        )
    inside = known & (instances > 0)
    numbers, places = compact(instances[inside])
    type_of = np.zeros(len(numbers), np.uint8)
    type_of[places] = types[inside]
    if torn := numbers[np.unique(places[type_of[places] != types[inside]])].tolist():
        raise DamagedError(f"{where}: nucleus {torn[0]} has several types, as have {len(torn) - 1} more. Number them apart.")
    check_parts(instances, where, stray)


def same_size(shapes: dict[str, tuple[int, ...]]) -> None:
    """Raises DamagedError unless the files, given with the shapes of what they hold, agree in height and width."""
    (first, shape), *others = shapes.items()
    for name, other in others:
        if other[:2] != shape[:2]:
            raise DamagedError(
                f"{first} is {shape[1]} x {shape[0]} px, {name} is {other[1]} x {other[0]}. Give both in the same size."
            )


def fitted_corners(shape: Sequence[int], size: int, stride: int, published: bool = False) -> Iterator[tuple[int, int]]:
    """x, y of tiles at a stride, the last column and the last row moved inwards to end at the border of the image.

    `published`: as the notebook of NASDM has it, whose last row is there in the first column of tiles only.
    """
    height, width = shape[:2]
    rows, columns = _starts(height, size, stride), _starts(width, size, stride)
    for y in rows:
        for x in columns:
            if not (published and y % stride and x):
                yield x, y


def _starts(length: int, size: int, stride: int) -> list[int]:
    if length < size:
        return []
    starts = list(range(0, length - size + 1, stride))
    return starts if starts[-1] + size == length else [*starts, length - size]


def tissue(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool (h, w): what is not glass. Glass is bright (its largest channel at least 160) and grey (saturation below 0.07,
    with saturation the range of the channels over the largest)."""
    largest, smallest = image.max(axis=-1).astype(np.float32), image.min(axis=-1)
    return (largest < 160) | (largest - smallest >= 0.07 * largest)


def gather(
    pieces: Sequence[Piece], size: int, share: float, nuclei: int, key: str, classes: tuple[str, ...], mpp: float
) -> ImageSet:
    """Patches of all pieces in which at least `share` of the pixels count and at least `nuclei` nuclei show.

    Pieces are read one after the other and the arrays are allocated once, since a split may take gigabytes.
    """
    most = sum(len(piece.corners) for piece in pieces)
    images = np.empty((most, size, size, 3), np.uint8)
    masks, instances = np.empty((most, size, size), np.uint8), np.empty((most, size, size), np.int32)
    ids: list[str] = []
    groups: list[str] = []
    origins: list[str] = []
    places: list[tuple[int, int]] = []
    fates: Counter[str] = Counter()
    for piece in pieces:
        image = piece.read()
        numbers = np.where((image.types == 0) | (image.types == IGNORE), 0, image.instances)
        for x, y in piece.corners:
            tile = np.s_[y : y + size, x : x + size]
            fates[fate := _fate(image, tile, share, nuclei)] += 1
            if fate == "kept":
                row = len(ids)
                images[row], masks[row], instances[row] = image.image[tile], image.types[tile], numbers[tile]
                ids.append(f"{piece.name}/{x}_{y}")
                groups.append(piece.group)
                origins.append(piece.origin or piece.name)
                places.append((-1, -1) if piece.origin else (y, x))
    if not ids:
        raise MissingError(_describe_rejections(pieces, most, fates, share, nuclei))
    n = len(ids)
    kinds = masks[:n]
    conditions = Conditions(
        np.array(ids),
        np.array(groups),
        classes,
        size,
        mpp,
        kinds,
        instances[:n],
        kinds,
        origins=np.array(origins),
        corners=np.array(places, dtype=np.int64),
    )
    return ImageSet(key, images[:n], conditions)


def _fate(whole: Annotated, tile: tuple[slice, slice], share: float, nuclei: int) -> str:
    if whole.counts[tile].mean() < share:
        return "empty"
    if nuclei and len(np.setdiff1d(whole.instances[tile], 0)) < nuclei:
        return "sparse"
    return "kept"


def _describe_rejections(pieces: Sequence[Piece], tiles: int, fates: Counter[str], share: float, nuclei: int) -> str:
    return (
        f"no patch passes in {len(pieces)} images, such as {pieces[0].name if pieces else 'none'}: of {tiles} tiles "
        f"{fates['empty']} show tissue or annotation in less than {share:.0%} of their pixels, {fates['sparse']} have fewer "
        f"than {nuclei} nuclei. Change size, stride or these limits."
    )


def nuclei_of(instances: NDArray[np.int32], types: NDArray[np.uint8]) -> Counter[int]:
    """Type -> number of nuclei in a map; what is not annotated is left out."""
    inside = (types > 0) & (types < IGNORE)
    pairs = np.unique(instances[inside].astype(np.int64) * (IGNORE + 1) + types[inside])
    return Counter((pairs % (IGNORE + 1)).tolist())


def tile_summary(counts: Counter[int], classes: tuple[str, ...], where: str) -> dict[str, int]:
    """Nuclei by name of type, 0 for a type that never occurs. Raises MissingError if there is no nucleus at all."""
    if not sum(counts.values()):
        raise MissingError(f"{where} has no nucleus of any type. Give annotated data.")
    return {name: counts[number] for number, name in enumerate(classes) if number}
