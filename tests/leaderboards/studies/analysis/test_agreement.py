"""Agreement: published worked examples, limits, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import cohen_kappa_score

from leaderboards.studies.analysis.agreement import MISSING, Agreement, Codes, agreement_between


def codes(*readers: str) -> Codes:
    """(images, readers) of one line for each reader, * for an image without an answer."""
    return np.array([[MISSING if word == "*" else int(word) - 1 for word in line.split()] for line in readers]).T


THREE = codes(
    "* * * * * 3 4 1 2 1 1 3 3 * 3",
    "1 * 2 1 3 3 4 3 * * * * * * *",
    "* * 2 1 3 4 4 * 2 1 1 3 3 * 4",
)
"""Three readers, 15 images, with missing answers: the example of the encyclopaedia's article on Krippendorff's alpha."""
FOUR = codes(
    "1 2 3 3 2 1 4 1 2 * * *",
    "1 2 3 3 2 2 4 1 2 5 * 3",
    "* 3 3 3 2 3 4 2 2 5 1 *",
    "1 2 3 3 2 4 4 1 2 5 1 *",
)
"""Four readers, 12 images: Krippendorff 2011, example C; Gwet's AC1 of it is that of the R package irrCAC."""


def measured(ratings: Codes, answers: int, ordinal: bool = True, level: float = 0.95) -> dict[str, Agreement]:
    slides = np.array([f"s{row}" for row in range(len(ratings))])
    return {found.name: found for found in agreement_between(ratings, slides, answers, ordinal, level)}


@pytest.mark.parametrize(
    ("ratings", "answers", "name", "published"),
    [
        (THREE, 4, "alpha nominal", 0.691),
        (THREE, 4, "alpha ordinal", 0.807),
        (FOUR, 5, "alpha nominal", 0.743),
        (FOUR, 5, "alpha ordinal", 0.815),
        (FOUR, 5, "AC1", 0.775),
    ],
)
def test_published_examples(ratings: Codes, answers: int, name: str, published: float) -> None:
    assert measured(ratings, answers)[name].value == pytest.approx(published, abs=0.0006)


def test_weighted_kappa_is_that_of_scikit_learn_and_the_mean_of_pairs() -> None:
    ratings = np.random.default_rng(0).integers(0, 5, (40, 3))
    ratings[:, 1] = np.clip(ratings[:, 0] + np.random.default_rng(1).integers(-1, 2, 40), 0, 4)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = [cohen_kappa_score(ratings[:, a], ratings[:, b], weights="quadratic", labels=range(5)) for a, b in pairs]
    assert measured(ratings[:, :2], 5)["kappa quadratic"].value == pytest.approx(expected[0])
    assert measured(ratings, 5)["kappa quadratic"].value == pytest.approx(np.mean(expected))


def test_full_agreement_is_one_and_chance_is_about_zero() -> None:
    first = np.random.default_rng(0).integers(0, 3, 400)
    same = measured(np.stack([first, first], axis=1), 3)
    assert all(found.value == pytest.approx(1) for found in same.values())
    share = same.pop("same answers")
    assert share.low == pytest.approx(0.025 ** (1 / 400)) and share.high == 1, "that of Clopper and Pearson"
    assert all(found.low is None and "the same without each slide" in found.reason for found in same.values())
    other = measured(np.stack([first, np.random.default_rng(1).integers(0, 3, 400)], axis=1), 3)
    for name, found in other.items():
        assert name == "same answers" or abs(found.value) < 0.15, name
        assert found.low is not None and found.high is not None and found.low < found.value < found.high


def test_the_interval_is_that_of_the_jackknife_over_slides_on_the_scale_of_fisher() -> None:
    found = measured(FOUR, 5)["alpha ordinal"]
    without = [measured(np.delete(FOUR, row, axis=0), 5)["alpha ordinal"].value for row in range(12)]
    error = np.sqrt(11 * np.var(without))
    reach = t.ppf(0.975, 11) * error / (1 - found.value**2)
    assert (found.low, found.high) == pytest.approx(
        (np.tanh(np.arctanh(found.value) - reach), np.tanh(np.arctanh(found.value) + reach))
    )
    narrow = measured(FOUR, 5, level=0.8)["alpha ordinal"]
    assert found.low is not None and narrow.low is not None and narrow.value == found.value and narrow.low > found.low


def test_a_slide_with_most_images_leaves_too_few_for_an_interval() -> None:
    ratings = np.random.default_rng(0).integers(0, 3, (40, 3))
    equal, unequal = (
        agreement_between(ratings, np.repeat(np.arange(10).astype(str), sizes), 3, False, 0.95)[0]
        for sizes in ([4] * 10, [22, *[2] * 9])
    )
    assert equal.low is not None and unequal.low is None and "an interval needs 5" in unequal.reason


def test_slides_and_not_images_are_resampled() -> None:
    ratings = np.repeat(FOUR, 4, axis=0)
    apart = np.array([f"s{row}" for row in range(len(ratings))])
    together = np.array([f"s{row // 4}" for row in range(len(ratings))])
    widths = []
    for slides in (apart, together):
        found = agreement_between(ratings, slides, 5, False, 0.95)[1]
        assert found.low is not None and found.high is not None
        widths.append(found.high - found.low)
    assert widths[1] > 1.5 * widths[0]


@pytest.mark.parametrize(
    ("ratings", "words"),
    [
        (FOUR[:, :1], "one reader: agreement between readers needs two"),
        (np.ones((8, 3), dtype=int), "all answers are the same"),
        (np.array([[0, MISSING], [MISSING, 1]] * 4), "no image was answered by two readers"),
    ],
)
def test_what_is_undefined_says_why(ratings: Codes, words: str) -> None:
    for found in measured(ratings, 5).values():
        assert words in found.reason and math.isnan(found.value) and found.low is None


def test_few_slides_have_a_value_without_an_interval() -> None:
    found = measured(FOUR[:4], 5)["AC1"]
    assert found.value > 0 and found.low is None and "an interval needs 5" in found.reason
