"""Which Fréchet-like distance can have an interval, whatever the number of features? A simulation of candidates.

Patches are Gaussian around the effects of their slides. What a candidate sees is a projection of such features, which is
Gaussian too: only its columns are drawn. Distances are shares of the variance that the candidate sees.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

import numpy as np
from numpy.typing import NDArray

from bench.statistics import Estimate, Rows, group_extrapolation
from bench.types import Features, Strings
from benchmarks.study import seeded
from benchmarks.validity_data import FACTOR, SHIFT, Population, turned
from metrics.frechet.frechet_infinity import FrechetInfinity
from metrics.frechet.frechet_subspace import FrechetPca16, FrechetSubspace
from metrics.frechet.gaussians import Gaussian, frechet_distance, gaussian_distance

Floats = NDArray[np.float64]
Candidate = Literal["fd-inf", "shrunk", "sliced", "fd-pca4", "fd-pca8", "fd-pca16", "fd-pca32", "fd-pca64"]
CHOSEN: Candidate = "fd-pca16"
TRIALS, FEW_TRIALS, WIDE_TRIALS = 1000, 100, 20
KINDS = {
    "shift": (0.1, 0.2, 0.4),
    "scaled covariance": (0.2, 0.4, 0.6),
    "blur": (0.2, 0.4, 0.6),
    "dropped mode": (0.05, 0.1, 0.2),
}
"""Corruption -> sizes: standard deviations of the shift in every direction, part by which all variances, or those of later
directions more, are too small, and part of the real patches in a mode that is never generated."""
CORRUPTIONS = tuple(f"{kind} {size}" for kind, sizes in KINDS.items() for size in sizes)
DIRECTIONS = 64
"""Of a sliced distance."""
PER_SLIDE = 25


@dataclass(frozen=True)
class Setting:
    """A candidate, and the slides and features that it is tried on."""

    candidate: Candidate
    slides: int
    d: int
    """Features; 0 where their number plays no part."""
    power: float
    """Variances of the directions are 1 / number^power."""
    icc: float
    generator: str
    """`other` as in docs/coverage.md, `perfect`, or a corruption and its size, of `CORRUPTIONS`."""
    trials: int

    @property
    def width(self) -> int:
        """Columns that the candidate sees."""
        if self.candidate.startswith("fd-pca"):
            return int(self.candidate.removeprefix("fd-pca"))
        return self.d

    @property
    def population(self) -> Population:
        return Population((PER_SLIDE,) * self.slides, "normal", d=self.width, power=self.power, icc=self.icc)


@dataclass(frozen=True)
class Finding:
    """What came out of one setting. Distances are shares of the variance that the candidate sees."""

    truth: float
    value: float | None
    spread: float | None
    half_width: float | None
    given: int
    held: int
    refused: dict[str, int]
    """First words of the reason -> trials without an interval."""


def settings() -> Iterator[Setting]:
    """Everything the page shows, what is cheap first."""
    for power in (1.0, 1.5):
        for slides in (20, 40, 129, 400):
            yield Setting(CHOSEN, slides, 0, power, 0.3, "other", TRIALS)
        yield Setting(CHOSEN, 40, 0, power, 0.1, "other", TRIALS)
        for slides in (20, 40, 129):
            yield Setting(CHOSEN, slides, 0, power, 0.3, "perfect", TRIALS)
    for candidate in ("fd-pca4", "fd-pca8", "fd-pca32", "fd-pca64"):
        for slides in (20, 40, 129, 400):
            for power in (1.0, 1.5):
                yield Setting(candidate, slides, 0, power, 0.3, "other", FEW_TRIALS)  # type: ignore[arg-type]
    for words in CORRUPTIONS:
        for slides in (40, 129):
            yield Setting(CHOSEN, slides, 0, 1.0, 0.3, words, FEW_TRIALS)
    for power in (1.0, 1.5):
        for slides in (40, 129):
            yield Setting("sliced", slides, 384, power, 0.3, "other", WIDE_TRIALS)
            for wide in ("shrunk", "fd-inf"):
                yield Setting(wide, slides, 384, power, 0.3, "other", WIDE_TRIALS)  # type: ignore[arg-type]


def simulate(setting: Setting) -> Finding:
    """All trials of a setting."""
    rng, population = seeded(setting), setting.population
    estimate, names = CANDIDATES[setting.candidate], population.names()
    found = [estimate(*_drawn(setting, rng), names, rng) for _ in range(setting.trials)]
    whole = float(population.variances.sum())
    true = _truth(setting)
    bounds = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
    values = np.array([one.value for one in found]) / whole
    refused = Counter(_words(one.reason) for one in found if one.low is None)
    return Finding(
        truth=true / whole,
        value=float(values.mean()),
        spread=float(values.std(ddof=1)),
        half_width=float(np.mean([high - low for low, high in bounds]) / 2 / whole) if bounds else None,
        given=len(bounds),
        held=sum(low <= true <= high for low, high in bounds),
        refused=dict(sorted(refused.items())),
    )


def _words(reason: str) -> str:
    return "too few slides" if "needs" in reason else "too few patches" if "patches" in reason else "not trusted"


def _drawn(setting: Setting, rng: np.random.Generator) -> tuple[Features, Features]:
    if setting.generator in CORRUPTIONS:
        return corrupted(setting, rng)
    real, (fake,) = setting.population.draw(rng, differs=setting.generator == "other")
    return real, fake


def _truth(setting: Setting) -> float:
    population = setting.population
    if setting.generator == "perfect":
        return 0.0
    if setting.generator in CORRUPTIONS:
        return corrupted_distance(setting.generator, population.d, population.power) * float(population.variances.sum())
    if setting.candidate != "sliced":
        return population.distance
    axes = sliced_axes(setting.d)
    seen = np.sqrt(population.variances)[:, None] * (turned(setting.d) @ axes)
    variances, shifts = np.square(seen).sum(axis=0), SHIFT * seen.sum(axis=0)
    return float(setting.d * np.mean(shifts**2 + (1 - np.sqrt(FACTOR)) ** 2 * variances))


def sliced_axes(d: int) -> Floats:
    """float64 (d, DIRECTIONS): directions drawn once."""
    axes = np.random.default_rng(1).normal(size=(d, DIRECTIONS))
    return np.asarray(axes / np.linalg.norm(axes, axis=0))


def _subspace(width: int) -> Callable[[Features, Features, Strings, np.random.Generator], Estimate]:
    class Other(FrechetSubspace):
        card = FrechetPca16.card
        k = width
        slides = 10

    def estimate(real: Features, fake: Features, names: Strings, rng: np.random.Generator) -> Estimate:
        train = rng.normal(size=(4 * width + 8, width)).astype(np.float32)
        return Other().estimate_trained(real, fake, train, names, names, rng)

    return estimate


def _whole(real: Features, fake: Features, names: Strings, rng: np.random.Generator) -> Estimate:
    return FrechetInfinity().estimate(real, fake, names, names, rng)


def _sliced(real: Features, fake: Features, names: Strings, rng: np.random.Generator) -> Estimate:
    """Mean over random directions of the distance of the two Gaussians on a line, times the number of features."""
    axes = sliced_axes(real.shape[1])
    a, b = (side.astype(np.float64) @ axes for side in (real, fake))

    def distance(x: Rows, y: Rows) -> float:
        gap, spread = a[x].mean(0) - b[y].mean(0), a[x].std(0, ddof=1) - b[y].std(0, ddof=1)
        return float(len(real[0]) * np.mean(gap**2 + spread**2))

    return group_extrapolation(distance, names, names, seed=0)


def _shrunk(real: Features, fake: Features, names: Strings, rng: np.random.Generator) -> Estimate:
    """The distance with both covariances shrunk towards a multiple of the identity as Ledoit and Wolf (2004), extrapolated."""
    from sklearn.covariance import ledoit_wolf

    a, b = real.astype(np.float64), fake.astype(np.float64)

    def distance(x: Rows, y: Rows) -> float:
        first, second = (Gaussian(side.mean(axis=0), ledoit_wolf(side)[0]) for side in (a[x], b[y]))
        return gaussian_distance(first, second)

    return group_extrapolation(distance, names, names, seed=0)


CANDIDATES: dict[str, Callable[[Features, Features, Strings, np.random.Generator], Estimate]] = {
    "fd-inf": _whole,
    "shrunk": _shrunk,
    "sliced": _sliced,
    **{f"fd-pca{width}": _subspace(width) for width in (4, 8, 16, 32, 64)},
}


def corrupted(setting: Setting, rng: np.random.Generator) -> tuple[Features, Features]:
    """Real and generated patches of a generator that is wrong in one known way; see `KINDS`."""
    population = setting.population
    kind, size = corruption_of(setting.generator)
    axes, deviations = turned(population.d), np.sqrt(population.variances)
    (real, (fake,)) = population.draw(rng, differs=False)
    a, b = real @ axes.T, fake @ axes.T
    factors, shift, mode = effects_of(kind, size, deviations)
    b = b * np.sqrt(factors) + shift
    a = a + (rng.random(len(a)) < size * (kind == "dropped mode"))[:, None] * mode
    return (a @ axes).astype(np.float32), (b @ axes).astype(np.float32)


def corruption_of(words: str) -> tuple[str, float]:
    kind, _, size = words.rpartition(" ")
    return kind, float(size)


def effects_of(kind: str, size: float, deviations: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each direction: factor on the variance and shift of the generated side, and place of the mode that it never makes."""
    number, ones = np.arange(1.0, len(deviations) + 1), np.ones(len(deviations))
    factors = {"scaled covariance": 1 - size * ones, "blur": 1 - size * number / (number + 32)}.get(kind, ones)
    shift = size * deviations if kind == "shift" else 0 * ones
    mode = 1.5 * deviations * (-1) ** number if kind == "dropped mode" else 0 * ones
    return factors, shift, mode


def corrupted_distance(words: str, d: int, power: float) -> float:
    """Fréchet distance of the two populations, as a share of the variance, with d features."""
    kind, size = corruption_of(words)
    variances = np.arange(1.0, d + 1) ** -power
    factors, shift, mode = effects_of(kind, size, np.sqrt(variances))
    part = size * (kind == "dropped mode")
    real = np.diag(variances) + part * (1 - part) * np.outer(mode, mode)
    return frechet_distance(part * mode, real, shift, np.diag(variances * factors)) / float(variances.sum())
