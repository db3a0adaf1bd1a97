"""Does an image change with its condition? Conditions are altered one thing at a time, and images are read again.

Each of a few test patches is generated at several levels of an alteration with one seed. A measure is the slope of what the
images show over what was asked, within patches: 1 follows the condition as it is read, 0 ignores it.

    use-shuffle   the whole condition of a patch of another slide: the class read at each pixel over the class asked there
    use-swap      the two most frequent classes of the map exchanged, read in the same way
    use-share     the region of the last class of the map (tumour, cancer) grown or shrunk to 30, 50 and 70 %: the share read
    use-stain     the stain of all prompt crops times 0.7, 1 and 1.4: mean density of hematoxylin and eosin
    use-nuclei    25, 50 and 100 % of the nuclei of the map: nuclei found
    use-guidance  guidance of 1, 1.5 and 3, where the generator has it: share of each class's pixels that are read as the class

Maps are read by the reference segmenters of `map-faithfulness`, and maps of nuclei by that of `nuclei-faithfulness`. They make
errors, so that real tissue itself has a slope below 1, and images that they cannot read (flat colours) one near 0. A generator
that takes no condition at all gets exactly 0, since its images do not change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError, did_you_mean
from bench.measurements.sweeps.altering import option_value
from bench.messages import needed
from bench.types import NOT_ANNOTATED, Card, Conditions, Direction, ImageSet, Prompts
from metrics.encoders.builtin.stain import Stain
from metrics.faithfulness.maps import MapFaithfulness
from metrics.faithfulness.nuclei import NucleiFaithfulness
from metrics.features import positive

LEVELS: Mapping[str, tuple[float, ...]] = {
    "use-shuffle": (1.0, 0.0),
    "use-swap": (1.0, 0.0),
    "use-share": (0.3, 0.5, 0.7),
    "use-stain": (0.7, 1.0, 1.4),
    "use-nuclei": (0.25, 0.5, 1.0),
    "use-guidance": (1.0, 1.5, 3.0),
}
"""Of a shuffled or swapped condition 1 is as it is and 0 is altered. Shares lie within those of the phantom's maps."""
OF_MAPS = ("use-shuffle", "use-swap", "use-share", "use-guidance")
HEMATOXYLIN, EOSIN = 0, 6
"""Columns of the encoder `stain`: means over a patch."""
Floats = NDArray[np.float64]
Map = NDArray[np.uint8]


