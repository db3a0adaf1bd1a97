"""Opens image files from outside in the format of their extension, and refuses faults that Pillow ignores."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import MissingError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Extension -> the format that the file must have."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 274
_UPRIGHT = 1


def open_image(path: Path) -> Image.Image:
    """The file as a picture that is not decoded yet, in the format of its extension; the caller closes it.

    Every image file is opened here. Pillow would try all formats that it knows, whatever the name, and for some of them it
    starts another program. Raises MissingError on another format, and Pillow's errors on a file that cannot be read.
    """
    from PIL import Image

    wanted = FORMATS.get(path.suffix.lower())
    if wanted is None:
        raise MissingError(f"{path} has none of the extensions that are read: {', '.join(FORMATS)}.")
    picture = Image.open(path, formats=sorted(set(FORMATS.values())))
    if picture.format != wanted:
        picture.close()
        raise MissingError(
            f"{path} is a {picture.format} file with the extension of a {wanted} file. Export it again as {wanted}: renaming "
            "does not change the format, and lossy formats change classes at edges."
        )
    return picture


def check_upright(path: Path, picture: Image.Image) -> None:
    """Raises MissingError on an EXIF or TIFF orientation: viewers rotate such images, and maps are annotated on the rotated
    view.

    Call it before the picture is decoded: decoding a TIFF applies and drops the tag.
    """
    turned = picture.getexif().get(_ORIENTATION, _UPRIGHT)
    if turned != _UPRIGHT:
        raise MissingError(
            f"{path} has the EXIF orientation {turned}: viewers rotate it, its pixels are not rotated. Save it upright, for "
            "example with PIL.ImageOps.exif_transpose, and check that its map fits."
        )


def check_opaque(path: Path, picture: Image.Image) -> None:
    """Raises MissingError if the file makes values of its palette, or a colour, transparent."""
    hidden = picture.info.get("transparency")
    if hidden is None or (isinstance(hidden, bytes) and set(hidden) <= {255}):
        return
    raise MissingError(
        f"{path} makes some of its {'palette' if picture.mode == 'P' else 'values'} transparent, so that their meaning is "
        "unclear. Save it without transparency; in class maps pixels that are not annotated are 255."
    )


def find_png_fault(path: Path) -> str:
    """The fault in the chunks of a PNG file; empty if each has the right checksum.

    Pillow does not check those of pixel data: a flipped bit changes the picture without an error.
    """
    content = path.read_bytes()
    if not content.startswith(_SIGNATURE):
        return ""  # another format, which `open_image` refuses
    at = len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        if at + 12 > len(content):
            return "it is cut short"
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        if end + 4 > len(content):
            return "it is cut short"
        if zlib.crc32(content[at + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            return f"the checksum of its chunk {kind.decode('ascii', 'replace')} is wrong"
        at = end + 4
    return ""
