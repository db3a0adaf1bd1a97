"""Augmented views of training patches: rotated, mirrored and restained, with map and prompts transformed alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.histology.stain import restain
from bench.types import GREY, Conditions, ImageSet, Prompts

Map = TypeVar("Map", np.uint8, np.int32)


ALL = tuple(range(8))
"""Every symmetry of the square."""
MIRROR = (0, 4)
"""As it is, or mirrored left to right."""


def view(
    patches: ImageSet,
    rng: np.random.Generator,
    stain: float,
    symmetries: tuple[int, ...] = ALL,
    rows: slice = slice(None),
) -> ImageSet:
    """Each patch of `rows` under a random symmetry and a random stain; `stain` is the standard deviation of the log factors.

    The crops of a patch get the same stain as the patch, so that a prompt still shows the stain of its target. The symmetry
    and the stain of a patch do not depend on `rows`.
    """
    symmetry = np.array(symmetries)[rng.integers(len(symmetries), size=len(patches))]
    factors = np.exp(rng.normal(0, stain, (len(patches), 1)) + rng.normal(0, stain / 2, (len(patches), 3)))
    shown = patches if rows == slice(None) else patches[rows]
    symmetry, factors = symmetry[rows], factors[rows]
    images = restain(_turn(shown.images, symmetry), factors[:, None, None])
    return ImageSet(patches.key, images, _conditions(shown.conditions, symmetry, factors))


def _conditions(conditions: Conditions, symmetry: NDArray[np.int64], factors: NDArray[np.float64]) -> Conditions:
    maps = {name: getattr(conditions, name) for name in ("masks", "instances", "types")}
    turned: dict[str, Any] = {name: _turn(maps[name], symmetry) for name in maps if maps[name] is not None}
    prompts = None if conditions.prompts is None else _prompts(conditions.prompts, symmetry, factors)
    return replace(conditions, **turned, prompts=prompts)


def _prompts(prompts: Prompts, symmetry: NDArray[np.int64], factors: NDArray[np.float64]) -> Prompts:
    n, k = prompts.canvases.shape[:2]
    canvases = np.stack([_turn(prompts.canvases[:, c], symmetry) for c in range(k)], axis=1)
    grey = (canvases == GREY).all(axis=-1, keepdims=True)
    canvases = np.where(grey, GREY, restain(canvases, factors[:, None, None, None])).astype(np.uint8)
    boxes = np.stack([_turn_box(prompts.boxes[i], int(symmetry[i]), canvases.shape[2]) for i in range(n)])
    return replace(prompts, canvases=canvases, boxes=boxes)


def _turn(arrays: NDArray[Map], symmetry: NDArray[np.int64]) -> NDArray[Map]:
    """Each (h, w, ...) of the stack rotated by a multiple of 90 degrees; the last four symmetries are mirrored first."""
    turned = np.empty_like(arrays)
    for i, element in enumerate(symmetry.tolist()):
        whole = arrays[i][:, ::-1] if element >= 4 else arrays[i]
        turned[i] = np.rot90(whole, element % 4)
    return turned


def _turn_box(boxes: NDArray[np.int32], element: int, side: int) -> NDArray[np.int32]:
    """Boxes (k, 4) of y0, x0, y1, x1 under the same symmetry; empty ones stay all zero."""
    y0, x0, y1, x1 = boxes.T
    if element >= 4:
        x0, x1 = side - x1, side - x0
    for _ in range(element % 4):  # a quarter turn counterclockwise takes (y, x) to (side - x, y)
        y0, x0, y1, x1 = side - x1, y0, side - x0, y1
    turned = np.stack([y0, x0, y1, x1], axis=1)
    return np.where(boxes.any(axis=1, keepdims=True), turned, 0).astype(np.int32)
