"""Reads label slides: tiled TIFF files whose value at a pixel is its class, in one channel or in the first of three (PANDA).

Labels are those of level 0 at the centre of each wanted pixel: levels of label slides may have been averaged, and an average
of two labels is another label.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, UsageError
from tasks.datasets.slides.opening import guard, open_checked

if TYPE_CHECKING:
    import openslide

    from tasks.datasets.slides.reader import Slide

OUTSIDE = 255
"""Label of a pixel outside the slide."""
_STRIP = 2**22
"""Pixels of level 0 that are decoded at once: 16 MiB."""
_LOSSY = {6: "JPEG", 7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000"}
"""TIFF compressions that change labels."""
_PALETTE, _WHITE_IS_ZERO = 3, 0


class LabelSlide:
    """An open label slide; a context manager. See `open_labels`."""

    def __init__(self, path: Path, handle: openslide.OpenSlide, mpp: float) -> None:
        self.path = path
        self.mpp = mpp
        """Microns per pixel of level 0: that of the slide it belongs to."""
        self.width, self.height = handle.dimensions
        self._handle = handle

    def __enter__(self) -> LabelSlide:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._handle.close()

    def read_labels(self, x: int, y: int, width: int, height: int, mpp: float) -> NDArray[np.uint8]:
        """uint8 (height, width): the label at each pixel's centre, 255 outside the slide; x and y in pixels of `mpp` microns.

        Raises DamagedError where the file is, or holds colours.
        """
        if width < 1 or height < 1 or not mpp > 0:
            raise UsageError(f"a region has at least one pixel and a positive resolution, not {width} x {height} at {mpp}.")
        scale = mpp / self.mpp
        columns = np.floor((x + np.arange(width) + 0.5) * scale).astype(np.int64)
        rows = np.floor((y + np.arange(height) + 0.5) * scale).astype(np.int64)
        result = np.full((height, width), OUTSIDE, dtype=np.uint8)
        inside_columns = np.flatnonzero((columns >= 0) & (columns < self.width))
        inside_rows = np.flatnonzero((rows >= 0) & (rows < self.height))
        if not len(inside_columns) or not len(inside_rows):
            return result
        left, right = int(columns[inside_columns[0]]), int(columns[inside_columns[-1]]) + 1
        tall = max(1, _STRIP // (right - left))
        for strip in np.split(inside_rows, np.flatnonzero(np.diff(rows[inside_rows] // tall)) + 1):
            top, bottom = int(rows[strip[0]]), int(rows[strip[-1]]) + 1
            labels = self._read_level0(left, top, right - left, bottom - top)
            result[np.ix_(strip, inside_columns)] = labels[np.ix_(rows[strip] - top, columns[inside_columns] - left)]
        return result

    def _read_level0(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        with guard(self.path, f"the region at {x}, {y}"):
            pixels = np.asarray(self._handle.read_region((x, y), 0, (width, height)))
        first, second, third, alpha = np.moveaxis(pixels, -1, 0)
        is_grey = np.array_equal(first, second) and np.array_equal(first, third)
        if not is_grey and (second.any() or third.any()):
            raise DamagedError(
                f"the label slide {self.path} holds colours at {x}, {y}, and labels are in one channel, or in the first of "
                "three with the others 0. Convert it to class numbers."
            )
        return np.asarray(np.where(alpha == 255, first, OUTSIDE), dtype=np.uint8)


def open_labels(path: Path, slide: Slide) -> LabelSlide:
    """Opens the label slide of a slide.

    Raises MissingError if it is absent, and DamagedError if it is damaged, of another size than the slide, stored with a
    palette, inverted, or compressed with losses.
    """
    path = Path(path)
    handle = open_checked(path, "label slide")
    try:
        _check_storage(path)
        if handle.dimensions != (slide.info.width, slide.info.height):
            raise DamagedError(
                f"the label slide {path} has {handle.dimensions[0]} x {handle.dimensions[1]} pixels, and its slide "
                f"{slide.info.path} has {slide.info.width} x {slide.info.height}. Give the label slide of this slide."
            )
        return LabelSlide(path, handle, slide.info.mpp)
    except BaseException:
        handle.close()
        raise


def _check_storage(path: Path) -> None:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            compression, photometric, bits = int(page.compression), int(page.photometric), page.bitspersample
    except Exception as error:  # what the reader raises on files that are no TIFF cannot be listed
        raise DamagedError(f"the label slide {path} is no TIFF file: {error}. Convert it to a tiled TIFF.") from error
    if name := _LOSSY.get(compression):
        raise DamagedError(
            f"the label slide {path} is compressed as {name}, which changes labels. Store it with deflate or LZW."
        )
    if photometric == _PALETTE or photometric == _WHITE_IS_ZERO or bits != 8:
        found = "a palette" if photometric == _PALETTE else f"{bits} bits a channel, or white as 0"
        raise DamagedError(f"the label slide {path} is stored with {found}. Store class numbers as 8-bit greyscale or RGB.")
