"""Patches of a slide whose map is the cluster of each cell: which squares are taken, and how they are read.

A patch is kept where its cells are of several clusters: the heterogeneity is the Shannon entropy of its map. Of a slide,
patches can be drawn with chances in proportion to it, so that interfaces of tissues are frequent. The side of a patch can grow
with its complexity, entropy / log2(clusters), as 1 + growth * complexity; it is then read at a coarser resolution, and has the
same pixels. Rotation and stain can be varied. All that is random depends on the patch alone.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.stain import restain
from bench.types import NOT_ANNOTATED
from tasks.datasets.prepared.writer import PreparedPart, class_shares, entropy
from tasks.datasets.preparing.slide_list import SlideSource
from tasks.datasets.slides.reader import Slide

TWO_CLASSES = 0.72
"""Bits: the entropy of a patch of which one class covers 80 % and another 20 %, the least that the papers' patches have."""
LARGEST_TURN = 45.0
"""Degrees."""
_ANNOTATED = 0.5
"""Share of a patch that lies in cells, at least."""


@dataclass(frozen=True)
class RegionRule:
    """Which patches are cut."""

    size: int = 256
    """Pixels of a patch's side."""
    heterogeneity: float = TWO_CLASSES
    """Bits of the entropy of the map at the finest scale, at least."""
    most: int = 0
    """Patches of a slide, drawn with chances in proportion to their entropy; 0 for all."""
    growth: float = 0.0
    rotation: float = 0.0
    """Degrees, at most, to either side."""
    stain: float = 0.0
    """Standard deviation of the logarithm of the factors on optical density."""

    def __post_init__(self) -> None:
        bounded = 0 <= self.heterogeneity < 8 and 0 <= self.growth <= 4 and 0 <= self.stain <= 1
        if self.size < 8 or self.most < 0 or not bounded or not 0 <= self.rotation <= LARGEST_TURN:
            raise UsageError(
                "--size is 8 pixels or more, --most 0 or more, --heterogeneity in [0, 8) bits, --growth in [0, 4], --stain in "
                f"[0, 1] and --rotation in [0, {LARGEST_TURN:g}] degrees; asked for {vars(self)}."
            )

    @property
    def pitch(self) -> int:
        """Pixels between the middles of neighbouring squares: the largest patch, turned as far as it may be, fits between."""
        angle = math.radians(self.rotation)
        return math.ceil(self.size * (1 + self.growth) * (math.cos(angle) + math.sin(angle)) - 1e-9)


