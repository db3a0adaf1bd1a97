"""Images as readers get them: the same file for every arm but for its pixels.

Every image is an 8-bit RGB PNG without compression, metadata, resolution or colour profile, so that files of one size have one
number of bytes and no part of them but the pixels and their checksums differs.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.pictures import COLOURS
from bench.types import Conditions

NOT_ANNOTATED = 255


def encode_image(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of uint8 (h, w, 3)."""
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UsageError(f"an image is {pixels.dtype} {pixels.shape}, and not uint8 (h, w, 3).")
    content = io.BytesIO()
    Image.frombytes("RGB", (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes()).save(
        content, format="PNG", compress_level=0
    )
    return content.getvalue()


def encode_outlines(condition: Conditions) -> bytes:
    """PNG of the outlines of one condition in the colours of their types or classes, transparent elsewhere: borders of nuclei
    where there are instances, otherwise of the regions of the class map. Raises UsageError if it has neither."""
    from PIL import Image

    areas = condition.masks if condition.instances is None else condition.instances
    values = condition.masks if condition.types is None else condition.types
    if areas is None or values is None:
        raise UsageError(
            "the questionnaire shows conditions, and these data have no maps: choose another one with --questions."
        )
    area, value = np.asarray(areas[0]), np.asarray(values[0])
    padded = np.pad(area, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    others = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    border = np.logical_or.reduce([inner != other for other in others])
    border &= area != (NOT_ANNOTATED if condition.instances is None else 0)
    drawn = np.where(border, value % len(COLOURS) + 1, 0).astype(np.uint8)
    picture = Image.frombytes("P", (drawn.shape[1], drawn.shape[0]), drawn.tobytes())
    picture.putpalette([0, 0, 0, *COLOURS.ravel().tolist()])
    content = io.BytesIO()
    picture.save(content, format="PNG", compress_level=0, transparency=0)
    return content.getvalue()


def describe_legend(conditions: Conditions) -> list[list[str]]:
    """(name, colour) of every class that outlines can have; the same for all readers and images."""
    names: Sequence[str] = conditions.classes
    first = 1 if conditions.instances is not None else 0
    return [[name, "#" + bytes(COLOURS[i % len(COLOURS)].tolist()).hex()] for i, name in enumerate(names) if i >= first]
