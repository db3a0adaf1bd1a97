"""Do nuclei and regions have the sizes, shapes and places of real ones? In microns, over all test patches at once.

Objects are read off generated and off real test patches in the same way, and their values compared: the 1-Wasserstein
distance, in the unit of the value (0 for equal distributions), and Cliff's delta (`-effect`), the probability that a value of
a generated patch is larger minus that it is smaller, from -1 to 1. Every slide has the same weight.

    nucleus-area            µm², of nuclei that the edge of the patch does not cut
    nucleus-eccentricity    of the ellipse with the same second moments: 0 for a disc, towards 1 for a line
    nucleus-density         nuclei per mm², one value for each patch
    nucleus-distance        µm, from the centre of a nucleus to that of its nearest neighbour
    region-diameter         µm, of a disc with the area of a connected region of one class, as the patch cuts it
    region-compactness      4 pi area / perimeter^2: 1 for a disc, towards 0 for a ragged region

Three readers find the objects. `classical` needs no training (`metrics.morphometry.classical`). `network` is the reference
segmenter of `nuclei-faithfulness` where the maps are of nuclei (`-by-network`), and `regions` are those of `map-faithfulness`
where they are of tissue; both learn from real training slides alone. All make errors, the same on both sides: a distance says
that objects are read as other ones, and not by how much they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError, did_you_mean
from bench.jobs.store import key_of
from bench.results.terms import Reason
from bench.types import NOT_ANNOTATED, Card, Conditions, Direction, ImageSet, Progress, Strings, Tally
from metrics.faithfulness.maps import MapFaithfulness
from metrics.faithfulness.nuclei import NucleiFaithfulness
from metrics.faithfulness.use import is_of_nuclei
from metrics.morphometry.classical import find_nuclei
from metrics.morphometry.objects import (
    NUCLEI,
    REGIONS,
    Floats,
    Quantity,
    cliffs_delta,
    measure_nuclei,
    measure_regions,
    wasserstein,
)

READERS = ("classical", "network", "regions")
EFFECT, NETWORK = "-effect", "-by-network"
Sums = Mapping[str, float]


class Morphometry:
    """Reads with `readers`, names of `READERS` separated by commas. `steps` and `segmenter_steps` are those of
    `nuclei-faithfulness` and `map-faithfulness`, whose reference segmenters are used."""

    card = Card(
        "morphometry",
        "1",
        "Nuclei and regions in microns: area, eccentricity, density, spacing, shape; distance and effect against real ones.",
        licence="Apache-2.0",
        source="stains by Ruifrok and Johnston 2001, Otsu 1979, watershed of the distance transform; effect by Cliff 1993",
        cost="one pass over generated and real test patches; for the trained readers one training for each data set",
        sees=("nucleus-density:nuclei-removed",),
        notes="As accurate as its readers, whose F1 on nuclei of known outline docs/morphometry.md gives. What both sides are "
        "misread in alike is not seen, and what one side is misread in is: a blurred nucleus is read as another one. Needs "
        "the resolution in microns per pixel. What the edge of a patch cuts is left out, or compared as cut, on both sides.",
    )

    def __init__(self, readers: str = ",".join(READERS), steps: int | None = None, segmenter_steps: int | None = None) -> None:
        names = tuple(name.strip() for name in readers.split(",") if name.strip())
        if not names:
            raise UsageError(f"{self.card.name}: readers names none. It has: {', '.join(READERS)}.")
        if unknown := [name for name in names if name not in READERS]:
            known = f"{did_you_mean(unknown[0], READERS)} It has: {', '.join(READERS)}."
            raise UsageError(f"{self.card.name} has no reader {unknown[0]!r}.{known}")
        # both check their options
        self._maps, self._nuclei = MapFaithfulness(segmenter_steps=segmenter_steps), NucleiFaithfulness(steps=steps)
        self.readers, self.steps, self.segmenter_steps = readers, steps, segmenter_steps
        self._names = tuple(name for name in READERS if name in names)

    @property
    def digest(self) -> str:
        """Digest of the reference segmenters that it reads with."""
        return key_of([self._nuclei.digest] * ("network" in self._names) + [self._maps.digest] * ("regions" in self._names))

    @property
    def directions(self) -> Mapping[str, Direction]:
        """A distance is better the lower; an effect has no better direction, since 0 is best."""
        found: dict[str, Direction] = {}
        for reader, quantity in self._quantities():
            found[_measure(reader, quantity)] = "lower"
            found[_measure(reader, quantity, EFFECT)] = "none"
        return found

    def reader(self, conditions: Conditions) -> tuple[str, Mapping[str, Any]] | None:
        """The condition metric whose reference segmenters read these data, where such a reader is asked for."""
        if conditions.masks is None:
            return None
        if is_of_nuclei(conditions):
            options = {} if self.steps is None else {"steps": self.steps}
            return (self._nuclei.card.name, options) if "network" in self._names else None
        options = {} if self.segmenter_steps is None else {"segmenter_steps": self.segmenter_steps}
        return (self._maps.card.name, options) if "regions" in self._names else None

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """What the reference segmenters learn, if there are any."""
        if (found := self.reader(train.conditions)) is not None:
            segmenter = self._nuclei if found[0] == self._nuclei.card.name else self._maps
            segmenter.learn(train, validation, seed, progress, folder)

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """The histograms of each patch, one after the other. MissingError without a resolution."""
        conditions = patches.conditions
        if not math.isfinite(conditions.mpp):
            raise MissingError(
                f"{self.card.name} measures in microns, and the resolution of these patches is not known: -o dataset.mpp=0.5 "
                "states it, for datasets that have the option."
            )
        images = np.asarray(patches.images)
        masks = None if conditions.masks is None else np.asarray(conditions.masks)
        annotated = np.ones(images.shape[:3], bool) if masks is None else masks != NOT_ANNOTATED
        trained = self.reader(conditions)
        values: dict[str, list[Mapping[str, Floats]]] = {"classical": [], "network": [], "regions": []}
        if "classical" in self._names:
            values["classical"] = [
                measure_nuclei(find_nuclei(image, conditions.mpp), where, conditions.mpp)
                for image, where in zip(images, annotated, strict=True)
            ]
        if len(images) and trained is not None and trained[0] == self._nuclei.card.name:
            found = self._nuclei._task().segment(segmenter, images)[0]
            values["network"] = [
                measure_nuclei(one, where, conditions.mpp) for one, where in zip(found, annotated, strict=True)
            ]
        elif len(images) and trained is not None:
            maps = self._maps._task().read_maps(segmenter, images)
            values["regions"] = [
                _joined([measure_regions(one[i], conditions.mpp) for one in maps]) for i in range(len(images))
            ]
        counts = [
            np.stack([quantity.count(one[quantity.name]) for one in values[reader]])
            if values[reader]
            else np.zeros((len(images), quantity.bins))
            for reader, quantity in self._quantities()
        ]
        return self.tally(np.concatenate(counts, axis=1))

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The counts, whose measures compare two sides: of one side they have no value."""
        columns = tuple(name for reader, quantity in self._quantities() for name in _columns(reader, quantity))
        return Tally(columns, counts, dict.fromkeys(self.directions, _undefined))

    def compare_tallies(self, generated: Tally, real: Tally, slides: Strings) -> Tally:
        """See `ComparesTallies`. The histogram of a quantity is scaled to 1 in every slide that has any of it."""
        measures: dict[str, Callable[[Sums], float]] = {}
        bounds: dict[str, tuple[float | None, float | None]] = {}
        undefined: dict[str, str] = {}
        sides, first = [], 0
        for reader, quantity in self._quantities():
            block = slice(first, first + quantity.bins)
            first = block.stop
            pair = [_weigh_slides(side.counts[:, block], slides) for side in (generated, real)]
            sides.append(np.concatenate(pair, axis=1))
            columns = _columns(reader, quantity)
            distance, effect = _measure(reader, quantity), _measure(reader, quantity, EFFECT)
            measures[distance] = partial(_distance, columns, quantity)
            measures[effect] = partial(_effect, columns)
            bounds |= {distance: (0.0, quantity.most), effect: (-1.0, 1.0)}
            if lacking := [name for name, side in zip(("generated", "real"), pair, strict=True) if not side.any()]:
                undefined |= dict.fromkeys((distance, effect), _absent(reader, quantity, lacking))
        names = tuple(
            f"{prefix}{name}"
            for reader, quantity in self._quantities()
            for prefix in ("", "real ")
            for name in _columns(reader, quantity)
        )
        return Tally(names, np.concatenate(sides, axis=1), measures, bounds, undefined)

    def _quantities(self) -> list[tuple[str, Quantity]]:
        return [(name, quantity) for name in self._names for quantity in (REGIONS if name == "regions" else NUCLEI)]


