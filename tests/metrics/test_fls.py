from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import MissingError, UsageError
from bench.types import FeatureMetric, TrainedMetric
from metrics.fls import FeatureLikelihood, Fitted, fitted_widths, log_likelihoods, standardise

Table = NDArray[np.float64]
D = 8


def cloud(seed: int, n: int = 200, shift: float = 0.0, spread: float = 1.0) -> Table:
    return spread * np.random.default_rng(seed).normal(size=(n, D)) + shift


REAL, TRAIN = cloud(0), cloud(1, n=400)


def score(fake: Table, real: Table = REAL, train: Table = TRAIN, seed: int = 0, most: int = 5000) -> float:
    return FeatureLikelihood(most).compare_trained(real, fake, train, np.random.default_rng(seed))  # type: ignore[arg-type]


def test_it_is_registered_asks_for_training_patches_and_higher_is_better() -> None:
    metric = registry.load("metrics", "fls")
    assert isinstance(metric, TrainedMetric) and not isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.minimum_n(64)) == ("fls", "higher", 4)


def test_new_patches_of_the_same_distribution_score_a_hundred() -> None:
    assert np.mean([score(cloud(s), cloud(s + 50), cloud(s + 90, n=400)) for s in range(4)]) == pytest.approx(100, abs=5)


@pytest.mark.parametrize(("n", "trained"), [(60, 400), (200, 400), (200, 120), (500, 300)])
def test_new_patches_score_a_hundred_whatever_the_numbers_of_patches(n: int, trained: int) -> None:
    """30 trials each. With mixtures of unequal size, as before, few generated patches scored below 100 and many above."""
    found = np.array([score(cloud(3 * s, n=n), cloud(3 * s + 1), cloud(3 * s + 2, n=trained)) for s in range(30)])
    assert abs(np.log(found / 100).mean()) < 3 * np.log(found).std(ddof=1) / np.sqrt(len(found))


def test_the_loss_of_one_gaussian_by_closed_form() -> None:
    squares, widths = np.array([[2.0], [8.0]]), np.array([np.log(2.0)])
    assert -log_likelihoods(squares, widths, 3).mean() == pytest.approx(5 / 4 + 1.5 * np.log(2), rel=1e-12)


def test_the_width_of_one_gaussian_is_the_mean_square_per_feature() -> None:
    squares = np.array([[3.0], [5.0], [10.0]])
    assert np.exp(fitted_widths(squares, 4)) == pytest.approx(6 / 4, rel=3e-3)


def test_worse_patches_score_less() -> None:
    found = [score(cloud(2, shift=shift)) for shift in (0.0, 0.5, 1.5)]
    assert found == sorted(found, reverse=True)
    assert score(cloud(2, spread=2.0)) < found[0] - 10


def test_a_collapse_to_the_middle_of_one_cloud_fools_it_as_its_card_says() -> None:
    assert score(cloud(2, spread=0.2)) > score(cloud(2))


def test_copies_of_training_patches_are_found_out() -> None:
    copied = TRAIN[:200]
    assert score(copied) < score(cloud(2)) - 10
    assert score(copied + 1e-9 * cloud(3)) < score(cloud(2)) - 10
    half = np.concatenate([copied[:100], cloud(2, n=100)])
    assert score(copied) < score(half) < score(cloud(2))


def test_units_and_columns_that_never_vary_do_not_matter() -> None:
    fake, units = cloud(2), np.arange(1.0, D + 1)
    assert score(fake * units, REAL * units, TRAIN * units) == pytest.approx(score(fake), rel=1e-9)
    flat = [np.hstack([side, np.full((len(side), 2), 7.0)]) for side in (fake, REAL, TRAIN)]
    assert score(*flat) == pytest.approx(score(fake), rel=1e-9)


def test_everything_together_has_mean_nothing_and_variance_one() -> None:
    together = np.concatenate(standardise([cloud(0), cloud(1, shift=3.0)]))
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(together.std(axis=0, ddof=1), 1, rtol=1e-12)


def test_the_order_of_generated_and_of_test_patches_does_not_matter() -> None:
    sides = TRAIN[:200], TRAIN[200:], REAL, cloud(2)
    expected = Fitted.of(*sides).score()
    assert Fitted.of(*(side[::-1] for side in sides)).score() == pytest.approx(expected, rel=1e-6)


def test_the_baseline_is_drawn_by_seed() -> None:
    fake = cloud(2)
    assert score(fake) == score(fake) != score(fake, seed=1)


def test_more_patches_than_wanted_are_drawn_from() -> None:
    fake = cloud(2)
    assert score(fake, most=50) != score(fake)
    assert score(fake, most=200) == score(fake)
    with pytest.raises(UsageError, match="at least 2, not 1"):
        registry.load("metrics", "fls", most="1")


def test_training_patches_are_looked_at_too() -> None:
    broken = TRAIN.copy()
    broken[0, 0] = np.nan
    with pytest.raises(MissingError, match="training patches as real.*1 of 400 real"):
        score(cloud(2), train=broken)
    with pytest.raises(UsageError, match="training patches as real"):
        score(cloud(2), train=TRAIN[:3])


def test_its_interval_goes_by_slide_and_holds_the_fitted_widths() -> None:
    fake, slides = cloud(2), np.repeat(np.char.add("s", np.arange(10, 30).astype(str)), 10)
    found = FeatureLikelihood().estimate_trained(REAL, fake, TRAIN, slides, slides, np.random.default_rng(0))  # type: ignore[arg-type]
    assert found.value == score(fake)
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    shifted = cloud(2) + np.repeat(np.random.default_rng(1).normal(size=(20, D)), 10, axis=0)
    other = FeatureLikelihood().estimate_trained(REAL, shifted, TRAIN, slides, slides, np.random.default_rng(0))  # type: ignore[arg-type]
    assert other.low is not None and other.high is not None and other.high - other.low > found.high - found.low


def test_an_interval_from_a_part_of_the_patches_keeps_their_slides() -> None:
    slides = np.repeat(np.char.add("s", np.arange(10, 30).astype(str)), 10)
    found = FeatureLikelihood(150).estimate_trained(REAL, cloud(2), TRAIN, slides, slides, np.random.default_rng(0))  # type: ignore[arg-type]
    assert found.low is not None and found.value == score(cloud(2), most=150)
