"""Phantom patches, and copies of them that are known to be copies."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from bench.histology.stain import restain
from bench.types import Images, ImageSet
from tasks.datasets.phantom.dataset import PhantomCam16


def splits(train_slides: int, validation_slides: int, test_slides: int) -> tuple[ImageSet, ImageSet, ImageSet]:
    """Sets of 10 patches of 64 px of each slide."""
    phantom = PhantomCam16(
        train_slides=train_slides, validation_slides=validation_slides, test_slides=test_slides, per_slide=10
    )
    train, validation, test = map(phantom.split, ("train", "validation", "test"))
    return train, validation, test


def recompress(images: Images, quality: int = 50) -> Images:
    return np.stack([_through_jpeg(image, quality) for image in images])


def _through_jpeg(image: Images, quality: int) -> Images:
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG", quality=quality)
    return np.asarray(Image.open(held))


def stain_anew(images: Images) -> Images:
    return restain(images, np.array([1.25, 0.85, 1.1]))


def turn(images: Images) -> Images:
    return np.ascontiguousarray(np.rot90(images, 1, (1, 2)))


def mirror(images: Images) -> Images:
    return np.ascontiguousarray(images[:, :, ::-1])


def shift(images: Images, by: int = 3) -> Images:
    """Moved down and to the right; what comes in is a reflection."""
    side = images.shape[1]
    return np.pad(images, ((0, 0), (by, 0), (by, 0), (0, 0)), mode="reflect")[:, :side, :side]


NEAR: dict[str, Callable[[Images], Images]] = {
    "same": lambda images: images,
    "jpeg": recompress,
    "stain": stain_anew,
    "turn": turn,
    "mirror": mirror,
    "shift": shift,
    "all": lambda images: recompress(shift(turn(stain_anew(images)))),
}
"""Name -> what is done to a copy."""
