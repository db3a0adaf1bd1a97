"""What a study of a size can show, computed before it is made.

The variance of the mean score of an arm of n images, m of each slide, read by R readers, is

    s^2 [ (m slide + (reader - slide) + (1 - reader - interaction) / R) / n + interaction / R ]

with s the standard deviation of one reader's scores of the images of an arm, `slide` the correlation of scores of two
images of one slide, `reader` the correlation of two readers' scores of one image, and `interaction` the share of the
variance that is a reader's own preference for an arm. These are the variance components of crossed readers and images
nested in slides (Obuchowski and Rockette 1995, Commun. Stat. Simul. 24:285); the last term does not become smaller with
more images. Slides that two arms share would make a difference more certain; that is left out. s^2 over the variance is the
effective number of images of an arm.

Differences: t test of two means (statsmodels TTestIndPower) with the effective numbers. Rates: the same, with s = 0.5, the
largest of a yes/no answer. Balanced accuracy, mean of the accuracies for real and generated images, against 0.5: z test,
with s = 0.5. Equivalence: two one-sided tests at a true difference of 0, margin = SE (z(1 - alpha) + z(1 - (1 - power) /
2))."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from bench.errors import UsageError

MOST = 5000
"""Images of an arm; more are never proposed."""

LARGEST = {"rate difference": 1.0, "accuracy": 0.5, "accuracy equivalence": 0.5}
"""Effects beyond which there are none."""
BEYOND = 10.0
"""Standard deviations; larger differences of scores are not sought."""


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of readers. Take the values from a pilot study where there is one."""

    spread: float = 1.0
    """Standard deviation of scores of one reader within an arm."""
    slide: float = 0.1
    reader: float = 0.4
    interaction: float = 0.01
    alpha: float = 0.05
    power: float = 0.8

    def __post_init__(self) -> None:
        if not (self.spread > 0 and 0 < self.alpha < 0.5 and self.alpha < self.power < 1):
            raise UsageError("--assume: spread is positive, alpha between 0 and 0.5, power between alpha and 1.")
        if not (0 <= self.slide <= self.reader and 0 <= self.interaction and self.reader + self.interaction <= 1):
            raise UsageError("--assume: 0 <= slide <= reader, 0 <= interaction, and reader + interaction is at most 1.")

    @classmethod
    def of(cls, given: dict[str, str]) -> Assumptions:
        """The defaults with what was given. Raises UsageError on other names, and on values that are no shares."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise UsageError(f"--assume {unknown[0]}: what is assumed is {', '.join(known)}.")
        try:
            values = {name: float(text) for name, text in given.items()}
        except ValueError:
            raise UsageError(f"--assume takes numbers, not {', '.join(given.values())}.") from None
        return cls(**values)


@dataclass(frozen=True)
class Size:
    """Size of a study."""

    images: int
    """Scored images of an arm."""
    readers: int
    arms: int
    """With the real one."""
    slides: int
    """Slides that images can be of."""


def effective_images(images: int, readers: int, slides: int, assumed: Assumptions) -> float:
    """How many independent answers of one reader have the variance of the mean of an arm."""
    per_slide = images / min(images, slides)
    of_images = per_slide * assumed.slide + (assumed.reader - assumed.slide)
    of_images += (1 - assumed.reader - assumed.interaction) / readers
    return 1 / (of_images / images + assumed.interaction / readers)


def power_of_difference(difference: float, size: Size, assumed: Assumptions) -> float:
    """Probability that a difference in standard deviations between two arms is seen."""
    from statsmodels.stats.power import TTestIndPower

    effective = effective_images(size.images, size.readers, size.slides, assumed)
    if effective <= 1.5:
        return 0.0
    found = float(TTestIndPower().power(difference, effective, assumed.alpha, ratio=1.0))
    return 1.0 if math.isnan(found) else found  # the noncentral t of scipy has no value beyond about 37 standard errors


def power_of_equivalence(margin: float, size: Size, assumed: Assumptions) -> float:
    """Probability that two arms without a difference are found equivalent within a margin in standard deviations."""
    return _equivalence(margin, math.sqrt(2 / effective_images(size.images, size.readers, size.slides, assumed)), assumed)


def accuracy_error(size: Size, assumed: Assumptions) -> float:
    """Standard error of the balanced accuracy."""
    real = effective_images(size.images, size.readers, size.slides, assumed)
    generated = effective_images(size.images * (size.arms - 1), size.readers, size.slides, assumed)
    return 0.5 * math.sqrt((1 / real + 1 / generated) / 4)


def power_of_accuracy(distance: float, size: Size, assumed: Assumptions) -> float:
    """Probability that a balanced accuracy this far from 0.5 is found to differ from it."""
    from scipy.stats import norm

    shift, least = distance / accuracy_error(size, assumed), norm.ppf(1 - assumed.alpha / 2)
    return float(norm.sf(least - shift) + norm.cdf(-least - shift))


def _equivalence(margin: float, error: float, assumed: Assumptions) -> float:
    from scipy.stats import norm

    return float(max(0.0, 2 * norm.cdf(margin / error - norm.ppf(1 - assumed.alpha)) - 1))


def describe(size: Size, difference: float, accuracy: float, discriminates: bool, assumed: Assumptions) -> dict[str, Any]:
    """What the study can show: smallest effects at this size, and images of an arm needed by number of readers."""
    questions: dict[str, Callable[[float, Size], float]] = {
        "difference": lambda effect, one: power_of_difference(effect / assumed.spread, one, assumed),
        "equivalence": lambda effect, one: power_of_equivalence(effect / assumed.spread, one, assumed),
        "rate difference": lambda effect, one: power_of_difference(effect / 0.5, one, assumed),
    }
    wanted = {"difference": difference, "equivalence": difference}
    if discriminates:
        questions["accuracy"] = lambda effect, one: power_of_accuracy(effect, one, assumed)
        questions["accuracy equivalence"] = lambda effect, one: _equivalence(effect, accuracy_error(one, assumed), assumed)
        wanted |= {"accuracy": accuracy, "accuracy equivalence": accuracy}
    return {
        "assumptions": asdict(assumed),
        "size": asdict(size),
        "effective_images": round(effective_images(size.images, size.readers, size.slides, assumed), 2),
        "smallest": {
            name: _smallest(test, size, assumed, LARGEST.get(name, BEYOND * assumed.spread))
            for name, test in questions.items()
        },
        "wanted": wanted,
        "power": {name: round(questions[name](effect, size), 3) for name, effect in wanted.items()},
        "images_needed": {
            name: {str(readers): _needed(questions[name], effect, size, readers, assumed) for readers in _readers(size)}
            for name, effect in wanted.items()
        },
    }


def _readers(size: Size) -> list[int]:
    return sorted({1, 2, 3, 5, size.readers})


def _smallest(test: Callable[[float, Size], float], size: Size, assumed: Assumptions, largest: float) -> float | None:
    """The smallest effect that has the asked power; None if none up to the largest has."""
    from scipy.optimize import brentq

    def excess(effect: float) -> float:
        return test(effect, size) - assumed.power

    high = 1e-3
    while excess(high) < 0:  # from below: the distribution of t has no values far above
        high *= 2
        if high > 2 * largest:
            return None
    found = round(float(brentq(excess, high / 2, high)), 3)
    return found if found <= largest else None


def _needed(test: Callable[[float, Size], float], effect: float, size: Size, readers: int, assumed: Assumptions) -> int | None:
    """The smallest number of images of an arm; None if no number up to `MOST` is enough."""

    def is_enough(images: int) -> bool:
        return test(effect, Size(images, readers, size.arms, size.slides)) >= assumed.power

    return 2 + bisect.bisect_left(range(2, MOST), True, key=is_enough) if is_enough(MOST) else None


def lines(found: dict[str, Any]) -> list[str]:
    """The text that is printed before a study is made."""
    size, assumed = found["size"], found["assumptions"]
    held = ", ".join(f"{name} {value:g}" for name, value in assumed.items())
    text = [
        f"{size['arms']} arms of {size['images']} images of at most {size['slides']} slides, {size['readers']} readers: as "
        f"much as {found['effective_images']:g} independent answers an arm.",
        f"Assumed: {held} (--assume name=value).",
        f"With power {assumed['power']:g} it shows:",
    ]
    names = {
        "difference": "a difference of two arms in a score of",
        "equivalence": "equivalence of two arms in a score within +-",
        "rate difference": "a difference of two arms in the rate of a yes/no answer of",
        "accuracy": "a balanced accuracy in telling real from generated, away from 0.5, of",
        "accuracy equivalence": "that this accuracy is within 0.5 +-",
    }
    text += [
        f"  {names[name]} {'no size' if least is None else format(least, 'g')}" for name, least in found["smallest"].items()
    ]
    if not found.get("sources_known", True):
        text.append(
            "  but the data do not tell which images are of one slide or patient (sources-unknown): the analysis will have no "
            "intervals. Add a column patient, case, slide or source_image to index.csv."
        )
    text.append("Images of an arm needed, by number of readers:")
    for name, by_readers in found["images_needed"].items():
        cells = [f"{readers}: {f'over {MOST}' if count is None else count}" for readers, count in by_readers.items()]
        text.append(f"  {names[name]} {found['wanted'][name]:g} (power here {found['power'][name]:g})   {',  '.join(cells)}")
    return text
