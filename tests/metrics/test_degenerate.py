"""What every metric says of input that is hardly any: a stated number or a refusal, never NaN, never 0 for nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import BenchError, MissingError, UsageError
from bench.types import FeatureMetric, TrainedMetric

D = 12
"""The width that `stain` takes; the others take any."""
N = 40
Table = NDArray[np.float32]
METRICS = (
    *("cmmd", "coverage", "density", "fd", "fd-inf", "fd-pca16", "fls", "is", "kid", "mind", "precision", "recall", "stain"),
    "vendi",
)


def measure(name: str, real: Table, fake: Table, scale: float = 1.0, **options: Any) -> float:
    metric, rng = registry.load("metrics", name, **options), np.random.default_rng(0)
    if isinstance(metric, TrainedMetric):
        train = scale * np.random.default_rng(9).normal(size=(N, real.shape[-1]))
        return metric.compare_trained(real, fake, train.astype(real.dtype), rng)
    assert isinstance(metric, FeatureMetric)
    return metric.compare(real, fake, rng)


def cloud(seed: int, n: int = N, d: int = D) -> Table:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_these_are_all_metrics() -> None:
    features = [name for name in registry.names("metrics") if hasattr(registry.find("metrics", name)[0], "minimum_n")]
    assert set(METRICS) <= set(features)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("n", [0, 1])
def test_no_patch_and_one_patch_are_refused(name: str, n: int) -> None:
    for real, fake in ((cloud(0, n=n), cloud(1)), (cloud(0), cloud(1, n=n)), (cloud(0, n=n), cloud(1, n=n))):
        with pytest.raises(UsageError, match="needs at least"):
            measure(name, real, fake)


@pytest.mark.parametrize("name", METRICS)
def test_tables_of_different_width_or_none_are_refused(name: str) -> None:
    for real, fake in ((cloud(0), cloud(1, d=D - 1)), (cloud(0, d=0), cloud(1, d=0)), (cloud(0), cloud(1)[0])):
        with pytest.raises(UsageError, match="equally many features"):
            measure(name, real, fake)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused_and_counted(name: str, value: float) -> None:
    broken = cloud(1)
    broken[3, 2] = value
    with pytest.raises(MissingError, match=f"0 of {N} real and 1 of {N} fake"):
        measure(name, cloud(0), broken)
    with pytest.raises(MissingError, match=f"1 of {N} real and 0 of {N} fake"):
        measure(name, broken, cloud(0))


@pytest.mark.parametrize("name", METRICS)
def test_the_least_number_of_patches_is_enough_and_one_fewer_is_not(name: str) -> None:
    least = registry.load("metrics", name).minimum_n(D)
    assert math.isfinite(measure(name, cloud(0, n=least), cloud(1, n=least)))
    with pytest.raises(UsageError, match=f"at least {least}"):
        measure(name, cloud(0, n=least), cloud(1, n=least - 1))


@pytest.mark.parametrize("name", METRICS)
def test_fewer_patches_than_features_are_refused_or_measured(name: str) -> None:
    real, fake = (cloud(seed, n=D - 1) for seed in (0, 1))
    if name in ("fd", "fd-inf", "fd-pca16"):
        with pytest.raises(UsageError, match="or an encoder with fewer features"):
            measure(name, real, fake)
    else:
        assert math.isfinite(measure(name, real, fake))


SAME = {
    **{
        "cmmd": 0.0,
        "fd": 0.0,
        "fd-inf": 0.0,
        "is": 1.0,
        "kid": 0.0,
        "mind": 0.0,
        "precision": 1.0,
        "recall": 1.0,
        "coverage": 1.0,
    },
    **{"density": N / 5, "stain": 0.0, "vendi": 0.0},
}
"""All real and generated patches are one and the same."""
OTHER = {
    **{"cmmd": None, "fd": 4.0 * D, "fd-inf": 4.0 * D, "is": 1.0, "kid": None, "mind": None, "precision": 0.0, "recall": 0.0},
    **{"coverage": 0.0, "density": 0.0, "stain": 2.0, "vendi": 0.0},
}
"""All real patches are one, all generated ones another, 2 away in each feature; None where the number is no round one."""


@pytest.mark.parametrize("name", SAME)
def test_constant_features(name: str) -> None:
    real, fake = np.full((N, D), 0.3, np.float32), np.full((N, D), 2.3, np.float32)
    fake[:, 0] = real[:, 0] - 2  # another direction too
    assert measure(name, real, real) == pytest.approx(SAME[name], abs=1e-9)
    found = measure(name, real, fake)
    assert found == pytest.approx(OTHER[name], abs=1e-5) if OTHER[name] is not None else found > 0


def test_constant_features_have_no_likelihood_beside_the_same_training_patches() -> None:
    flat = np.full((N, D), 0.3, np.float32)
    metric = registry.load("metrics", "fls")
    with pytest.raises(UsageError, match="the same for every patch"):
        metric.compare_trained(flat, flat, flat, np.random.default_rng(0))
    assert math.isfinite(measure("fls", flat, flat))


def test_an_effect_in_standard_deviations_of_nothing_is_refused() -> None:
    flat = np.full((N, D), 0.3, np.float32)
    with pytest.raises(UsageError, match="all stained alike"):
        measure("stain", flat, flat, measure="effect")


@pytest.mark.parametrize("name", ["cmmd", "vendi"])
def test_features_without_a_direction_are_refused(name: str) -> None:
    black = cloud(1)
    black[4] = 0
    with pytest.raises(UsageError, match="1 of 40 rows that are all zero"):
        measure(name, cloud(0), black)


@pytest.mark.parametrize("name", METRICS)
def test_patches_that_occur_often_still_give_a_number(name: str) -> None:
    real, fake = (np.repeat(cloud(seed, n=N // 2), 4, axis=0) for seed in (0, 1))
    assert math.isfinite(measure(name, real, fake))
    assert math.isfinite(measure(name, real, real))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_tiny_and_huge_features_give_a_number_or_a_refusal(name: str, scale: float) -> None:
    real, fake = (cloud(seed).astype(np.float64) * scale for seed in (0, 1))
    try:
        assert math.isfinite(measure(name, real, fake, scale))  # type: ignore[arg-type]
    except BenchError:
        pytest.fail("nothing is wrong with these features")


def test_a_training_set_that_repeats_itself_is_refused() -> None:
    repeated = np.repeat(cloud(3, n=4), 30, axis=0)
    with pytest.raises(UsageError, match="remove duplicates from the training set"):
        registry.load("metrics", "fls").compare_trained(cloud(0), cloud(1), repeated, np.random.default_rng(0))
