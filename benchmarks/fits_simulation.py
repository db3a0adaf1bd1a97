"""How often does the gate object to two sets of fits of one method? A simulation.

A fit has an offset of its own in every number, and looks of its own on every slide. Both sides are drawn from one method. The
measures, and the difficulty of slides that all fits share, are those of `gate_simulation`; the verdicts are those of
`leaderboards.gate.gate` and of `leaderboards.comparison.compare`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

import numpy as np

from bench.results.schema import ResultRecord
from benchmarks.gate_simulation import KINDS, OWN, PATCH, SEED, SHIFT, SLIDE, WIDTH, Runs
from benchmarks.study import seeded
from leaderboards.comparison.compare import Side, compared
from leaderboards.gate import gate
from leaderboards.gate.policy import Margin, Policy

SPREAD = {"as seeds": (SEED, 0.01), "large": (0.03, 0.06)}
"""Standard deviation of a fit's offset in a mean, and in each column of the features that a distance is of."""
SEEDS = 2
CHANGED = "mean-0"


@dataclass(frozen=True)
class Setting:
    """How large two sets of fits are, and how they are tested."""

    slides: int
    per_slide: int
    fits: int
    """On each side."""
    spread: Literal["as seeds", "large"]
    mode: Literal["same-method", "not stated"]
    """`not stated`: records that do not say of which fit they are, as before there could be several; tested as if the weights
    were the same."""
    worse: float
    """How much worse the candidate's method truly is in the first mean, in standard deviations of a fit's offset."""
    trials: int


@dataclass(frozen=True)
class Finding:
    """Of so many pairs of sets of fits."""

    alarms: int
    """Gates that called a number a regression that had not changed."""
    differences: int
    """Comparisons that called such a number different."""
    seen: int
    """Gates that called the changed number a regression."""


def settings() -> Iterator[Setting]:
    """Everything the page shows."""
    for slides, per_slide, spread, numbers in (
        (12, 8, "as seeds", (2, 3)),
        (12, 8, "large", (2, 3, 5)),
        (40, 16, "large", (3,)),
    ):
        yield Setting(slides, per_slide, 1, spread, "not stated", 0.0, 300)  # type: ignore[arg-type]
        for fits in numbers:
            trials = 1000 if fits == 3 else 300
            yield Setting(slides, per_slide, fits, spread, "same-method", 0.0, trials)  # type: ignore[arg-type]
    for fits in (3, 5):
        yield Setting(40, 16, fits, "large", "same-method", 4.0, 100)


def simulate(setting: Setting) -> Finding:
    """All trials of a setting: zero margins, so that every significant worsening is a regression."""
    rng = seeded(setting)
    policy = Policy((Margin("*", absolute=0.0),), mode="same-method" if setting.mode == "same-method" else "same-weights")
    alarms = differences = seen = 0
    for _ in range(setting.trials):
        before, now = draw(setting, rng)
        worse = {one.quantity.measure for one in gate.measured(before, now, policy).gate_results if one.verdict == "regress"}
        apart = {one.where.measure for one in compared(Side("a", tuple(before)), Side("b", tuple(now))).made if not one.tie}
        changed = {CHANGED} if setting.worse else set()
        alarms += bool(worse - changed)
        differences += bool(apart - changed)
        seen += bool(worse & changed)
    return Finding(alarms, differences, seen)


def draw(setting: Setting, rng: np.random.Generator) -> tuple[list[ResultRecord], list[ResultRecord]]:
    """Records of a baseline and of a candidate, each with its own fits of one method."""
    offset, looks = SPREAD[setting.spread]
    fits, sizes = (KINDS, 2, setting.fits, 1), (setting.slides, setting.per_slide)
    runs = (KINDS, 2, setting.fits, SEEDS)
    worse = np.zeros((KINDS, 2, 1, 1, 1, 1))
    worse[0, 1] = setting.worse * offset
    hard = rng.normal(0, SLIDE, (KINDS, 1, 1, 1, setting.slides, 1)) + rng.normal(0, OWN, (*fits, setting.slides, 1))
    own = rng.normal(0, offset, (*fits, 1, 1)) + rng.normal(0, SEED, (*runs, 1, 1))
    values = 0.8 - worse + hard + own + rng.normal(0, PATCH, (*runs, *sizes))
    slide = rng.normal(0, 0.3, (KINDS, setting.slides, 1, WIDTH))
    real = slide + rng.normal(size=(KINDS, *sizes, WIDTH))
    on_slide = rng.normal(0, 0.2, (*fits, setting.slides, 1, WIDTH)) + rng.normal(0, 0.9, (*runs, *sizes, WIDTH))
    shift = SHIFT + rng.normal(0, looks, (*fits, 1, 1, WIDTH)) + rng.normal(0, 0.01, (*runs, 1, 1, WIDTH))
    fake = slide[:, None, None, None] + on_slide + shift
    flat = (KINDS, 2, setting.fits * SEEDS)
    measured = Runs(values.reshape(*flat, *sizes), real, fake.reshape(*flat, *sizes, WIDTH))
    sides: tuple[list[ResultRecord], list[ResultRecord]] = [], []
    for name, direction, found in (("mean", "higher", measured.means()), ("fd", "lower", measured.distances())):
        for kind, side, number in np.ndindex(found.shape[:3]):
            fit, seed = divmod(number, SEEDS)
            sides[side].append(
                _record(setting, f"{name}-{kind}", direction, side, fit, seed, found[kind, side, number].tolist())
            )
    return sides


def _record(
    setting: Setting, measure: str, direction: str, side: int, fit: int, seed: int, values: list[float]
) -> ResultRecord:
    value, *replicates = values
    stated = {"origin": "trained", "seed": str(2 * fit + side), "weights": f"{side} {fit}"}
    return ResultRecord(
        "generator",
        "simulated",
        "none",
        "gate",
        measure,
        direction,
        "p",
        seed=seed,
        value=value,
        replicates=tuple(replicates),
        n=setting.slides * setting.per_slide,
        groups=setting.slides,
        fit={} if setting.mode == "not stated" else stated,
        keys={} if setting.mode == "not stated" else {"method": "r"},
    )
