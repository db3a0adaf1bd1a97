"""False alarms and power of the gate, by simulation of pairs of runs.

A run is slides x patches x seeds, measured six times: three means over patches and three Fréchet distances of features, each
with a difficulty of each slide that is common to both sides of a pair, and noise of each generator by slide, by seed and by
patch. The verdicts are those of `leaderboards.gate.gate`. A change is added to the first mean and the first distance; the
other four never change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.results.schema import ResultRecord
from benchmarks.study import seeded
from leaderboards.gate import gate
from leaderboards.gate.policy import Margin, Policy

Floats = NDArray[np.float64]
WIDTH, KINDS, SHIFT = 8, 3, 0.3
"""Columns of the features; numbers of each kind; how far generated features lie from real ones, in standard deviations."""
ABSOLUTE, RELATIVE = 0.02, 0.15
"""Margins of means and of distances."""
CHANGED = ("mean-0", "fd-0")
SLIDE, OWN, SEED, PATCH = 0.1, 0.02, 0.004, 0.2
"""Standard deviations of a mean's parts: the slide's difficulty, the generator on the slide, its seed, its patch."""


@dataclass(frozen=True)
class Setting:
    """Size of a run, worsening of the candidate, and margins."""

    slides: int
    per_slide: int
    seeds: int
    change: Literal["none", "margin", "twice the margin", "visible"]
    margins: Literal["usual", "zero"]
    trials: int

    @property
    def policy(self) -> Policy:
        usual = self.margins == "usual"
        margins = (Margin("mean-*", absolute=ABSOLUTE * usual), Margin("fd-*", relative=RELATIVE * usual))
        return Policy(margins, seeds=1)


@dataclass(frozen=True)
class Finding:
    """Results over all trials of a setting."""

    alarms: int
    """Number of gates in which an unchanged number was called a regression."""
    verdicts: dict[str, dict[str, int]]
    """For the first mean and the first distance: number of each verdict."""
    worsening: dict[str, float]
    """Mean over gates of the measured worsening."""
    visible: dict[str, float]
    """Median over gates of the smallest visible change that each reports."""


def settings() -> Iterator[Setting]:
    """Everything the page shows."""
    for slides, per_slide in ((12, 8), (40, 16)):
        for seeds in (1, 2, 3):
            yield Setting(slides, per_slide, seeds, "none", "zero", 400)
    for slides, per_slide, seeds in ((12, 8, 3), (40, 16, 3), (40, 16, 5)):
        yield Setting(slides, per_slide, seeds, "none", "usual", 400)
        for change in ("margin", "twice the margin", "visible"):
            yield Setting(slides, per_slide, seeds, change, "usual", 200)  # type: ignore[arg-type]


def simulate(setting: Setting, worse: dict[str, float] | None = None) -> Finding:
    """All trials of a setting."""
    rng = seeded(setting)
    added = changes(setting) if worse is None else worse
    gates = [gate.measured(*pair(setting, added, rng), setting.policy) for _ in range(setting.trials)]
    by_name = [{j.quantity.measure: j for j in found.gate_results} for found in gates]
    kept = {name: [found[name] for found in by_name] for name in CHANGED}
    return Finding(
        alarms=sum(any(j.verdict == "regress" and name not in CHANGED for name, j in found.items()) for found in by_name)
        if any(added.values())
        else sum(found.verdict == "regress" for found in gates),
        verdicts={name: {v: sum(j.verdict == v for j in rows) for v in gate.EXIT_CODES} for name, rows in kept.items()},
        worsening={name: float(np.mean([j.worsening.value for j in rows if j.worsening])) for name, rows in kept.items()},
        visible={name: float(np.median([j.visible for j in rows if j.visible is not None])) for name, rows in kept.items()},
    )


def changes(setting: Setting) -> dict[str, float]:
    """How much worse the changed numbers truly become, in their own units."""
    if setting.change == "none":
        return dict.fromkeys(CHANGED, 0.0)
    margins = {"mean-0": ABSOLUTE, "fd-0": RELATIVE * usual_distance(setting.slides, setting.per_slide)}
    if setting.change == "visible":
        still = Setting(setting.slides, setting.per_slide, setting.seeds, "none", setting.margins, 100)
        return simulate(still).visible
    return {name: margin * (2 if setting.change == "twice the margin" else 1) for name, margin in margins.items()}


@cache
def usual_distance(slides: int, per_slide: int) -> float:
    """What the Fréchet distance of an unchanged generator is on average over runs of this size."""
    rng = np.random.default_rng(0)
    sizes = Setting(slides, per_slide, 2, "none", "zero", 1)
    return float(np.mean([draw(sizes, dict.fromkeys(CHANGED, 0.0), rng).distances()[..., 0].mean() for _ in range(30)]))


@dataclass(frozen=True)
class Runs:
    """A baseline and its candidate as measured: kinds x sides x seeds x slides x patches."""

    values: Floats
    """float64 (KINDS, 2, seeds, slides, patches)."""
    real: Floats
    """float64 (KINDS, slides, patches, WIDTH): both sides and all seeds are measured against the same real patches."""
    fake: Floats
    """float64 (KINDS, 2, seeds, slides, patches, WIDTH)."""

    def means(self) -> Floats:
        """float64 (KINDS, 2, seeds, 1 + blocks): of all slides, then without each block."""
        sums = _without(self.values.sum(axis=-1, keepdims=True))
        return np.asarray(sums[..., 0] / _patches(self.values))

    def distances(self) -> Floats:
        """The Fréchet distances in the same shape, from the moments of the slides."""
        n = _patches(self.values)[:, None, None]
        (mean, a), (other, b) = _moments(self.real[:, None, None], n), _moments(self.fake, n)
        overlap = np.sqrt(np.clip(np.linalg.eigvals(a @ b).real, 0, None)).sum(axis=-1)
        traces = np.trace(a + b, axis1=-2, axis2=-1)
        return np.asarray(((mean - other) ** 2).sum(axis=-1) + traces - 2 * overlap)


def draw(setting: Setting, added: dict[str, float], rng: np.random.Generator) -> Runs:
    """A baseline and a candidate that is worse by `added` in what is named there."""
    sizes, runs = (setting.slides, setting.per_slide), (KINDS, 2, setting.seeds)
    worse = np.zeros((2, KINDS, 2, 1, 1, 1))
    worse[:, 0, 1, 0, 0, 0] = [added[name] for name in CHANGED]
    hard = rng.normal(0, SLIDE, (KINDS, 1, 1, setting.slides, 1)) + rng.normal(0, OWN, (KINDS, 2, 1, setting.slides, 1))
    values = 0.8 - worse[0] + hard + rng.normal(0, SEED, (*runs, 1, 1)) + rng.normal(0, PATCH, (*runs, *sizes))
    slide = rng.normal(0, 0.3, (KINDS, setting.slides, 1, WIDTH))
    real = slide + rng.normal(size=(KINDS, *sizes, WIDTH))
    own = rng.normal(0, 0.2, (KINDS, 2, 1, setting.slides, 1, WIDTH)) + rng.normal(0, 0.9, (*runs, *sizes, WIDTH))
    # the distance grows by `worse` through the mean alone, so that the growth is exact in expectation
    shift = np.sqrt(SHIFT**2 + worse[1][..., None] / WIDTH) + rng.normal(0, 0.01, (*runs, 1, 1, WIDTH))
    return Runs(values, real, slide[:, None, None] + own + shift)


def pair(setting: Setting, added: dict[str, float], rng: np.random.Generator) -> tuple[list[ResultRecord], list[ResultRecord]]:
    """Records of a baseline and of its candidate."""
    runs = draw(setting, added, rng)
    sides: tuple[list[ResultRecord], list[ResultRecord]] = [], []
    for name, direction, found in (("mean", "higher", runs.means()), ("fd", "lower", runs.distances())):
        for kind, side, seed in np.ndindex(found.shape[:3]):
            value, *replicates = found[kind, side, seed].tolist()
            named = ResultRecord(
                "generator", "simulated", "none", "gate", f"{name}-{kind}", direction, "p", seed=seed, value=value
            )
            n = setting.slides * setting.per_slide
            sides[side].append(replace(named, replicates=tuple(replicates), n=n, groups=setting.slides))
    return sides


def _without(by_slide: Floats) -> Floats:
    """Sums over all slides, then without each block: (..., slides, columns) to (..., 1 + blocks, columns)."""
    total = by_slide.sum(axis=-2, keepdims=True)
    blocks = statistics.blocks_of([str(i) for i in range(by_slide.shape[-2])])
    left = [by_slide[..., [int(i) for i in block], :].sum(axis=-2, keepdims=True) for block in blocks]
    return np.concatenate([total, *(total - part for part in left)], axis=-2)


def _patches(values: Floats) -> Floats:
    """float64 (1 + blocks,): how many there are of all slides, and without each block."""
    slides, patches = values.shape[-2:]
    return np.asarray(_without(np.full((slides, 1), float(patches)))[:, 0])


def _moments(features: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Mean (..., 1 + blocks, d) and covariance (..., 1 + blocks, d, d) of (..., slides, patches, d)."""
    squares = np.swapaxes(features, -1, -2) @ features
    sums = _without(features.sum(axis=-2))
    mean = sums / n[..., 0]
    flat = _without(squares.reshape(*squares.shape[:-2], -1)).reshape(*mean.shape, -1)
    return mean, (flat - n * mean[..., :, None] * mean[..., None, :]) / (n - 1)
