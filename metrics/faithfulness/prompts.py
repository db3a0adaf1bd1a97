"""Does each region look like its own prompt, more than like the same class of other slides?

A generated patch has the region of a class where its prompt canvas has the crop of that class. What it shows there is compared
with the crop, and with crops of the same class from training slides, as an encoder sees them. The probability that the own
crop is nearer (an AUC) is 0.5 where the prompt has no influence, and 1 where it decides.

    prompt-auc            by the encoder `seen_by`, on windows as they are
    prompt-auc-colour     by amounts of stain alone
    prompt-auc-structure  by the encoder, on windows of one mean and contrast in each channel, which have no stain of their own

Real test patches, under the same prompts, say how much more alike tissue of one slide is. A generator can reach 1 by pasting
its prompt: `copied-fraction` is therefore always measured beside this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.files.array_files import open_npy
from bench.histology.stain import from_optical_density, optical_density
from bench.jobs.store import key_of
from bench.messages import needed
from bench.pipeline.prompts import PromptRule, attach
from bench.types import Card, Direction, Features, Images, ImageSet, Progress, Tally
from metrics.features import positive

KINDS = ("", "-colour", "-structure")
COLUMNS = ("regions", *(f"nearer{kind}" for kind in KINDS))
SIDE = 64
"""Pixels that every window is scaled to before it is encoded."""
SMALLEST = 0.05
"""Side of the smallest crops of training patches, as a share of the patch: small crops of test patches are compared with the
middles of larger ones, and these with whatever there is."""
KEPT = 300
"""Crops of each class that are kept of the training patches."""
_CONTRAST, _MIDDLE = 0.25, 0.5
"""Optical density of windows without stain: standard deviation and mean in each channel."""
Image = NDArray[np.uint8]


class PromptFaithfulness:
    """The probability that a region is nearer to its own crop than to one of `others` crops of its class."""

    card = Card(
        "prompt-faithfulness",
        "1",
        "Probability that a region resembles its own prompt crop more than crops of its class from other slides.",
        licence="Apache-2.0",
        source="area under the curve of own against other crops; stain and structure apart by Ruifrok and Johnston 2001",
        cost="encodings of `others` + 2 windows for each crop",
        needs=("prompts",),
        notes="As discerning as the encoder `seen_by`: choose one that did not condition the generator. Small crops are "
        "scaled up. A pasted prompt gets 1: read it beside `copied-fraction`.",
    )
    directions: Mapping[str, Direction] = dict.fromkeys([f"prompt-auc{kind}" for kind in KINDS], "higher")
    against_real: Literal["difference"] = "difference"
    beside = ("copied-fraction",)

    def __init__(self, seen_by: str = "texture", others: int = 20) -> None:
        self.seen_by, self.others = seen_by, positive(self.card.name, "others", others)

    @property
    def digest(self) -> str:
        """Digest of both encoders."""
        return key_of([registry.describe(encoder) for encoder in self._encoders])

    @cached_property
    def _encoders(self) -> tuple[Any, Any]:
        return registry.load("encoders", self.seen_by), registry.load("encoders", "stain")

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Keeps crops of every class of training patches, and how much their features vary. UsageError without any crop."""
        prompts = attach(train, PromptRule("self", smallest=SMALLEST)).conditions.prompts
        assert prompts is not None
        rng = np.random.default_rng(seed)
        rows, classes = np.nonzero(prompts.sources != "")
        order = rng.permutation(len(rows))
        kept = np.array([i for c in np.unique(classes) for i in order[classes[order] == c][:KEPT]], dtype=np.int64)
        if len(kept) < 2:
            raise UsageError(
                f"{self.card.name} compares with crops of training patches, and {len(kept)} of {len(train)} have a window of "
                "one class. Use more training patches."
            )
        crops = [_square(prompts.canvases[rows[i], classes[i]], prompts.boxes[rows[i], classes[i]]) for i in kept]
        size = max(map(len, crops))
        padded = np.zeros((len(crops), size, size, 3), np.uint8)
        for place, crop in zip(padded, crops, strict=True):
            place[: len(crop), : len(crop)] = crop
        np.save(folder / "crops.npy", padded)
        np.save(folder / "sides.npy", np.array([len(crop) for crop in crops]))
        np.save(folder / "classes.npy", classes[kept])
        features = self._features(np.stack([_scaled(crop, len(crop)) for crop in crops]))
        for kind, found in zip(KINDS, features, strict=True):
            np.save(folder / f"spread{kind}.npy", found.std(axis=0))
            progress(1, 1, "crops of training patches encoded")

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """How many regions each patch has, and the sums of their probabilities."""
        prompts = needed(self.card.name, "prompts", patches.conditions.prompts)
        crops, sides, classes = (open_npy(segmenter / f"{name}.npy") for name in ("crops", "sides", "classes"))
        spreads = [np.maximum(open_npy(segmenter / f"spread{kind}.npy"), 1e-6) for kind in KINDS]
        counts = np.zeros((len(patches), len(COLUMNS)))
        for i, name in enumerate(patches.conditions.ids.tolist()):
            for c in np.flatnonzero(np.asarray(prompts.sources[i]) != ""):
                region, own = (_square(image, prompts.boxes[i, c]) for image in (patches.images[i], prompts.canvases[i, c]))
                rows = _choose(f"{name}/{c}", np.flatnonzero(classes == c), sides, len(own), self.others)
                if not len(rows):
                    continue
                side = min(len(own), int(sides[rows].min()))
                theirs = [_scaled(crops[row][: sides[row], : sides[row]], side) for row in rows]
                features = self._features(np.stack([_scaled(region, side), _scaled(own, side), *theirs]))
                counts[i, 0] += 1
                counts[i, 1:] += [_nearer(found / spread) for found, spread in zip(features, spreads, strict=True)]
        return self.tally(counts)

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The counts with their measures, as the head of this file defines them."""
        measures: dict[str, Callable[[Mapping[str, float]], float]] = {
            f"prompt-auc{kind}": partial(_share, f"nearer{kind}") for kind in KINDS
        }
        absent = "no patch has a prompt crop of a class that training patches have crops of"
        return Tally(COLUMNS, counts, measures, undefined={} if counts[:, 0].any() else dict.fromkeys(measures, absent))

    def _features(self, windows: Images) -> tuple[Features, Features, Features]:
        """In the order of `KINDS`."""
        own, stain = self._encoders
        return own.encode(windows), stain.encode(windows), own.encode(_without_stain(windows))


def _share(column: str, sums: Mapping[str, float]) -> float:
    return sums[column] / sums["regions"] if sums["regions"] else float("nan")


def _nearer(features: NDArray[np.float32]) -> float:
    """Probability that row 0 is nearer to row 1 than to one of the rows after it."""
    distances = np.linalg.norm(features[1:] - features[0], axis=1)
    return float((distances[0] < distances[1:]).mean() + 0.5 * (distances[0] == distances[1:]).mean())


def _choose(name: str, rows: NDArray[np.int64], sides: NDArray[np.int64], side: int, count: int) -> NDArray[np.int64]:
    """Rows of crops to compare with, the same for every generator: those of at least this side, else the largest."""
    large = rows[sides[rows] >= side]
    if len(large) < count:
        return rows[np.argsort(-sides[rows], kind="stable")[:count]]
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.sort(np.random.default_rng(seed).choice(large, count, replace=False))


def _square(image: Image, box: NDArray[np.int32]) -> Image:
    """The largest square in the middle of a box (y0, x0, y1, x1)."""
    y0, x0, y1, x1 = (int(edge) for edge in box)
    side = min(y1 - y0, x1 - x0)
    y, x = y0 + (y1 - y0 - side) // 2, x0 + (x1 - x0 - side) // 2
    return np.asarray(image)[y : y + side, x : x + side]


def _scaled(square: Image, side: int) -> Image:
    """The middle of a square, `side` pixels wide, scaled to `SIDE`."""
    from PIL import Image as Pictures

    start = (len(square) - side) // 2
    middle = np.ascontiguousarray(square[start : start + side, start : start + side])
    return np.asarray(Pictures.fromarray(middle).resize((SIDE, SIDE), Pictures.Resampling.BILINEAR))


def _without_stain(windows: Images) -> Images:
    """Windows of one mean and contrast of optical density in each channel."""
    density = optical_density(windows)
    mean, spread = density.mean(axis=(1, 2), keepdims=True), density.std(axis=(1, 2), keepdims=True)
    return from_optical_density(np.maximum((density - mean) / np.maximum(spread, 1e-3) * _CONTRAST + _MIDDLE, 0))
