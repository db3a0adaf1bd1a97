"""Instance maps that lost their numbers on the way to a file, and how they are distinguished from sound ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError

EIGHT_BIT_END = 255
FAR = 32
"""Pixels between two parts of a nucleus that are never too many: a border may leave two slivers of it."""
STRAY = 0.1
"""Share of the nuclei of a map of a release that may have a stray part: annotators slip."""

_DENSE = 2**17
"""Numbers below this are looked up in a table."""


def check_depth(instances: NDArray[Any], bits: int, where: str) -> None:
    """Raises DamagedError on a map of 8 bits that holds 255.

    There numbers above 255 were clipped to it or began again: several nuclei are one, and a perfect prediction of them is
    scored as half wrong. A map of exactly 255 nuclei looks the same, and is refused with them.
    """
    if bits <= 8 and instances.size and int(instances.max()) == EIGHT_BIT_END:
        raise DamagedError(
            f"{where} numbers nuclei in 8 bits and holds {EIGHT_BIT_END}: numbers above were clipped or began again. Write "
            "the map anew from its source, in 16 bits."
        )


def compact(instances: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers (0 and up) that occur, in order, and the map with each number's place among them, of the same shape.

    Numbers may be as large as int32 goes: no list that is made of the places is as long as they.
    """
    if instances.size and int(instances.max()) < _DENSE:  # ten times as fast as sorting
        numbers = np.flatnonzero(np.bincount(instances.ravel()))
        place_of = np.zeros(_DENSE, np.int64)
        place_of[numbers] = np.arange(len(numbers))
        return numbers, place_of[instances]
    numbers, places = np.unique(instances, return_inverse=True)
    return numbers, places.reshape(instances.shape)


def check_parts(instances: NDArray[Any], where: str, stray: float = 0.0) -> None:
    """Raises DamagedError where parts of one nucleus lie far apart, as they do in a map whose numbers began again.

    Parts are what touches by sides or corners. The border of a crop may cut a nucleus in parts, and they stay near each
    other: a part lies far apart where more than `FAR` pixels, and more than the longest side of the largest part, are
    between its box and that of the largest part. Refused is one such nucleus; where a share `stray` of the nuclei may be so,
    one of them and no more than that share is let pass.
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
