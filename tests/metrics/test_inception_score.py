from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.types import FeatureMetric
from metrics.inception_score import InceptionScore

Table = NDArray[np.float64]


def score(logits: Table, splits: int = 1, seed: int = 0) -> float:
    real = np.zeros_like(logits)
    return InceptionScore(splits).compare(real, logits, np.random.default_rng(seed))  # type: ignore[arg-type]


def test_it_is_registered_reads_one_encoder_and_higher_is_better() -> None:
    metric = registry.load("metrics", "is")
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.encoder) == ("is", "higher", "inception-logits")


def test_sure_patches_of_equally_many_classes_score_the_number_of_classes() -> None:
    assert score(1000 * np.repeat(np.eye(7), 4, axis=0)) == pytest.approx(7, rel=1e-12)


def test_patches_of_one_opinion_score_one() -> None:
    assert score(np.tile(np.random.default_rng(0).normal(size=10), (20, 1))) == 1.0


def test_two_patches_by_closed_form() -> None:
    shares = np.array([[0.9, 0.1], [0.1, 0.9]])
    expected = np.exp(0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5))
    assert score(np.log(shares)) == pytest.approx(expected, rel=1e-12)


def test_surer_patches_score_more_and_what_every_logit_shares_does_not_matter() -> None:
    logits = np.random.default_rng(0).normal(size=(100, 10))
    assert score(logits) < score(3 * logits)
    assert score(logits + 1e4) == pytest.approx(score(logits), rel=1e-9)


def test_real_patches_and_the_order_do_not_matter() -> None:
    logits = np.random.default_rng(0).normal(size=(100, 10))
    assert score(logits) == pytest.approx(score(logits[::-1]), rel=1e-12)


def test_splits_lower_the_score_and_their_order_is_drawn_by_seed() -> None:
    logits = 3 * np.random.default_rng(0).normal(size=(100, 10))
    assert score(logits, splits=10) < score(logits)
    assert score(logits, splits=10) == score(logits, splits=10) != score(logits, splits=10, seed=1)
    assert InceptionScore(10).minimum_n(1008) == 20
    with pytest.raises(UsageError, match="at least 1, not 0"):
        InceptionScore(0)
