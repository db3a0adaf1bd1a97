"""A convolutional network whose weights are random and fixed: an encoder that was not trained on any dataset.

Used if images differ much from the training sets of trained networks (Naeem et al. 2020 take a random VGG16). It mainly
encodes colour: on phantom test patches a stain shift moves it by 1.2 times the distance between disjoint halves of the slides,
a blur of one pixel and a shuffle of pixels within 4 x 4 blocks by 0.46.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.types import Card, Features, Images
from metrics.encoders.batches import check_images, freeze, run_batches, run_token_batches

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALLEST = 32
WIDTHS = (3, 32, 64, 64, 64)


class RandomConv:
    """128-d: means and standard deviations over the patch of the 64 channels of the last of four convolutions."""

    card = Card(
        "random-conv",
        "1",
        "Means and deviations of a fixed random-weight convolutional net.",
        licence="Apache-2.0",
        source="Naeem et al. 2020, arXiv 2002.09797 (random embeddings); the layers are our own",
        notes="Mainly sensitive to colour: a blurred or locally shuffled patch with the right stain hardly moves it.",
    )

    def __init__(self, seed: int = 0) -> None:
        if seed < 0:
            raise UsageError(f"random-conv: a seed is 0 or larger, not {seed}.")
        self.seed = seed

    @property
    def dim(self) -> int:
        return 2 * WIDTHS[-1]

    def encode(self, images: Images) -> Features:
        """float32 (n, 128) of patches of at least 32 px, seen at their own size."""
        return run_batches(self._forward, check_images(self.card.name, images, SMALLEST), self.dim)

    def encode_tokens(self, images: Images) -> NDArray[np.float32]:
        """float32 (n, h // 8, w // 8, 64): the last channels, whose cells are of 8 x 8 px; each sees 38 px."""
        return run_token_batches(self._network, check_images(self.card.name, images, SMALLEST))

    def _forward(self, pixels: Tensor) -> Tensor:
        import torch

        maps = self._network(pixels)
        return torch.cat([maps.mean((2, 3)), maps.std((2, 3), correction=0)], dim=1)

    @cached_property
    def _network(self) -> nn.Module:
        """3 x 3 convolutions with ReLU, and between them means of 2 x 2."""
        from torch import nn

        layers: list[nn.Module] = []
        for weights in _weights(self.seed):
            layers += [_convolution(weights), nn.ReLU(), nn.AvgPool2d(2)]
        return freeze(nn.Sequential(*layers[:-1]))


def _weights(seed: int) -> list[np.ndarray]:
    """float32 (out, in, 3, 3) for each layer, of the variance that keeps the signal's (He et al. 2015)."""
    draw = np.random.RandomState(seed)  # the one generator whose stream numpy promises never to change
    return [
        (draw.standard_normal((wide, narrow, 3, 3)) * np.sqrt(2 / (9 * narrow))).astype(np.float32)
        for narrow, wide in pairwise(WIDTHS)
    ]


def _convolution(weights: np.ndarray) -> nn.Module:
    import torch
    from torch import nn

    layer = nn.Conv2d(weights.shape[1], weights.shape[0], 3, padding=1, padding_mode="replicate", bias=False)
    layer.weight = nn.Parameter(torch.from_numpy(weights))
    return layer
