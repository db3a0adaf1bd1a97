"""What every metric over features asks of its two sides before it measures anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.types import Features


def checked(metric: str, real: Features, fake: Features, minimum: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sides as float64 (n, d) and (m, d); refuses tables that differ in width, are short of rows or not finite."""
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise UsageError(
            f"{metric} compares two tables of equally many features, found real {real.shape} and fake {fake.shape}: "
            "encode both sides with the same encoder."
        )
    if min(len(real), len(fake)) < minimum:
        raise UsageError(
            f"{metric} on {real.shape[1]} features needs at least {minimum} patches on each side, "
            f"found {len(real)} real and {len(fake)} fake: use more patches, or an encoder with fewer features."
        )
    broken = [int((~np.isfinite(side)).any(axis=1).sum()) for side in (real, fake)]
    if any(broken):
        raise MissingError(
            f"{metric} needs finite features, found NaN or infinity in {broken[0]} of {len(real)} real and "
            f"{broken[1]} of {len(fake)} fake rows: look at those patches and at the encoder's weights."
        )
    return real.astype(np.float64), fake.astype(np.float64)
