"""The levels of a slide's pyramid, and which one serves a resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openslide

_EQUAL = 1e-6


@dataclass(frozen=True)
class Level:
    number: int
    width: int
    height: int
    downsample: float
    """Pixels of level 0 for each pixel of this level."""
    address: float
    """The same as OpenSlide takes it, which is how positions in `read_region` are found. It is the mean ratio of the sizes,
    and sizes are rounded: a level of half the resolution of 4443 pixels has 2221 and an address of 2.0005."""


def read_levels(handle: openslide.OpenSlide) -> tuple[Level, ...]:
    """The levels, finest first. A downsample is a whole number where the sizes of the level allow it."""
    width, height = handle.dimensions
    levels = []
    for number, ((w, h), address) in enumerate(zip(handle.level_dimensions, handle.level_downsamples, strict=True)):
        whole = max(1, round(address))
        fits = abs(width / whole - w) <= 1 and abs(height / whole - h) <= 1
        levels.append(Level(number, w, h, float(whole) if fits else float(address), float(address)))
    return tuple(levels)


def choose_level(levels: tuple[Level, ...], scale: float) -> Level:
    """The coarsest level that is at least as fine as `scale`, pixels of level 0 for each wanted pixel; else level 0."""
    fine = [level for level in levels if level.downsample <= scale * (1 + _EQUAL)]
    return max(fine, key=lambda level: level.downsample, default=levels[0])
