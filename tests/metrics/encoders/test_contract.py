"""What holds for every encoder that needs no download."""

from __future__ import annotations

import numpy as np
import pytest

from bench import registry
from bench.errors import UsageError
from bench.types import Encoder, Images, ImageSet

NAMES = ("texture", "random-conv", "phantom-cnn")


@pytest.fixture(scope="module", params=NAMES)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    found = registry.load("encoders", request.param)
    assert isinstance(found, Encoder)
    assert found.card.name == request.param
    return found


@pytest.fixture(scope="module")
def images(tissue: ImageSet) -> Images:
    return tissue.images[:37]


def test_features_are_float32_rows_of_the_stated_width(encoder: Encoder, images: Images) -> None:
    features = encoder.encode(images)
    assert features.dtype == np.float32
    assert features.shape == (37, encoder.dim)
    assert np.isfinite(features).all()
    assert (features.std(axis=0) > 0).mean() > 0.9


def test_a_row_depends_on_its_image_alone(encoder: Encoder, images: Images) -> None:
    whole = encoder.encode(images)
    alone = np.concatenate([encoder.encode(images[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(alone, whole[:7], rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(images[5:12]), whole[5:12], rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(images[::-1]), whole[::-1], rtol=0, atol=1e-5)


def test_the_same_call_gives_the_same_bytes_from_a_new_encoder(encoder: Encoder, images: Images) -> None:
    again = registry.load("encoders", encoder.card.name)
    np.testing.assert_array_equal(encoder.encode(images), again.encode(images))


@pytest.mark.parametrize("shape", [(32, 32), (50, 70), (96, 96)])
def test_any_size_from_32_pixels_is_taken(encoder: Encoder, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    assert np.isfinite(encoder.encode(noise)).all()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_patches_have_finite_features(encoder: Encoder, value: int) -> None:
    assert np.isfinite(encoder.encode(np.full((2, 64, 64, 3), value, dtype=np.uint8))).all()


def test_nothing_in_is_nothing_out(encoder: Encoder, images: Images) -> None:
    assert encoder.encode(images[:0]).shape == (0, encoder.dim)


def test_images_may_be_read_only_and_mapped(encoder: Encoder, images: Images, tmp_path) -> None:
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(encoder.encode(mapped), encoder.encode(images))


def test_other_things_than_rgb_bytes_are_refused(encoder: Encoder, images: Images) -> None:
    for wrong in (images / 255, images[..., 0], images.transpose(0, 3, 1, 2), images[0]):
        with pytest.raises(UsageError, match=r"takes uint8 images \(n, h, w, 3\), found"):
            encoder.encode(wrong)


def test_patches_too_small_to_see_are_refused(encoder: Encoder, images: Images) -> None:
    with pytest.raises(UsageError, match="at least 32 px, found 64 x 31 px"):
        encoder.encode(images[:, :31])


@pytest.mark.parametrize("name", ["random-conv", "phantom-cnn"])
def test_reduced_precision_around_it_does_not_reach_an_encoder(name: str, images: Images) -> None:
    import torch

    encoder = registry.load("encoders", name)
    before = encoder.encode(images)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            np.testing.assert_array_equal(encoder.encode(images), before)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
