"""Opens slide files, and turns each error of OpenSlide into one sentence that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DamagedError
from bench.files.regular import check_regular

if TYPE_CHECKING:
    import openslide

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_AGAIN = "Copy it again, or take it out of the folder."


def open_checked(path: Path, what: str = "slide") -> openslide.OpenSlide:
    """The open file. Raises MissingError if it is absent, and DamagedError if it cannot be read or is cut short."""
    import openslide

    check_regular(path, what)
    try:
        handle = openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError as error:
        raise DamagedError(
            f"the {what} {path} is in no format that OpenSlide reads. Slides are pyramids of tiles: convert it, for example "
            "with `vips tiffsave IN OUT.tif --tile --pyramid --compression deflate`, or take it out of the folder."
        ) from error
    except openslide.OpenSlideError as error:
        raise DamagedError(f"the {what} {path} cannot be opened: {error}. {_AGAIN}") from error
    try:
        check_complete(path, what)
    except BaseException:
        handle.close()
        raise
    return handle


@contextmanager
def guard(path: Path, what: str) -> Iterator[None]:
    """Turns errors of OpenSlide while `what` is read into a DamagedError."""
    import openslide

    try:
        yield
    except openslide.OpenSlideError as error:
        raise DamagedError(f"{what} of the slide {path} cannot be read: {error}. {_AGAIN}") from error


def check_complete(path: Path, what: str) -> None:
    """Raises DamagedError if a TIFF file ends before the last of its tiles: OpenSlide says so only when it reads it."""
    import tifffile

    with path.open("rb") as file:
        if file.read(4) not in _TIFF:
            return
    size = path.stat().st_size
    try:
        with tifffile.TiffFile(path) as tiff:
            ends = [
                offset + count
                for page in tiff.pages
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
                if count
            ]
    except Exception as error:  # what the reader raises on damaged tags cannot be listed
        raise DamagedError(f"the {what} {path} has damaged TIFF tags: {error}. {_AGAIN}") from error
    if (end := max(ends, default=0)) > size:
        raise DamagedError(f"the {what} {path} is cut short: it has {size} bytes and its tiles need {end}. {_AGAIN}")
