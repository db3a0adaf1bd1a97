"""Synthetic conditions and patches on which plug-ins are checked: small, seeded, numpy only, not tissue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.types import GREY, NOT_ANNOTATED, Conditions, Images, ImageSet, Prompts, Strings

SLIDES, PER_SLIDE, CLASSES = 3, 4, ("light", "dark")
BLOCKS = 4
"""A mask is a grid of BLOCKS x BLOCKS squares, each of one class."""


def mock(size: int = 64) -> ImageSet:
    """12 patches of 3 slides and 2 classes, with every condition column except `vectors`, whose length depends on a model."""
    if size < 4 * BLOCKS or size % (2 * BLOCKS):
        raise UsageError(f"a mock patch is a multiple of {2 * BLOCKS} and at least {4 * BLOCKS} px wide, not {size}.")
    rng = np.random.default_rng(0)
    n = SLIDES * PER_SLIDE
    slides = np.arange(n) // PER_SLIDE
    ids = np.array([f"mock-{s}/{i % PER_SLIDE}" for i, s in enumerate(slides.tolist())])
    grids = _grids(n, rng)
    masks = _enlarge(grids, size)
    images = _images(masks, slides, rng)
    nuclei = _nuclei(n, size)
    conditions = Conditions(
        ids=ids,
        groups=np.array([f"mock-{s}" for s in slides.tolist()]),
        classes=CLASSES,
        size=size,
        mpp=1.0,
        masks=masks,
        instances=nuclei,
        types=np.where(nuclei > 0, masks + 1, 0).astype(np.uint8),
        prompts=_prompts(grids, images, ids),
        labels=grids[:, 0, 0].astype(np.int64),
        texts=np.array([f"{CLASSES[grid[0, 0]]} tissue in the first corner" for grid in grids]),
    )
    return ImageSet(f"mock-{size}", images, conditions)


def partly_annotated(patches: ImageSet) -> ImageSet:
    """The mock patches without annotation of the lowest blocks of every second patch, and of the whole last patch: there
    `masks` and `types` are 255 and `instances` 0. The other patches are completely annotated."""
    conditions = patches.conditions
    hidden = np.zeros((len(conditions), conditions.size, conditions.size), dtype=bool)
    hidden[::2, -conditions.size // BLOCKS :] = True
    hidden[-1] = True
    maps: dict[str, Any] = {
        name: np.where(hidden, fill, values).astype(values.dtype)
        for name, fill in (("masks", NOT_ANNOTATED), ("types", NOT_ANNOTATED), ("instances", 0))
        if (values := getattr(conditions, name)) is not None
    }
    return ImageSet(f"{patches.key}-partly-annotated", patches.images, replace(conditions, **maps))


def _grids(n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 (n, BLOCKS, BLOCKS): class of each block; both classes are in every patch."""
    grids = rng.integers(0, 2, (n, BLOCKS, BLOCKS), dtype=np.uint8)
    grids[:, 1, 1], grids[:, 2, 2] = 0, 1
    return grids


def _enlarge(grids: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return grids.repeat(size // BLOCKS, axis=1).repeat(size // BLOCKS, axis=2)


def _images(masks: NDArray[np.uint8], slides: NDArray[np.int64], rng: np.random.Generator) -> Images:
    """A colour for each class, a tint for each slide, and grain."""
    colours = np.array([[220, 170, 200], [130, 80, 150]], dtype=np.float64)
    tints = rng.uniform(-25, 25, (SLIDES, 3))[slides]
    grain = rng.normal(0, 12, (*masks.shape, 3))
    return np.clip(colours[masks] + tints[:, None, None] + grain, 0, 255).astype(np.uint8)


def _nuclei(n: int, size: int) -> NDArray[np.int32]:
    """int32 (n, size, size): one square nucleus in the middle of each block."""
    side = size // BLOCKS
    block = np.zeros((side, side), dtype=np.int32)
    block[side // 4 : -(side // 4), side // 4 : -(side // 4)] = 1
    numbers = np.arange(1, BLOCKS**2 + 1, dtype=np.int32).reshape(BLOCKS, BLOCKS)
    return np.broadcast_to(np.kron(numbers, block), (n, size, size)).astype(np.int32)


def _prompts(grids: NDArray[np.uint8], images: Images, ids: Strings) -> Prompts:
    """One block of each class, cut from the next patch of the slide and pasted where the target has that class."""
    n, size = images.shape[:2]
    side = size // BLOCKS
    canvases = np.full((n, len(CLASSES), *images.shape[1:]), GREY, dtype=np.uint8)
    boxes = np.zeros((n, len(CLASSES), 4), dtype=np.int32)
    giver = np.array([i - i % PER_SLIDE + (i + 1) % PER_SLIDE for i in range(n)])
    for i in range(n):
        for c in range(len(CLASSES)):
            y, x = side * np.argwhere(grids[i] == c)[0]
            v, u = side * np.argwhere(grids[giver[i]] == c)[0]
            canvases[i, c, y : y + side, x : x + side] = images[giver[i], v : v + side, u : u + side]
            boxes[i, c] = y, x, y + side, x + side
    return Prompts("slide", canvases, boxes, np.repeat(ids[giver][:, None], len(CLASSES), axis=1))
