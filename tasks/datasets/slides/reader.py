"""Reads any rectangle of a slide at any resolution.

The nearest finer level of the pyramid is read and resampled, see `sampling`. The resolution is never rounded to a level or a
magnification. Positions are right to half a pixel of level 0, which is how finely OpenSlide is addressed.
Transparent pixels, and those outside the slide, are white. Colours are those of the file: its ICC profile is not applied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from tasks.datasets.slides.blocks import group_tiles
from tasks.datasets.slides.levels import Level, read_levels
from tasks.datasets.slides.opening import guard, open_checked
from tasks.datasets.slides.resolution import find_mpp
from tasks.datasets.slides.sampling import Sampling, Source, plan_sampling

if TYPE_CHECKING:
    import openslide
    from PIL import Image

UPSCALING = 1.1
"""Factor by which an image may be finer than the finest level."""
BLOCK = 2048
"""Side of the largest square of a level that is decoded at once, pixels: 16 MiB. Larger squares share more compressed tiles,
and are slower to fill: benchmarks/slide_reading.py."""

_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class SlideInfo:
    """What a slide says about itself."""

    path: Path
    width: int
    """Pixels of level 0."""
    height: int
    mpp: float
    """Microns per pixel of level 0."""
    mpp_source: str
    """The property or option that `mpp` comes from, see `resolution.find_mpp`."""
    vendor: str
    """Format as OpenSlide names it, e.g. `aperio`."""
    levels: int
    has_icc: bool


class Slide:
    """An open slide; a context manager. See `open_slide`."""

    def __init__(self, handle: openslide.OpenSlide, info: SlideInfo, levels: tuple[Level, ...]) -> None:
        self.info = info
        self._handle = handle
        self._levels = levels

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._handle.close()

    def size_at(self, mpp: float) -> tuple[int, int]:
        """Width and height of the slide in pixels of `mpp` microns, rounded, at least 1."""
        self._check_mpp(mpp)
        factor = self.info.mpp / mpp
        return max(1, round(self.info.width * factor)), max(1, round(self.info.height * factor))

    def read(self, x: int, y: int, width: int, height: int, mpp: float) -> NDArray[np.uint8]:
        """uint8 (height, width, 3), RGB: the rectangle whose upper left corner is (x, y), in pixels of `mpp` microns.

        Read in blocks, so that memory beyond the result stays bounded. Raises MissingError if `mpp` is finer than the finest
        level by more than 1.1, and DamagedError where the file is.
        """
        self._check_rectangle(width, height, mpp)
        sampling = self._sampling(mpp)
        step = sampling.largest_side(BLOCK)
        result = np.empty((height, width, 3), dtype=np.uint8)
        for top in range(0, height, step):
            for left in range(0, width, step):
                box = (x + left, y + top, min(step, width - left), min(step, height - top))
                at = sampling.find_source(*box)
                result[top : top + box[3], left : left + box[2]] = sampling.sample(self._read_level(sampling, at), at, *box)
        return result

    def read_tiles(self, corners: NDArray[np.int64], size: int, mpp: float) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """For each square of `size` pixels its row of `corners` and uint8 (size, size, 3), in the order of the blocks.

        `corners` int64 (n, 2): x and y of the upper left corner, in pixels of `mpp` microns. One block is read for all tiles
        that lie close together; at most one block is held. Each tile is what `read` gives, byte for byte. Raises as `read`.
        """
        self._check_rectangle(size, size, mpp)
        sampling = self._sampling(mpp)
        largest = sampling.largest_side(BLOCK)
        if size > largest:
            yield from ((row, self.read(int(x), int(y), size, size, mpp)) for row, (x, y) in enumerate(corners))
            return
        for block in group_tiles(np.asarray(corners, dtype=np.int64), size, largest):
            at = sampling.find_source(block.x, block.y, block.width, block.height)
            picture = self._read_level(sampling, at)
            for row in block.rows.tolist():
                yield row, sampling.sample(picture, at, int(corners[row][0]), int(corners[row][1]), size, size)

    def thumbnail(self, longest: int) -> NDArray[np.uint8]:
        """uint8 (h, w, 3): the whole slide, its longer side `longest` pixels, or fewer if level 0 has fewer."""
        if longest < 1:
            raise UsageError(f"a thumbnail is at least 1 pixel long, not {longest}.")
        mpp = self.info.mpp * max(1.0, max(self.info.width, self.info.height) / longest)
        return self.read(0, 0, *self.size_at(mpp), mpp)

    def _check_mpp(self, mpp: float) -> None:
        if not 0 < mpp < math.inf:
            raise UsageError(f"a resolution is a positive number of microns per pixel, not {mpp}.")

    def _check_rectangle(self, width: int, height: int, mpp: float) -> None:
        self._check_mpp(mpp)
        if width < 1 or height < 1:
            raise UsageError(f"a region of a slide is at least 1 pixel wide and high, not {width} x {height}.")
        if mpp * UPSCALING < self.info.mpp * (1 - 1e-9):
            raise MissingError(
                f"{self.info.path} has {self.info.mpp:g} microns per pixel ({self.info.mpp_source}), and {mpp:g} were asked "
                f"for: more than {UPSCALING:g} times finer. Ask for {self.info.mpp:g} or more, or take a finer scan."
            )

    def _sampling(self, mpp: float) -> Sampling:
        return plan_sampling(self._levels, mpp / self.info.mpp, max(self.size_at(mpp)))

    def _read_level(self, sampling: Sampling, at: Source) -> Image.Image:
        """RGB picture of a rectangle in pixels of a level, white outside it."""
        from PIL import Image

        level = sampling.level
        left, top = max(at.x, 0), max(at.y, 0)
        width, height = min(at.x + at.width, level.width) - left, min(at.y + at.height, level.height) - top
        if width <= 0 or height <= 0:
            return Image.new("RGB", (at.width, at.height), _WHITE)
        x, y = round(left * level.address), round(top * level.address)
        with guard(self.info.path, f"the region at {x}, {y} of level 0"):
            inside = flatten(self._handle.read_region((x, y), level.number, (width, height)))
        if (width, height) == (at.width, at.height):
            return inside
        picture = Image.new("RGB", (at.width, at.height), _WHITE)
        picture.paste(inside, (left - at.x, top - at.y))
        return picture


def open_slide(path: Path, mpp: float | None = None, confirm_mpp: bool = False) -> Slide:
    """Opens a slide in any format of OpenSlide. `mpp` overrides what the slide says about its microns per pixel.

    `confirm_mpp` accepts a resolution that disagrees with the slide's objective or with its own properties, see
    `resolution.find_mpp`, which also says what is refused. Raises MissingError if the file is absent, and DamagedError if it
    is not a slide, cut short or damaged.
    """
    path = Path(path)
    handle = open_checked(path)
    try:
        properties = dict(handle.properties)
        resolution = find_mpp(path, properties, mpp, confirm_mpp)
        width, height = handle.dimensions
        has_icc = int(properties.get("openslide.icc-size", "0")) > 0
        vendor = properties.get("openslide.vendor", "unknown")
        info = SlideInfo(path, width, height, resolution.mpp, resolution.source, vendor, handle.level_count, has_icc)
        return Slide(handle, info, read_levels(handle))
    except BaseException:
        handle.close()
        raise


def flatten(picture: Image.Image) -> Image.Image:
    """An RGBA picture on white, RGB: scanners leave out what they did not scan, and glass is white."""
    from PIL import Image

    lowest, _ = picture.getchannel("A").getextrema()
    if lowest == 255:
        return picture.convert("RGB")
    white = Image.new("RGB", picture.size, _WHITE)
    white.paste(picture.convert("RGB"), mask=picture.getchannel("A"))
    return white
