"""Where a slide shows tissue.

Tissue has colour and glass has none: Otsu's threshold (Otsu 1979) on the saturation of the smoothed slide, then small holes
and small objects are removed, as in CLAM (Lu et al., Nature Biomedical Engineering 2021). The threshold is kept within a
range, since Otsu's method splits the noise of an empty slide, and the tissue of a slide without glass.

Ink of pens is no tissue. Hematoxylin and eosin absorb green light most (Ruifrok and Johnston 2001): where red is absorbed more
than green, or all colours alike, it is a blue, green or black pen. Red ink looks like eosin and is not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tasks.datasets.slides.reader import Slide

SMOOTHING = 8.0
"""Standard deviation of the Gaussian filter, microns: about one nucleus."""
LOWEST, HIGHEST = 0.05, 0.12
"""Range of the threshold of saturation."""
SMALLEST_OBJECT, LARGEST_HOLE = 40_000.0, 40_000.0
"""Square microns: objects below are dirt, and holes below are lumina or fat."""
SMALLEST_STROKE = 10_000.0
"""Square microns: ink below is a coloured fringe at an edge."""
SMALLEST_SHARE = 0.05
"""The three areas are at most this share of the image, which may be a small crop of a slide."""
BLANK = 0.001
"""Share of tissue under which a slide is blank."""
_DENSE = 0.35
"""Optical density from which a pixel may be ink."""
_RED_TO_GREEN = 1.25
"""Ratio of the optical densities of red and green from which ink is blue or green; that of hematoxylin is 0.93."""
_BLACK, _BLUE_TO_GREEN = 0.9, 0.75
"""Lowest optical density of black ink, and of its blue relative to its green; hematoxylin has 0.41."""


@dataclass(frozen=True)
class Tissue:
    """Where tissue is, on a grid over the whole slide."""

    mask: NDArray[np.bool_]
    """bool (h, w)."""
    mpp: float
    """Microns per pixel of the mask."""
    share: float
    """Share of the slide that is tissue."""
    pen_share: float
    """Share of the slide that is ink."""
    is_blank: bool

    def share_in(self, x: float, y: float, size: float, mpp: float) -> float:
        """Share of tissue of a square, in [0, 1]; x, y and size in pixels of `mpp` microns. Outside the slide is no tissue."""
        return float(self.shares_in(np.array([[x, y]]), size, mpp)[0])

    def shares_in(self, corners: NDArray[np.number], size: float, mpp: float) -> NDArray[np.float64]:
        """float64 (n,): the same for squares with the upper left corners (n, 2), as x, y."""
        factor = mpp / self.mpp
        low = np.asarray(corners, dtype=np.float64) * factor
        high = low + size * factor
        area = self._sum(high[:, 0], high[:, 1]) - self._sum(low[:, 0], high[:, 1])
        area += self._sum(low[:, 0], low[:, 1]) - self._sum(high[:, 0], low[:, 1])
        return np.clip(area / (size * factor) ** 2, 0.0, 1.0)

    def _sum(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Area of tissue left of x and above y, in pixels of the mask: the table of sums, interpolated within a pixel."""
        height, width = self.mask.shape
        x, y = np.clip(x, 0, width), np.clip(y, 0, height)
        i, j = np.minimum(x.astype(np.int64), width - 1), np.minimum(y.astype(np.int64), height - 1)
        u, v = x - i, y - j
        table = self._table
        upper = table[j, i] * (1 - u) + table[j, i + 1] * u
        lower = table[j + 1, i] * (1 - u) + table[j + 1, i + 1] * u
        return np.asarray(upper * (1 - v) + lower * v)

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        """float64 (h + 1, w + 1): number of tissue pixels above and left."""
        table = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1))
        table[1:, 1:] = self.mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
        return table


def find_tissue(slide: Slide, mpp: float = 8.0) -> Tissue:
    """The tissue of a slide, found at `mpp` microns per pixel. Raises as `Slide.read` does."""
    mpp = max(mpp, slide.info.mpp)
    return segment_tissue(slide.read(0, 0, *slide.size_at(mpp), mpp), mpp)


def segment_tissue(image: NDArray[np.uint8], mpp: float) -> Tissue:
    """The tissue in an image of a whole slide, uint8 (h, w, 3), at `mpp` microns per pixel."""
    from skimage.color import rgb2hsv
    from skimage.filters import gaussian, threshold_otsu
    from skimage.morphology import remove_small_holes, remove_small_objects

    def pixels(area: float) -> int:
        return int(min(area / mpp**2, SMALLEST_SHARE * image.shape[0] * image.shape[1]))

    ink = remove_small_objects(find_ink(image), max_size=pixels(SMALLEST_STROKE))
    clean = np.where(ink[..., None], np.uint8(255), image)
    saturation = rgb2hsv(gaussian(clean, sigma=SMOOTHING / mpp, channel_axis=-1))[..., 1]
    threshold = np.clip(threshold_otsu(saturation) if np.ptp(saturation) else LOWEST, LOWEST, HIGHEST)
    mask = remove_small_holes(saturation > threshold, max_size=pixels(LARGEST_HOLE))
    mask = remove_small_objects(mask, max_size=pixels(SMALLEST_OBJECT)) & ~ink
    share = float(mask.mean())
    return Tissue(mask, mpp, share, float(ink.mean()), share < BLANK)


def find_ink(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool (h, w): blue, green and black ink in an image, uint8 (h, w, 3)."""
    density = -np.log((image.astype(np.float32) + 1) / 256)
    red, green, blue = np.moveaxis(density, -1, 0)
    coloured = (red > _DENSE) & (red > _RED_TO_GREEN * green)
    black = (green > _BLACK) & (red > _BLACK) & (blue > _BLUE_TO_GREEN * green)
    return np.asarray(coloured | black)
