"""Reads patches and class maps from files, and refuses files that Pillow would misread without a warning.

Pillow drops the lower byte of a 16-bit RGB file and multiplies the classes of a 4-bit grey file by 17. A file is opened in
the format of its extension only: PNG, JPEG, WebP or TIFF. A wrong checksum inside a PNG, an orientation other than upright,
and transparency by palette or colour are refused too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.errors import BenchError, MissingError
from bench.files.image_files import check_opaque, check_upright, find_png_fault, open_image
from bench.files.regular import check_regular
from tasks.datasets.instance_maps import check_depth

IGNORE = 255
"""Class of a pixel that nobody annotated."""
_TIFF_BITS_PER_SAMPLE = 258
_PNG_DEPTH_AT = 24  # signature, length and name of IHDR, width, height: then the bit depth


def read_image(path: Path) -> NDArray[np.uint8]:
    """uint8 (h, w, 3), RGB. An alpha channel that hides nothing is dropped.

    Refuses unreadable files, files of several pages, more than 8 bits a channel, visible transparency, palettes, and
    greyscale, also in three equal channels, since H&E is colour.
    """
    picture, bits = _decode(path)
    if bits > 8:
        raise MissingError(f"{path} has {bits} bits a channel. Save it as 8-bit RGB.")
    if picture.mode in ("L", "LA", "1"):
        raise MissingError(f"{path} is greyscale, and H&E is colour. Give the colour image or take it out of index.csv.")
    if picture.mode not in ("RGB", "RGBA"):
        raise MissingError(f"{path} is stored as {picture.mode}. Save it as 8-bit RGB.")
    pixels: NDArray[np.uint8] = np.asarray(picture)
    if picture.mode == "RGBA" and (pixels[..., 3] < 255).any():
        raise MissingError(f"{path} is partly transparent. Save it as RGB without an alpha channel.")
    colours = np.ascontiguousarray(pixels[..., :3])
    if (colours == colours[..., :1]).all():
        raise MissingError(
            f"{path} is greyscale stored as RGB, and H&E is colour. Give the colour image or take it out of index.csv."
        )
    return colours


def read_classes(path: Path) -> NDArray[np.uint8]:
    """uint8 (h, w): the class of each pixel as the file numbers them; of a palette PNG, the palette index.

    Refuses unreadable files, colours instead of classes, 16-bit maps, and 2- or 4-bit greyscale.
    """
    picture, bits = _decode(path)
    if bits > 8:
        raise MissingError(f"{path} has {bits} bits a pixel. Save class numbers as an 8-bit PNG.")
    if picture.mode not in ("L", "P", "1"):
        raise MissingError(f"{path} is stored as {picture.mode}. A class map has one channel of class numbers: 8-bit PNG.")
    if picture.mode == "L" and bits < 8:
        raise MissingError(f"{path} is a {bits}-bit greyscale file. Save class numbers as an 8-bit PNG.")
    return np.asarray(picture).astype(np.uint8)


def read_instances(path: Path) -> NDArray[np.int32]:
    """int32 (h, w): the object of each pixel, 0 = none, of an 8- or 16-bit greyscale file, or of a palette's index.

    Refuses what `read_classes` refuses, and 8-bit maps that hold 255: see `instance_maps.check_depth`.
    """
    picture, bits = _decode(path)
    if picture.mode not in ("L", "P", "1", "I", "I;16", "I;16B"):
        raise MissingError(
            f"{path} is stored as {picture.mode}. An instance map has one channel of whole numbers: 16-bit PNG."
        )
    if picture.mode == "L" and bits < 8:
        raise MissingError(f"{path} is a {bits}-bit greyscale file. Save instance numbers as a 16-bit PNG.")
    instances = np.asarray(picture).astype(np.int32)
    check_depth(instances, bits, str(path))
    return instances


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width, from the file's header alone."""
    check_regular(path, "image")
    try:
        with open_image(path) as picture:
            return picture.height, picture.width
    except BenchError:
        raise
    except Exception as error:  # what the reader of a format raises on damaged headers cannot be listed
        raise MissingError(f"cannot read {path}: {error}. Copy it again or take it out of the table.") from error


def resample(image: NDArray[np.uint8], mask: NDArray[np.uint8], scale: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image and class map at `scale` times their size: bicubic with antialiasing, and the nearest class."""
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    smooth = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    nearest = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
    return np.asarray(smooth), np.asarray(nearest)


def _decode(path: Path) -> tuple[Image.Image, int]:
    """The decoded picture and the bits a channel has in the file, which Pillow's mode does not tell."""
    check_regular(path, "image")
    try:
        if fault := find_png_fault(path):
            raise OSError(fault)
        with open_image(path) as picture:
            check_upright(path, picture)
            picture.load()
            check_opaque(path, picture)
            pages = getattr(picture, "n_frames", 1)
            bits = _bits(path, picture)
    except BenchError:
        raise
    except Exception as error:  # what the reader of a format raises on damaged data cannot be listed
        raise MissingError(f"cannot read {path}: {error}. Copy it again or take it out of index.csv.") from error
    if pages > 1:
        raise MissingError(f"{path} has {pages} pages. Save one of them as a file of its own.")
    return picture, bits


def _bits(path: Path, picture: Image.Image) -> int:
    if picture.format == "PNG":
        with path.open("rb") as file:
            return file.read(_PNG_DEPTH_AT + 1)[_PNG_DEPTH_AT]
    if tags := getattr(picture, "tag_v2", None):
        return int(max(tags.get(_TIFF_BITS_PER_SAMPLE, (1,))))
    return 8
