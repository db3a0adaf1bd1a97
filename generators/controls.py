"""Controls: generators whose place in a table is known beforehand, so that they test the measures.

real        patches of real slides that are neither tested on nor trained on: how near to the test slides other slides come
shuffle     real patches under each other's conditions: perfect images that obey nothing, for what looks at images alone
copy-train  training patches: memorization, a good distance and nothing new
crop-paste  each class's prompt crop, tiled: what a prompt gives away without a generator
blur        the very target out of focus: the price of lost detail where all else is right
drop-class  the very target with other tissue where it has its rarest class: a class that is not generated
flat-colour each class in its mean colour, what is not annotated in grey: obedience without tissue
noise       uniform noise: neither

`training_patches`, `deterministic`, `shown_units`, `has_fits` and `strengths` are declared in bench/types
(`ChoosesTrainingPatches`, `IsDeterministic`, `ShowsRealPatches`, `StatesFits`, `IsCorruption`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.files.array_files import open_npy
from bench.messages import listed_names, needed
from bench.types import GREY, NOT_ANNOTATED, Card, Conditions, Images, ImageSet, Progress, Strings

Seeds = NDArray[np.uint64]
Rows = NDArray[np.int64]
_Value = TypeVar("_Value")
LARGEST_SIGMA = 1000.0
"""In pixels: beyond this every patch is one colour, and the filter takes all memory."""


class Noise:
    """Uniform noise in every channel of every pixel."""

    card = Card(
        "noise", "1", "Uniform pixel noise: no tissue and no condition.", licence="Apache-2.0", notes="Ignores its condition."
    )

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        shape = (conditions.size, conditions.size, 3)
        return generate_each(conditions, lambda i: np.random.default_rng(int(seeds[i])).integers(0, 256, shape, np.uint8))


class FlatColour:
    """Flat colours: each class in the mean colour of its pixels in the training set."""

    card = Card(
        "flat-colour",
        "1",
        "Each class in its mean training colour: obeys the map, shows no tissue.",
        licence="Apache-2.0",
        needs=("masks",),
        notes="Ignores seeds. A class without a training pixel has no colour and is refused. Pixels that are not annotated "
        "are grey.",
    )
    deterministic = True
    has_fits = False

    def __init__(self) -> None:
        self._colours: NDArray[np.float64] | None = None  # (k, 3), NaN where the class was never seen

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        masks = needed("flat-colour", "masks", train.conditions.masks)
        classes = len(train.conditions.classes)
        sums, counts = np.zeros((classes, 3)), np.zeros(classes)
        for i in range(len(train)):
            annotated = masks[i] != NOT_ANNOTATED
            values, pixels = masks[i][annotated], train.images[i][annotated]
            counts += np.bincount(values, minlength=classes)
            for channel in range(3):
                sums[:, channel] += np.bincount(values, pixels[:, channel], classes)
            progress(i + 1, len(train), "patches averaged")
        self._colours = np.divide(sums, counts[:, None], out=np.full_like(sums, np.nan), where=counts[:, None] > 0)

    def save(self, folder: Path) -> None:
        np.save(folder / "colours.npy", require_fitted("flat-colour", self._colours))

    def load(self, folder: Path) -> None:
        self._colours = _read(folder / "colours.npy")

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        masks = needed("flat-colour", "masks", conditions.masks)
        colours = require_fitted("flat-colour", self._colours)
        if len(colours) != len(conditions.classes):
            raise UsageError(f"flat-colour learned {len(colours)} classes and is asked for {len(conditions.classes)}.")
        unseen = np.flatnonzero(np.isnan(colours[:, 0]))
        if unknown := [conditions.classes[c] for c in unseen if (masks == c).any()]:
            raise UsageError(f"flat-colour has no colour for {', '.join(unknown)}: no training patch shows it.")
        palette = np.full((NOT_ANNOTATED + 1, 3), GREY, dtype=np.uint8)
        palette[: len(colours)] = np.rint(np.nan_to_num(colours))
        return generate_each(conditions, lambda i: palette[masks[i]])


class CropPaste:
    """Tiles each class's prompt crop over that class's region, the first tile at the crop's own place."""

    card = Card(
        "crop-paste",
        "1",
        "Tiles each class's prompt crop over its region: what a prompt gives away without a generator.",
        licence="Apache-2.0",
        needs=("masks", "prompts"),
        notes="Ignores seeds. A class without a crop stays grey, and so does what is not annotated. With the "
        "prompt source `self` part of the target shows.",
    )
    deterministic = True

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        masks = needed("crop-paste", "masks", conditions.masks)
        prompts = needed("crop-paste", "prompts", conditions.prompts)

        def tile(i: int) -> NDArray[np.uint8]:
            image = np.full((conditions.size, conditions.size, 3), GREY, dtype=np.uint8)
            for c, (y0, x0, y1, x1) in enumerate(prompts.boxes[i].tolist()):
                if prompts.sources[i, c]:
                    y, x = np.nonzero(masks[i] == c)
                    image[y, x] = prompts.canvases[i, c, y0 + (y - y0) % (y1 - y0), x0 + (x - x0) % (x1 - x0)]
            return image

        return generate_each(conditions, tile)


