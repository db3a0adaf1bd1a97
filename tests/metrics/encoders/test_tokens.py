"""Tokens: a grid over the whole patch, in the order of its rows, without what stands before the cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.errors import UsageError
from bench.runtime import torchvision_shim
from bench.types import EncodesTokens, Images
from metrics.encoders.kinds import kind
from metrics.encoders.loaders.timm_loader import Timm
from metrics.encoders.panel import ROWS

from .conftest import SMALL, opened, saved

VITS = {"uni2-h": (2, 24), "virchow2": (2, 24), "gigapath": (2, 24), "phikon": (2, 24), "hibou-b": (2, 24)}
"""Name -> rows of tokens, and their width. virchow2's features are twice as wide: class token and mean."""


@pytest.fixture(scope="module")
def halves() -> Images:
    """Patches of 64 px: one colour, and the same with another colour in the lower left quarter."""
    images = np.full((2, 64, 64, 3), 200, np.uint8)
    images[1, 32:, :32] = 40
    return images


@pytest.mark.parametrize("name", ["random-conv", "phantom-cnn"])
def test_cells_of_convolutional_encoders_lie_where_the_pixels_are(name: str, halves: Images) -> None:
    encoder: Any = registry.load("encoders", name)
    assert isinstance(encoder, EncodesTokens)
    tokens = encoder.encode_tokens(halves)
    side = tokens.shape[1]
    assert tokens.dtype == np.float32 and tokens.shape == (2, side, side, 64) and side == {"random-conv": 8}.get(name, 16)
    change = np.abs(tokens[1] - tokens[0]).max(axis=2)
    middle = side // 4
    assert change[-middle, middle - 1] > 0.1  # well within the quarter
    assert change[0, -1] < 1e-4 * change.max()  # beyond what a token sees


@pytest.mark.parametrize("name", ["random-conv", "phantom-cnn"])
def test_the_mean_of_all_cells_is_the_encoders_own(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    encoder: Any = registry.load("encoders", name)
    np.testing.assert_allclose(encoder.encode_tokens(images).mean(axis=(1, 2)), encoder.encode(images)[:, :64], atol=1e-5)


@pytest.mark.parametrize("name", VITS)
def test_tokens_of_transformers_are_those_after_class_token_and_registers(name: str, weights: Path, halves: Images) -> None:
    import torch

    encoder: Any = opened(name, weights)
    assert isinstance(encoder, EncodesTokens)
    tokens = encoder.encode_tokens(halves)
    side, width = VITS[name]
    assert tokens.shape == (2, side, side, width)
    row = SMALL[name]
    captured: list[Any] = []
    # the last normalisation gives every token: what stands in front is dropped, the cells follow row by row
    norm = next(part for part in reversed(list(encoder._network.modules())) if isinstance(part, torch.nn.LayerNorm))
    handle = norm.register_forward_hook(lambda module, given, made: captured.append(made.detach().numpy()[:2]))
    encoder.encode_tokens(halves)
    handle.remove()
    every = captured[-1]
    prefix = every.shape[1] - side * side
    assert prefix == {"uni2-h": 9, "virchow2": 5, "gigapath": 1, "phikon": 1, "hibou-b": 5}[name], row
    np.testing.assert_allclose(tokens.reshape(2, -1, width), every[:, prefix:], atol=1e-5)


def test_a_change_at_the_border_of_the_patch_is_in_no_centre_crop(weights: Path, halves: Images) -> None:
    """gigapath's features leave out a border of the patch. Its tokens cover the whole."""
    encoder: Any = opened("gigapath", weights)
    edge = halves.copy()
    edge[0, :2] = 0  # the outermost of 64 rows: 1 of 36 px
    assert np.abs(encoder.encode_tokens(edge)[0] - encoder.encode_tokens(halves)[0]).max() > 1e-3


def test_every_row_says_whether_its_network_has_tokens(weights: Path) -> None:
    for row in ROWS:
        if row.has_tokens:
            assert kind(row).tokens is not None, row.name
    for name in ("clip-l", "quiltnet", "conch", "ctranspath", "inception"):
        assert not isinstance(opened(name, weights), EncodesTokens), name
    assert not isinstance(registry.load("encoders", "texture"), EncodesTokens)
    assert not isinstance(registry.load("encoders", "stain"), EncodesTokens)


@pytest.mark.parametrize(("name", "side"), [("test_resnet", 5), ("test_vit", 10)])
def test_any_timm_network_with_a_grid(name: str, side: int, tmp_path: Path, halves: Images) -> None:
    import torch

    torchvision_shim.ready()
    import timm

    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False).eval()
    encoder = Timm(name, saved(network.state_dict(), tmp_path / "weights.safetensors"))
    tokens = encoder.encode_tokens(halves)
    assert tokens.shape[:3] == (2, side, side)
    change = np.abs(tokens[1] - tokens[0]).mean(axis=2)
    assert change[side // 2 + 1 :, : side // 2].mean() > change[: side // 2, side // 2 + 1 :].mean()


def test_a_network_without_a_grid_says_what_to_do(halves: Images, weights: Path) -> None:
    import torch
    from torch import nn

    from metrics.encoders.loaders.timm_loader import token_map

    class Flat(nn.Module):
        num_features = 7

        def forward_features(self, pixels: Any) -> Any:
            return torch.zeros(len(pixels), 5, 7)

    with pytest.raises(UsageError, match="no grid over the patch.*pooling=images"):
        token_map("timm:flat", Flat(), torch.zeros(1, 3, 8, 8))
