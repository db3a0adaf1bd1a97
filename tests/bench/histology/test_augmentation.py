"""Classic augmentation: image and maps move together, what comes from outside is not annotated, ids decide the view."""

from __future__ import annotations

import numpy as np
import pytest

from bench.histology.augmentation import IGNORED, augment
from bench.histology.stain import restain
from bench.types import Conditions, ImageSet


def patches(n: int = 6, side: int = 64) -> ImageSet:
    """Dark nuclei of 9 x 9 px on light ground."""
    images = np.full((n, side, side, 3), 230, np.uint8)
    instances = np.zeros((n, side, side), np.int32)
    for number, (y, x) in enumerate([(12, 12), (30, 40), (45, 20)], start=1):
        instances[:, y : y + 9, x : x + 9] = number
    images[instances > 0] = 60
    masks = (instances > 0).astype(np.uint8)
    ids = np.array([f"p{i}" for i in range(n)])
    conditions = Conditions(ids, ids, ("background", "nucleus"), side, 0.5, masks=masks, instances=instances, types=masks)
    return ImageSet("k", images, conditions)


def test_maps_move_with_the_image() -> None:
    made = augment(patches())
    masks = made.conditions.masks
    assert masks is not None
    for image, mask in zip(made.images, masks, strict=True):
        inside, outside = image[mask == 1].mean(), image[mask == 0].mean()
        assert (mask == 1).sum() > 50 and inside + 60 < outside


def test_columns_stay_true_to_each_other_and_dtypes_stay() -> None:
    made = augment(patches()).conditions
    assert made.masks is not None and made.instances is not None and made.types is not None
    assert made.masks.dtype == np.uint8 and made.instances.dtype == np.int32
    assert np.array_equal(made.masks, made.types)
    assert np.array_equal(made.instances > 0, made.masks == 1)
    assert (made.masks == IGNORED).any()  # corners turned in from outside
    assert set(np.unique(made.masks)) <= {0, 1, IGNORED}


def test_the_id_decides_the_view_and_every_view_differs() -> None:
    source = patches()
    made, again = augment(source), augment(source[np.arange(5, -1, -1)])
    assert np.array_equal(made.images, again.images[::-1])
    assert len({image.tobytes() for image in made.images}) == len(made)
    assert not any(np.array_equal(a, b) for a, b in zip(made.images, source.images, strict=True))


def test_a_stain_that_is_no_number_is_refused_and_makes_no_black_pixels() -> None:
    with pytest.raises(FloatingPointError):
        restain(patches().images, np.array([1.0, np.nan, 1.0]))
