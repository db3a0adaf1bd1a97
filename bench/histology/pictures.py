"""A picture of a run: map, crops, generated patches and the real patch, row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.messages import printable
from bench.types import GREY, NOT_ANNOTATED, Conditions, ImageSet

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

ROWS = 8
TILE = 128  # side of a tile in pixels; patches are enlarged without smoothing, so that a pixel stays a pixel
FONT, LINE = 14, 20
GUTTER = 8
LENGTHS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000)
"""Microns that a scale bar may have."""
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
    """Writes one row for each of a few test patches of different slides: class map, crops, every generator, real tissue, with
    the colours of the classes and a bar of a round length below.

    If a generator got other maps than those of the test patches, these maps have a column before its images.
    """
    rows = choose_rows(test.conditions, ROWS)
    shown = test.conditions[rows]
    columns: list[tuple[str, NDArray[np.uint8]]] = []
    if shown.masks is not None:
        columns.append(("map", render_maps(shown)))
    if shown.prompts is not None:
        columns.append(("crops", overlay_crops(shown.prompts.canvases)))
    for name, patches in generated.items():
        theirs = patches.conditions[rows]
        if theirs.masks is not None and not np.array_equal(theirs.masks, shown.masks):  # type: ignore[arg-type]
            columns.append((f"map of {name}", render_maps(theirs)))
        columns.append((name, patches.images[rows]))
    columns.append(("real patch", test.images[rows]))
    path.parent.mkdir(parents=True, exist_ok=True)
    _draw_sheet(columns, [str(name) for name in shown.groups], _classes_of(shown), scale_bar(shown)).save(path)


@dataclass(frozen=True)
class ScaleBar:
    """A round length on a patch."""

    share: float
    """Of the side of the patch."""
    text: str


def scale_bar(conditions: Conditions) -> ScaleBar | None:
    """The longest round length of at most half a patch; None where the resolution is not known."""
    side = conditions.size * conditions.mpp
    if not math.isfinite(side) or side <= 0:
        return None
    microns = max((length for length in LENGTHS if length <= side / 2), default=LENGTHS[0])
    return ScaleBar(min(1.0, microns / side), f"{microns} microns")


def list_classes(conditions: Conditions) -> list[tuple[tuple[int, int, int], str]]:
    """(red, green, blue) and name of each class of the maps; none without maps."""
    if conditions.masks is None:
        return []
    return [(tuple(COLOURS[i % len(COLOURS)].tolist()), name) for i, name in enumerate(conditions.classes)]


def _classes_of(shown: Conditions) -> list[tuple[tuple[int, int, int], str]]:
    """Those of `list_classes`, and pixels that are not annotated where there are any."""
    classes = list_classes(shown)
    has_gaps = shown.masks is not None and bool((np.asarray(shown.masks) == NOT_ANNOTATED).any())
    return [*classes, ((0, 0, 0), "not annotated")] if has_gaps else classes


def _draw_sheet(
    columns: Sequence[tuple[str, NDArray[np.uint8]]],
    slides: Sequence[str],
    classes: Sequence[tuple[tuple[int, int, int], str]],
    bar: ScaleBar | None,
) -> Image.Image:
    """Columns of tiles with gutters; heads above, slides to the left, legend below."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FONT)
    step = TILE + GUTTER
    left = GUTTER + max(int(font.getlength(_short(name, font))) for name in slides) + GUTTER
    width = left + step * len(columns)
    legend = _place_legend(classes, font, left, width)
    top = GUTTER + FONT + GUTTER
    foot = top + step * len(slides)
    lines = 1 + max((line for _, line in legend), default=0)
    sheet = Image.new("RGB", (width, foot + LINE * (lines if classes else 0) + (LINE if bar else 0) + GUTTER), "white")
    pen = ImageDraw.Draw(sheet)
    for y, name in enumerate(slides):
        pen.text((GUTTER, top + step * y + TILE // 2), _short(name, font), fill="black", font=font, anchor="lm")
    for x, (name, tiles) in enumerate(columns):
        pen.text((left + step * x, GUTTER), _short(name, font), fill="black", font=font)
        for y, tile in enumerate(tiles):
            enlarged = Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left + step * x, top + step * y))
    for (colour, name), (x, line) in zip(classes, legend, strict=True):
        at = foot + LINE * line
        pen.rectangle((x, at + 2, x + FONT, at + 2 + FONT), fill=colour, outline="black")
        pen.text((x + FONT + 6, at), _short(name, font), fill="black", font=font)
    if bar is not None:
        at = foot + LINE * (lines if classes else 0)
        pen.rectangle((left, at + 8, left + round(TILE * bar.share), at + 11), fill="black")
        pen.text((left + round(TILE * bar.share) + 6, at), bar.text, fill="black", font=font)
    return sheet


def _place_legend(
    classes: Sequence[tuple[tuple[int, int, int], str]], font: Font, left: int, width: int
) -> list[tuple[int, int]]:
    """(x, line) of each class: a new line begins where the sheet ends."""
    places, x, line = [], left, 0
    for _, name in classes:
        needed = FONT + 6 + int(font.getlength(_short(name, font))) + 2 * GUTTER
        if x > left and x + needed > width:
            x, line = left, line + 1
        places.append((x, line))
        x += needed
    return places


def _short(name: str, font: Font) -> str:
    """The name, or its ends where it is wider than a tile."""
    text, kept = printable(name), len(name)
    while font.getlength(text) > TILE and kept > 2:
        kept -= 1
        text = f"{printable(name)[: kept - kept // 2]}…{printable(name)[-(kept // 2) :]}"
    return text


def choose_rows(conditions: Conditions, count: int) -> NDArray[np.int64]:
    """Row numbers of the first patch of each of `count` slides, evenly spread; of fewer slides further patches of each in
    turn, as many as there are."""
    _, firsts, which = np.unique(conditions.groups, return_index=True, return_inverse=True)
    if len(firsts) >= count:
        rows = np.sort(firsts)
        return np.asarray(rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)], dtype=np.int64)
    order = np.argsort(which, kind="stable")
    turns = np.empty(len(order), np.int64)
    turns[order] = np.arange(len(order)) - np.searchsorted(which[order], which[order])
    return np.sort(np.lexsort((np.arange(len(order)), turns))[:count])


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
    return np.where((masks == NOT_ANNOTATED)[..., None], 0, COLOURS[masks % len(COLOURS)]).astype(np.uint8)


def overlay_crops(canvases: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """All crops of a patch on one canvas: (n, k, h, w, 3) -> (n, h, w, 3)."""
    merged = np.full_like(canvases[:, 0], GREY)
    for c in range(canvases.shape[1]):
        merged = np.where((canvases[:, c] != GREY).any(axis=-1, keepdims=True), canvases[:, c], merged)
    return merged
