"""Is a piece of tissue found again in a patch: normalised cross-correlation over shifts, quarter turns and mirrors.

Patches are compared by their grey optical density. A stain shift multiplies densities and a brighter lamp adds to all of
them: neither changes a correlation much.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.histology.stain import optical_density
from bench.types import Images

Planes = NDArray[np.float32]
"""float32 (n, s, s): one value for each pixel of a patch."""

Value = TypeVar("Value", bound=np.generic)
ORIENTATIONS = 8
"""Four quarter turns, each plain and mirrored."""
WORKING_SIDE = 128
"""Pixels: larger patches are compared at this side."""
_COARSE = 1 / 12
"""Standard deviation of the Gaussian whose result is removed, as a share of the side."""
_FINE = 0.7
"""Of the Gaussian that removes noise of single pixels, in pixels of the working side."""
_FREQUENCIES = 12
"""Cycles over a patch."""
_FLAT = 0.01
"""Standard deviation, in optical density, below which a window correlates with nothing."""
_LEAST = 0.02
"""The same of a piece that is looked for: paper-white ground looks alike everywhere."""


def density(images: Images) -> Planes:
    """float32 (n, s, s), s at most `WORKING_SIDE`: grey optical density without the noise of single pixels."""
    from scipy.ndimage import gaussian_filter

    planes = np.stack([optical_density(image).mean(axis=2) for image in images]) if len(images) else np.zeros((0, 1, 1))
    smooth: Planes = gaussian_filter(_reduce(planes.astype(np.float32)), (0, _FINE, _FINE), mode="nearest")
    return smooth


def without_slow_part(planes: Planes) -> Planes:
    """Planes without what varies over more than a sixth of their side: an edge of tissue, a thick end of a section."""
    from scipy.ndimage import gaussian_filter

    spread = _COARSE * planes.shape[1]
    return np.asarray(planes - gaussian_filter(planes, (0, spread, spread), mode="nearest"))


def working_scale(side: int) -> float:
    """Pixels of the working side for one pixel of a patch with this side."""
    return min(1.0, WORKING_SIDE / side)


def _reduce(planes: Planes) -> Planes:
    """Means over areas, where the side is above `WORKING_SIDE`."""
    import torch
    from torch.nn import functional

    if planes.shape[1] <= WORKING_SIDE:
        return planes
    whole, size = torch.from_numpy(planes)[:, None], (WORKING_SIDE, WORKING_SIDE)
    return np.asarray(functional.interpolate(whole, size=size, mode="bilinear", antialias=True)[:, 0])


def orient(values: NDArray[Value], orientation: int, axes: tuple[int, int] = (-2, -1)) -> NDArray[Value]:
    """Arrays whose two `axes` are those of an image, turned by `orientation` % 4 quarters, and mirrored if it is 4 or more."""
    turned = np.rot90(values, orientation % 4, axes=axes)
    return np.flip(turned, axes[1]) if orientation >= 4 else turned


def amplitudes(images: Images) -> NDArray[np.float64]:
    """float64 (n, d): square roots of the amplitudes of the lowest frequencies of each patch, scaled to one contrast. A shift
    hardly changes them, and a stain shift only by what is scaled away."""
    planes = without_slow_part(density(images))
    planes = planes - planes.mean((1, 2), keepdims=True)
    planes = planes / np.maximum(planes.std((1, 2), keepdims=True), _FLAT)
    side = planes.shape[1]
    window = np.hanning(side + 2)[1:-1]
    spectrum = np.fft.fftshift(np.abs(np.fft.fft2(planes * window[:, None] * window)), axes=(1, 2))
    middle, most = side // 2, min(_FREQUENCIES, side // 2 - 1)
    lowest = spectrum[:, middle - most : middle + most + 1, middle : middle + most + 1]
    return np.asarray(np.sqrt(lowest).reshape(len(planes), -1))


def templates_of(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (8, a, a): a square piece in all `ORIENTATIONS`."""
    return np.stack([orient(piece, orientation) for orientation in range(ORIENTATIONS)])


def best_matches(templates: NDArray[np.float32], plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (m,): the largest normalised cross-correlation of each template (m, a, a) with a window of the plane (s, s), in
    [-1, 1]; 0 where the template is flat, and for windows that are. Lewis 1995, by Fourier transforms."""
    import torch
    from torch.nn import functional

    pieces, whole = torch.from_numpy(np.ascontiguousarray(templates)), torch.from_numpy(np.ascontiguousarray(plane))
    a, side = pieces.shape[-1], whole.shape[-1]
    pieces = pieces - pieces.mean((-2, -1), keepdim=True)
    size, valid = (side, side), side - a + 1
    products = torch.fft.irfft2(torch.fft.rfft2(whole) * torch.fft.rfft2(pieces, s=size).conj(), s=size)[:, :valid, :valid]
    means, squares = (functional.avg_pool2d(values[None], a, stride=1)[0] for values in (whole, whole**2))
    variances, spread = squares - means**2, (pieces**2).mean((-2, -1))
    scale = variances.clamp(min=_FLAT**2).sqrt() * spread.clamp(min=_FLAT**2).sqrt()[:, None, None] * a**2
    is_flat = (variances < _FLAT**2) | (spread < _FLAT**2)[:, None, None]
    found = torch.where(is_flat, torch.zeros(()), products / scale)
    return np.asarray(found.amax((-2, -1)).clamp(-1, 1))


def is_recognisable(piece: NDArray[np.float32]) -> bool:
    """Whether a piece of a plane shows enough to be found again."""
    return bool(piece.std() >= _LEAST)
