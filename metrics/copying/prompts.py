"""Does a generated patch repeat the pixels of its prompts?

A generator that is shown a crop of tissue can paste it. Each crop is cut into tiles, and each tile that shows something is
looked for in the generated patch at every shift, in four quarter turns, plain and mirrored.

    copied-fraction  share of the crops' pixels, in tiles that show something, that are found again

A tile is found if its best normalised cross-correlation (`metrics.copying.matching`) is above a threshold. The threshold is
the correlation that one in a thousand tiles of real training patches reaches in real patches that share no pixel with them:
tissue resembles tissue. The value on real test patches, for the same prompts, is therefore about 0.001 where the crops are of
other patches, and 1 where they are of the patch itself (prompt source `self`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.messages import needed
from bench.types import Card, Conditions, Direction, ImageSet, Progress, Tally
from metrics.copying.matching import ORIENTATIONS, best_matches, density, is_recognisable, templates_of, working_scale

MEASURE = "copied-fraction"
COLUMNS = ("shown", "found")
TILES = (24, 16)
"""Sides of tiles in pixels of the working side. A crop is cut into the largest that fit."""
FALSE_ALARMS = 1e-3
PLANES, SOURCES = 500, 8
"""The threshold is learned from so many real patches, in each of which tiles of so many others are looked for."""
_FILE = "thresholds.json"


class CopiedFraction:
    """The share of what the prompts show that is found again in the generated patch."""

    card = Card(
        "copied-fraction",
        "1",
        "Share of the pixels of a patch's prompt crops that the generated patch shows again, at any place.",
        licence="Apache-2.0",
        source="normalised cross-correlation (Lewis 1995) against a threshold that 1 of 1,000 tiles of real tissue exceeds",
        cost="a few Fourier transforms for each tile of 24 px of each crop",
        needs=("prompts",),
        sees=("crop-pasted",),
        notes="Finds tiles of 16 px or more, shifted, turned, mirrored, recompressed or stained anew. Patches above 128 px "
        "are compared at 128 px. Does not find what is enlarged, bent or blurred away. Ground without detail does not count.",
    )
    directions: Mapping[str, Direction] = {MEASURE: "lower"}
    against_real: Literal["difference"] = "difference"

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Learns the thresholds from real training patches. UsageError if no two of them show different tissue."""
        planes = density(np.asarray(train.images))
        rng = np.random.default_rng(seed)
        thresholds = {}
        for side in (side for side in TILES if side <= planes.shape[1]):
            found: list[float] = []
            for done, (plane, sources) in enumerate(_apart(train.conditions, rng)):
                tiles = (_random_tile(planes[row], side, rng) for row in sources)
                templates = [templates_of(tile) for tile in tiles if is_recognisable(tile)]
                if templates:
                    best = best_matches(np.concatenate(templates), planes[plane])
                    found.extend(best.reshape(len(templates), ORIENTATIONS).max(axis=1).tolist())
                progress(done + 1, PLANES, f"patches searched for tiles of {side} px")
            if not found:
                raise UsageError(
                    f"{self.card.name} learns from {len(train)} training patches how much unrelated tissue looks alike, and "
                    "found no two that share no pixel and show detail. Use more training patches."
                )
            # of fewer than a thousand tiles the largest correlation is the best estimate that there is
            thresholds[str(side)] = float(np.quantile(found, 1 - FALSE_ALARMS, method="higher"))
        (folder / _FILE).write_text(json.dumps(thresholds), encoding="utf-8")

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """The pixels of tiles, and those of tiles that are found, of each patch."""
        thresholds = {int(side): value for side, value in json.loads((segmenter / _FILE).read_text(encoding="utf-8")).items()}
        prompts = needed(self.card.name, "prompts", patches.conditions.prompts)
        planes = density(np.asarray(patches.images))
        scale = working_scale(patches.conditions.size)
        counts = np.zeros((len(patches), len(COLUMNS)))
        for i, (boxes, sources) in enumerate(zip(np.asarray(prompts.boxes), np.asarray(prompts.sources), strict=True)):
            shown = np.flatnonzero(sources != "")
            for canvas, box in zip(density(np.asarray(prompts.canvases[i])[shown]), boxes[shown] * scale, strict=True):
                for tile in _tiles(canvas, box, sorted(thresholds, reverse=True)):
                    is_found = best_matches(templates_of(tile), planes[i]).max() > thresholds[len(tile)]
                    counts[i] += tile.size, tile.size * is_found
        return self.tally(counts)

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The counts with their measure, as the head of this file defines it."""
        absent = "no prompt shows a crop with detail of 16 px or more"
        return Tally(COLUMNS, counts, {MEASURE: _fraction}, undefined={} if counts[:, 0].any() else {MEASURE: absent})


def _fraction(sums: Mapping[str, float]) -> float:
    return sums["found"] / sums["shown"] if sums["shown"] else float("nan")


def _tiles(canvas: NDArray[np.float32], box: NDArray[np.float64], sides: list[int]) -> Iterator[NDArray[np.float32]]:
    """The recognisable tiles of a crop at a box (y0, x0, y1, x1) of a canvas, side by side around the middle of the crop. The
    outermost pixels are left out: the ground of the canvas shines into them."""
    y0, x0, y1, x1 = (*np.ceil(box[:2]).astype(int) + 1, *np.floor(box[2:]).astype(int) - 1)
    height, width = y1 - y0, x1 - x0
    side = next((side for side in sides if side <= min(height, width)), 0)
    if not side:
        return
    for y in range(y0 + height % side // 2, y1 - side + 1, side):
        for x in range(x0 + width % side // 2, x1 - side + 1, side):
            tile = canvas[y : y + side, x : x + side]
            if is_recognisable(tile):
                yield tile


def _random_tile(plane: NDArray[np.float32], side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    y, x = rng.integers(0, len(plane) - side + 1, 2)
    return plane[y : y + side, x : x + side]


def _apart(conditions: Conditions, rng: np.random.Generator) -> Iterator[tuple[int, list[int]]]:
    """Rows of patches, each with rows of others that share no pixel with it, half of them of its slide where that has others:
    crops are cut from other patches of a slide or from other slides."""
    for row in rng.integers(len(conditions), size=PLANES).tolist():
        free = ~conditions.overlaps(row, conditions)
        same = np.flatnonzero(free & (conditions.groups == conditions.groups[row]))
        pools = [pool for pool in (same, np.flatnonzero(free)) if len(pool)]
        yield row, [int(rng.choice(pool)) for pool in pools for _ in range(SOURCES // len(pools))]
