"""Classic augmentation: the control for every claim that generated patches improve a downstream model."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.histology.stain import restain
from bench.types import ImageSet

IGNORED = 255
ZOOM = (0.8, 1.25)
WAVE, REACH = 12.0, 1.5
"""Elastic displacement: correlation length and standard deviation, pixels."""
BLUR = 0.8
"""Largest standard deviation of the blur, pixels."""
STAIN = 0.15
"""Standard deviation of the log of the factors on optical density."""


def augment(patches: ImageSet) -> ImageSet:
    """Each patch rotated by any angle, mirrored, zoomed, deformed, blurred and restained, seeded by its id.

    Beyond their border, images are continued by reflection, maps are 255 (ignored in training) and instances 0.
    """
    seen = [_augment_patch(patches, i) for i in range(len(patches))]
    columns = [name for name in ("masks", "instances", "types") if getattr(patches.conditions, name) is not None]
    maps: dict[str, Any] = {name: np.stack([one[name] for one in seen]) for name in columns}
    return ImageSet(patches.key, np.stack([one["image"] for one in seen]), replace(patches.conditions, **maps))


def _augment_patch(patches: ImageSet, i: int) -> dict[str, NDArray[Any]]:
    from scipy.ndimage import gaussian_filter, map_coordinates

    conditions = patches.conditions
    digest = hashlib.sha256(f"augmented/{conditions.ids[i]}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    image = np.asarray(patches.images[i])
    positions = _source_positions(image.shape[0], rng)
    blur = rng.uniform(0, BLUR)
    bent = [map_coordinates(image[..., c].astype(np.float32), positions, order=1, mode="reflect") for c in range(3)]
    soft = gaussian_filter(np.stack(bent, axis=-1), (blur, blur, 0))
    factors = np.exp(rng.normal(0, STAIN) + rng.normal(0, STAIN / 2, 3))
    made = {"image": restain(np.clip(np.rint(soft), 0, 255).astype(np.uint8), factors)}
    for name, outside in (("masks", IGNORED), ("types", IGNORED), ("instances", 0)):
        if (values := getattr(conditions, name)) is not None:
            moved = map_coordinates(np.asarray(values[i]), positions, order=0, mode="constant", cval=outside)
            made[name] = moved.astype(values.dtype)
    return made


def _source_positions(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """float64 (2, side, side): where each pixel of the view comes from."""
    from scipy.ndimage import gaussian_filter

    angle, zoom = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(*np.log(ZOOM)))
    mirror = rng.choice([-1.0, 1.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([1.0, mirror]) / zoom
    middle = (side - 1) / 2
    grid = np.indices((side, side)).astype(np.float64) - middle
    waves = np.stack([gaussian_filter(rng.standard_normal((side, side)), WAVE, mode="wrap") for _ in range(2)])
    waves *= REACH / waves.std()
    return np.asarray(np.tensordot(turn, grid, axes=1) + middle + waves)
