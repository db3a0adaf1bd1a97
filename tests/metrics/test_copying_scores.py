"""`authpct` and `ct`: by hand on few points, against what is known of copies, and their known failures."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import UsageError
from bench.registry import load
from bench.types import FeatureMetric, Features, TrainedMetric
from metrics.copying.authenticity import AuthenticShare
from metrics.copying.data_copying import DataCopying, z_score

D = 8
RNG = np.random.default_rng(0)


def cloud(seed: int, n: int = 300) -> Features:
    return np.random.default_rng(seed).normal(size=(n, D)).astype(np.float32)


TRAIN, TEST, NEW = cloud(0), cloud(1), cloud(2)
COPIES = TRAIN + np.float32(1e-3) * cloud(3)


def score(name: str, fake: Features, real: Features = TEST, train: Features = TRAIN) -> float:
    return float(load("metrics", name).compare_trained(real, fake, train, RNG))


@pytest.mark.parametrize("name", ["authpct", "ct"])
def test_they_ask_for_training_patches(name: str) -> None:
    metric = load("metrics", name)
    assert isinstance(metric, TrainedMetric) and not isinstance(metric, FeatureMetric) and metric.direction == "higher"


def test_authentic_by_hand() -> None:
    """On a line: the nearest training patch of 0.4 is 0, whose own nearest is 1 away; that of 12 is 10, 9 away from its own;
    that of 1.5 is 1; that of -2 is 0, and 1 < 2."""
    train = np.array([[0.0], [1.0], [10.0]], np.float32)
    fake = np.array([[0.4], [12.0], [1.5], [-2.0]], np.float32)
    assert score("authpct", fake, train, train) == 25


def test_copies_are_not_authentic_and_new_patches_are_about_half() -> None:
    assert score("authpct", COPIES) == 0
    assert 35 < score("authpct", NEW) < 65
    assert score("authpct", 3 * NEW) > 90, "what is far from everything passes, as the card says"


def test_the_z_score_by_hand() -> None:
    """Of 2 x 3 pairs the generated patch is farther in 1, and in 1 more they are equal."""
    z = z_score(np.array([1.0, 3.0]), np.array([2.0, 3.0, 4.0]))
    assert z == pytest.approx((1.5 - (3 - 0.5)) / np.sqrt(6 * 6 / 12))


def test_copies_are_far_below_zero_and_new_patches_near_it() -> None:
    found = [score("ct", cloud(seed), cloud(seed + 50)) for seed in range(2, 12)]
    assert abs(np.mean(found)) < 1 and max(map(abs, found)) < 4
    assert score("ct", COPIES) < -8 and score("ct", 2 * NEW) > 5


def test_few_copies_do_not_show_as_the_cards_say() -> None:
    some = np.concatenate([COPIES[:3], NEW[3:]])
    assert abs(score("ct", some) - score("ct", NEW)) < 0.5
    assert abs(score("authpct", some) - score("authpct", NEW)) < 1.5


def test_many_features_are_reduced_and_order_does_not_matter() -> None:
    wide = [np.random.default_rng(seed).normal(size=(120, 100)).astype(np.float32) for seed in range(3)]
    found = DataCopying().compare_trained(wide[0], wide[1], wide[2], RNG)
    assert abs(found) < 4
    assert DataCopying().compare_trained(wide[0][::-1], wide[1][::-1], wide[2], RNG) == pytest.approx(found)


@pytest.mark.parametrize("name", ["authpct", "ct"])
def test_intervals_come_from_slides(name: str) -> None:
    slides = np.array([f"s{i % 30}" for i in range(300)])
    metric = load("metrics", name)
    found = metric.estimate_trained(TEST, NEW, TRAIN, slides, slides, RNG)
    assert found.value == score(name, NEW) and found.low < found.value < found.high
    few = metric.estimate_trained(TEST, NEW, TRAIN, np.full(300, "a"), np.full(300, "a"), RNG)
    assert few.low is None and "underpowered" in few.reason


def test_cells_without_enough_generated_patches_give_no_value() -> None:
    assert np.isnan(score("ct", NEW[:20], TEST[:40]))
    slides = np.array([f"s{i}" for i in range(40)])
    found = DataCopying().estimate_trained(TEST[:40], NEW[:20], TRAIN, slides, slides[:20], RNG)
    assert np.isnan(found.value) and found.reason.startswith("underpowered: a cell counts with more than 20 generated")


def test_refusals() -> None:
    with pytest.raises(UsageError, match="authpct .* needs at least 2"):
        AuthenticShare().compare_trained(TEST, NEW, TRAIN[:1], RNG)
    with pytest.raises(UsageError, match="ct .* needs at least 20"):
        DataCopying().compare_trained(TEST[:5], NEW, TRAIN, RNG)
