"""Input of encoders: images are checked once, then passed through a network in batches of constant size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.runtime.precision import device, inference
from bench.types import Features, Images

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 16


def check_images(encoder: str, images: Images, smallest: int = 1) -> Images:
    """The images. UsageError, with the accepted inputs, if an encoder cannot take them."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise UsageError(f"{encoder} takes uint8 images (n, h, w, 3), found {images.dtype} {images.shape}.")
    if min(images.shape[1:3]) < smallest:
        raise UsageError(f"{encoder} takes patches of at least {smallest} px, found {images.shape[2]} x {images.shape[1]} px.")
    return images


def freeze(network: nn.Module) -> nn.Module:
    """The network ready to encode: in evaluation mode, without gradients, in float32, on `device`."""
    return network.eval().requires_grad_(False).float().to(device())


def run_batches(forward: Callable[[Tensor], Tensor], images: Images, dim: int) -> Features:
    """float32 (n, dim): the outputs of `forward` for float32 (`BATCH`, 3, h, w) in [-1, 1] on `device`.

    The last batch is padded with black images, because libraries choose their algorithm by shape, which changes rounding.
    """
    features = np.empty((len(images), dim), dtype=np.float32)
    for start, outputs in _forward_batches(forward, images):
        features[start : start + len(outputs)] = outputs
    return features


def run_token_batches(forward: Callable[[Tensor], Tensor], images: Images) -> NDArray[np.float32]:
    """float32 (n, rows, columns, d): the outputs (`BATCH`, d, rows, columns) of `forward` for at least one image, as in
    `run_batches`."""
    return np.concatenate([outputs.transpose(0, 2, 3, 1) for _, outputs in _forward_batches(forward, images)])


def _forward_batches(forward: Callable[[Tensor], Tensor], images: Images) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """First row and outputs of each batch."""
    import torch

    place = device()
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        batch = np.zeros((BATCH, *images.shape[1:]), dtype=np.uint8)
        batch[: len(part)] = part
        with inference():
            pixels = torch.from_numpy(batch).to(place).permute(0, 3, 1, 2).float() / 127.5 - 1
            outputs = forward(pixels)[: len(part)].cpu().numpy()
        yield start, outputs
