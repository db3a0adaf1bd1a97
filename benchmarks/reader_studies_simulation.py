"""Simulated blinded reader studies: how often do the intervals of `bench study analyse` hold the truth?

A probit model with readers, slides and images as random effects. What a reader sees in an image is the sum of deviations of
its slide (half shared by real and generated images of the slide), of the image, of reader and slide, and of the moment; their
variances sum to 1. A reader has a sensitivity and a criterion. So the share of right answers of a reader over all slides and
images is a normal probability, and every truth is known in closed form or by quadrature over readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from benchmarks.reader_studies_agreement import true_agreement
from benchmarks.study import seeded
from leaderboards.studies.analysis.agreement import MISSING, NOMINAL, Agreement, agreement_between
from leaderboards.studies.analysis.intervals import LEVEL, Measure, ReaderEstimate, estimate
from leaderboards.studies.analysis.measures import accuracy, d_prime, mean_difference, mean_score, superiority
from leaderboards.studies.analysis.ordinal import odds_ratio

Floats = NDArray[np.float64]
TRIALS, ODDS_TRIALS = 1000, 200
"""Of each setting, and where a model is fitted several times in each trial."""
CRITERION = 0.3
"""Standard deviation of the readers' criteria."""
OF_SLIDES, OF_IMAGES, OF_READER_AND_SLIDE = 0.3, 0.3, 0.1
"""Shares of the variance of what is seen; the rest is of the moment."""
SHARED = 0.5
"""Correlation of a slide's deviations in real and generated images."""
CUTS = np.array([-1.5, -0.5, 0.5, 1.5])
"""Between the scores 1 to 5."""
RATE = 0.1
"""Of hallucinations in generated images, in the mean of readers."""
SCORES = np.arange(1.0, 6.0)
FEW, TIMES = 10, 5
"""Where slides are unequal, each tenth one has five times as many images."""


@dataclass(frozen=True)
class Setting:
    """A study and its readers."""

    readers: int
    slides: int
    per_slide: int
    """Real images of each slide, and as many generated ones."""
    ability: float
    """Mean of d' over readers; 0 if nobody can tell generated images from real ones."""
    spread: float
    """Standard deviation of d' between readers."""
    trials: int
    numbers: Literal["all", "odds ratio", "agreement"] = "all"
    """All but the odds ratio of scores and agreement, or one of these alone. The truth of an odds ratio is known where both
    arms are alike."""
    sizes: Literal["equal", "few large"] = "equal"
    """Whether all slides have as many images, or each tenth one five times as many."""

    @property
    def images(self) -> NDArray[np.int64]:
        """(slides,): real images of each slide."""
        large = (np.arange(self.slides) % FEW == 0) & (self.sizes == "few large")
        return self.per_slide * np.where(large, TIMES, 1)


@dataclass(frozen=True)
class Quantity:
    """What came out for one number."""

    truth: float
    value: float
    """Mean over trials."""
    half_width: float | None
    """Median of the intervals for other readers and other slides."""
    held: int | None
    """Of those, the ones that hold the truth; None with one reader, who has no such interval."""
    half_width_these: float
    held_these: int
    """Intervals for these readers and other slides that hold the truth of these readers."""


@dataclass(frozen=True)
class Finding:
    """Number -> what came out, as objects of the fields of `Quantity`."""

    found: dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Kind:
    """A number that a study estimates."""

    measure: Measure
    of: str
    """Answers that it is estimated from."""
    truth: Callable[[Floats, Floats], Floats]
    """Of readers with these sensitivities and criteria."""
    least: float = -np.inf
    most: float = np.inf


def _right(d: Floats, c: Floats) -> Floats:
    return np.asarray((ndtr(d / 2 - c) + ndtr(d / 2 + c)) / 2)


def _scores(d: Floats, c: Floats) -> tuple[Floats, Floats]:
    """(readers, 5): probabilities of the scores of real and of generated images."""
    reached = [ndtr(sign * d[:, None] / 2 - c[:, None] - CUTS) for sign in (-1, 1)]
    ends = np.ones((len(d), 1)), np.zeros((len(d), 1))
    real, generated = (-np.diff(np.hstack([ends[0], one, ends[1]])) for one in reached)
    return real, generated


def _score_gap(d: Floats, c: Floats) -> Floats:
    real, generated = _scores(d, c)
    return np.asarray((generated - real) @ SCORES)


def _area(d: Floats, c: Floats) -> Floats:
    return superiority(np.stack(_scores(d, c), axis=1))


