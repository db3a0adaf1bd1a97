"""How often do intervals hold the truth, and how often do comparisons see a difference where there is none? A simulation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

import numpy as np

from bench.histology.class_scores import segmentation_tally
from bench.measurements.protocol import with_estimate
from bench.results.schema import ResultRecord
from bench.statistics import Estimate, group_bootstrap, group_jackknife, paired_difference
from bench.types import BringsInterval, BringsTrainedInterval, FeatureMetric, Features, Strings, Tally
from benchmarks.study import seeded
from benchmarks.validity_data import Population, Sides, Sizes, Tails, kernel_distance, sizes_of
from leaderboards.comparison.pairs import paired
from metrics.frechet.frechet_distance import FrechetDistance
from metrics.frechet.frechet_infinity import FrechetInfinity
from metrics.frechet.frechet_subspace import FrechetPca16
from metrics.mmd.kid import KernelDistance

Measure = Literal[
    "fd",
    "fd-inf",
    "fd-pca16",
    "kid",
    "iou:common",
    "iou-patch:rare",
    "paired iou:common",
    "compare fd",
    "compare iou",
    "gate fd",
]
Unit = Literal["slides", "laboratories"]
ALPHA = 0.05
"""Of the gate, one-sided."""
TRIALS = 1000
RESAMPLES = 1000
QUALITY, BEND = 0.7, 0.03
"""Mean IoU of a patch, and by how much it rises with the logarithm of a region's area."""
AREA = 0.5
"""Standard deviation of the logarithm of a region's area."""


@dataclass(frozen=True)
class Setting:
    """What is measured, on which slides."""

    measure: Measure
    sizes: Sizes
    effective: int
    tails: Tails
    sides: Sides
    laboratories: int
    """Of the slides; 0 for none."""
    unit: Unit
    """What intervals take for the sampling unit."""
    trials: int

    @property
    def population(self) -> Population:
        d = 16 if self.measure == "fd-pca16" else 8
        return Population(sizes_of(self.sizes, self.effective), self.tails, self.sides, d, laboratories=self.laboratories)

    @property
    def score(self) -> str:
        """The measure of a tally."""
        return "iou-patch:rare" if "rare" in self.measure else "iou:common"

    @property
    def groups(self) -> tuple[Strings, Strings]:
        population = self.population
        return (population.laboratory_names(),) * 2 if self.unit == "laboratories" else population.groups


@dataclass(frozen=True)
class Finding:
    """What came out of one setting."""

    truth: float
    value: float | None
    """Mean over trials; None where none was calculated."""
    spread: float | None
    """Standard deviation over trials."""
    given: int
    """Trials that ended with an interval, or with a verdict."""
    held: int
    """Of those, the ones whose interval holds the truth, or that see no difference where there is none."""
    refused: dict[str, int]
    """First words of the reason -> trials without an interval."""


def settings() -> Iterator[Setting]:
    """Everything the page shows."""
    measures: tuple[Measure, ...] = Measure.__args__  # type: ignore[attr-defined]
    for measure in measures:
        for sizes in ("equal", "Zipf", "few large", "one huge"):
            for effective in (10, 20, 40):
                yield Setting(measure, sizes, effective, "Student", "the same slides", 0, "slides", TRIALS)  # type: ignore[arg-type]
        yield Setting(measure, "equal", 20, "normal", "the same slides", 0, "slides", TRIALS)
    for measure in ("fd", "fd-inf", "fd-pca16", "kid"):
        yield Setting(measure, "equal", 20, "Student", "other slides", 0, "slides", TRIALS)  # type: ignore[arg-type]
        yield Setting(measure, "few large", 20, "Student", "other slides", 0, "slides", TRIALS)  # type: ignore[arg-type]
    for measure in ("fd", "fd-inf", "kid", "iou:common"):
        for laboratories, unit in ((4, "slides"), (20, "slides"), (20, "laboratories")):
            yield Setting(measure, "equal", 40, "Student", "the same slides", laboratories, unit, TRIALS)  # type: ignore[arg-type]


def simulate(setting: Setting) -> Finding:
    """All trials of a setting."""
    rng = seeded(setting)
    kind = setting.measure
    if kind.startswith(("compare", "gate")):
        return _verdicts([_verdict(setting, rng) for _ in range(setting.trials)])
    if "iou" in kind:
        found = [_score(setting, rng) for _ in range(setting.trials)]
    else:
        found = [_distance(setting, rng) for _ in range(setting.trials)]
    return _finding(found, truth(setting, found))


def truth(setting: Setting, found: list[Estimate]) -> float:
    """What the interval is to hold. Of `fd` the mean over the trials: it is of the average at this n."""
    population, kind = setting.population, setting.measure
    if kind == "fd":
        return float(np.mean([one.value for one in found if one.value == one.value]))
    if kind == "kid":
        return kernel_distance(population.d, population.power, population.tails, population.icc)
    if "iou" in kind:
        # regions weigh by their area in the pooled measure
        return 0.0 if kind.startswith("paired") else QUALITY + BEND * AREA**2 * (kind == "iou:common")
    return population.distance


