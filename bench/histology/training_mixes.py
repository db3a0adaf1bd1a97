"""Diets: which real and which painted patches a downstream model is trained on.

The rule of the shares. Conditions stand in the order of sha256(id). A real share r takes the first r of that order, a
synthetic share s the last s, both rounded down to whole patches. So a diet is the same on every machine, a larger share
holds every patch of a smaller one, and no condition is shown both real and painted unless r + s > 1.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.histology.augmentation import augmented
from bench.types import Diet, ImageSet, Strings

REAL = Diet("real", 1.0, 0.0)
SYNTHETIC = Diet("synthetic", 0.0, 1.0)
BOTH = Diet("both", 1.0, 1.0)
DIETS = (REAL, SYNTHETIC, BOTH)


def training_sets(diet: Diet, real: ImageSet, painted: ImageSet | None) -> list[ImageSet]:
    """The sets that the diet serves, real before painted, rows in their own order; a share of 0 is left out.

    What fills the synthetic share is as large as the share, whatever it is made of: see `Diet.filling`. `painted` may be
    None for a diet without it. Where both are served and one only in part, both must show the same
    conditions, or the shares could not be kept apart.
    """
    if not (0 <= diet.real <= 1 and 0 <= diet.synthetic <= 1 and diet.real + diet.synthetic > 0):
        raise UsageError(
            f"diet {diet.name!r}: shares are in [0, 1] and not both 0, found real {diet.real} and synthetic {diet.synthetic}."
        )
    served: list[ImageSet] = []
    if diet.real:
        served.append(_part(real, diet.real, f"diet {diet.name!r}: the real"))
    if diet.synthetic and diet.filling in ("copied", "augmented"):
        served.append(_filled(diet, served, len(real)))
    elif diet.synthetic:
        if painted is None:
            raise MissingError(f"diet {diet.name!r} needs painted patches: name a generator, or take the diet 'real'.")
        if diet.real and min(diet.real, diet.synthetic) < 1:
            _check_pairs(diet, real.conditions.ids, painted.conditions.ids)
        chosen = shuffled(painted) if diet.filling == "shuffled" else painted
        served.append(_part(chosen, diet.synthetic, f"diet {diet.name!r}: the synthetic", last=True))
    return served


def shuffled(painted: ImageSet) -> ImageSet:
    """The same patches, each under the condition of the next one in the order of sha256(id)."""
    order = _order(painted.conditions.ids)
    giver = np.empty(len(order), dtype=np.int64)
    giver[order] = np.roll(order, -1)
    return ImageSet(f"{painted.key}~shuffled", np.asarray(painted.images[giver]), painted.conditions)


def _filled(diet: Diet, served: list[ImageSet], n: int) -> ImageSet:
    """As many copies or views of the real share as the synthetic share would have patches."""
    if not served:
        raise UsageError(f"diet {diet.name!r} is {diet.filling} from its real share, and has none: give it a real share.")
    count = math.floor(round(diet.synthetic * n, 6))
    if count == 0:
        raise MissingError(f"diet {diet.name!r}: the {diet.filling} share {diet.synthetic:g} of {n} patches is not one patch.")
    source = served[0]
    copies = source[np.arange(count) % len(source)]
    ids = np.array([f"{name}#{i // len(source) + 1}" for i, name in enumerate(copies.conditions.ids.tolist())])
    renamed = replace(copies.conditions, ids=ids)
    if diet.filling == "copied":
        return ImageSet(f"{copies.key}~copied", copies.images, renamed)
    return augmented(ImageSet(f"{copies.key}~augmented", copies.images, renamed))


def _part(patches: ImageSet, share: float, whose: str, last: bool = False) -> ImageSet:
    n = len(patches)
    size = math.floor(round(share * n, 6))  # 0.29 * 100 is 28.999999999999996
    if size == 0:
        raise MissingError(f"{whose} share {share:g} of {n} patches is not one patch: more patches or a larger share.")
    order = _order(patches.conditions.ids)
    return patches if size == n else patches[np.sort(order[n - size :] if last else order[:size])]


def _order(ids: Strings) -> NDArray[np.intp]:
    return np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in ids.tolist()], kind="stable")


def _check_pairs(diet: Diet, real: Strings, painted: Strings) -> None:
    alone = sorted(set(real.tolist()) ^ set(painted.tolist()))
    if alone:
        raise UsageError(
            f"diet {diet.name!r} mixes shares of real and painted patches, which must show the same conditions: "
            f"{len(alone)} stand on one side only, such as {', '.join(alone[:3])}. Paint the training conditions."
        )
