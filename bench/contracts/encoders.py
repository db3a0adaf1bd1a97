"""What every encoder must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from bench.contracts.cases import COMMON, Broken, Check, Outcome, PluginCase, batches, builds, run_checks
from bench.types import Encoder, EncodesTokens, Features, Images

TOLERANCE = 1e-5
"""Largest change of a feature from batch to batch, as a share of the largest feature, or of 1 where that is smaller."""


def check_encoder(make: Callable[..., Encoder], name: str = "", size: int = 64) -> list[Outcome]:
    """Outcomes on 12 mock patches of `size` px. `make(**options)` builds the encoder, `name` is its name in the registry."""
    return run_checks(_Case(make, name, size), CHECKS, essential=(builds, encodes))


@dataclass
class _Case(PluginCase):
    """An encoder under test and its features of the mock patches."""

    @cached_property
    def features(self) -> Features:
        return self.encode(self.real.images)

    def encode(self, images: Images) -> Features:
        return cast(Encoder, self.plugin).encode(images)


def encodes(case: _Case) -> None:
    """float32 (n, dim), finite, from read-only images that stay as they are."""
    images = case.real.images.copy()
    images.flags.writeable = False
    features: Any = case.encode(images)
    found = f"{features.dtype} {features.shape}" if isinstance(features, np.ndarray) else type(features).__name__
    wanted = f"float32 {(len(images), case.plugin.dim)}"
    if found != wanted:
        raise Broken(f"encode gives {found}, not {wanted}")
    if not np.isfinite(features).all():
        raise Broken(f"{np.count_nonzero(~np.isfinite(features))} features are not finite")
    if not np.array_equal(images, case.real.images):
        raise Broken("encoding changes the images")


def batch_independent(case: _Case) -> None:
    """Row i depends on image i alone, to TOLERANCE: one by one, in sevens and in reverse."""
    allowed = TOLERANCE * max(1.0, float(np.abs(case.features).max()))
    for way, chosen in batches(len(case.real)).items():
        for rows in chosen:
            change = float(np.abs(case.encode(case.real.images[rows]) - case.features[rows]).max())
            if change > allowed:
                raise Broken(f"encoded {way}, features change by {change:.2g}, more than {allowed:.2g}")


def same_in_new_object(case: _Case) -> None:
    """Two objects with the same options give the same features: weights are not random."""
    if not np.allclose(case.make().encode(case.real.images), case.features, rtol=TOLERANCE, atol=TOLERANCE):
        raise Broken("a second object with the same options gives other features")


def tells_images_apart(case: _Case) -> None:
    """Different images have different features."""
    if len(np.unique(case.features, axis=0)) < len(case.real):
        raise Broken("different images have the same features")


def gives_tokens(case: _Case) -> None:
    """Tokens, where it gives any: float32 (n, rows, columns, d), finite, row i from image i alone, to TOLERANCE."""
    if not isinstance(case.plugin, EncodesTokens):
        return
    tokens: Any = case.plugin.encode_tokens(case.real.images)
    if tokens.dtype != np.float32 or tokens.ndim != 4 or len(tokens) != len(case.real) or not tokens.size:
        raise Broken(f"encode_tokens gives {tokens.dtype} {tokens.shape}, not float32 ({len(case.real)}, rows, columns, d)")
    if not np.isfinite(tokens).all():
        raise Broken(f"{np.count_nonzero(~np.isfinite(tokens))} values of its tokens are not finite")
    change = float(np.abs(case.plugin.encode_tokens(case.real.images[::-1])[::-1] - tokens).max())
    if change > TOLERANCE * max(1.0, float(np.abs(tokens).max())):
        raise Broken(f"in reverse, tokens change by {change:.2g}")


CHECKS: tuple[Check[_Case], ...] = (*COMMON, encodes, batch_independent, same_in_new_object, tells_images_apart, gives_tokens)