class ConditionUse:
    """Alters `patches` test patches. `only`: names without `use-`, separated by commas; all if empty. `segmenter_steps` and
    `steps` are those of `map-faithfulness` and `nuclei-faithfulness`, whose reference segmenters are used."""

    card = Card(
        "condition-use",
        "1",
        "Slope of what images show over what altered conditions ask for: map, tumour share, stain, nuclei, guidance.",
        licence="Apache-2.0",
        source="a dose-response curve for each condition: regression with an intercept for each patch, slides resampled",
        cost="one image of each of `patches` test patches for each altered level, up to eleven, and one reading of each",
        notes="As accurate as its reference segmenters, which attenuate slopes: what they cannot read, as flat colours, seems "
        "to ignore its map. A slope says that an image follows its condition, and not how good it is.",
    )

    patches: int = 80

    def __init__(
        self, patches: int = 80, only: str = "", segmenter_steps: int | None = None, steps: int | None = None
    ) -> None:
        self.patches = positive(self.card.name, "patches", patches)
        asked = [name.strip() for name in only.split(",") if name.strip()]
        known = [name.removeprefix("use-") for name in LEVELS]
        if unknown := [name for name in asked if name not in known]:
            raise UsageError(
                f"{self.card.name} has no sweep {unknown[0]!r}.{did_you_mean(unknown[0], known)} It has: {', '.join(known)}."
            )
        # both check their options
        self._maps, self._nuclei = MapFaithfulness(segmenter_steps=segmenter_steps), NucleiFaithfulness(steps=steps)
        self.only, self.segmenter_steps, self.steps = only, segmenter_steps, steps
        self._names = asked or known

    @property
    def sweeps(self) -> Mapping[str, Direction]:
        """Every measure that is asked for."""
        return dict.fromkeys([f"use-{name}" for name in self._names], "higher")

    def refusal(self, sweep: str, generator: Any, conditions: Conditions) -> str:
        """Why this generator is not asked; empty if it is. One that takes no condition is asked for maps and nuclei."""
        name, needs = generator.card.name, set(generator.card.needs)
        if sweep in OF_MAPS and conditions.masks is None:
            return f"{sweep} alters class maps, and the data have none"
        if sweep in OF_MAPS and needs and "masks" not in needs:
            return f"{sweep} alters class maps, and {name} takes none"
        if sweep == "use-stain" and ("prompts" not in needs or conditions.prompts is None):
            return f"{sweep} alters prompt crops, and {name} is shown none"
        if sweep == "use-share" and is_of_nuclei(conditions):
            return f"{sweep} alters regions, and the maps are of nuclei: use-nuclei alters these"
        if sweep == "use-guidance" and option_value(generator, "guidance") is None:
            return f"{sweep} alters guidance, and {name} has no option guidance"
        is_asked = "instances" in needs or (not needs and is_of_nuclei(conditions))
        if sweep == "use-nuclei" and (conditions.instances is None or conditions.masks is None or not is_asked):
            return f"{sweep} alters nuclei, and {name} takes none or the data have none"
        return ""

    def levels(self, sweep: str) -> tuple[float, ...]:
        """See `LEVELS`."""
        return LEVELS[sweep]

    def option(self, sweep: str) -> str:
        """`guidance` for its sweep."""
        return "guidance" if sweep == "use-guidance" else ""

    def reader(self, sweep: str, conditions: Conditions) -> tuple[str, Mapping[str, Any]] | None:
        """`map-faithfulness`, `nuclei-faithfulness` for maps of nuclei and their number, or nothing for stain."""
        if sweep == "use-stain":
            return None
        if sweep == "use-nuclei" or is_of_nuclei(conditions):
            return self._nuclei.card.name, {} if self.steps is None else {"steps": self.steps}
        return self._maps.card.name, {} if self.segmenter_steps is None else {"segmenter_steps": self.segmenter_steps}

    def alter(self, sweep: str, level: float, conditions: Conditions) -> Conditions:
        """The conditions at a level, with the same ids and slides."""
        if sweep == "use-shuffle":
            return conditions if level else shuffle(conditions)
        if sweep == "use-swap":
            return conditions if level else swap_classes(conditions)
        if sweep == "use-share":
            masks = needed(self.card.name, "masks", conditions.masks)
            return replace(conditions, masks=np.stack([grow_to(mask, level) for mask in masks]))
        if sweep == "use-stain":
            prompts = needed(self.card.name, "prompts", conditions.prompts)
            return replace(conditions, prompts=restain_crops(prompts, level))
        if sweep == "use-nuclei":
            return keep_nuclei(conditions, level)
        raise UsageError(f"{self.card.name}: {sweep} alters no condition.")

    def respond(self, sweep: str, made: Sequence[ImageSet], segmenter: Path | None) -> Floats:
        """See `SweepMetric`."""
        n = len(made[0])
        if sweep == "use-stain":
            asked = np.array([[crop_stain(level.conditions, i) for i in range(n)] for level in made])
            return cross_sums(asked, np.array([stain_of(np.asarray(level.images)) for level in made]))
        if segmenter is None:
            raise UsageError(f"{self.card.name}: {sweep} needs a reference segmenter.")
        if sweep == "use-nuclei":
            truth = [needed(self.card.name, "instances", level.conditions.instances) for level in made]
            found = [self._nuclei._task().segment(segmenter, np.asarray(level.images))[0] for level in made]
            return cross_sums(*(np.array([[count(patch) for patch in maps] for maps in every]) for every in (truth, found)))
        maps = [np.asarray(needed(self.card.name, "masks", level.conditions.masks)) for level in made]
        read = [self._read(level, segmenter) for level in made]
        classes = len(made[0].conditions.classes)
        if sweep == "use-guidance":
            kept = np.array([kept_share(asked, found, classes) for asked, found in zip(maps, read, strict=True)])
            return cross_sums(np.repeat(np.array(LEVELS[sweep])[:, None], n, axis=1), kept)
        if sweep == "use-share":
            return cross_sums(*shares_of_last(maps, read))
        return pixel_sums(maps, read, classes)

    def _read(self, level: ImageSet, segmenter: Path) -> Map:
        """uint8 (references, n, h, w): the class of each pixel."""
        images = np.asarray(level.images)
        if is_of_nuclei(level.conditions):
            return np.asarray(self._nuclei._task().segment(segmenter, images)[1])[None]
        return self._maps._task().read_maps(segmenter, images)


