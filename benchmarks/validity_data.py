"""Slides of unequal size with heavy tails: the populations that docs/validity.md draws from.

Slides are alike in law and unlike in size. Each has an effect of its own and patches that spread more or less around it. The
variances of the features fall as a power of their number, along axes that are turned at random; half of a slide's effect is
common to real and generated patches where both sides show the same slides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.statistics import effective_number
from bench.types import Features, Strings

Floats = NDArray[np.float64]
Sizes = Literal["equal", "Zipf", "few large", "one huge"]
Tails = Literal["normal", "Student"]
Sides = Literal["the same slides", "other slides"]
ICC = 0.2
"""Part of the variance that lies between slides."""
SHARED = 0.5
"""Correlation of a slide's effect on the real and on the generated side."""
SHIFT, FACTOR = 0.15, 0.8
"""What a generator that differs does to the features: a shift in standard deviations, and a factor on the variances."""
FREEDOM = 5
"""Of Student's t, the law of slide effects with heavy tails."""


@cache
def sizes_of(kind: Sizes, effective: int) -> tuple[int, ...]:
    """Patches of each slide, the fewest slides of this kind that are at least so many effective ones."""
    count = effective
    while True:
        made = _sizes(kind, count, effective)
        if effective_number(np.array(made, np.float64)) >= effective:
            return made
        count += 1


def _sizes(kind: Sizes, count: int, effective: int) -> tuple[int, ...]:
    if kind == "equal":
        return (12,) * count
    if kind == "Zipf":
        return tuple(max(2, round(60 / rank**0.7)) for rank in range(1, count + 1))
    if kind == "few large":
        large = -(-count // 5)
        return (40,) * large + (4,) * (count - large)
    share = (0.4 / effective) ** 0.5  # the huge slide is two fifths of the sum of squares
    return (round(8 * (count - 1) * share / (1 - share)), *(8,) * (count - 1))


@dataclass(frozen=True)
class Population:
    """Slides and the features of their patches."""

    sizes: tuple[int, ...]
    """Patches of each slide."""
    tails: Tails = "Student"
    sides: Sides = "the same slides"
    d: int = 8
    power: float = 1.0
    """Variances of the directions are 1 / number^power."""
    icc: float = ICC
    laboratories: int = 0
    """Slides come in so many laboratories in turn, whose effects are half of what lies between slides; 0 for none."""

    @property
    def variances(self) -> Floats:
        return np.asarray(np.arange(1.0, self.d + 1) ** -self.power)

    @property
    def slide(self) -> NDArray[np.int64]:
        """int64 (n,): slide of each patch."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def names(self, prefix: str = "s") -> Strings:
        return np.array([f"{prefix}{number:04d}" for number in range(len(self.sizes))])[self.slide]

    def laboratory_names(self) -> Strings:
        return np.array([f"lab{number % self.laboratories:04d}" for number in range(len(self.sizes))])[self.slide]

    @property
    def groups(self) -> tuple[Strings, Strings]:
        """Slide of each real and of each generated patch."""
        return self.names(), self.names() if self.sides == "the same slides" else self.names("g")

    def effects(self, rng: np.random.Generator) -> Floats:
        """float64 (slides, d) of variance 1: what is of the slides, or of their laboratories and of the slides."""
        own = self._drawn(len(self.sizes), rng)
        if not self.laboratories:
            return own
        of_laboratories = self._drawn(self.laboratories, rng)[np.arange(len(self.sizes)) % self.laboratories]
        return np.asarray(np.sqrt(0.5) * (own + of_laboratories))

    def _drawn(self, count: int, rng: np.random.Generator) -> Floats:
        if self.tails == "normal":
            return rng.normal(size=(count, self.d))
        return np.asarray(rng.standard_t(FREEDOM, size=(count, self.d)) * np.sqrt((FREEDOM - 2) / FREEDOM))

    def patches(self, effects: Floats, rng: np.random.Generator) -> Floats:
        """float64 (n, d): patches of slides with these effects, of mean 0 and the variances of the population."""
        spread = np.ones(len(self.sizes)) if self.tails == "normal" else np.sqrt(rng.gamma(4, 1 / 4, len(self.sizes)))
        within = spread[self.slide, None] * rng.normal(size=(len(self.slide), self.d))
        rows = np.sqrt(self.icc) * effects[self.slide] + np.sqrt(1 - self.icc) * within
        return np.asarray(rows * np.sqrt(self.variances) @ turned(self.d))

    def draw(self, rng: np.random.Generator, generators: int = 1, differs: bool = True) -> tuple[Features, list[Features]]:
        """Real patches, and those of some generators of one law: both float32 (n, d)."""
        real = self.effects(rng)
        fakes = []
        for _ in range(generators):
            common = real if self.sides == "the same slides" else self.effects(rng)
            effects = SHARED * common + np.sqrt(1 - SHARED**2) * self.effects(rng)
            rows = self.patches(effects, rng)
            fakes.append(self.changed(rows) if differs else rows)
        return self.patches(real, rng).astype(np.float32), [rows.astype(np.float32) for rows in fakes]

    def changed(self, rows: Floats) -> Floats:
        """What a generator that differs makes of rows of the population."""
        return np.asarray(np.sqrt(FACTOR) * rows + SHIFT * np.sqrt(self.variances) @ turned(self.d))

    @property
    def distance(self) -> float:
        """Fréchet distance of the real population and of a generator that differs: closed form, both covariances commute."""
        return float((SHIFT**2 + (1 - np.sqrt(FACTOR)) ** 2) * self.variances.sum())


@cache
def turned(d: int) -> Floats:
    """float64 (d, d): a fixed random rotation."""
    return np.asarray(np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0])


@cache
def kernel_distance(d: int, power: float, tails: Tails, icc: float) -> float:
    """Squared discrepancy of the two populations under the kernel of `kid`, from the means of its explicit features over a
    million patches of as many slides."""
    sums, batches, size = np.zeros((2, 1 + d + d**2 + d**3)), 20, 50_000
    population = Population((1,) * size, tails, d=d, power=power, icc=icc)
    for batch in range(batches):
        rows = population.patches(population.effects(rng := np.random.default_rng(batch)), rng)
        for side, table in enumerate((rows, population.changed(rows))):
            squares = (table[:, :, None] * table[:, None, :]).reshape(size, -1)
            cubes = (squares.T @ table).ravel() / size
            parts = (np.ones(1), np.sqrt(3 / d) * table.mean(0), np.sqrt(3) / d * squares.mean(0), cubes / d**1.5)
            sums[side] += np.concatenate(parts) / batches
    return float(((sums[0] - sums[1]) ** 2).sum())
