"""Resizing of patches for all encoders: antialiased as in Pillow, then a centre crop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def resize(pixels: Tensor, side: int, crop: float, interpolation: str) -> Tensor:
    """(n, 3, h, w) in [-1, 1] -> (n, 3, side, side): the shorter side to side / crop, then the centre.

    For square patches, timm's crop modes (center, squash, border) all equal this.
    """
    from torch.nn.functional import interpolate

    shorter = math.floor(side / crop)
    height, width = pixels.shape[2:]
    shape = [length * shorter // min(height, width) for length in (height, width)]
    if shape != [height, width]:
        for passed in ([height, shape[1]], shape):  # one axis after the other, since Pillow clips overshoots in between
            pixels = interpolate(pixels, passed, mode=interpolation, antialias=True).clamp(-1, 1)
    top, left = (round((length - side) / 2) for length in shape)
    return pixels[:, :, top : top + side, left : left + side]
