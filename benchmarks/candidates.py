"""Methods for an interval of the Fréchet distance, compared by simulation. A run uses `CHOSEN`, by the same functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.statistics import Estimate
from bench.types import Features, Strings
from metrics.frechet.frechet_distance import FrechetDistance
from metrics.frechet.frechet_infinity import FrechetInfinity
from metrics.frechet.gaussians import frechet_distance

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Sides:
    """Real and generated features (n, d), and the slide of each patch, the same on both sides."""

    real: Floats
    fake: Floats
    slide: NDArray[np.int64]

    @property
    def names(self) -> Strings:
        return np.char.zfill(self.slide.astype(str), 4)

    @cached_property
    def encoded(self) -> tuple[Features, Features]:
        """Both sides as float32, as an encoder returns them."""
        return self.real.astype(np.float32), self.fake.astype(np.float32)

    @cached_property
    def of_slides(self) -> tuple[Moments, Moments]:
        return Moments(self.real, self.slide), Moments(self.fake, self.slide)

    def distance(self, real_rows: Rows, fake_rows: Rows) -> float:
        """Fréchet distance of the rows, which must be whole slides."""
        real, fake = self.of_slides
        return frechet_distance(*real.of(real_rows), *fake.of(fake_rows))

    def loose_distance(self, real_rows: Rows, fake_rows: Rows) -> float:
        """Fréchet distance of any rows."""
        return frechet_distance(*_moments(self.real[real_rows]), *_moments(self.fake[fake_rows]))

    @property
    def whole(self) -> float:
        everything = np.ones(len(self.slide), bool)
        return self.distance(everything, everything)


class Moments:
    """Sums for each slide, from which mean and covariance of any set of slides are computed without its patches."""

    def __init__(self, features: Floats, slide: NDArray[np.int64]) -> None:
        self._first = np.array([features[slide == s].sum(axis=0) for s in range(slide.max() + 1)])
        self._second = np.array([features[slide == s].T @ features[slide == s] for s in range(slide.max() + 1)])
        self._all = self._second.sum(axis=0)
        self._slide = slide

    def of(self, rows: Rows) -> tuple[Floats, Floats]:
        """Mean (d,) and covariance (d, d) of the slides that `rows` chooses."""
        chosen = np.unique(self._slide[rows])
        missing = np.setdiff1d(np.arange(len(self._first)), chosen)
        n = int(rows.sum())
        few = len(missing) < len(chosen)
        second = self._all - self._second[missing].sum(axis=0) if few else self._second[chosen].sum(axis=0)
        mean = self._first[chosen].sum(axis=0) / n
        return mean, (second - n * np.outer(mean, mean)) / (n - 1)


def second_order(sides: Sides, rng: np.random.Generator) -> Estimate:
    """`fd-inf` as in a run, which may give no interval: extrapolated over slides on both sides to second order, error from the
    delete-a-block jackknife."""
    metric = FrechetInfinity()
    n, d = sides.real.shape
    if n < metric.minimum_n(d):
        return Estimate(math.nan, None, None, reason="underpowered: a run does not ask the metric either")
    return metric.estimate(*sides.encoded, sides.names, sides.names, rng)


def first_order(sides: Sides, rng: np.random.Generator) -> Estimate:
    """The bias correction of the jackknife over slides on both sides, with its error; always gives an interval."""
    block_jackknife = statistics.BlockJackknife(sides.distance, sides.names, sides.names, 20)
    return _around(
        *statistics.jackknife(block_jackknife.value, block_jackknife.without(), block_jackknife.shares),
        len(block_jackknife.shares),
    )


def nested_slides(sides: Sides, rng: np.random.Generator) -> Estimate:
    """A line through the distances of nested subsets of slides against 1 / slides; jackknife over slides around it."""
    order = rng.permutation(int(sides.slide.max()) + 1)

    def intercept(real_rows: Rows, fake_rows: Rows) -> float:
        there = [s for s in order if real_rows[sides.slide == s].any()]
        sizes = [round(share * len(there)) for share in (1, 0.8, 0.65, 0.5)]
        chosen = [np.isin(sides.slide, there[:size]) for size in sizes]
        distances = [sides.distance(rows, rows) for rows in chosen]
        return float(np.polyfit(1 / np.array(sizes), distances, 1)[1])

    return statistics.group_jackknife(intercept, sides.names, sides.names)


def raw_by_slide(sides: Sides, rng: np.random.Generator) -> Estimate:
    """`fd` as in a run: the plain distance, jackknife over slides."""
    metric, (real, fake) = FrechetDistance(), sides.encoded
    return statistics.group_jackknife(lambda a, b: metric.compare(real[a], fake[b], rng), sides.names, sides.names)


def raw_bootstrap(sides: Sides, rng: np.random.Generator) -> Estimate:
    """The plain distance, percentiles of 100 bootstrap samples of slides."""
    count = int(sides.slide.max()) + 1
    drawn = [np.concatenate([np.flatnonzero(sides.slide == s) for s in rng.integers(0, count, count)]) for _ in range(100)]
    low, high = np.quantile([sides.loose_distance(rows, rows) for rows in drawn], [0.025, 0.975])
    return Estimate(sides.whole, float(low), float(high))


def patches_both(sides: Sides, rng: np.random.Generator) -> Estimate:
    """Patches treated as independent: correction and error of the jackknife over blocks of patches, both sides."""
    names = np.char.zfill(rng.permutation(len(sides.slide)).astype(str), 6)
    block_jackknife = statistics.BlockJackknife(sides.loose_distance, names, names, 20)
    return _around(*statistics.jackknife(block_jackknife.value, block_jackknife.without(), block_jackknife.shares), 20)


def patches_generated(sides: Sides, rng: np.random.Generator) -> Estimate:
    """As published for FD-infinity: extrapolated over generated patches only; error from blocks of these."""
    names = np.char.zfill(rng.permutation(len(sides.slide)).astype(str), 6)
    everything = np.ones(len(names), bool)  # the real side, whichever block is left out
    block_jackknife = statistics.BlockJackknife(lambda _, fake: sides.loose_distance(everything, fake), names, names, 20)
    return _around(
        *statistics.jackknife(block_jackknife.value, block_jackknife.without(), block_jackknife.shares),
        len(block_jackknife.shares),
    )


def subsampling(sides: Sides, rng: np.random.Generator) -> Estimate:
    """Halves of the slides, 40 of them: their corrected distances around the whole's, spread scaled to all slides."""
    count = int(sides.slide.max()) + 1
    whole, halves = sides.whole, []
    for _ in range(40):
        rows = np.isin(sides.slide, rng.permutation(count)[: count // 2])
        halves.append(sides.distance(rows, rows))
    value = 2 * whole - float(np.mean(halves))
    return _around(value, float(np.std(halves, ddof=1)), 40)


def parametric(sides: Sides, rng: np.random.Generator) -> Estimate:
    """Bias and error from 40 data sets simulated from fitted scatter between and within slides."""
    fitted = [_components(side, sides.slide) for side in (sides.real, sides.fake)]
    population = frechet_distance(*(part for mean, between, within in fitted for part in (mean, between + within)))
    drawn = []
    for _ in range(40):
        made = [_simulated(*parts, sides.slide, rng) for parts in fitted]
        drawn.append(frechet_distance(*_moments(made[0]), *_moments(made[1])))
    value = sides.whole - (float(np.mean(drawn)) - population)
    return _around(value, float(np.std(drawn, ddof=1)), 40)


def _components(features: Floats, slide: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Mean, scatter between slides (cut to be positive) and within, by the method of moments."""
    count, per_slide = int(slide.max()) + 1, len(slide) // (int(slide.max()) + 1)
    means = np.array([features[slide == s].mean(axis=0) for s in range(count)])
    rest = features - means[slide]
    within = rest.T @ rest / (len(slide) - count)
    values, vectors = np.linalg.eigh(np.cov(means, rowvar=False) - within / per_slide)
    return features.mean(axis=0), (vectors * np.clip(values, 0, None)) @ vectors.T, within


def _simulated(mean: Floats, between: Floats, within: Floats, slide: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    d = len(mean)
    of_slides = rng.multivariate_normal(np.zeros(d), between, int(slide.max()) + 1, method="eigh")
    return np.asarray(mean + of_slides[slide] + rng.multivariate_normal(np.zeros(d), within, len(slide), method="eigh"))


def _moments(features: Floats) -> tuple[Floats, Floats]:
    return features.mean(axis=0), np.cov(features, rowvar=False)


def _around(value: float, error: float, blocks: int) -> Estimate:
    reach = statistics.student(blocks - 1) * error
    return Estimate(value, value - reach, value + reach, error)


Candidate = Callable[[Sides, np.random.Generator], Estimate]
CHOSEN = "slides, both sides, second order"
ALL: dict[str, Candidate] = {
    CHOSEN: second_order,
    "slides, both sides, first order": first_order,
    "slides, both sides, nested subsets": nested_slides,
    "slides, subsampling": subsampling,
    "slides, parametric Gaussian": parametric,
    "slides, no extrapolation": raw_by_slide,
    "slides, bootstrap": raw_bootstrap,
    "patches, both sides": patches_both,
    "patches, generated side only": patches_generated,
}
