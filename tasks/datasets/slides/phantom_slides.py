"""Whole slides of phantom tissue with true maps, in the file formats and folders of CAMELYON16, PANDA and TCGA.

The tissue is that of `tasks/datasets/phantom`, rendered at one micron per pixel in squares that overlap, and enlarged to the
resolution of the slide: level 0 shows no finer detail than one micron. Maps are exact: tissue is rendered from the polygons.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

from bench.errors import UsageError
from tasks.datasets.phantom.dataset import COLON, LYMPH_NODE, PROSTATE
from tasks.datasets.phantom.render import render
from tasks.datasets.phantom.tissue import CONNECTIVE, Tissue
from tasks.datasets.phantom.tissue import Slide as Appearance
from tasks.datasets.slides import phantom_files
from tasks.datasets.slides.annotations import Region, rasterise

Kind = Literal["camelyon16", "panda", "tcga"]
GLASS = Tissue("glass", 0.0, 0.0, 0.0, 0.0, {CONNECTIVE: 1.0})
TISSUES: dict[str, tuple[Tissue, ...]] = {
    "camelyon16": (GLASS, *LYMPH_NODE),
    "panda": (GLASS, *PROSTATE[1:]),
    "tcga": (GLASS, *COLON, *(replace(tissue, name=f"lymph node {tissue.name}") for tissue in LYMPH_NODE)),
}
"""Kind -> what a slide is made of; the true maps number these from 0, glass."""
_SQUARE, _OVERLAP = 128, 8
"""Side of the squares that are rendered at once, and how far they reach into each other, pixels of one micron."""
_SMALLEST = 256.0
"""Shortest side of a slide, microns."""


@dataclass(frozen=True)
class PhantomSlide:
    """One slide before it is written."""

    number: int
    regions: tuple[Region, ...]
    """From the lowest to the one that lies over all others; labels are names of tissues."""
    image: NDArray[np.uint8]
    """uint8 (side, side, 3)."""
    truth: NDArray[np.uint8]
    """uint8 (side, side): index of the tissue in TISSUES[kind], 0 = glass."""


def write_phantom_slides(
    out: Path, count: int, seed: int = 0, side: int = 2048, mpp: float = 0.5, kind: Kind = "camelyon16"
) -> None:
    """Writes `count` square slides of `side` pixels at `mpp` microns, with what the data set has beside them.

    `camelyon16`: `training/normal`, `training/tumor`, `testing/images` (every third slide), ASAP XML in `lesion_annotations`
    with the groups `_0` (tumour) and `_2` (cut out), and `testing/reference.csv`. `panda`: `train_images`,
    `train_label_masks` (labels of the provider in channel 0) and `train.csv`, providers in turn. `tcga`:
    `UUID/BARCODE.UUID.svs` in Aperio's format and `gdc_manifest.txt`, two slides of every second patient. The true map of
    each slide is `truth/NAME.tif`, numbered as TISSUES[kind]. The same arguments write the same bytes. Raises UsageError on
    sizes that cannot be made.
    """
    if kind not in TISSUES:
        raise UsageError(f"phantom slides are of the kinds {', '.join(TISSUES)}, not {kind!r}.")
    if count < 1 or not 0.1 <= mpp <= 4 or side * mpp < _SMALLEST:
        raise UsageError(
            f"phantom slides have 0.1 to 4 microns per pixel and are at least {_SMALLEST:g} microns wide, and there is at "
            f"least one; asked for {count} of {side} pixels at {mpp:g}."
        )
    for number in range(count):
        phantom_files.WRITERS[kind](Path(out), make_slide(kind, number, seed, side, mpp), mpp)


def make_slide(kind: Kind, number: int, seed: int, side: int, mpp: float) -> PhantomSlide:
    """The slide with this number. It depends on kind, number, seed, side and mpp alone."""
    digest = hashlib.sha256(f"phantom slide/{kind}/{seed}/{number}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "little"))
    appearance = Appearance.draw(rng)
    appearance = replace(appearance, light=np.full(3, appearance.light.mean()))  # scanners balance white
    tissues = TISSUES[kind]
    regions = tuple(
        Region(region.label, shapely.affinity.scale(region.polygon, side, side, origin=(0, 0)))
        for region in _PLANS[kind](number, rng)
    )
    micron = _rasterise_all(regions, tissues, max(1, round(side * mpp)), round(side * mpp) / side)
    image = Image.fromarray(_render(micron, tissues, appearance, rng))
    enlarged = image.resize((side, side), Image.Resampling.BICUBIC)
    return PhantomSlide(number, regions, np.asarray(enlarged), _rasterise_all(regions, tissues, side, 1.0))


def _rasterise_all(regions: tuple[Region, ...], tissues: tuple[Tissue, ...], side: int, scale: float) -> NDArray[np.uint8]:
    classes = {tissue.name: index for index, tissue in enumerate(tissues)}
    result = np.zeros((side, side), dtype=np.uint8)
    for region in regions:  # one after the other, since a tissue may lie over and under another one
        layer = rasterise([region], classes, tuple(classes), (0, 0, side, side), scale)
        result[layer != 255] = layer[layer != 255]
    return result


def _render(
    mask: NDArray[np.uint8], tissues: tuple[Tissue, ...], appearance: Appearance, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """uint8 (side, side, 3) at one micron per pixel. Squares are blended where they overlap."""
    side = len(mask)
    padded = np.pad(mask, (_OVERLAP, _SQUARE + _OVERLAP), mode="edge")
    total = np.zeros((*padded.shape, 3), dtype=np.float32)
    weights = np.zeros((*padded.shape, 1), dtype=np.float32)
    ramp = np.minimum(np.arange(_SQUARE + 2 * _OVERLAP) + 0.5, 2 * _OVERLAP) / (2 * _OVERLAP)
    window = np.minimum(ramp, ramp[::-1]).astype(np.float32)
    weight = (window[:, None] * window[None, :])[..., None]
    for top in range(0, side, _SQUARE):
        for left in range(0, side, _SQUARE):
            at = np.s_[top : top + _SQUARE + 2 * _OVERLAP, left : left + _SQUARE + 2 * _OVERLAP]
            total[at] += weight * _render_square(padded[at], tissues, appearance, rng)
            weights[at] += weight
    inner = np.s_[_OVERLAP : _OVERLAP + side, _OVERLAP : _OVERLAP + side]
    return np.asarray(np.rint(total[inner] / weights[inner]), dtype=np.uint8)


def _render_square(
    mask: NDArray[np.uint8], tissues: tuple[Tissue, ...], appearance: Appearance, rng: np.random.Generator
) -> NDArray[np.float32]:
    if mask.any():
        return render(mask, tissues, appearance, rng).image.astype(np.float32)
    noise = rng.normal(0, 0.008, (*mask.shape, 3)) + appearance.light
    return np.asarray(np.clip(noise * 255, 0, 255), dtype=np.float32)


def _blob(x: float, y: float, width: float, height: float, rng: np.random.Generator) -> shapely.Polygon:
    """A smooth closed outline around (x, y), in shares of the slide's side."""
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = 1.0 + sum(rng.normal(0, 0.12 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(2, 7))
    return shapely.Polygon(np.stack([x + width * radius * np.cos(angle), y + height * radius * np.sin(angle)], axis=1))


def _within(label: str, blob: shapely.Polygon, outline: shapely.Polygon) -> list[Region]:
    parts = shapely.get_parts(shapely.intersection(blob, outline)).tolist()
    return [Region(label, part) for part in parts if part.geom_type == "Polygon" and part.area > 0]


def _plan_camelyon16(number: int, rng: np.random.Generator) -> list[Region]:
    """A node; on slides with odd numbers two metastases, the first with normal tissue inside."""
    node = _blob(0.5, 0.5, 0.40, 0.36, rng)
    regions = [Region("normal", node)]
    if number % 2 == 0:
        return regions
    x, y = rng.uniform(0.33, 0.43, 2)
    regions += _within("tumour", _blob(x, y, 0.19, 0.16, rng), node)
    regions += _within("normal", _blob(x, y, 0.06, 0.06, rng), node)
    return regions + _within("tumour", _blob(rng.uniform(0.62, 0.72), rng.uniform(0.62, 0.72), 0.10, 0.12, rng), node)


def _plan_panda(number: int, rng: np.random.Generator) -> list[Region]:
    """Two cores of stroma with benign glands; cancer on three of four slides."""
    regions = []
    for y in (0.28, 0.72):
        core = _blob(0.5, y, 0.44, 0.15, rng)
        regions.append(Region("stroma", core))
        for x in (0.25, 0.5, 0.75):
            label = "cancer" if number % 4 and rng.uniform() < 0.5 else "benign"
            regions += _within(label, _blob(x, y + rng.uniform(-0.04, 0.04), 0.10, 0.09, rng), core)
    return regions


def _plan_tcga(number: int, rng: np.random.Generator) -> list[Region]:
    """A section of stroma with two areas of each other tissue."""
    section = _blob(0.5, 0.5, 0.43, 0.42, rng)
    regions = [Region(COLON[0].name, section)]
    labels = [tissue.name for tissue in TISSUES["tcga"][2:]] * 2
    angles = 2 * np.pi * (np.arange(6) + rng.uniform()) / 6
    for label, angle in zip(rng.permutation(labels).tolist(), angles.tolist(), strict=True):
        x, y = 0.5 + 0.24 * np.cos(angle), 0.5 + 0.24 * np.sin(angle)
        regions += _within(label, _blob(x, y, 0.115, 0.115, rng), section)
    return regions


_PLANS: dict[str, Callable[[int, np.random.Generator], list[Region]]] = {
    "camelyon16": _plan_camelyon16,
    "panda": _plan_panda,
    "tcga": _plan_tcga,
}