def is_of_nuclei(conditions: Conditions) -> bool:
    """Whether the class map is one of nuclei: a pixel has a class above 0 where and only where it has an instance."""
    if conditions.instances is None or conditions.masks is None:
        return False
    masks, instances = np.asarray(conditions.masks), np.asarray(conditions.instances)
    annotated = masks != NOT_ANNOTATED
    return bool((((masks > 0) & annotated) == ((instances > 0) & annotated)).all())


def cross_sums(asked: Floats, shown: Floats) -> Floats:
    """float64 (n, 2) of two arrays (levels, n): the sums of `SweepMetric.respond`."""
    x, y = asked - asked.mean(axis=0), shown - shown.mean(axis=0)
    return np.stack([(x * x).sum(axis=0), (x * y).sum(axis=0)], axis=1).astype(np.float64)


def pixel_sums(maps: Sequence[Map], read: Sequence[Map], classes: int) -> Floats:
    """The same over pixels and classes, as a mean over pixels: whether a class is asked, and the share of the reference
    segmenters that read it. Pixels that are not annotated at one of the levels do not count."""
    annotated = np.all([asked != NOT_ANNOTATED for asked in maps], axis=0)
    total = np.zeros((len(maps[0]), 2))
    for c in range(classes):
        x = np.array([(asked == c) & annotated for asked in maps], dtype=np.float64)
        y = np.array([(found == c).mean(axis=0) * annotated for found in read])
        sums = cross_sums(x.reshape(len(maps), -1), y.reshape(len(maps), -1))
        total += sums.reshape(len(maps[0]), -1, 2).mean(axis=1)
    return total


def shares_of_last(maps: Sequence[Map], read: Sequence[Map]) -> tuple[Floats, Floats]:
    """float64 (levels, n) twice: the share of the last class of a map in its annotated pixels, asked and read."""
    annotated = [asked != NOT_ANNOTATED for asked in maps]
    last = np.where(annotated[0], maps[0], 0).max(axis=(1, 2))[:, None, None]
    pixels = [np.maximum(where.sum(axis=(1, 2)), 1) for where in annotated]
    every = list(zip(maps, read, annotated, pixels, strict=True))
    x = [((asked == last) & where).sum(axis=(1, 2)) / size for asked, _, where, size in every]
    y = [((found == last) & where).sum(axis=(2, 3)).mean(axis=0) / size for _, found, where, size in every]
    return np.array(x), np.array(y)


def kept_share(asked: Map, read: Map, classes: int) -> Floats:
    """float64 (n,): the share of the pixels of a class that are read as it, mean over the classes of the map."""
    shares = np.full((classes, len(asked)), np.nan)
    for c in range(classes):
        pixels = (asked == c).sum(axis=(1, 2))
        right = ((read == c) & (asked == c)).mean(axis=0).sum(axis=(1, 2))
        np.divide(right, pixels, out=shares[c], where=pixels > 0)
    return np.nanmean(shares, axis=0) if not np.isnan(shares).all(axis=0).any() else np.nan_to_num(shares).mean(axis=0)


def shuffle(conditions: Conditions) -> Conditions:
    """Every patch under the condition of another one: the next of another slide, in the order of sha256(id)."""
    order = np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in conditions.ids.tolist()], kind="stable")
    giver = np.empty(len(order), dtype=np.int64)
    for place, row in enumerate(order):
        following = np.roll(order, -place - 1)
        other = following[conditions.groups[following] != conditions.groups[row]]
        giver[row] = other[0] if len(other) else following[0]
    kept = ("ids", "groups", "origins", "corners", "clusters")
    return replace(conditions[giver], **{name: getattr(conditions, name) for name in kept})