def _measure(reader: str, quantity: Quantity, effect: str = "") -> str:
    what = "region" if reader == "regions" else "nucleus"
    return f"{what}-{quantity.name}{effect}{NETWORK if reader == 'network' else ''}"


def _columns(reader: str, quantity: Quantity) -> tuple[str, ...]:
    return tuple(f"{_measure(reader, quantity)} {i}" for i in range(quantity.bins))


def _absent(reader: str, quantity: Quantity, lacking: list[str]) -> str:
    """Why a measure has no value."""
    if len(lacking) == 2 and reader != "classical":
        what = "maps of nuclei" if reader == "network" else "class maps of regions"
        return f"{Reason.MISSING}: the data have no {what}, from which the reader `{reader}` learns; or it finds nothing"
    what = "regions" if reader == "regions" else "nuclei"
    return f"no {' and no '.join(lacking)} test patch shows {what} whose {quantity.name} can be measured"


def _joined(several: list[Mapping[str, Floats]]) -> Mapping[str, Floats]:
    return {name: np.concatenate([one[name] for one in several]) for name in several[0]}


def _weigh_slides(counts: Floats, slides: Strings) -> Floats:
    """The counts (n, bins) with the rows of each slide divided by the sum over the slide."""
    names, owner = np.unique(slides, return_inverse=True)
    totals = np.bincount(owner, counts.sum(axis=1), minlength=len(names))[owner][:, None]
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def _sides(columns: tuple[str, ...], sums: Sums) -> tuple[Floats, Floats]:
    return np.array([sums[name] for name in columns]), np.array([sums[f"real {name}"] for name in columns])


def _distance(columns: tuple[str, ...], quantity: Quantity, sums: Sums) -> float:
    return wasserstein(*_sides(columns, sums), quantity.edges)


def _effect(columns: tuple[str, ...], sums: Sums) -> float:
    return cliffs_delta(*_sides(columns, sums))


def _undefined(sums: Sums) -> float:
    return math.nan
