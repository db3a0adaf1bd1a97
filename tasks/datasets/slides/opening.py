"""Opens slide files, and turns each error of OpenSlide into one sentence that names the file."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DamagedError
from bench.files.regular import check_regular

if TYPE_CHECKING:
    import openslide
    import tifffile

LARGEST_TILE = 2**14
"""Pixels of a side of a tile: scanners write 240 to 4096."""
_SEPARATE = 2  # of the tag PlanarConfiguration
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_AGAIN = "Copy it again, or take it out of the folder."


def open_checked(path: Path, what: str = "slide") -> openslide.OpenSlide:
    """The open file. Raises MissingError if it is absent, and DamagedError if it cannot be read or is cut short."""
    import openslide

    check_regular(path, what)
    check_tiff(path, what)
    try:
        handle = openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError as error:
        raise DamagedError(
            f"the {what} {path} is in no format that OpenSlide reads. Slides are pyramids of tiles: convert it, for example "
            "with `vips tiffsave IN OUT.tif --tile --pyramid --compression deflate`, or take it out of the folder."
        ) from error
    except openslide.OpenSlideError as error:
        raise DamagedError(f"the {what} {path} cannot be opened: {error}. {_AGAIN}") from error
    return handle


@contextmanager
def guard(path: Path, what: str) -> Iterator[None]:
    """Turns errors of OpenSlide while `what` is read into a DamagedError."""
    import openslide

    try:
        yield
    except openslide.OpenSlideError as error:
        raise DamagedError(f"{what} of the slide {path} cannot be read: {error}. {_AGAIN}") from error


def check_tiff(path: Path, what: str) -> None:
    """Raises DamagedError if a TIFF file has tiles of an impossible size or another number of them than its width and height
    need, or ends before the last of them. OpenSlide trusts these numbers: it asks for any memory, which ends the process, and
    notices the end of a file only when it reads there."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it logs of damaged tags is refused here, or harmless
    with path.open("rb") as file:
        if file.read(4) not in _TIFF:
            return
    size, end = path.stat().st_size, 0
    try:
        with tifffile.TiffFile(path) as tiff:
            for number in range(len(tiff.pages)):  # its iterator follows a directory that names itself for ever
                page = tiff.pages[number]
                if fault := _find_fault(page):
                    raise DamagedError(f"the {what} {path} is damaged: picture {number} has {fault}. {_AGAIN}")
                parts = zip(page.dataoffsets, page.databytecounts, strict=False)
                end = max(end, *(offset + count for offset, count in parts if count), 0)
    except DamagedError:
        raise
    except Exception as error:  # what the reader raises on damaged tags cannot be listed
        raise DamagedError(f"the {what} {path} has damaged TIFF tags: {error}. {_AGAIN}") from error
    if end > size:
        raise DamagedError(f"the {what} {path} is cut short: it has {size} bytes and its tiles need {end}. {_AGAIN}")


def _find_fault(page: tifffile.TiffPage | tifffile.TiffFrame) -> str:
    """What is wrong with the tiles of one picture of a TIFF file; empty where nothing is, and for pictures in strips."""
    page = page.aspage()
    if not page.is_tiled:
        return ""
    width, height = page.tilewidth, page.tilelength
    if not (0 < width <= LARGEST_TILE and 0 < height <= LARGEST_TILE):
        return f"tiles of {width} x {height} pixels"
    planes = page.samplesperpixel if page.planarconfig == _SEPARATE else 1
    needed = planes * page.imagedepth * math.ceil(page.imagewidth / width) * math.ceil(page.imagelength / height)
    if len(page.dataoffsets) != needed:
        return f"{len(page.dataoffsets)} tiles, and {page.imagewidth} x {page.imagelength} pixels need {needed}"
    return ""
