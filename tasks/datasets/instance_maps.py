"""Finds instance maps whose numbers were damaged when they were written to a file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError

EIGHT_BIT_END = 255
FAR = 32
"""Pixels: parts of a nucleus within this distance are always accepted, since a crop's border may cut a nucleus in two."""
STRAY = 0.1
"""Share of the nuclei of a released map that may have a stray part: annotations have errors."""

_DENSE = 2**17
"""Numbers below this are looked up in a table."""


def check_depth(instances: NDArray[Any], bits: int, where: str) -> None:
    """Raises DamagedError on a map of 8 bits that holds 255.

    In such a map numbers above 255 were clipped or wrapped around: several nuclei have one number, and a perfect prediction
    of them gets a low score. A map of exactly 255 nuclei looks the same and is refused too.
    """
    if bits <= 8 and instances.size and int(instances.max()) == EIGHT_BIT_END:
        raise DamagedError(
            f"{where} numbers nuclei in 8 bits and holds {EIGHT_BIT_END}: numbers above were clipped or wrapped around. Write "
            "the map anew from its source, in 16 bits."
        )


def compact(instances: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers (0 and up) that occur, in order, and a map of the same shape with the rank of each number among them.

    Numbers may be as large as int32 allows; arrays indexed by rank stay short.
    """
    if instances.size and int(instances.max()) < _DENSE:  # ten times as fast as sorting
        numbers = np.flatnonzero(np.bincount(instances.ravel()))
        place_of = np.zeros(_DENSE, np.int64)
        place_of[numbers] = np.arange(len(numbers))
        return numbers, place_of[instances]
    numbers, places = np.unique(instances, return_inverse=True)
    return numbers, places.reshape(instances.shape)


def check_parts(instances: NDArray[Any], where: str, stray: float = 0.0) -> None:
    """Raises DamagedError if parts of one nucleus lie far apart, as they do in a map whose numbers wrapped around.

    A part is a set of pixels connected by sides or corners. The border of a crop may cut a nucleus in parts that stay near
    each other. A part lies far apart if the gap between its box and the box of the largest part exceeds both `FAR` pixels and
    the longest side of the largest part. One such nucleus is enough to refuse the map. With `stray` above 0, one such nucleus
    or that share of all nuclei is accepted.
    """
    from scipy.ndimage import find_objects

    numbers, places = compact(instances)
    allowed = max(1, int(stray * len(numbers))) if stray else 0
    found: list[tuple[int, int]] = []
    for place, box in enumerate(find_objects(places + 1)):
        if numbers[place] == 0 or max(side.stop - side.start for side in box) <= FAR:
            continue
        if gap := _gap(places[box] == place):
            found.append((int(numbers[place]), gap))
        if len(found) > allowed:
            number, gap = found[0]
            raise DamagedError(
                f"{where}: parts of nucleus {number} lie {gap} px apart: one number for several nuclei, as where 8 bits were "
                "too few for all. Write the map anew from its source."
            )


def _gap(nucleus: NDArray[np.bool_]) -> int:
    """Pixels between the largest part and the part farthest from it; 0 where none lies far apart."""
    from scipy.ndimage import find_objects, label

    parts, count = label(nucleus, np.ones((3, 3), np.int8))
    if count < 2:
        return 0
    boxes = find_objects(parts)
    home = boxes[int(np.bincount(parts.ravel())[1:].argmax())]
    gaps = [max(max(a.start - b.stop, b.start - a.stop, 0) for a, b in zip(box, home, strict=True)) for box in boxes]
    return max(gaps) if max(gaps) > max(FAR, *(side.stop - side.start for side in home)) else 0
