"""Cuts the patches of one slide: where tissue is, by the shares of the classes of its map."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError
from bench.types import NOT_ANNOTATED
from tasks.datasets.prepared.writer import PreparedPart, class_shares
from tasks.datasets.preparing.maps import Maps, open_maps
from tasks.datasets.preparing.slide_list import SlideSource
from tasks.datasets.slides.reader import Slide, open_slide
from tasks.datasets.slides.tissue import Tissue, find_tissue

MIXED, EVERY = "mixed", "all"
ONLY = "-only"
"""`tumour-only`: patches of one class."""


@dataclass(frozen=True)
class Rule:
    """Which squares of a slide become patches."""

    size: int
    """Pixels."""
    mpp: float
    """Microns per pixel."""
    smallest: float = 0.2
    """Share of the second class, at least."""
    largest: float = 0.8
    """Share of the first class, at most."""
    patches: str = MIXED
    """`mixed` by these shares, `all`, or `CLASS-only`."""
    most: int = 0
    """Patches of a slide, chosen by hash; 0 for all."""
    tissue: float = 0.5
    """Share of tissue of a patch, at least."""

    def keeps(self, masks: NDArray[np.uint8], classes: tuple[str, ...]) -> NDArray[np.bool_]:
        """bool (n,): which maps, uint8 (n, size, size), pass. Half of a patch is annotated at least."""
        annotated = (masks != NOT_ANNOTATED).reshape(len(masks), -1).mean(axis=1) >= 0.5
        shares = class_shares(masks, len(classes))
        if self.patches == EVERY:
            return annotated
        if self.patches.endswith(ONLY):
            return annotated & (shares[:, classes.index(self.patches.removesuffix(ONLY))] == 1)
        ordered = np.sort(shares, axis=1)
        second = ordered[:, -2] if shares.shape[1] > 1 else np.zeros(len(shares))
        return annotated & (ordered[:, -1] <= self.largest) & (second >= self.smallest) & (second > 0)


@dataclass(frozen=True)
class Cut:
    """The patches of a slide, and what was seen on the way."""

    part: PreparedPart
    seen: dict[str, Any]
    """JSON: resolution and where it is from, size, share of tissue and ink, squares on tissue, patches."""
    thumbnail: NDArray[np.uint8]
    """uint8 (h, w, 3): the whole slide."""


def cut_slide(
    plan: SlideSource, classes: tuple[str, ...], rule: Rule, mpp: float | None, confirm_mpp: bool, longest: int
) -> Cut:
    """All patches of a slide. `mpp` overrides what the slide says of its resolution; `longest`: side of the thumbnail. Raises
    MissingError and DamagedError on files that cannot be read, and on annotations that do not fit."""
    with open_slide(plan.path, mpp, confirm_mpp) as slide, open_maps(plan, slide, rule.mpp) as maps:
        tissue = find_tissue(slide)
        corners = find_squares(slide, tissue, rule)
        kept, masks = _choose(corners, maps, classes, rule, plan.slide)
        images = np.empty((len(kept), rule.size, rule.size, 3), np.uint8)
        for row, tile in slide.read_tiles(kept, rule.size, rule.mpp):
            images[row] = tile
        seen = {
            "width": slide.info.width,
            "height": slide.info.height,
            "mpp": slide.info.mpp,
            "mpp_source": slide.info.mpp_source,
            "vendor": slide.info.vendor,
            "icc": slide.info.has_icc,
            "tissue": round(tissue.share, 6),
            "ink": round(tissue.pen_share, 6),
            "squares": len(corners),
            "patches": len(kept),
            **maps.seen,
        }
        texts = {name: getattr(plan, name) for name in ("slide", "case", "patient", "centre", "split")}
        part = PreparedPart(**texts, images=images, masks=masks, corners=kept[:, ::-1].copy())
        return Cut(part, seen, slide.thumbnail(longest))


def find_squares(slide: Slide, tissue: Tissue, rule: Rule) -> NDArray[np.int64]:
    """int64 (n, 2): x and y of the squares of a grid that lie in the slide and show enough tissue, row by row."""
    width, height = slide.size_at(rule.mpp)
    xs, ys = (np.arange(0, side - rule.size + 1, rule.size, dtype=np.int64) for side in (width, height))
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    if not len(grid):
        return grid
    return grid[tissue.shares_in(grid, rule.size, rule.mpp) >= rule.tissue]


def _choose(
    corners: NDArray[np.int64], maps: Maps, classes: tuple[str, ...], rule: Rule, slide: str
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Corners of the patches that pass, int64 (n, 2), and their maps. Squares are looked at in the order of their hashes where
    only some are wanted, and come back row by row."""
    order = range(len(corners))
    if rule.most:
        keys = [hashlib.sha256(f"{slide}/{x}_{y}".encode()).digest() for x, y in corners.tolist()]
        order = sorted(order, key=keys.__getitem__)  # type: ignore[assignment]
    found: dict[int, NDArray[np.uint8]] = {}
    for row in order:
        x, y = corners[row].tolist()
        mask = maps.read(x, y, rule.size)
        if mask is None or not rule.keeps(mask[None], classes)[0]:
            continue
        if (present := int(mask[mask != NOT_ANNOTATED].max(initial=0))) >= len(classes):
            raise DamagedError(f"the map of {slide} has the class {present}, and there are {len(classes)}.")
        found[row] = mask
        if rule.most and len(found) == rule.most:
            break
    rows = sorted(found)
    empty = np.empty((0, rule.size, rule.size), np.uint8)
    return corners[rows], np.stack([found[row] for row in rows]) if rows else empty


def write_overview(cut: Cut, size: int, mpp: float, path: Path) -> None:
    """The thumbnail with a frame around each patch, coloured by its most frequent class, as PNG."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(cut.thumbnail)
    draw = ImageDraw.Draw(picture)
    scale = picture.width / (cut.seen["width"] * cut.seen["mpp"] / mpp)
    for (y, x), mask in zip(cut.part.corners.tolist(), cut.part.masks, strict=True):
        counts = np.bincount(mask[mask != NOT_ANNOTATED], minlength=1)
        box = [x * scale, y * scale, (x + size) * scale, (y + size) * scale]
        draw.rectangle(box, outline=COLOURS[int(counts.argmax()) % len(COLOURS)])
    picture.save(path, format="PNG")


COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))
"""Of the classes, told apart by most colour-blind people (Okabe and Ito 2008)."""
