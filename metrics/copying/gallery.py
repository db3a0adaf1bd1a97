"""Which generated patches resemble which training patches: tables of patches and of slides, and a picture of pairs.

DIR/copies.csv      one row a generated patch: generator, seed, id, slide, nearest training patch, its slide, correlation, p,
                    whether it repeats that patch
DIR/slides.csv      one row a training slide: how many generated and how many real test patches it is nearest to, and how many
                    of the generated ones repeat one of its patches
DIR/<generator>-seed<n>.png  the closest pairs, generated patch above training patch
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.types import Images, ImageSet, Strings
from metrics.copying.training import Nearest, p_values

PAIRS = 12
_TILE, _GAP, _TEXT = 128, 6, 28


@dataclass(frozen=True)
class Found:
    """The nearest training patches of one generated set."""

    generator: str
    seed: int
    patches: ImageSet
    nearest: Nearest
    threshold: float
    null: NDArray[np.float64]
    """Correlations of held-out real patches."""

    @property
    def repeated(self) -> NDArray[np.bool_]:
        """bool (n,)."""
        return np.asarray(self.nearest.scores > self.threshold)


def patch_rows(found: Found, train_ids: Strings, train_groups: Strings) -> Iterator[dict[str, object]]:
    """A row for each generated patch, the most similar first."""
    conditions, nearest = found.patches.conditions, found.nearest
    p = p_values(nearest.scores, found.null)
    for i in np.argsort(-nearest.scores, kind="stable"):
        row = nearest.rows[i]
        yield {
            "generator": found.generator,
            "seed": found.seed,
            "id": conditions.ids[i],
            "slide": conditions.groups[i],
            "nearest": train_ids[row],
            "nearest_slide": train_groups[row],
            "correlation": f"{nearest.scores[i]:.4f}",
            "p": f"{p[i]:.4g}",
            "repeated": "yes" if found.repeated[i] else "no",
        }


def slide_rows(found: Found, real: Nearest, train_groups: Strings) -> Iterator[dict[str, object]]:
    """A row for each training slide that a patch is nearest to, those with the most repeated patches first."""
    nearest: Counter[str] = Counter(train_groups[found.nearest.rows].tolist())
    repeated: Counter[str] = Counter(train_groups[found.nearest.rows[found.repeated]].tolist())
    of_real: Counter[str] = Counter(train_groups[real.rows].tolist())
    for slide in sorted(nearest | of_real, key=lambda slide: (-repeated[slide], -nearest[slide], slide)):
        yield {
            "generator": found.generator,
            "seed": found.seed,
            "training_slide": slide,
            "generated_nearest": nearest[slide],
            "real_nearest": of_real[slide],
            "repeated": repeated[slide],
        }


def write_pairs(found: Found, train: Images, file: Path) -> None:
    """Writes the closest pairs, with their correlation; red where the patch repeats the training patch."""
    from PIL import Image, ImageDraw

    order = np.argsort(-found.nearest.scores, kind="stable")[:PAIRS]
    height = _TEXT + 2 * _TILE + 2 * _GAP
    sheet = Image.new("RGB", (len(order) * (_TILE + _GAP) + _GAP, height + _TEXT), "white")
    pen = ImageDraw.Draw(sheet)
    for column, i in enumerate(order):
        x = _GAP + column * (_TILE + _GAP)
        for y, image in ((_TEXT, found.patches.images[i]), (_TEXT + _TILE + _GAP, train[int(found.nearest.rows[i])])):
            sheet.paste(Image.fromarray(np.asarray(image)).resize((_TILE, _TILE), Image.Resampling.NEAREST), (x, y))
        text = f"r = {found.nearest.scores[i]:.3f}"
        pen.text((x + 2, 8), text, fill=(190, 0, 0) if found.repeated[i] else (0, 0, 0))
    caption = f"above: {found.generator}, seed {found.seed}; below: the nearest training patch. "
    pen.text((_GAP, height + 6), f"{caption}Red: repeated (r above {found.threshold:.3f}).", fill=(0, 0, 0))
    sheet.save(file)


def summary(found: Found, real: float) -> str:
    """One line on a set; `real` is the largest correlation of a real test patch."""
    count, worst = int(found.repeated.sum()), float(found.nearest.scores.max())
    return (
        f"{found.generator} seed {found.seed}: {count} of {len(found.patches)} patches repeat a training patch (largest "
        f"correlation {worst:.3f}, of real test patches {real:.3f}, threshold {found.threshold:.3f})"
    )
