"""A picture of a run: map, crops, generated patches and the real patch, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.types import GREY, Conditions, ImageSet

ROWS = 8
TILE = 128  # side of a tile in pixels; patches are enlarged without smoothing, so that a pixel stays a pixel
HEAD = 18
COLOURS = np.array(
    [
        [232, 232, 232],
        [190, 60, 110],
        [90, 120, 190],
        [90, 160, 100],
        [230, 170, 60],
        [130, 90, 160],
        [110, 110, 110],
    ],
    dtype=np.uint8,
)
"""Colours of classes 0, 1, 2, …, repeated where there are more; 255 is black."""


def write_picture(test: ImageSet, generated: Mapping[str, ImageSet], path: Path) -> None:
    """Writes one row for each of a few test patches of different slides: class map, crops, every generator, real tissue.

    If a generator got other maps than those of the test patches, these maps have a column before its images.
    """
    from PIL import Image, ImageDraw

    rows = choose_rows(test.conditions, ROWS)
    columns: dict[str, NDArray[np.uint8]] = {}
    if test.conditions.masks is not None:
        columns["map"] = render_maps(test.conditions[rows])
    if test.conditions.prompts is not None:
        columns["crops"] = overlay_crops(test.conditions.prompts.canvases[rows])
    for name, patches in generated.items():
        theirs = patches.conditions[rows]
        if theirs.masks is not None and not np.array_equal(theirs.masks, test.conditions[rows].masks):  # type: ignore[arg-type]
            columns["sampled map"] = render_maps(theirs)
        columns[name] = patches.images[rows]
    columns["real patch"] = test.images[rows]
    sheet = Image.new("RGB", (TILE * len(columns), HEAD + TILE * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for x, (name, tiles) in enumerate(columns.items()):
        pen.text((x * TILE + 4, 3), name, fill="black")
        for y, tile in enumerate(tiles):
            enlarged = Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (x * TILE, HEAD + y * TILE))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def choose_rows(conditions: Conditions, count: int) -> NDArray[np.int64]:
    """Row numbers of the first patch of each of `count` slides, evenly spread, or fewer where there are fewer."""
    firsts = np.sort(np.unique(conditions.groups, return_index=True)[1])
    rows = firsts if len(firsts) >= count else np.arange(min(count, len(conditions)))
    spread = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)
    return np.asarray(rows[spread], dtype=np.int64)


def render_maps(conditions: Conditions) -> NDArray[np.uint8]:
    """uint8 (n, h, w, 3): class maps in colour, nuclei outlined where there are instances."""
    assert conditions.masks is not None
    tiles = colour_masks(conditions.masks)
    if conditions.instances is not None:
        instances = np.asarray(conditions.instances)
        border = np.zeros(instances.shape, dtype=bool)
        rows, columns = instances[:, 1:] != instances[:, :-1], instances[:, :, 1:] != instances[:, :, :-1]
        border[:, 1:] |= rows  # a border has two sides
        border[:, :-1] |= rows
        border[:, :, 1:] |= columns
        border[:, :, :-1] |= columns
        tiles[border & (instances > 0)] = 0
    return tiles


def colour_masks(masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (n, h, w, 3) of class maps (n, h, w)."""
    return np.where((masks == 255)[..., None], 0, COLOURS[masks % len(COLOURS)]).astype(np.uint8)


def overlay_crops(canvases: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """All crops of a patch on one canvas: (n, k, h, w, 3) -> (n, h, w, 3)."""
    merged = np.full_like(canvases[:, 0], GREY)
    for c in range(canvases.shape[1]):
        merged = np.where((canvases[:, c] != GREY).any(axis=-1, keepdims=True), canvases[:, c], merged)
    return merged
