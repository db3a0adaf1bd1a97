"""Corruptions of a set of patches: most patches are the targets, a share of them are replaced.

class-swapped    pairs of patches of one slide, under each other's maps
crop-pasted      each class's prompt crop, tiled over its region
memorized-share  training patches in place of the targets
mode-dropped     slides left out, patches of other slides in their place

The patches that are replaced at one strength are replaced at every stronger one. Shares are exact in each split. In intervals
an image belongs to the slide of its condition, as with any generator: which slides a corruption repeats is a property of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.files.array_files import open_npy
from bench.messages import needed
from bench.types import NOT_ANNOTATED, Card, Conditions, Images, ImageSet, Progress, Strings
from generators.controls import CropPaste, PatchStore, Rows, Seeds, generate_each, require_fitted
from generators.corruptions.pixels import KeepsTargets, check_share

GRID = 16
"""Points along a side at which class maps are compared."""
TOGETHER = 64
"""Patches of one slide among which pairs are looked for."""
TRAIN = "train"


@dataclass(frozen=True)
class _Maps:
    """The split and the class map, at few points, of each stored patch."""

    splits: Strings
    grids: NDArray[np.uint8]
    """uint8 (n, GRID * GRID) or fewer columns; none for a corruption that needs no maps."""

    def disagreement(self, row: int, others: Rows) -> NDArray[np.float64]:
        """float64 (len(others),): share of the points, annotated in both, at which the classes differ."""
        ours, theirs = self.grids[row], self.grids[others]
        known = (ours != NOT_ANNOTATED) & (theirs != NOT_ANNOTATED)
        differs = ((theirs != ours) & known).sum(axis=1)
        return np.asarray(differs / np.maximum(known.sum(axis=1), 1), dtype=np.float64)


class _ReplacesPatches(KeepsTargets):
    """What these corruptions have in common: the split of each patch is kept, with its map where the card needs maps."""

    training_patches: Literal["train", "holdout", "target", "train+target"] = "train+target"
    deterministic = True
    unchanged: float | None = 0.0
    unit = "of patches"
    kept = "patches and splits"
    _maps: _Maps | None = None

    def __init__(self, share: float = 0.5) -> None:
        self.share = check_share(self.card.name, share)

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        super().fit(train, seed, progress, work)
        shown = train.conditions
        splits = shown.splits if shown.splits is not None else np.full(len(shown), TRAIN)  # of one split: all are trained on
        grids = np.zeros((len(shown), 0), np.uint8)
        if "masks" in self.card.needs:
            step = max(1, shown.size // GRID)
            grids = needed(self.card.name, "masks", shown.masks)[:, ::step, ::step].reshape(len(shown), -1)
        self._maps = _Maps(np.asarray(splits), np.asarray(grids))

    def save(self, folder: Path) -> None:
        super().save(folder)
        maps = require_fitted(self.card.name, self._maps)
        np.save(folder / "splits.npy", maps.splits)
        np.save(folder / "grids.npy", maps.grids)

    def load(self, folder: Path) -> None:
        super().load(folder)
        self._maps = _Maps(*(np.asarray(open_npy(folder / f"{name}.npy")) for name in ("splits", "grids")))

    def maps(self) -> _Maps:
        """What `fit` kept."""
        return require_fitted(self.card.name, self._maps)

    def first_share(self, units: Strings, store: PatchStore) -> NDArray[np.bool_]:
        """bool (n,): the rows of the first `share` of the units of each split, in an order by the seed of the fit."""
        chosen: list[str] = []
        splits = self.maps().splits
        for split in np.unique(splits):
            names = np.unique(units[splits == split])
            order = np.random.default_rng(store.seed).permutation(len(names))
            chosen += names[order[: round(self.share * len(names))]].tolist()
        return np.isin(units, chosen)


class _ShowsOthers(_ReplacesPatches, ABC):
    """Those whose images are all real patches as they are."""

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        store = self._shown(conditions)
        rows = self.shown_rows(store, conditions)
        return generate_each(conditions, lambda i: store.images[rows[i]])

    def shown_rows(self, store: PatchStore, conditions: Conditions) -> Rows:
        """int64 (n,): the row of the patch that each image shows."""
        if "masks" in self.card.needs:
            needed(self.card.name, "masks", conditions.masks)
        return self.replacements(store)[self._rows(store, conditions)]

    @abstractmethod
    def replacements(self, store: PatchStore) -> Rows:
        """int64 (m,): for each stored patch the row of the one that is shown in its place."""


class ClassSwapped(_ShowsOthers):
    """A share of the patches change places with the patch of their slide whose map differs most: as a set, and in every slide,
    the images stay the same; pixel by pixel, tissue of another class than the map asks for."""

    card = Card(
        "class-swapped",
        "1",
        "Real patches in pairs under each other's maps: tissue of the wrong class.",
        licence="Apache-2.0",
        needs=("masks",),
        notes="It sees the target. Pairs are of one slide, those that differ most first (of 64 patches at a time); patches "
        "without a partner of another map stay. What looks at images alone cannot see it.",
    )
    strengths = (0.1, 0.25, 0.5, 0.75, 1.0)

    def replacements(self, store: PatchStore) -> Rows:
        partners = np.arange(len(store.ids))
        pairs = np.full(len(store.ids), "", dtype=object)
        rng = np.random.default_rng(store.seed)
        for slide in np.unique(store.groups):
            rows = rng.permutation(np.flatnonzero(store.groups == slide))
            for first in range(0, len(rows), TOGETHER):
                for one, other in self._pair(rows[first : first + TOGETHER]):
                    partners[[one, other]] = other, one
                    pairs[[one, other]] = str(store.ids[one])
        paired = pairs != ""
        names = np.where(paired, pairs, store.ids).astype(str)
        return np.where(self.first_share(names, store), partners, np.arange(len(partners)))

    def _pair(self, rows: Rows) -> list[tuple[int, int]]:
        """Pairs of rows whose maps differ, those that differ most first, each row at most once."""
        differs = np.array([self.maps().disagreement(int(row), rows) for row in rows])
        pairs = []
        while len(rows) > 1 and differs.max() > 0:
            one, other = np.unravel_index(int(differs.argmax()), differs.shape)
            pairs.append((int(rows[one]), int(rows[other])))
            differs[[one, other], :] = differs[:, [one, other]] = 0
        return pairs


class MemorizedShare(_ShowsOthers):
    """Training patches in place of a share of the targets, which are new tissue."""

    card = Card(
        "memorized-share",
        "1",
        "The targets with a share of training patches among them.",
        licence="Apache-2.0",
        notes="It sees the target. Which training patch stands for which target is drawn by the seed of the fit. Of a set "
        "without splits every patch is taken for a training patch.",
    )
    strengths = (0.005, 0.01, 0.02, 0.05)

    def replacements(self, store: PatchStore) -> Rows:
        train = np.flatnonzero(self.maps().splits == TRAIN)
        if len(train) < 2:
            raise UsageError(f"memorized-share needs two training patches to repeat and has {len(train)}.")
        own = np.arange(len(store.ids))
        drawn = np.random.default_rng(store.seed).integers(len(train), size=len(own))
        drawn = np.where(train[drawn] == own, (drawn + 1) % len(train), drawn)
        return np.where(self.first_share(store.ids, store), train[drawn], own)


class ModeDropped(_ShowsOthers):
    """A share of the slides is never shown: in place of their patches stand those of other slides whose maps agree best."""

    card = Card(
        "mode-dropped",
        "1",
        "A share of the slides left out, patches of the others shown again in their place.",
        licence="Apache-2.0",
        needs=("masks",),
        notes="It sees the target. A mode is a slide: its stain and its tissue. Every image is a real patch, and its map is "
        "as like the asked one as the slides that are left allow. At least one slide of each split is left.",
    )
    strengths = (0.1, 0.25, 0.5, 0.75)
    unit = "of slides"

    def replacements(self, store: PatchStore) -> Rows:
        maps, shown = self.maps(), np.arange(len(store.ids))
        dropped = self.first_share(store.groups, store)
        for split in np.unique(maps.splits):
            rows = np.flatnonzero(maps.splits == split)
            left = rows[~dropped[rows]]
            if not len(left):
                left = rows[store.groups[rows] == store.groups[rows][0]]
            left = np.random.default_rng(store.seed).permutation(left)  # of equals another one than the first of the set
            for row in rows[dropped[rows]]:
                turned = np.roll(left, int(row))
                shown[row] = turned[maps.disagreement(int(row), turned).argmin()]
        return shown


class CropPasted(_ReplacesPatches):
    """In a share of the patches each class's prompt crop is tiled over its region, as the control `crop-paste` does it; where
    a class has no crop the target stays."""

    card = Card(
        "crop-pasted",
        "1",
        "The targets with prompt crops tiled over a share of them.",
        licence="Apache-2.0",
        needs=("masks", "prompts"),
        notes="It sees the target. Ignores seeds. With the prompt source `self` part of the target is pasted.",
    )
    strengths = (0.1, 0.25, 0.5, 0.75, 1.0)

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        masks = needed(self.card.name, "masks", conditions.masks)
        prompts = needed(self.card.name, "prompts", conditions.prompts)
        store, targets = self._shown(conditions), self.target(conditions)
        chosen = self.first_share(store.ids, store)[self._rows(store, conditions)]
        pasted = CropPaste().generate(conditions, seeds)
        with_crop = np.pad(prompts.sources != "", ((0, 0), (0, NOT_ANNOTATED + 1 - prompts.sources.shape[1])))

        def paste(i: int) -> NDArray[np.uint8]:
            covered = with_crop[i][masks[i]][..., None]
            return np.where(covered, pasted[i], targets[i]) if chosen[i] else targets[i]

        return generate_each(conditions, paste)
