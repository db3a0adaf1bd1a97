"""Pictures of clusters: a sheet with cells of each, and all cells in two dimensions."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench.types import NOT_ANNOTATED

ACROSS = 12
"""Cells of a cluster on the sheet."""
MOST_POINTS = 5000
"""Of the map of features."""
_SIDE, _GAP, _NAME = 64, 4, 90
_MAP = 1000


def nearest_cells(
    distances: NDArray[np.floating], labels: NDArray[np.int64], slides: Sequence[str], clusters: int
) -> list[list[int]]:
    """For each cluster the rows of the cells nearest to its middle, of as many slides as there are: the nearest of each slide
    first, then the second nearest of each."""
    chosen = []
    for number in range(clusters):
        rows = np.flatnonzero(labels == number)
        rows = rows[np.argsort(distances[rows], kind="stable")].tolist()
        seen: dict[str, int] = {}
        ranked: list[tuple[int, int, int]] = []
        for row in rows:
            seen[slides[row]] = seen.get(slides[row], -1) + 1
            ranked.append((seen[slides[row]], len(ranked), row))
        chosen.append([row for _, _, row in sorted(ranked)[:ACROSS]])
    return chosen


def draw_sheet(cells: Mapping[int, Sequence[NDArray[np.uint8]]], counts: NDArray[np.int64]) -> Image.Image:
    """A row for each cluster: its number, how many cells it has, and some of them."""
    height = len(counts) * (_SIDE + _GAP) + _GAP
    sheet = Image.new("RGB", (_NAME + ACROSS * (_SIDE + _GAP) + _GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, count in enumerate(counts.tolist()):
        top = _GAP + number * (_SIDE + _GAP)
        draw.rectangle((4, top, 14, top + _SIDE - 1), fill=colour(number, len(counts)))
        draw.text((20, top + 16), f"cluster {number}\n{count} cells", fill="black")
        for place, cell in enumerate(cells.get(number, ())):
            picture = Image.fromarray(cell).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            sheet.paste(picture, (_NAME + _GAP + place * (_SIDE + _GAP), top))
    return sheet


def embed(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """float32 (n, 2): t-SNE (van der Maaten and Hinton 2008) of the first 50 principal components."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    components = min(50, *features.shape)
    reduced = PCA(components, random_state=seed).fit_transform(features) if components < features.shape[1] else features
    perplexity = min(30.0, (len(features) - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init="pca" if components > 1 else "random", random_state=seed).fit_transform(
        reduced
    )
    return np.asarray(found, dtype=np.float32)


def draw_points(points: NDArray[np.float32], labels: NDArray[np.int64], clusters: int) -> Image.Image:
    """The points (n, 2), coloured by cluster."""
    low, high = points.min(axis=0), points.max(axis=0)
    places = 20 + (points - low) / np.maximum(high - low, 1e-9) * (_MAP - 40)
    picture = Image.new("RGB", (_MAP, _MAP), "white")
    draw = ImageDraw.Draw(picture)
    for (x, y), label in zip(places.tolist(), labels.tolist(), strict=True):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour(label, clusters))
    return picture


def draw_clusters(
    thumbnail: NDArray[np.uint8], labels: NDArray[np.uint8], extent: tuple[float, float], clusters: int
) -> Image.Image:
    """A slide beside the clusters of its cells, white where there is none. `labels`, uint8 (rows, columns), cover the shares
    `extent` of the slide's width and height."""
    height, width = thumbnail.shape[:2]
    palette = np.full((NOT_ANNOTATED + 1, 3), 255, np.uint8)
    palette[:clusters] = [colour(number, clusters) for number in range(clusters)]
    size = (max(1, round(width * extent[0])), max(1, round(height * extent[1])))
    picture = Image.new("RGB", (2 * width + _GAP, height), "white")
    picture.paste(Image.fromarray(thumbnail), (0, 0))
    picture.paste(Image.fromarray(palette[labels]).resize(size, Image.Resampling.NEAREST), (width + _GAP, 0))
    return picture


def colour(number: int, count: int) -> tuple[int, int, int]:
    """Hues apart by the golden ratio, so that neighbouring numbers differ."""
    hue, shade = (number * 0.618034) % 1.0, 0.95 - 0.25 * (number % 3 == 1)
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75 if count > 1 else 0.0, shade)
    return round(255 * red), round(255 * green), round(255 * blue)
