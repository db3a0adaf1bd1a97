"""Is the tissue of each class that of real patches? A Fréchet distance for each class of the maps, and along their borders.

A distance of whole patches mixes the classes: a generator that shows another tissue where a rare class was asked for moves it
little. Here the features of a patch are those of one region, the pixels of one class, and a distance compares the regions of
generated patches with those of real ones.

    region-fd:CLASS   by the pixels of one class
    region-fd-border  by the pixels that lie within half of `band` microns of a border between two classes

Where an encoder gives tokens (`EncodesTokens`), the features of a region are the mean of its tokens, each weighted by the
share of its cell that the region covers (masked average pooling: Zhang and others 2018, arXiv 1810.09091). A token sees more
than its cell. Elsewhere the encoder is shown the patch with every other pixel in the mean colour of the region, so that
nothing of other regions is seen (a region with its background masked: Hariharan and others 2014, arXiv 1407.1808, who take one
mean colour for all images). Edges of the region then show too, on real and on generated patches alike. Pixels that are not
annotated belong to no region.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.jobs.store import key_of
from bench.messages import needed
from bench.types import (
    NOT_ANNOTATED,
    Card,
    Direction,
    Encoder,
    EncodesTokens,
    FeatureMetric,
    Images,
    ImageSet,
    TrainedMetric,
)

NAME = "region-fd"
BORDER = f"{NAME}-border"
Shares = NDArray[np.float64]
_CHUNK = 64
"""Patches whose tokens are held at once."""


class RegionFrechet:
    """`distance` between the regions of real and of generated patches. A patch that shows less of a region than the share
    `smallest` of its area has none."""

    card = Card(
        NAME,
        "1",
        "Fréchet distance of each class of the maps, and in a band along their borders, from masked pooling.",
        licence="Apache-2.0",
        source="the distances of metrics/frechet on features by masked average pooling (Zhang et al. 2018, arXiv 1810.09091)",
        cost="one pass of the encoder over the patches (one for each region without tokens), then that of `distance` for each",
        needs=("masks",),
        notes="Patches are asked for what their map asks for: real patches that follow no map (controls real, copy-train) are "
        "far. By default on the 16 principal axes of the regions of all classes of the training patches (fd-pca16): what "
        "changes in other directions alone is not seen. Values of two encoders, or of two classes, are never compared.",
    )
    direction: Direction = "lower"

    def __init__(
        self,
        distance: Literal["fd-pca16", "fd", "fd-inf"] = "fd-pca16",
        band: float = 16.0,
        smallest: float = 0.05,
        pooling: Literal["tokens", "images"] = "tokens",
    ) -> None:
        """`band`: width of the band along borders in microns, 0 for none. `pooling`: `images` masks images for every encoder,
        `tokens` only for those that have none."""
        if not (math.isfinite(band) and band >= 0):
            raise UsageError(f"{NAME}: band is a width in microns, or 0 to measure no border, not {band}.")
        if not 0 < smallest < 1:
            raise UsageError(f"{NAME}: smallest is a share of the patch between 0 and 1, not {smallest}.")
        self.distance, self.band, self.smallest, self.pooling = distance, band, smallest, pooling

    @cached_property
    def region_distance(self) -> FeatureMetric | TrainedMetric:
        found: FeatureMetric | TrainedMetric = registry.load("metrics", self.distance)
        return found

    @property
    def digest(self) -> str:
        """Digest of the distance."""
        return key_of(registry.describe(self.region_distance))

    def measures(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """One for each class, then that of the border."""
        return (*(f"{NAME}:{name}" for name in classes), *((BORDER,) if self.band else ()))

    def describe_regions(self, encoder: Encoder, patches: ImageSet) -> NDArray[np.float32]:
        """float32 (n, regions, d): see `RegionMetric`. UsageError without masks, or without a resolution for the band."""
        conditions = patches.conditions
        masks = np.asarray(needed(NAME, "masks", conditions.masks))
        if self.band and not math.isfinite(conditions.mpp):
            raise UsageError(
                f"{NAME} measures a band of {self.band:g} microns along borders, and the resolution of these patches is not "
                "known. Name it (-o dataset.mpp), or leave the border out with -o metric.band=0."
            )
        described = []
        for start in range(0, len(patches), _CHUNK):
            rows = slice(start, start + _CHUNK)
            regions = find_regions(masks[rows], len(conditions.classes), self.band / conditions.mpp if self.band else 0.0)
            described.append(self._describe(encoder, np.asarray(patches.images[rows]), regions))
        return np.concatenate(described)

    def _describe(self, encoder: Encoder, images: Images, regions: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Of regions bool (n, regions, h, w) of images (n, h, w, 3)."""
        kept = regions.mean(axis=(2, 3)) >= self.smallest
        if self.pooling == "tokens" and isinstance(encoder, EncodesTokens):
            tokens = encoder.encode_tokens(images)
            weights = cover(regions, *tokens.shape[1:3])
            sums = np.einsum("nryx,nyxd->nrd", weights, tokens.astype(np.float64), optimize=True)
            areas = weights.sum(axis=(2, 3))[..., None]
            pooled = np.divide(sums, areas, out=np.full_like(sums, np.nan), where=areas > 0)
            pooled[~kept] = np.nan
            return pooled.astype(np.float32)
        found = np.full((*kept.shape, encoder.dim), np.nan, np.float32)
        rows, which = np.nonzero(kept)
        if len(rows):
            found[rows, which] = encoder.encode(
                np.stack([mask_image(images[i], regions[i, r]) for i, r in zip(rows, which, strict=True)])
            )
        return found


