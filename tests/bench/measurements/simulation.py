"""Features of slides: a normal variable for each laboratory and slide, and one for each patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.types import Features, Strings


@dataclass(frozen=True)
class Side:
    """Features float32 (n, d) and the sampling unit of each row."""

    features: Features
    units: Strings


def slides(
    rng: np.random.Generator,
    count: int | NDArray[Any],
    per_slide: int,
    d: int,
    name: str,
    shift: float = 0.0,
    laboratories: int = 0,
    by: str = "slide",
) -> Side:
    """Slides with `per_slide` patches each, or with as many patches as an array `count` says.

    The spread between slides is that within; with `laboratories`, by turns, that between them is the same again. Units are
    slides or, `by` them, laboratories.
    """
    sizes = np.full(count, per_slide) if isinstance(count, int) else count
    owner = np.repeat(np.arange(len(sizes)), sizes)
    centres = rng.normal(size=(len(sizes), d))
    home = np.arange(len(sizes)) % (laboratories or len(sizes))
    if laboratories:
        centres += rng.normal(size=(laboratories, d))[home]
    features = centres[owner] + rng.normal(size=(len(owner), d))
    features[:, 0] += shift
    names = np.array([f"{name}-{home[i] if by == 'laboratory' else i}" for i in range(len(sizes))])
    return Side(features.astype(np.float32), names[owner])


def real_control(rng: np.random.Generator, held_out: Side, n: int) -> Side:
    """What the control `real` shows: n patches of the held-out slides, drawn with replacement, and their slides."""
    rows = rng.integers(len(held_out.features), size=n)
    return Side(held_out.features[rows], held_out.units[rows])
