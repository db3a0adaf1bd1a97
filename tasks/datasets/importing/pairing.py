"""What the user asked an import for, and what a layout found: images, their maps, and columns of the index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["region", "nuclei"]
"""Layout that is written: class maps, or nuclei with types."""
OUTSIDE_IGNORED = "ignore"


@dataclass(frozen=True)
class ImportOptions:
    """The options of `bench data import`."""

    source: Path
    out: Path
    layout: str = ""
    palette: str = ""
    accept_palette: bool = False
    classes: tuple[str, ...] = ()
    mpp: float | None = None
    confirm_mpp: bool = False
    unit_from: str = ""
    split_from: str = ""
    split_names: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    """Meaning -> column of a table: image, mask, id, a sampling unit, a laboratory, split, mpp."""
    kind: Kind = "region"
    outside: str = OUTSIDE_IGNORED
    """Class of the pixels that no polygon covers; `ignore` for not annotated."""
    skip_damaged: bool = False


@dataclass(frozen=True)
class Stored:
    """An image file, on the disk or inside another file."""

    name: str
    """As messages and the manifest show it."""
    path: Path | None = None
    read: Callable[[], bytes] | None = None
    """The content, where it is no file of its own."""


@dataclass(frozen=True)
class Computed:
    """A map that is made of polygons or arrays and not read from an image file."""

    name: str
    draw: Callable[[tuple[int, int]], tuple[NDArray[np.int32], NDArray[np.uint8]]]
    """From height and width to instances, int32 (h, w), and classes, uint8 (h, w), 255 = not annotated; or DamagedError."""


@dataclass(frozen=True)
class Item:
    """One image and its map."""

    id: str
    image: Stored
    mask: Stored | Computed
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of its row in the table of the source, as that spells them."""


@dataclass(frozen=True)
class Pairing:
    """What a layout found in a source."""

    layout: str
    rule: str
    """Which map belongs to which image."""
    items: Sequence[Item]
    kind: Kind = "region"
    classes: tuple[str, ...] = ()
    """Names of the classes 0, 1, ... where the source has them."""
    statements: tuple[str, ...] = ()
    """Further assumptions, a sentence each."""
    meanings: Mapping[str, str] = field(default_factory=dict)
    """Column of the source -> what it is taken for."""
    mpp: float | None = None
    """Microns per pixel that the layout implies."""
    mpp_from: str = ""
    unpaired: Mapping[str, str] = field(default_factory=dict)
    """Images without a map -> what is wrong."""