def swap_classes(conditions: Conditions) -> Conditions:
    """The two most frequent classes of each map exchanged; of maps of nuclei, types of nuclei. Maps of one class stay."""
    assert conditions.masks is not None
    nuclei = is_of_nuclei(conditions)
    masks = np.array(conditions.masks)
    for i, mask in enumerate(masks):
        pixels = np.bincount(mask[mask != NOT_ANNOTATED], minlength=2)
        pixels[0] = 0 if nuclei else pixels[0]
        first, second = np.argsort(-pixels, kind="stable")[:2]
        if pixels[second]:
            masks[i] = np.where(mask == first, second, np.where(mask == second, first, mask))
    types = masks if nuclei and conditions.types is not None else conditions.types
    return replace(conditions, masks=masks, types=types)


def grow_to(mask: Map, share: float) -> Map:
    """The map with the region of its last class grown or shrunk to a share of the annotated pixels, from its border; what it
    leaves gets the class of the nearest pixel. A map of one class stays."""
    from scipy.ndimage import distance_transform_edt

    annotated = mask != NOT_ANNOTATED
    if not annotated.any() or len(np.unique(mask[annotated])) < 2:
        return mask
    last = mask[annotated].max()
    inside = mask == last
    beyond = distance_transform_edt(~inside) - distance_transform_edt(inside)
    nearest = distance_transform_edt(inside | ~annotated, return_distances=False, return_indices=True)
    order = np.argsort(np.where(annotated, beyond, np.inf), axis=None, kind="stable")
    chosen = np.zeros(mask.size, dtype=bool)
    chosen[order[: round(share * int(annotated.sum()))]] = True
    others = np.where(inside, mask[tuple(nearest)], mask)
    return np.where(chosen.reshape(mask.shape) & annotated, last, others).astype(np.uint8)


def restain_crops(prompts: Prompts, factor: float) -> Prompts:
    """Prompts whose crops have an optical density that is `factor` times as high; canvases stay grey beyond them."""
    from bench.histology.stain import restain

    canvases = np.array(prompts.canvases)
    for i, c in zip(*np.nonzero(prompts.sources != ""), strict=True):
        y0, x0, y1, x1 = prompts.boxes[i, c]
        crop = canvases[i, c, y0:y1, x0:x1]
        canvases[i, c, y0:y1, x0:x1] = restain(crop, np.full(3, factor))
    return replace(prompts, canvases=canvases)


def crop_stain(conditions: Conditions, row: int) -> float:
    """Mean density of hematoxylin and eosin of the crops of a patch, weighted by the pixels of their classes."""
    prompts = needed("use-stain", "prompts", conditions.prompts)
    classes = np.flatnonzero(prompts.sources[row] != "")
    found = []
    for c in classes:
        y0, x0, y1, x1 = prompts.boxes[row, c]
        found.append(stain_of(np.ascontiguousarray(prompts.canvases[row, c, y0:y1, x0:x1])[None])[0])
    if not found:
        return 0.0
    pixels = [1 if conditions.masks is None else int((conditions.masks[row] == c).sum()) for c in classes]
    return float(np.average(found, weights=pixels)) if sum(pixels) else float(np.mean(found))


def stain_of(images: NDArray[np.uint8]) -> Floats:
    """float64 (n,): mean optical density of hematoxylin and eosin together, by the encoder `stain`."""
    features = Stain().encode(images).astype(np.float64)
    return np.asarray(features[:, HEMATOXYLIN] + features[:, EOSIN])


def keep_nuclei(conditions: Conditions, share: float) -> Conditions:
    """A share of the nuclei of each patch, at least none: those of a smaller share are among those of a larger one."""
    instances = np.array(needed("use-nuclei", "instances", conditions.instances))
    gone = np.zeros(instances.shape, dtype=bool)
    for i, name in enumerate(conditions.ids.tolist()):
        numbers = np.unique(instances[i][instances[i] > 0])
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        order = np.random.default_rng(seed).permutation(numbers)
        gone[i] = np.isin(instances[i], order[round(share * len(order)) :])
    instances[gone] = 0
    masks, types = (None if part is None else np.array(part) for part in (conditions.masks, conditions.types))
    if types is not None:
        types[gone] = 0
    if masks is not None and is_of_nuclei(conditions):
        masks[gone & (masks != NOT_ANNOTATED)] = 0
    return replace(conditions, instances=instances, masks=masks, types=types)


def count(instances: NDArray[np.int32]) -> int:
    """Nuclei of a patch."""
    return len(np.unique(instances[instances > 0]))
