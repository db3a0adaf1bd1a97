"""Two discrepancies: `kid` under a cubic kernel, `cmmd` under a wide Gaussian one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.types import FeatureMetric
from metrics.mmd import kernel
from metrics.mmd.cmmd import GaussianDistance
from metrics.mmd.kernel import biased_estimate, unbiased_estimate
from metrics.mmd.kid import KernelDistance, cubic

Table = NDArray[np.float64]
METRICS: list[FeatureMetric] = [KernelDistance(), GaussianDistance()]


def cloud(seed: int, n: int = 200, shift: float = 0.0) -> Table:
    return np.random.default_rng(seed).normal(size=(n, 8)) + 0.5 + shift


def measure(metric: FeatureMetric, real: Table, fake: Table, seed: int = 0) -> float:
    return metric.compare(real, fake, np.random.default_rng(seed))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["kid", "cmmd"])
def test_they_are_registered_and_lower_is_better(name: str) -> None:
    metric = registry.load("metrics", name)
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.minimum_n(64)) == (name, "lower", 2)


def test_two_patches_a_side_by_hand() -> None:
    real, fake = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])  # (x y + 1)^3
    within, between = 1 + 7**3, (1 + 1 + 3**3 + 4**3) / 2
    assert measure(METRICS[0], real, fake) == pytest.approx(within - between)
    assert biased_estimate(real, fake, cubic) == pytest.approx((1 + 1 + 1 + 8) / 4 + (125 + 343 + 343 + 1000) / 4 - between)


def test_opposite_directions_by_closed_form() -> None:
    up = np.array([[3.0, 0.0], [0.5, 0.0]])
    assert measure(METRICS[1], up, -up) == pytest.approx(2000 * (1 - np.exp(-4 / 200)), rel=1e-12)


def test_the_wide_kernel_is_nearly_the_distance_of_mean_directions() -> None:
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (cloud(0), cloud(1, shift=1.0)))
    gap = a.mean(axis=0) - b.mean(axis=0)
    assert measure(METRICS[1], a, b) == pytest.approx(1000 * gap @ gap / 100, rel=0.02)


def test_a_set_is_at_no_distance_from_itself() -> None:
    rows = cloud(0)
    assert measure(METRICS[1], rows, rows[::-1]) == pytest.approx(0, abs=1e-10)
    assert measure(METRICS[0], rows, rows[::-1]) < 0  # pairs of a patch with itself are left out on one side of the sum


def test_kid_of_two_samples_of_one_distribution_is_nothing_on_average() -> None:
    found = [measure(METRICS[0], cloud(s, n=50), cloud(s + 500, n=70)) for s in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


@pytest.mark.parametrize("metric", METRICS, ids=["kid", "cmmd"])
def test_sides_and_order_do_not_matter(metric: FeatureMetric) -> None:
    a, b = cloud(0), cloud(1, n=120, shift=0.2)
    assert measure(metric, a, b) == pytest.approx(measure(metric, b, a), rel=1e-9)
    assert measure(metric, a, b) == pytest.approx(measure(metric, a[::-1], b[::-1]), rel=1e-9)


@pytest.mark.parametrize("metric", METRICS, ids=["kid", "cmmd"])
def test_worse_is_farther(metric: FeatureMetric) -> None:
    assert measure(metric, cloud(0), cloud(1, shift=0.2)) < measure(metric, cloud(0), cloud(1, shift=0.8))


@pytest.mark.parametrize("statistic", [unbiased_estimate, biased_estimate])
def test_how_the_work_is_cut_does_not_change_the_result(statistic, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = cloud(0), cloud(1, n=130)
    whole = statistic(a, b, cubic)
    monkeypatch.setattr(kernel, "_BLOCK", 1000)
    assert statistic(a, b, cubic) == pytest.approx(whole, rel=1e-10)


def test_subsets_are_drawn_by_seed_around_the_whole() -> None:
    a, b = cloud(0), cloud(1, shift=0.5)
    some = KernelDistance(subset=100, subsets=40)
    assert some.minimum_n(8) == 100
    found = measure(some, a, b)
    assert found == measure(some, a, b) != measure(some, a, b, seed=1)
    assert found == pytest.approx(measure(METRICS[0], a, b), rel=0.1)
    assert found != measure(KernelDistance(subset=100, subsets=3), a, b) != measure(KernelDistance(subset=50), a, b)
    assert measure(KernelDistance(subset=200, subsets=1), a, b) == pytest.approx(measure(METRICS[0], a, b), rel=1e-9)


@pytest.mark.parametrize("options", [{"subset": "1"}, {"subset": "-5"}, {"subsets": "0"}])
def test_subsets_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="at least"):
        registry.load("metrics", "kid", **options)


def test_the_length_of_features_does_not_matter_to_directions() -> None:
    a, b = cloud(0), cloud(1, shift=0.5)
    assert measure(METRICS[1], 7 * a, b) == pytest.approx(measure(METRICS[1], a, b), rel=1e-9)
