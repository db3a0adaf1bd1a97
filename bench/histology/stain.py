"""Optical density: the scale on which stains add up (Beer and Lambert; Ruifrok and Johnston 2001)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def optical_density(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """-ln(light), float32 of the same shape, 0 for white; black counts as one grey level."""
    return -np.log(np.maximum(images, 1).astype(np.float32) / 255)


def from_optical_density(density: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The inverse of `optical_density`, rounded to uint8; raises FloatingPointError on NaN, which would turn black."""
    with np.errstate(invalid="raise"):
        return np.asarray(np.clip(np.rint(np.exp(-density) * 255), 0, 255), dtype=np.uint8)


def restain(images: NDArray[np.uint8], factors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Images (..., 3) whose optical density in red, green and blue is multiplied by `factors` (broadcast to them)."""
    return from_optical_density(optical_density(images) * factors.astype(np.float32))
