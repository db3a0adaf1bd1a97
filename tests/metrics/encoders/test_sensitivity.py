"""What each encoder sees: how far a spoiled set is from the intact one, in units of the distance between two disjoint halves
of the slides. The numbers that the encoders' docstrings give come from here; the limits leave a margin around them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bench import registry
from bench.types import Features, Images, ImageSet
from metrics.encoders.builtin.texture import Texture
from metrics.frechet.frechet_distance import FrechetDistance


def restain(images: Images) -> Images:
    """The optical density of red and blue raised by 15 and 10 %, that of green lowered by 10 %."""
    density = -np.log(np.maximum(images, 1) / 255)
    return np.rint(255 * np.exp(-density * (1.15, 0.9, 1.1))).astype(np.uint8)


def blur(images: Images) -> Images:
    """By a Gaussian of one pixel."""
    return np.rint(gaussian_filter(images.astype(np.float64), (0, 1, 1, 0))).astype(np.uint8)


def shuffle(images: Images) -> Images:
    """The pixels of each block of 4 x 4 in random order: every colour kept, every edge lost."""
    n, h, w, _ = images.shape
    blocks = images.reshape(n, h // 4, 4, w // 4, 4, 3).swapaxes(2, 3)
    flat = blocks.reshape(n, h // 4, w // 4, 16, 3)
    order = np.random.default_rng(0).random(flat.shape[:-1]).argsort(axis=-1)
    return np.take_along_axis(flat, order[..., None], axis=3).reshape(blocks.shape).swapaxes(2, 3).reshape(images.shape)


NAMES = ("texture", "random-conv", "phantom-cnn")
SPOILED = {"stain": restain, "blur": blur, "shuffle": shuffle}


def distance(a: Features, b: Features) -> float:
    return FrechetDistance().compare(a, b, np.random.default_rng(0))


@pytest.fixture(scope="module")
def response(tissue: ImageSet):
    """encoder name -> {kind of spoiling: distance in lower references}."""
    even = np.unique(tissue.conditions.groups, return_inverse=True)[1] % 2 == 0

    @cache
    def measured(name: str) -> dict[str, float]:
        encoder = registry.load("encoders", name)
        intact = encoder.encode(tissue.images)
        lower_reference = distance(intact[even], intact[~even])
        return {
            kind: distance(intact, encoder.encode(spoil(tissue.images))) / lower_reference for kind, spoil in SPOILED.items()
        }

    return measured


def test_spoiling_does_what_it_says(tissue: ImageSet) -> None:
    images = tissue.images[:8].astype(np.float64)
    stain, blur, shuffle = (spoil(tissue.images[:8]).astype(np.float64) for spoil in SPOILED.values())
    assert abs(stain - images).mean() > 5
    assert blur.std() < images.std()
    blocks = (8, 16, 4, 16, 4, 3)
    np.testing.assert_allclose(shuffle.reshape(blocks).mean((2, 4)), images.reshape(blocks).mean((2, 4)))
    assert (shuffle != images).mean() > 0.5


def test_phantom_cnn_sees_structure_and_little_colour(response) -> None:
    seen = response("phantom-cnn")  # stain 0.16, blur 5.9, shuffle 109
    assert 0.03 < seen["stain"] < 0.5
    assert seen["blur"] > 3
    assert seen["shuffle"] > 40


def test_random_conv_sees_colour_rather_than_structure(response) -> None:
    seen = response("random-conv")  # stain 1.21, blur 0.46, shuffle 0.46
    assert seen["stain"] > 0.3
    assert max(seen["blur"], seen["shuffle"]) < 0.6 * seen["stain"]


def test_texture_sees_both(response) -> None:
    seen = response("texture")  # stain 2.5, blur 3.6, shuffle 3.9
    assert min(seen.values()) > 0.4
    assert max(seen.values()) < 4 * min(seen.values())


def test_the_encoders_differ_in_what_moves_them_most(response) -> None:
    ratio = {name: response(name)["shuffle"] / response(name)["stain"] for name in NAMES}
    assert ratio["phantom-cnn"] > 10 * ratio["texture"] > 20 * ratio["random-conv"]


@pytest.mark.parametrize("kind", SPOILED)
def test_no_column_rules_the_texture_distance(kind: str, tissue: ImageSet) -> None:
    encoder = Texture()
    gap = encoder.encode(SPOILED[kind](tissue.images)).mean(axis=0) - encoder.encode(tissue.images).mean(axis=0)
    assert (gap**2).max() < 0.3 * (gap**2).sum()
