"""From pixels of a level to pixels of the wanted resolution.

Each wanted pixel is the average over its area: exactly where the ratio is a whole number (`PIL.Image.reduce`), otherwise by
Pillow's Hamming filter, which on H&E differs from the exact average by less than one grey level in the mean. (Pillow's box
filter takes whole pixels only: up to 1.7 grey levels.) What Pillow returns depends on the size and origin of the picture, by
rounding, so that each region is first cut out with its own margins: a tile is the same whatever block it is cut from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.datasets.slides.levels import Level, choose_level

if TYPE_CHECKING:
    from PIL import Image

_WHOLE = 0.01
"""A ratio is a whole number if that moves no pixel of the slide by more than this, in wanted pixels."""


@dataclass(frozen=True)
class Source:
    """A rectangle in pixels of a level."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Sampling:
    """How a resolution is made from a level."""

    level: Level
    ratio: float
    """Pixels of the level for each wanted pixel."""
    whole: int
    """The ratio where it is a whole number, else 0."""

    @property
    def margin(self) -> int:
        """Pixels of the level beyond a region that the filter reaches, support 1, with one for rounding."""
        return 0 if self.whole else math.ceil(max(1.0, self.ratio)) + 1

    def largest_side(self, block: int) -> int:
        """Side of the largest region whose source is at most `block` pixels wide."""
        return max(1, int((block - 2 * self.margin - 2) / self.ratio))

    def find_source(self, x: int, y: int, width: int, height: int) -> Source:
        """What has to be read of the level for a region in wanted pixels."""
        if self.whole:
            return Source(x * self.whole, y * self.whole, width * self.whole, height * self.whole)
        left, top = math.floor(x * self.ratio) - self.margin, math.floor(y * self.ratio) - self.margin
        right, bottom = math.ceil((x + width) * self.ratio), math.ceil((y + height) * self.ratio)
        return Source(left, top, right + self.margin - left, bottom + self.margin - top)

    def sample(self, picture: Image.Image, at: Source, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """uint8 (height, width, 3): a region in wanted pixels from the picture of a source that holds it."""
        from PIL import Image

        own = self.find_source(x, y, width, height)
        left, top = own.x - at.x, own.y - at.y
        cut = (left, top, left + own.width, top + own.height)
        if self.whole:
            return np.asarray(picture.reduce(self.whole, box=cut) if self.whole > 1 else picture.crop(cut))
        start, above = x * self.ratio - own.x, y * self.ratio - own.y
        box = (start, above, start + width * self.ratio, above + height * self.ratio)
        return np.asarray(picture.crop(cut).resize((width, height), Image.Resampling.HAMMING, box=box))


def plan_sampling(levels: tuple[Level, ...], scale: float, longest: int) -> Sampling:
    """`scale`: pixels of level 0 for each wanted pixel; `longest`: the slide's longer side in wanted pixels."""
    level = choose_level(levels, scale)
    ratio = scale / level.downsample
    whole = round(ratio)
    if whole >= 1 and abs(ratio - whole) / ratio * longest < _WHOLE:
        return Sampling(level, float(whole), whole)
    return Sampling(level, ratio, 0)
