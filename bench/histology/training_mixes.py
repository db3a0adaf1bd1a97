"""Training mixes: which real and which generated patches a downstream model is trained on.

The rule of the shares. Conditions are in the order of sha256(id). A real share r is the first r of that order, a synthetic
share s the last s, both rounded down to whole patches. A training mix is therefore the same on every machine, a larger share
contains every patch of a smaller one, and no condition is in both shares unless r + s > 1.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.histology.augmentation import augment
from bench.types import ImageSet, Strings, TrainingMix

REAL = TrainingMix("real", 1.0, 0.0)
SYNTHETIC = TrainingMix("synthetic", 0.0, 1.0)
BOTH = TrainingMix("real+synthetic", 1.0, 1.0)
TRAINING_MIXES = (REAL, SYNTHETIC, BOTH)


def training_sets(mix: TrainingMix, real: ImageSet, generated: ImageSet | None) -> list[ImageSet]:
    """The sets of a training mix, real before generated, rows in their original order; a share of 0 is left out.

    The size of the synthetic share does not depend on `TrainingMix.synthetic_source`. `generated` may be None for a training
    mix without generated patches. If both are used and one only in part, both must have the same conditions: otherwise a
    condition could be in both shares.
    """
    if not (0 <= mix.real <= 1 and 0 <= mix.synthetic <= 1 and mix.real + mix.synthetic > 0):
        raise UsageError(
            f"training mix {mix.name!r}: shares are in [0, 1] and not both 0, found real {mix.real} and synthetic "
            f"{mix.synthetic}."
        )
    training: list[ImageSet] = []
    if mix.real:
        training.append(_take_share(real, mix.real, f"training mix {mix.name!r}: the real"))
    if mix.synthetic and mix.synthetic_source in ("copied", "augmented"):
        training.append(_copy_real_share(mix, training, len(real)))
    elif mix.synthetic:
        if generated is None:
            raise MissingError(
                f"training mix {mix.name!r} needs generated patches: name a generator, or take the training mix 'real'."
            )
        if mix.real and min(mix.real, mix.synthetic) < 1:
            _check_pairs(mix, real.conditions.ids, generated.conditions.ids)
        chosen = shuffle_conditions(generated) if mix.synthetic_source == "shuffled" else generated
        training.append(_take_share(chosen, mix.synthetic, f"training mix {mix.name!r}: the synthetic", last=True))
    return training


def shuffle_conditions(generated: ImageSet) -> ImageSet:
    """The same patches, each under the condition of the next one in the order of sha256(id)."""
    order = _hash_order(generated.conditions.ids)
    giver = np.empty(len(order), dtype=np.int64)
    giver[order] = np.roll(order, -1)
    return ImageSet(f"{generated.key}~shuffled", np.asarray(generated.images[giver]), generated.conditions)


def _copy_real_share(mix: TrainingMix, training: list[ImageSet], n: int) -> ImageSet:
    """Copies or augmented views of the real share, as many as the synthetic share has patches."""
    if not training:
        raise UsageError(
            f"training mix {mix.name!r} is {mix.synthetic_source} from its real share, which is empty: give it a real share."
        )
    count = math.floor(round(mix.synthetic * n, 6))
    if count == 0:
        raise MissingError(
            f"training mix {mix.name!r}: the {mix.synthetic_source} share {mix.synthetic:g} of {n} patches is not one patch."
        )
    source = training[0]
    copies = source[np.arange(count) % len(source)]
    ids = np.array([f"{name}#{i // len(source) + 1}" for i, name in enumerate(copies.conditions.ids.tolist())])
    renamed = replace(copies.conditions, ids=ids)
    if mix.synthetic_source == "copied":
        return ImageSet(f"{copies.key}~copied", copies.images, renamed)
    return augment(ImageSet(f"{copies.key}~augmented", copies.images, renamed))


def _take_share(patches: ImageSet, share: float, whose: str, last: bool = False) -> ImageSet:
    n = len(patches)
    size = math.floor(round(share * n, 6))  # 0.29 * 100 is 28.999999999999996
    if size == 0:
        raise MissingError(f"{whose} share {share:g} of {n} patches is not one patch: more patches or a larger share.")
    order = _hash_order(patches.conditions.ids)
    return patches if size == n else patches[np.sort(order[n - size :] if last else order[:size])]


def _hash_order(ids: Strings) -> NDArray[np.intp]:
    return np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in ids.tolist()], kind="stable")


def _check_pairs(mix: TrainingMix, real: Strings, generated: Strings) -> None:
    alone = sorted(set(real.tolist()) ^ set(generated.tolist()))
    if alone:
        raise UsageError(
            f"training mix {mix.name!r} has shares of real and generated patches, which must have the same conditions: "
            f"{len(alone)} are in one set only, such as {', '.join(alone[:3])}. Generate the training conditions."
        )
