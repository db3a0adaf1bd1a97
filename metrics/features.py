"""Checks of the inputs of every metric over features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.types import Features

Table = NDArray[np.float64]
"""float64 (n, d): one row a patch."""


def check_features(metric: str, real: Features, fake: Features, minimum: int) -> tuple[Table, Table]:
    """Both sides as float64 (n, d) and (m, d), after `check_sizes`."""
    check_sizes(metric, real, fake, minimum)
    return real.astype(np.float64), fake.astype(np.float64)


def check_sizes(metric: str, real: Features, fake: Features, minimum: int) -> None:
    """Raises UsageError if tables differ in width, have no column, too few rows or values that are not finite."""
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or not real.shape[1]:
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


def directions(metric: str, table: Table) -> Table:
    """Rows scaled to length 1; refuses rows of length 0, which have no direction."""
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    if not lengths.all():
        raise UsageError(
            f"{metric} compares directions, found {int((lengths == 0).sum())} of {len(table)} rows that are all zero: "
            "look at those patches and at the encoder."
        )
    scaled: Table = table / lengths
    return scaled


def positive(metric: str, option: str, value: int) -> int:
    """The value of an option that counts something, at least 1."""
    if value < 1:
        raise UsageError(f"{metric}: {option} is a whole number of at least 1, not {value}.")
    return value
