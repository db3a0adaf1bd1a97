"""Data types: images, conditions, sets of patches.

Images at every border are uint8 (n, h, w, 3) RGB; features float32 (n, d); class maps uint8 (n, h, w); instances
int32 (n, h, w) with 0 = background; sizes in pixels; resolution in microns per pixel (mpp). Arrays may be memory-mapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""uint8 (n, h, w, 3), RGB."""
Features = NDArray[np.float32]
"""float32 (n, d)."""
Strings = NDArray[np.str_]
"""str (n,)."""
Index = slice | NDArray[Any] | list[int]
PromptSource = Literal["self", "slide", "cohort"]
"""Where a visual prompt is cut: from the target itself, another patch of its slide, or a patch of another slide."""
Direction = Literal["lower", "higher", "none"]
"""Which direction is better; none of a value that is best in the middle, as 0 of a signed difference."""
PROMPT_SOURCES: tuple[PromptSource, ...] = ("self", "slide", "cohort")
NOT_ANNOTATED = 255
"""Value of a pixel of a class map that is not annotated."""
GREY = 128  # a prompt canvas outside its crop: 0 in the [-1, 1] scale of networks


@dataclass(frozen=True)
class Prompts:
    """One tissue crop for each class of each patch, pasted on a grey canvas (k = number of classes)."""

    prompt_source: PromptSource
    canvases: NDArray[np.uint8]
    """uint8 (n, k, h, w, 3): the crop at its place, `GREY` elsewhere, all grey where the class has no crop."""
    boxes: NDArray[np.int32]
    """int32 (n, k, 4): y0, x0, y1, x1 of the crop on the canvas; all zero where the class has no crop."""
    sources: Strings
    """str (n, k): id of the patch each crop was cut from, "" where the class has no crop."""

    def __getitem__(self, index: Index) -> Prompts:
        return Prompts(self.prompt_source, self.canvases[index], self.boxes[index], self.sources[index])


@dataclass(frozen=True, repr=False)
class Conditions:
    """What each of n patches should show. Columns that a dataset does not have are None."""

    ids: Strings
    """str (n,), unique."""
    groups: Strings
    """str (n,): slide or patient of each patch, the unit of splits and visual prompts, and of intervals without `clusters`."""
    classes: tuple[str, ...]
    """Names of the classes 0..k-1 of `masks`."""
    size: int
    """Side of the square patches in pixels."""
    mpp: float
    """Microns per pixel; NaN where it is unknown."""
    masks: NDArray[np.uint8] | None = None
    """uint8 (n, size, size): class of each pixel, 0..k-1, or 255 (not annotated): ignored everywhere."""
    instances: NDArray[np.int32] | None = None
    """int32 (n, size, size): nucleus of each pixel, 0 = none."""
    types: NDArray[np.uint8] | None = None
    """uint8 (n, size, size): type of the nucleus at each pixel, 0 = none."""
    prompts: Prompts | None = None
    labels: NDArray[np.int64] | None = None
    """int64 (n,): class of the whole patch."""
    texts: Strings | None = None
    vectors: NDArray[np.float32] | None = None
    """float32 (n, d): an embedding of each patch."""
    origins: Strings | None = None
    """str (n,): the image that each patch was cut from; None if no two patches of the dataset share a pixel. Patches of
    different images share none."""
    corners: NDArray[np.int64] | None = None
    """int64 (n, 2): y and x of each patch's upper left pixel in its image, in pixels of the patch's resolution; -1 if
    unknown: such a patch may share pixels with every patch of its image. Present if `origins` is."""
    clusters: Strings | None = None
    """str (n,): laboratory or centre of each patch, if the data name it. Slides of one laboratory resemble each other, so it
    is then the sampling unit of every interval. All patches of a group are of one cluster."""
    splits: Strings | None = None
    """str (n,): the split of each patch, in a set that joins several for a control (`ChoosesTrainingPatches`)."""

    @property
    def units(self) -> Strings:
        """str (n,): the sampling unit of each patch in intervals, its cluster if the data name it, otherwise its group."""
        return self.groups if self.clusters is None else self.clusters

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        columns = ", ".join(sorted(self.columns())) or "no columns"
        slides = len(np.unique(self.groups))
        return f"<Conditions: {len(self)} patches of {self.size} px, {slides} groups, {len(self.classes)} classes; {columns}>"

    def __getitem__(self, index: Index) -> Conditions:
        """The chosen rows, in the order of the index."""
        if isinstance(index, list):
            index = np.asarray(index, dtype=np.int64)
        cut = {column: getattr(self, column)[index] for column in ("ids", "groups", *sorted(self.columns()))}
        return replace(self, **cut)

    def overlaps(self, row: int, others: Conditions) -> NDArray[np.bool_]:
        """bool (len(others),): which patches of a set of the same dataset share, or may share, a pixel with patch `row` of
        this one. A patch overlaps itself."""
        same: NDArray[np.bool_] = np.asarray(others.ids == self.ids[row])
        if self.origins is None or self.corners is None or others.origins is None or others.corners is None:
            return same
        apart = (np.abs(others.corners - self.corners[row]) >= self.size).any(axis=1)
        unknown = (others.corners < 0).any(axis=1) | (self.corners[row] < 0).any()
        found: NDArray[np.bool_] = same | ((others.origins == self.origins[row]) & (unknown | ~apart))
        return found

    def columns(self) -> frozenset[str]:
        """Names of the optional columns that are present."""
        fixed = {"ids", "groups", "classes", "size", "mpp"}
        return frozenset(f.name for f in fields(self) if f.name not in fixed and getattr(self, f.name) is not None)


@dataclass(frozen=True, repr=False)
class ImageSet:
    """Real or generated patches with their conditions, row by row; `key` names the content for caches."""

    key: str
    images: Images
    conditions: Conditions

    def __len__(self) -> int:
        return len(self.conditions)

    def __repr__(self) -> str:
        return f"<ImageSet {self.key}: {self.conditions!r}>"

    def __getitem__(self, index: Index) -> ImageSet:
        rows = np.arange(len(self))[index]
        return ImageSet(self.part_key_of(self.key, rows), self.images[rows], self.conditions[rows])

    @staticmethod
    def part_key_of(key: str, rows: NDArray[Any]) -> str:
        """The key of some rows, int64 (m,), of the set with this key."""
        part = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:12]
        return f"{key}[{part}]"


def image_seeds(run_seed: int, ids: Strings) -> NDArray[np.uint64]:
    """uint64 (n,): one seed per image, the first 8 bytes of sha256("run seed / condition id").

    An image depends on its condition and this number only, not on order, batch or sharding.
    """
    digests = (hashlib.sha256(f"{run_seed}/{name}".encode()).digest() for name in ids.tolist())
    return np.array([int.from_bytes(d[:8], "little") for d in digests], dtype=np.uint64)


Progress = Callable[[int, int, str], None]
"""progress(done, total, what): called during a long computation; must be cheap."""


def silent(done: int, total: int, what: str) -> None:
    """Ignores progress."""
