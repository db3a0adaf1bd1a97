"""What every encoder must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from bench.contracts.cases import COMMON, Broken, Check, Outcome, PluginCase, batches, builds, evaluation
from bench.types import Encoder, Features, Images

TOLERANCE = 1e-5
"""Largest change of a feature from batch to batch, as a share of the largest feature, or of 1 where that is smaller."""


def check_encoder(make: Callable[..., Encoder], name: str = "", size: int = 64) -> list[Outcome]:
    """Outcomes on 12 mock patches of `size` px. `make(**options)` builds one, `name` is what it was asked by."""
    return evaluation(_Lens(make, name, size), CHECKS, essential=(builds, encodes))


@dataclass
class _Lens(PluginCase):
    """An encoder under test and what it sees."""

    @cached_property
    def features(self) -> Features:
        return self.encode(self.real.images)

    def encode(self, images: Images) -> Features:
        return cast(Encoder, self.plugin).encode(images)


def encodes(lens: _Lens) -> None:
    """float32 (n, dim), finite, from read-only images that stay as they are."""
    images = lens.real.images.copy()
    images.flags.writeable = False
    features: Any = lens.encode(images)
    found = f"{features.dtype} {features.shape}" if isinstance(features, np.ndarray) else type(features).__name__
    wanted = f"float32 {(len(images), lens.plugin.dim)}"
    if found != wanted:
        raise Broken(f"encode gives {found}, not {wanted}")
    if not np.isfinite(features).all():
        raise Broken(f"{np.count_nonzero(~np.isfinite(features))} features are not finite")
    if not np.array_equal(images, lens.real.images):
        raise Broken("encoding changes the images")


def batch_independent(lens: _Lens) -> None:
    """Row i depends on image i alone, to TOLERANCE: one by one, in sevens and in reverse."""
    allowed = TOLERANCE * max(1.0, float(np.abs(lens.features).max()))
    for way, chosen in batches(len(lens.real)).items():
        for rows in chosen:
            change = float(np.abs(lens.encode(lens.real.images[rows]) - lens.features[rows]).max())
            if change > allowed:
                raise Broken(f"encoded {way}, features change by {change:.2g}, more than {allowed:.2g}")


def same_in_new_object(lens: _Lens) -> None:
    """Two objects with the same options see the same: no weights drawn anew."""
    if not np.allclose(lens.make().encode(lens.real.images), lens.features, rtol=TOLERANCE, atol=TOLERANCE):
        raise Broken("a second object with the same options gives other features")


def tells_images_apart(lens: _Lens) -> None:
    """Different images have different features."""
    if len(np.unique(lens.features, axis=0)) < len(lens.real):
        raise Broken("different images have the same features")


CHECKS: tuple[Check[_Lens], ...] = (*COMMON, encodes, batch_independent, same_in_new_object, tells_images_apart)