def _finding(found: list[Estimate], true: float) -> Finding:
    values = np.array([one.value for one in found if one.value == one.value])
    bounds = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
    refused = Counter(_words(one.reason) for one in found if one.low is None)
    return Finding(
        truth=true,
        value=float(values.mean()) if len(values) else None,
        spread=float(values.std(ddof=1)) if len(values) > 1 else None,
        given=len(bounds),
        held=sum(low <= true <= high for low, high in bounds),
        refused=dict(sorted(refused.items())),
    )


def _words(reason: str) -> str:
    """A reason without its numbers."""
    for sign, words in (
        ("an interval needs", "too few slides"),
        ("number of slides is off", "the extrapolation is not trusted"),
        ("of resamples", "too few slides show the class"),
    ):
        if sign in reason:
            return words
    return reason


def _distance(setting: Setting, rng: np.random.Generator) -> Estimate:
    population = setting.population
    real, (fake,) = population.draw(rng)
    return estimate(setting.measure, real, fake, setting.groups, population, rng)


def estimate(
    kind: str,
    real: Features,
    fake: Features,
    groups: tuple[Strings, Strings],
    population: Population,
    rng: np.random.Generator,
) -> Estimate:
    """What a run makes of two sides."""
    metric: object = METRICS[kind]()
    found: Estimate
    if isinstance(metric, BringsInterval):
        found = metric.estimate(real, fake, *groups, rng)
    elif isinstance(metric, BringsTrainedInterval):
        train = replace(population, sizes=(1,) * 200).draw(rng)[0]
        found = metric.estimate_trained(real, fake, train, *groups, rng)
    else:
        assert isinstance(metric, FeatureMetric)
        compare = metric.compare
        found = group_jackknife(lambda a, b: compare(real[a], fake[b], np.random.default_rng(0)), *groups)
    return found


METRICS: dict[str, Callable[[], object]] = {
    "fd": FrechetDistance,
    "fd-inf": FrechetInfinity,
    "fd-pca16": FrechetPca16,
    "kid": KernelDistance,
}


def _score(setting: Setting, rng: np.random.Generator) -> Estimate:
    """An IoU, or the difference of two models' with equal means."""
    groups = setting.groups[0]
    paired_models = setting.measure.startswith("paired")
    tallies = tallied(setting, rng, 2 if paired_models else 1)
    if paired_models:
        return paired_difference(tallies[0], tallies[1], groups, 0, RESAMPLES)[setting.score]
    return group_bootstrap(tallies[0], groups, 0, RESAMPLES)[setting.score]


def tallied(setting: Setting, rng: np.random.Generator, models: int) -> list[Tally]:
    """Tallies of some models on the same patches. All slides show the class common, three in ten the class rare, on half of
    their patches. A model has a quality of its own on each slide."""
    population = replace(setting.population, d=1)
    slide, n = population.slide, len(population.slide)
    hard = population.effects(rng)[:, 0]
    carries = (rng.random(len(population.sizes)) < 0.3)[slide] & (rng.random(n) < 0.5)
    logs = AREA * rng.normal(size=(2, n))
    shown = np.stack([np.ones(n), carries.astype(np.float64)])
    unions = shown * 500 * np.exp(logs)
    made = []
    for _ in range(models):
        own = population.effects(rng)[:, 0]
        noise = 0.05 * rng.normal(size=(2, n))
        quality = np.clip(QUALITY + (0.05 * hard + 0.03 * own)[slide] + BEND * logs + noise, 0, 1)
        columns = [column for c in range(2) for column in (unions[c] * quality[c], unions[c], shown[c], shown[c] * quality[c])]
        made.append(segmentation_tally(np.stack(columns, axis=1), ("common", "rare")))
    # a measure takes a thousand resamples: only the one that the setting asks for
    return [replace(tally, measures={setting.score: tally.measures[setting.score]}) for tally in made]


def _verdict(setting: Setting, rng: np.random.Generator) -> bool | str:
    """Whether two generators, or two models, of one law were told apart; in words why they cannot be compared."""
    lower = setting.measure.endswith("fd")
    if lower:
        population = setting.population
        real, fakes = population.draw(rng, generators=2)
        found = [estimate("fd", real, fake, setting.groups, population, rng) for fake in fakes]
    else:
        found = [group_bootstrap(t, setting.groups[0], 0, 2)[setting.score] for t in tallied(setting, rng, 2)]
    first, second = ([_record(setting, one, "lower" if lower else "higher")] for one in found)
    worsening = paired(first, second)
    if isinstance(worsening, str):
        return worsening
    if setting.measure.startswith("gate"):
        return worsening.above(0.0) < ALPHA
    low, high = worsening.interval
    return not low <= 0 <= high


def _record(setting: Setting, found: Estimate, direction: str) -> ResultRecord:
    blank = ResultRecord("g", "simulated", "none", "validity", setting.measure, direction, "p")
    groups = setting.groups[0]
    return with_estimate(
        replace(blank, n=len(groups), n_real=len(groups), groups=len(set(groups.tolist()))), found, (None, None)
    )


def _verdicts(found: list[bool | str]) -> Finding:
    given = [one for one in found if not isinstance(one, str)]
    refused = Counter(one for one in found if isinstance(one, str))
    return Finding(0.0, None, None, len(given), sum(not alarm for alarm in given), dict(sorted(refused.items())))