def _rate(d: Floats, c: Floats) -> Floats:
    return np.asarray(ndtr(ndtri(RATE) * np.sqrt(1 + CRITERION**2) - c))


KINDS = {
    "accuracy": Kind(accuracy, "called", _right, 0.0, 1.0),
    "d'": Kind(d_prime, "called", lambda d, c: d),
    "AUC": Kind(superiority, "scored", _area, 0.0, 1.0),
    "score difference": Kind(partial(mean_difference, scores=SCORES), "scored", _score_gap),
    "rate of 10 %": Kind(partial(mean_score, scores=np.array([0.0, 1.0])), "flagged", _rate, 0.0, 1.0),
}


def settings() -> Iterator[Setting]:
    """Studies of common sizes, then those of the papers; each once."""
    yield from dict.fromkeys(_settings())


def _settings() -> Iterator[Setting]:
    for readers in (2, 3, 5, 10):
        for slides, per_slide in ((10, 2), (20, 1), (40, 1), (20, 4)):
            for ability, spread in ((0.0, 0.0), (1.0, 0.4), (1.0, 0.8)):
                yield Setting(readers, slides, per_slide, ability, spread, TRIALS)
    for readers, slides, per_slide in PAPERS.values():
        for ability, spread in ((0.0, 0.0), (0.0, 0.4), (1.0, 0.4)):
            yield Setting(readers, slides, per_slide, ability, spread, TRIALS)
    for readers in (2, 3):
        for spread in (0.0, 0.4):
            yield Setting(readers, 20, 1, 0.0, spread, ODDS_TRIALS, "odds ratio")
    for readers in (2, 3, 5):
        for slides, per_slide in ((15, 2), (20, 1), (40, 1), (40, 2)):
            yield Setting(readers, slides, per_slide, 1.0, 0.4, TRIALS, sizes="few large")
    for readers in (2, 3, 5):
        for slides, per_slide in ((10, 2), (20, 1), (40, 1), (20, 4)):
            yield Setting(readers, slides, per_slide, 1.0, 0.4, TRIALS, "agreement")
        for slides in (20, 40):
            yield Setting(readers, slides, 1, 1.0, 0.4, TRIALS, "agreement", "few large")


PAPERS = {
    "HeteroTissue-Diffuse, each data set": (1, 20, 1),
    "HeteroTissue-Diffuse, all three together": (1, 60, 1),
    "NASDM++, one kind of synthetic patches": (2, 20, 1),
}
"""Study -> readers, slides, images of each slide and arm. The papers do not state slides: one image of each slide is the best
case."""


ANSWERS = {"called": 2, "scored": 5, "flagged": 2}
"""Kind of answers -> how many there are."""


def draw(setting: Setting, rng: np.random.Generator) -> tuple[Floats, Floats, dict[str, NDArray[np.int64]]]:
    """Sensitivities and criteria of the readers, and codes (readers, slides, arms, images) of each kind of answers, `MISSING`
    beyond the images of a slide. Real images come first; `flagged` are generated ones alone."""
    readers, slides, images = setting.readers, setting.slides, int(setting.images.max())
    d = setting.ability + setting.spread * rng.normal(size=readers)
    c = CRITERION * rng.normal(size=readers)
    slide = rng.normal(size=(slides, 2))
    slide[:, 1] = SHARED * slide[:, 0] + np.sqrt(1 - SHARED**2) * slide[:, 1]
    rest = 1 - OF_SLIDES - OF_IMAGES - OF_READER_AND_SLIDE
    shape = (readers, slides, 2, images)
    seen = np.sqrt(OF_SLIDES) * slide[None, :, :, None] + np.sqrt(OF_IMAGES) * rng.normal(size=shape[1:])
    seen = (
        seen + np.sqrt(OF_READER_AND_SLIDE) * rng.normal(size=(readers, slides, 1, 1)) + np.sqrt(rest) * rng.normal(size=shape)
    )
    side = np.array([-0.5, 0.5])[:, None]
    evidence = seen + d[:, None, None, None] * side - c[:, None, None, None]
    cut = ndtri(RATE) * np.sqrt(1 + CRITERION**2)
    flagged = seen[:, :, 1:] - c[:, None, None, None] + cut > 0
    beyond = np.arange(images) >= setting.images[:, None, None]
    answers = {"called": evidence > 0, "scored": (evidence[..., None] > CUTS).sum(axis=-1), "flagged": flagged}
    return d, c, {name: np.where(beyond, MISSING, given) for name, given in answers.items()}