@dataclass(frozen=True)
class CellMap:
    """The cluster of each cell of a slide."""

    labels: NDArray[np.uint8]
    """uint8 (rows, columns) of the grid of cells, 255 where there is no tissue."""
    side: int
    """Pixels of a cell."""

    @classmethod
    def of_cells(cls, corners: NDArray[np.int64], labels: NDArray[np.int64], side: int, width: int, height: int) -> CellMap:
        """From the upper left corners (n, 2) as x, y of cells in a slide of width and height, and their clusters (n,)."""
        grid = np.full((max(1, height // side), max(1, width // side)), NOT_ANNOTATED, np.uint8)
        grid[corners[:, 1] // side, corners[:, 0] // side] = labels
        return cls(grid, side)

    def under(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The cluster at positions of any shape, in pixels of the cells' resolution; 255 outside."""
        rows, columns = (np.floor(axis / self.side).astype(np.int64) for axis in (y, x))
        inside = (rows >= 0) & (columns >= 0) & (rows < self.labels.shape[0]) & (columns < self.labels.shape[1])
        found = self.labels[np.where(inside, rows, 0), np.where(inside, columns, 0)]
        return np.where(inside, found, np.uint8(NOT_ANNOTATED))


@dataclass(frozen=True)
class Region:
    """One patch before it is read."""

    x: float
    """Of its middle, in pixels of the base resolution."""
    y: float
    scale: float
    """Its side in pixels of the base resolution, over `size`."""
    angle: float
    """Radians."""
    bits: float
    """Entropy of the square of `scale` 1 that is not turned."""

    def positions(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x and y of the middles of the pixels, float64 (size, size) each."""
        along = (np.arange(size) + 0.5 - size / 2) * self.scale
        u, v = along[None, :], along[:, None]
        c, s = math.cos(self.angle), math.sin(self.angle)
        return self.x + c * u - s * v, self.y + s * u + c * v


def choose_regions(cells: CellMap, clusters: int, width: int, height: int, rule: RegionRule, name: str) -> list[Region]:
    """The patches of a slide of width and height in pixels of the base resolution, row by row."""
    pitch, found = rule.pitch, []
    for top in range(0, height - pitch + 1, pitch):
        for left in range(0, width - pitch + 1, pitch):
            x, y = left + pitch / 2, top + pitch / 2
            plain = cells.under(*Region(x, y, 1.0, 0.0, 0.0).positions(rule.size))
            if (plain != NOT_ANNOTATED).mean() < _ANNOTATED:
                continue
            bits = float(entropy(class_shares(plain[None], clusters))[0])
            if bits < rule.heterogeneity:
                continue
            rng = _rng(name, left, top)
            scale = 1 + rule.growth * bits / math.log2(clusters) if clusters > 1 else 1.0
            angle = math.radians(rule.rotation) * rng.uniform(-1, 1)
            found.append((rng.uniform() ** (1 / max(bits, 1e-9)), Region(x, y, scale, angle, bits)))
    if rule.most:  # weighted sampling without replacement (Efraimidis and Spirakis 2006)
        kept = set(sorted(range(len(found)), key=lambda row: -found[row][0])[: rule.most])
        found = [one for row, one in enumerate(found) if row in kept]
    return [region for _, region in found]


def cut_regions(
    plan: SlideSource, slide: Slide, regions: list[Region], cells: CellMap, rule: RegionRule, mpp: float
) -> PreparedPart:
    """Reads the patches and makes their maps."""
    size = rule.size
    images = np.empty((len(regions), size, size, 3), np.uint8)
    masks = np.empty((len(regions), size, size), np.uint8)
    for row, region in enumerate(regions):
        images[row] = _read(slide, region, size, mpp)
        masks[row] = cells.under(*region.positions(size))
        if rule.stain:
            rng = _rng(f"{plan.slide}/stain", int(region.x), int(region.y))
            images[row] = restain(images[row], np.exp(rng.normal(0, rule.stain) + rng.normal(0, rule.stain / 2, 3)))
    corners = np.array([[round(one.y - size / 2), round(one.x - size / 2)] for one in regions], np.int64).reshape(-1, 2)
    texts = {name: getattr(plan, name) for name in ("slide", "case", "patient", "centre", "split")}
    mpps = np.array([mpp * one.scale for one in regions])
    return PreparedPart(**texts, images=images, masks=masks, corners=corners, mpps=mpps)


def _read(slide: Slide, region: Region, size: int, mpp: float) -> NDArray[np.uint8]:
    """uint8 (size, size, 3). What is turned is read with a margin and interpolated between pixels."""
    from scipy.ndimage import map_coordinates

    own = mpp * region.scale
    if not region.angle:
        x, y = (round((middle / region.scale) - size / 2) for middle in (region.x, region.y))
        return slide.read(x, y, size, size, own)
    reach = math.ceil(size * (abs(math.cos(region.angle)) + abs(math.sin(region.angle))) / 2) + 1
    left, top = (math.floor(middle / region.scale) - reach for middle in (region.x, region.y))
    around = slide.read(left, top, 2 * reach, 2 * reach, own).astype(np.float32)
    columns, rows = region.positions(size)
    at = np.stack([rows / region.scale - top, columns / region.scale - left]) - 0.5
    turned = np.stack([map_coordinates(around[..., c], at, order=1, mode="nearest") for c in range(3)], axis=-1)
    return np.asarray(np.clip(np.rint(turned), 0, 255), dtype=np.uint8)


def _rng(name: str, x: int, y: int) -> np.random.Generator:
    digest = hashlib.sha256(f"region/{name}/{x}_{y}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