def find_regions(masks: NDArray[np.uint8], classes: int, band: float) -> NDArray[np.bool_]:
    """bool (n, classes, h, w), or with a band (n, classes + 1, h, w), of maps uint8 (n, h, w): the pixels of each class, and
    those within half of `band` pixels of a border between two classes. Where a class ends at pixels that are not annotated, or
    at the edge of the patch, there is no border."""
    regions = masks[:, None] == np.arange(classes, dtype=np.uint8)[:, None, None]
    if not band:
        return regions
    borders = np.stack([_near_border(mask, classes, band / 2) for mask in masks])
    return np.concatenate([regions, borders[:, None]], axis=1)


def _near_border(mask: NDArray[np.uint8], classes: int, reach: float) -> NDArray[np.bool_]:
    """bool (h, w): pixels whose middle is within `reach` pixels of a pixel of another class, measured to its edge."""
    from scipy.ndimage import distance_transform_edt

    near = np.zeros(mask.shape, bool)
    shown = [c for c in np.unique(mask) if c != NOT_ANNOTATED and c < classes]
    for c in shown if len(shown) > 1 else ():
        others = (mask != c) & (mask != NOT_ANNOTATED)
        near |= (mask == c) & (distance_transform_edt(~others) - 0.5 <= reach)
    return near


def cover(regions: NDArray[np.bool_], rows: int, columns: int) -> Shares:
    """float64 (n, regions, rows, columns) in [0, 1]: the share of each cell of a grid over the patch that a region covers."""
    height, width = regions.shape[2:]
    down, across = _overlaps(rows, height), _overlaps(columns, width)
    return np.asarray(down @ regions.astype(np.float64) @ across.T)


def _overlaps(cells: int, pixels: int) -> Shares:
    """float64 (cells, pixels): the part of each cell's length that each pixel has; rows sum to 1."""
    edges = np.arange(cells + 1) * (pixels / cells)
    first, last = edges[:-1, None], edges[1:, None]
    pixel = np.arange(pixels)
    overlap: Shares = np.clip(np.minimum(last, pixel + 1) - np.maximum(first, pixel), 0, None) * (cells / pixels)
    return overlap


def mask_image(image: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """uint8 (h, w, 3): the image with all pixels outside of a region in the mean colour of those inside."""
    shown = np.empty_like(image)
    shown[:] = image[region].mean(axis=0).round().astype(np.uint8)
    shown[region] = image[region]
    return shown