def count(codes: NDArray[np.int64], kinds: int) -> Floats:
    """(readers, slides, arms, answers): how often each reader gave each answer."""
    return np.stack([(codes == kind).sum(axis=-1) for kind in range(kinds)], axis=-1).astype(np.float64)


def truths(setting: Setting) -> dict[str, float]:
    """Number -> its mean over all readers, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    d, c = (one.ravel() for one in np.meshgrid(setting.ability + setting.spread * nodes, CRITERION * nodes))
    both = np.outer(weights, weights).ravel()
    return {name: float(both @ kind.truth(d, c)) for name, kind in KINDS.items()}


def simulate(setting: Setting) -> Finding:
    """All trials of a setting."""
    rng = seeded(setting)
    if setting.numbers == "odds ratio":
        return Finding({"odds ratio": _simulate_odds(setting, rng)})
    if setting.numbers == "agreement":
        return Finding(_simulate_agreement(setting, rng))
    readers = tuple(map(str, range(setting.readers)))
    made: dict[str, list[tuple[ReaderEstimate, float]]] = {name: [] for name in KINDS}
    for _ in range(setting.trials):
        d, c, answers = draw(setting, rng)
        for name, kind in KINDS.items():
            counts = count(answers[kind.of], ANSWERS[kind.of])
            sizes = counts[0].sum(axis=(1, 2))
            found = estimate(counts, sizes, readers, kind.measure, least=kind.least, most=kind.most)
            made[name].append((found, float(kind.truth(d, c).mean())))
    return Finding({name: vars(_summary(made[name], truth)) for name, truth in truths(setting).items()})


def _simulate_odds(setting: Setting, rng: np.random.Generator) -> dict[str, float | None]:
    """The ratio is 1 where both arms are alike: the spread of readers is symmetric."""
    made = [
        odds_ratio(count(draw(setting, rng)[2]["scored"], ANSWERS["scored"]), 2.0 * setting.images)  # type: ignore[arg-type]
        for _ in range(setting.trials)
    ]
    bounds = [one.bounds for one in made if one.bounds is not None]
    return {
        "truth": 1.0,
        "value": float(np.exp(np.mean([np.log(one.value) for one in made if np.isfinite(one.value)]))),
        "given": len(bounds),
        "held": sum(b.low <= 1 <= b.high for b in bounds),
    }


def _simulate_agreement(setting: Setting, rng: np.random.Generator) -> dict[str, dict[str, float | None]]:
    """Of these readers: coefficients without an order from what was called generated, others from scores."""
    made: dict[str, list[tuple[Agreement, float]]] = {}
    slides = np.repeat(np.arange(setting.slides).astype(str), 2 * int(setting.images.max()))
    for _ in range(setting.trials):
        d, c, answers = draw(setting, rng)
        for kind, cuts in (("called", np.zeros(1)), ("scored", CUTS)):
            ratings = answers[kind].reshape(setting.readers, -1).T
            there = ratings[:, 0] != MISSING
            truth = true_agreement(d, c, cuts, OF_SLIDES + OF_IMAGES)
            for found in agreement_between(ratings[there], slides[there], ANSWERS[kind], kind == "scored", LEVEL):
                if (found.name in NOMINAL) == (kind == "called"):
                    made.setdefault(found.name, []).append((found, truth[found.name]))
    return {name: _agreement_summary(found) for name, found in made.items()}


def _agreement_summary(made: list[tuple[Agreement, float]]) -> dict[str, float | None]:
    given = [(one.low, one.high, truth) for one, truth in made if one.low is not None and one.high is not None]
    return {
        "truth": float(np.mean([truth for _, truth in made])),
        "value": float(np.mean([one.value for one, _ in made if np.isfinite(one.value)])),
        "given": len(given),
        "held": sum(low <= truth <= high for low, high, truth in given),
        "half_width": float(np.median([(high - low) / 2 for low, high, _ in given])),
    }


def _summary(made: list[tuple[ReaderEstimate, float]], truth: float) -> Quantity:
    alls = [found.bounds for found, _ in made if found.bounds is not None]
    these = [(found.these, own) for found, own in made if found.these is not None]
    return Quantity(
        truth=truth,
        value=float(np.mean([found.value for found, _ in made])),
        half_width=float(np.median([(b.high - b.low) / 2 for b in alls])) if alls else None,
        held=sum(b.low <= truth <= b.high for b in alls) if alls else None,
        half_width_these=float(np.median([(b.high - b.low) / 2 for b, _ in these])),
        held_these=sum(b.low <= own <= b.high for b, own in these),
    )