@dataclass(frozen=True)
class PatchStore:
    """Real patches, row by row, with ids, slides and sampling units, and the seed of the fit."""

    images: Images
    ids: Strings
    groups: Strings
    units: Strings
    seed: int


class KeepsPatches:
    """What the controls that show real patches have in common: `fit` keeps the patches that it is handed."""

    card: Card
    has_fits = False
    _store: PatchStore | None = None

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        if not len(train):
            raise UsageError(f"{self.card.name} was handed no real patches to show.")
        shown = train.conditions
        self._store = PatchStore(train.images, shown.ids, shown.groups, shown.units, seed)
        progress(len(train), len(train), "patches kept")

    def save(self, folder: Path) -> None:
        store = require_fitted(self.card.name, self._store)
        np.save(folder / "images.npy", store.images)
        np.save(folder / "names.npy", np.stack([store.ids, store.groups, store.units]))
        np.save(folder / "seed.npy", np.array(store.seed))

    def load(self, folder: Path) -> None:
        ids, groups, *more = _read(folder / "names.npy")
        units = more[0] if more else groups  # files of earlier versions, which knew no other units
        self._store = PatchStore(_read(folder / "images.npy"), ids, groups, units, int(_read(folder / "seed.npy")))

    def _shown(self, conditions: Conditions) -> PatchStore:
        """The patches, if they fit the size that the conditions ask for."""
        store = require_fitted(self.card.name, self._store)
        wanted = (conditions.size, conditions.size)
        if store.images.shape[1:3] != wanted:
            raise UsageError(f"{self.card.name} was shown patches of {store.images.shape[1:3]} px, asked for {wanted}.")
        return store

    def _rows(self, store: PatchStore, conditions: Conditions) -> Rows:
        """Row of each condition's own real patch."""
        row = {name: i for i, name in enumerate(store.ids.tolist())}
        if unknown := [name for name in conditions.ids.tolist() if name not in row]:
            raise MissingError(
                f"{self.card.name} shows the real patches of the conditions that it is given, and was handed none for "
                f"{listed_names(unknown)}. It has {len(row)} others: fit it on the dataset to be generated."
            )
        return np.array([row[name] for name in conditions.ids.tolist()], dtype=np.int64)


class ShowsPatches(KeepsPatches):
    """What the controls that show real patches as they are have in common: images, and the sampling units that they show."""

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        store = self._shown(conditions)
        rows = self._shown_rows(store, conditions, seeds)
        return generate_each(conditions, lambda i: store.images[rows[i]])

    def shown_units(self, conditions: Conditions, seeds: Seeds) -> Strings:
        """str (n,): see `ShowsRealPatches`."""
        store = self._shown(conditions)
        return np.asarray(store.units[self._shown_rows(store, conditions, seeds)])

    def _shown_rows(self, store: PatchStore, conditions: Conditions, seeds: Seeds) -> Rows:
        """int64 (n,): the row of the patch that each image shows; here one of all, chosen by the seed of the image."""
        return np.array([np.random.default_rng(int(seed)).integers(len(store.ids)) for seed in seeds], dtype=np.int64)


class CopyTrain(ShowsPatches):
    """A training patch, chosen by the seed."""

    card = Card(
        "copy-train",
        "1",
        "Training patches as they are: a memorizer.",
        licence="Apache-2.0",
        notes="Ignores its condition. Drawn with replacement. Intervals leave out the training slides that it shows.",
    )


class Real(ShowsPatches):
    """A held-out real patch, chosen by the seed."""

    card = Card(
        "real",
        "2",
        "Patches of real slides that are neither tested on nor trained on: how near other real slides come.",
        licence="Apache-2.0",
        notes="The split `holdout` of a dataset, drawn with replacement. Ignores its condition: a reference for what looks at "
        "images alone, not for what asks for obedience. Intervals leave out the slides that it shows as well as test slides. "
        "With fewer than five held-out slides its distances have no interval.",
    )
    training_patches: Literal["train", "holdout", "target"] = "holdout"


class Shuffle(ShowsPatches):
    """The real patch of another condition of the same slide: everything is right but the map."""

    card = Card(
        "shuffle",
        "1",
        "Real patches under each other's conditions, slide by slide: perfect images that obey nothing.",
        licence="Apache-2.0",
        notes="Each slide's patches change places by the seed of the fit: as a set they are the real ones. Ignores the "
        "seeds of images. The only patch of a slide gives way to one of any other slide.",
    )
    training_patches: Literal["train", "holdout", "target"] = "target"
    deterministic = True

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        if len(train) < 2:
            raise UsageError(f"shuffle needs two real patches to exchange and was handed {len(train)}.")
        super().fit(train, seed, progress, work)

    def _shown_rows(self, store: PatchStore, conditions: Conditions, seeds: Seeds) -> Rows:
        return _derange(store)[self._rows(store, conditions)]


