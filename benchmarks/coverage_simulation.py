"""How often does an interval for the Fréchet distance hold the truth when patches cluster in slides? A simulation.

Both sides are Gaussian with a random intercept for each slide, so that the truth is known in closed form. Generated patches
inherit the slides of their masks, and part of their look: half of the slide's deviation is shared by both sides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

import numpy as np
from numpy.typing import NDArray

from benchmarks import candidates
from benchmarks.candidates import Sides
from benchmarks.study import seeded

Floats = NDArray[np.float64]
TRIALS, WIDE_TRIALS = 100, 15
"""Of each setting with 64 features, and with 768, where one takes four seconds."""
SHARED = 0.5
"""Correlation of the slide's deviation on the real and on the generated side."""


@dataclass(frozen=True)
class Setting:
    """A population, how it is sampled, and what is asked of it."""

    d: int
    slides: int
    per_slide: int
    icc: float
    """Intra-slide correlation: share of the variance that lies between slides."""
    spectrum: Literal["power", "flat"]
    """Variances of the d directions: 1/k, as encoders show, or all equal, the worst case."""
    generator: Literal["other", "perfect"]
    """`other`: shifted by 0.15 standard deviations in every direction, variances 0.8 of the real. `perfect`: no difference."""
    candidate: str
    trials: int

    @cached_property
    def variances(self) -> Floats:
        return np.ones(self.d) if self.spectrum == "flat" else 1 / np.arange(1, self.d + 1)

    @property
    def change(self) -> tuple[float, float]:
        """Shift in standard deviations, and factor on the variances."""
        return (0.15, 0.8) if self.generator == "other" else (0.0, 1.0)

    @property
    def truth(self) -> float:
        """Fréchet distance of the two populations, closed form for covariances that commute."""
        shift, factor = self.change
        return float((shift**2 + (1 - np.sqrt(factor)) ** 2) * self.variances.sum())

    def draw(self, rng: np.random.Generator) -> Sides:
        """One experiment: as many real and generated patches from the same slides."""
        shift, factor = self.change
        deviation = np.sqrt(self.variances)
        slide = rng.normal(size=(self.slides, self.d))
        generated = SHARED * slide + np.sqrt(1 - SHARED**2) * rng.normal(size=slide.shape)
        group = np.repeat(np.arange(self.slides), self.per_slide)
        within, between = np.sqrt(1 - self.icc), np.sqrt(self.icc)
        shape = (len(group), self.d)
        real = (between * slide[group] + within * rng.normal(size=shape)) * deviation
        fake = ((between * generated[group] + within * rng.normal(size=shape)) * np.sqrt(factor) + shift) * deviation
        return Sides(real, fake, group)


@dataclass(frozen=True)
class Finding:
    """What came out of one setting. Distances are shares of the total variance."""

    truth: float
    value: float | None
    """Mean over trials; None where none was calculated."""
    spread: float | None
    """Standard deviation over trials."""
    half_width: float | None
    """Mean half width of the intervals; None without any."""
    given: int
    """Trials that ended with an interval; the others are underpowered."""
    held: int
    """Of those, the ones whose interval holds the truth."""


def settings() -> Iterator[Setting]:
    """Everything the page shows, what is cheap first."""
    chosen = candidates.CHOSEN
    for slides in (20, 40, 100):
        for icc in (0.0, 0.1, 0.3):
            for spectrum in ("power", "flat"):
                for generator in ("other", "perfect"):
                    yield Setting(64, slides, 16, icc, spectrum, generator, chosen, TRIALS)  # type: ignore[arg-type]
    for slides in (10, 12, 14):
        for icc in (0.0, 0.1, 0.3):
            yield Setting(64, slides, 32, icc, "power", "other", chosen, TRIALS)
    for candidate in candidates.ALL:
        if candidate != chosen:
            for slides, icc in ((20, 0.1), (40, 0.0), (40, 0.1), (40, 0.3), (100, 0.3)):
                yield Setting(64, slides, 16, icc, "power", "other", candidate, TRIALS)
            yield Setting(64, 100, 16, 0.3, "flat", "other", candidate, TRIALS)
    for slides in (20, 40, 100):
        for icc in (0.0, 0.1, 0.3):
            yield Setting(768, slides, 32, icc, "power", "other", chosen, WIDE_TRIALS)


def simulate(setting: Setting) -> Finding:
    """All trials of a setting."""
    estimate = candidates.ALL[setting.candidate]
    rng = seeded(setting)
    found = [estimate(setting.draw(rng), rng) for _ in range(setting.trials)]
    whole = float(setting.variances.sum())
    bounds = [(e.low, e.high) for e in found if e.low is not None and e.high is not None]
    values = np.array([e.value for e in found if e.value == e.value]) / whole
    return Finding(
        truth=setting.truth / whole,
        value=float(values.mean()) if len(values) else None,
        spread=float(values.std(ddof=1)) if len(values) > 1 else None,
        half_width=float(np.mean([high - low for low, high in bounds]) / 2 / whole) if bounds else None,
        given=len(bounds),
        held=sum(low <= setting.truth <= high for low, high in bounds),
    )
