from __future__ import annotations

import numpy as np
import pytest

from bench import registry
from bench.types import Images
from metrics.encoders.builtin.random_conv import RandomConv


@pytest.fixture(scope="module")
def images() -> Images:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def test_it_gives_128_features(images: Images) -> None:
    assert RandomConv().encode(images).shape == (5, 128)


def test_another_seed_is_another_network(images: Images) -> None:
    first, second = RandomConv().encode(images), registry.load("encoders", "random-conv", seed="1").encode(images)
    assert abs(first - second).max() > 0.01


def test_the_state_of_other_random_generators_does_not_matter(images: Images) -> None:
    import torch

    features = []
    for state in (1, 2):
        torch.manual_seed(state)
        np.random.seed(state)
        features.append(RandomConv().encode(images))
    np.testing.assert_array_equal(*features)


def test_its_features_are_what_they_were_when_version_1_was_made(images: Images) -> None:
    assert RandomConv.card.version == "1"
    found = RandomConv().encode(images[:1])[0]
    np.testing.assert_allclose(found[:4], [0.5533523, 0.40575877, 0.04692172, 0.04045406], rtol=1e-4)
    np.testing.assert_allclose(found[64:68], [0.07364806, 0.12226818, 0.05094717, 0.05392927], rtol=1e-4)