class Blur(KeepsPatches):
    """The real patch of the very condition, out of focus."""

    card = Card(
        "blur",
        "1",
        "The target itself behind a Gaussian blur: everything is right but the detail.",
        licence="Apache-2.0",
        notes="It sees the target. Ignores seeds.",
    )
    training_patches: Literal["train", "holdout", "target"] = "target"
    deterministic = True
    strengths = (0.5, 1.0, 2.0, 3.0)
    unchanged: float | None = 0.0
    unit = "px"

    def __init__(self, sigma: float = 2.0) -> None:
        if not 0 < sigma <= LARGEST_SIGMA:
            raise UsageError(f"blur: sigma is a number of pixels above 0 and at most {LARGEST_SIGMA:g}, not {sigma}.")
        self.sigma = sigma

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        from scipy.ndimage import gaussian_filter

        store = self._shown(conditions)
        rows = self._rows(store, conditions)
        spread = (self.sigma, self.sigma, 0)
        return generate_each(conditions, lambda i: np.rint(gaussian_filter(store.images[rows[i]].astype(np.float64), spread)))


class DropClass(KeepsPatches):
    """The real patch of the very condition, with tissue of other patches where it has one class, which no image shows then."""

    card = Card(
        "drop-class",
        "1",
        "The target itself with other tissue in place of its rarest class: a generator that drops a class.",
        licence="Apache-2.0",
        needs=("masks",),
        notes="It sees the target. Where the class was, it shows what other patches, of the same slide first, have of other "
        "classes at the same place; where no patch has any, the target stays. Ignores seeds.",
    )
    training_patches: Literal["train", "holdout", "target"] = "target"
    deterministic = True
    _masks: NDArray[np.uint8] | None = None

    def __init__(self, dropped: str = "") -> None:
        """`dropped`: name of the class; empty for the one with the fewest pixels."""
        self.dropped = dropped

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        super().fit(train, seed, progress, work)
        self._masks = np.asarray(needed(self.card.name, "masks", train.conditions.masks))

    def save(self, folder: Path) -> None:
        super().save(folder)
        np.save(folder / "masks.npy", require_fitted(self.card.name, self._masks))

    def load(self, folder: Path) -> None:
        super().load(folder)
        self._masks = _read(folder / "masks.npy")

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        masks = needed(self.card.name, "masks", conditions.masks)
        store, known = self._shown(conditions), require_fitted(self.card.name, self._masks)
        rows, dropped = self._rows(store, conditions), self._dropped(conditions.classes, known)
        order = np.random.default_rng(store.seed).permutation(len(store.ids))

        def replaced(i: int) -> NDArray[np.uint8]:
            image, left = store.images[rows[i]].copy(), masks[i] == dropped
            of_slide = store.groups[order] == store.groups[rows[i]]
            for row in (*order[of_slide], *order[~of_slide]):
                if not left.any():
                    break
                there = left & (known[row] != dropped) & (known[row] != NOT_ANNOTATED)
                image[there] = store.images[row][there]
                left &= ~there
            return image

        return generate_each(conditions, replaced)

    def _dropped(self, classes: tuple[str, ...], known: NDArray[np.uint8]) -> int:
        """Number of the class that is not shown. UsageError if there is none of this name, or no other class to show."""
        counts = np.bincount(known[known != NOT_ANNOTATED], minlength=len(classes))
        shown = np.flatnonzero(counts)
        if len(shown) < 2:
            raise UsageError(f"{self.card.name} shows one class in place of another, and these patches show {len(shown)}.")
        if not self.dropped:
            return int(shown[counts[shown].argmin()])
        if self.dropped not in classes:
            raise UsageError(f"{self.card.name}: there is no class {self.dropped!r}, but {listed_names(classes)}.")
        return classes.index(self.dropped)


def generate_each(conditions: Conditions, generate: Callable[[int], NDArray[np.generic]]) -> Images:
    """uint8 (n, size, size, 3): image i is generate(i)."""
    images = np.empty((len(conditions), conditions.size, conditions.size, 3), dtype=np.uint8)
    for i in range(len(conditions)):
        images[i] = generate(i)
    return images


def _derange(store: PatchStore) -> Rows:
    """int64 (n,): for each row another one, by the seed of the store: of its slide, of any where the slide has only one."""
    rng = np.random.default_rng(store.seed)
    partners = np.empty(len(store.ids), dtype=np.int64)
    order = np.argsort(store.groups, kind="stable")
    slide_starts = np.flatnonzero(store.groups[order][1:] != store.groups[order][:-1]) + 1
    for slide in np.split(order, slide_starts):
        rows = rng.permutation(slide)
        partners[rows] = np.roll(rows, 1) if len(rows) > 1 else (rows + rng.integers(1, len(partners))) % len(partners)
    return partners


def require_fitted(owner: str, value: _Value | None) -> _Value:
    if value is None:
        raise UsageError(f"{owner} has been shown no real patches: fit it, or load what was fitted.")
    return value


def _read(file: Path) -> NDArray[Any]:
    """An array as it lies on disk, memory-mapped."""
    return np.asarray(open_npy(file))
