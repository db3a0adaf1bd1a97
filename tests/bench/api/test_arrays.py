"""`bench.metrics` on arrays of features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm

import bench
from bench.errors import UsageError

RNG = np.random.default_rng(0)
REAL, SHIFTED = RNG.normal(0, 1, (400, 8)), RNG.normal(0.5, 1, (400, 8))
SLIDES = np.repeat([f"s{i}" for i in range(20)], 20)


def test_the_frechet_distance_is_that_of_the_formula() -> None:
    found = bench.metrics.frechet(REAL, SHIFTED, SLIDES)
    assert found.low is not None and found.high is not None
    root = sqrtm(np.cov(REAL.T) @ np.cov(SHIFTED.T)).real
    apart = np.square(REAL.mean(axis=0) - SHIFTED.mean(axis=0)).sum()
    expected = apart + np.trace(np.cov(REAL.T) + np.cov(SHIFTED.T) - 2 * root)
    assert found.low < found.value < found.high and found.value == pytest.approx(expected, rel=1e-4)
    assert len(repr(found)) < 250
    assert bench.metrics.frechet(REAL.tolist(), SHIFTED, SLIDES) == found


def test_without_slides_there_is_a_value_and_no_interval() -> None:
    found = bench.metrics.frechet(REAL, SHIFTED)
    assert found.value == bench.metrics.frechet(REAL, SHIFTED, SLIDES).value
    assert found.low is None and "give groups" in found.reason


def test_slides_decide_the_interval_and_generated_rows_may_have_others() -> None:
    of_20 = bench.metrics.measure("kid", REAL, SHIFTED, SLIDES)
    of_40 = bench.metrics.measure("kid", REAL, SHIFTED, np.repeat(np.arange(40), 10))
    fewer = bench.metrics.measure("kid", REAL, SHIFTED[:200], SLIDES, SLIDES[:200])
    assert of_20.low != of_40.low and fewer.low is not None and fewer.value != of_20.value


def test_options_seeds_and_training_rows_reach_the_metric() -> None:
    few, many = (bench.metrics.measure("precision", REAL, SHIFTED, SLIDES, k=k).value for k in (1, 10))
    assert few < many
    train = RNG.normal(0, 1, (400, 8))
    drawn = {bench.metrics.measure("fls", REAL, SHIFTED, SLIDES, train=train, seed=seed).value for seed in (0, 1)}
    assert len(drawn) == 2 and np.isfinite(list(drawn)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fd", REAL[:, 0], SHIFTED), "real is an array of features"),
        (("fd", REAL, SHIFTED.astype(str)), "generated is an array of features"),
        (("fd", REAL, np.where(SHIFTED > 2, np.nan, SHIFTED)), "generated has rows with NaN"),
        (("fd", REAL, SHIFTED[:, :4]), "one width; found 4, 8"),
        (("fd", REAL, SHIFTED[:100], SLIDES), "give groups_generated"),
        (("fd", REAL, SHIFTED, SLIDES[:9]), "one entry for each of 400 rows"),
        (("fls", REAL, SHIFTED), "needs the features of the training patches"),
        (("map-faithfulness", REAL, SHIFTED), "does not compare features"),
        (("fdd", REAL, SHIFTED), "Did you mean 'fd'"),
    ],
)
def test_refusals(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        bench.metrics.measure(*arguments)
    assert message in str(raised.value)
