"""Opens the images and maps of a source, and makes the files of a data folder."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, DamagedError, MissingError
from bench.files.image_files import FORMATS, check_upright, find_png_fault, open_image
from bench.files.regular import check_regular, list_folder
from tasks.datasets.importing.pairing import Stored

LARGEST_PIXELS = 2**28
"""Pixels of one image, 16,384 x 16,384. Larger ones are slides."""
_SIGNATURES = ((b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"))


@contextmanager
def as_file(stored: Stored, folder: Path) -> Iterator[Path]:
    """The path of the image, for the time that it is looked at; what lies inside another file is written to `folder`."""
    if stored.path is not None:
        yield stored.path
        return
    assert stored.read is not None
    content = stored.read()
    with tempfile.TemporaryDirectory(dir=folder) as made:
        path = Path(made) / f"image{find_suffix(content, stored.name)}"
        path.write_bytes(content)
        yield path


def find_suffix(content: bytes, name: str) -> str:
    """The extension of an image format by its first bytes. Raises DamagedError on other content."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    for signature, suffix in _SIGNATURES:
        if content.startswith(signature):
            return suffix
    raise DamagedError(f"{name} is no PNG, JPEG, WebP or TIFF image.")


def read_values(path: Path) -> NDArray[np.uint8] | NDArray[np.int32]:
    """The values of a map as the file has them: uint8 or int32 (h, w), or uint8 (h, w, 3) of colours.

    Of a palette file these are the indices. Raises MissingError on other files and on visible transparency.
    """
    check_regular(path, "map")
    try:
        if fault := find_png_fault(path) if path.suffix.lower() == ".png" else "":
            raise OSError(fault)
        with open_image(path) as picture:
            check_upright(path, picture)
            check_pixels(path, picture.height, picture.width)
            picture.load()
            pages = getattr(picture, "n_frames", 1)
            mode, found = picture.mode, np.asarray(picture)
    except BenchError:
        raise
    except Exception as error:  # what the reader of a format raises on damaged data cannot be listed
        raise DamagedError(f"cannot read {path}: {error}. Copy it again.") from error
    if pages > 1:
        raise DamagedError(f"{path} has {pages} pages. Save one of them as a file of its own.")
    if mode == "RGBA" and (found[..., 3] == 255).all():
        mode, found = "RGB", found[..., :3]
    if mode not in ("1", "L", "P", "RGB", "I", "I;16", "I;16B"):
        raise DamagedError(f"{path} is stored as {mode}. Save the map with one channel of class numbers, or as RGB.")
    return found.astype(np.uint8) if mode in ("1", "L", "P", "RGB") else found.astype(np.int32)


def check_pixels(path: Path, height: int, width: int) -> None:
    """Raises DamagedError where an image is a slide."""
    if height * width > LARGEST_PIXELS:
        raise DamagedError(f"{path} is {width} x {height} px: a slide. Cut patches from it with bench prepare slides.")


def encode_png(values: NDArray[np.generic]) -> bytes:
    """A PNG file of uint8 (h, w), uint8 (h, w, 3) or int32 (h, w), the last in 16 bits. Raises DamagedError above 65,535."""
    from PIL import Image

    if values.dtype == np.int32:
        if values.size and int(values.max()) >= 2**16:
            raise DamagedError(f"more than {2**16 - 1} nuclei in one image do not fit in a 16-bit map.")
        values = values.astype(np.uint16)
    made = io.BytesIO()
    Image.fromarray(values).save(made, "PNG")
    return made.getvalue()


def copy_image(path: Path, folder: Path, name: str) -> None:
    """Copies an image file as it is under the id as its name."""
    shutil.copyfile(path, folder / f"{name}{path.suffix.lower()}")


def images_in(folder: Path) -> list[Path]:
    """Files with the extension of an image that is read, by name."""
    return [path for path in list_folder(folder) if path.suffix.lower() in FORMATS and not path.name.startswith(".")]


def check_size(image: Path, shape: tuple[int, ...], mask: str, found: tuple[int, ...]) -> None:
    """Raises MissingError where a map is not of the size of its image."""
    if shape[:2] != found[:2]:
        raise MissingError(
            f"{image} is {shape[1]} x {shape[0]} px, its map {mask} is {found[1]} x {found[0]}. Give both in one size."
        )
