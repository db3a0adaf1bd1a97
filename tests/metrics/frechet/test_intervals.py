"""Intervals of Fréchet distances: to first order as by leaving slides out, at the cost of few distances, and in a subspace."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.contracts import check_metric
from bench.errors import UsageError
from bench.statistics import Estimate, group_jackknife
from bench.types import BringsInterval, BringsTrainedInterval, Strings, TrainedMetric
from metrics.frechet.frechet_distance import FrechetDistance
from metrics.frechet.frechet_subspace import principal_axes
from metrics.frechet.gaussians import feature_distance

Table = NDArray[np.float32]
RNG = np.random.default_rng(0)


def sides(slides: int, patches: int, d: int, seed: int = 0, factor: float = 0.8) -> tuple[Table, Table, Strings]:
    """Real and generated patches of the same slides, whose variances fall as 1 / i; a fifth lies between slides."""
    rng, spread = np.random.default_rng(seed), np.arange(1, d + 1) ** -0.5
    slide = np.repeat(np.arange(slides), patches)
    common = rng.normal(size=(slides, d))

    def drawn() -> NDArray[np.float64]:
        own = 0.5 * common + 0.87 * rng.normal(size=(slides, d))
        return np.asarray((0.2**0.5 * own[slide] + 0.8**0.5 * rng.normal(size=(len(slide), d))) * spread)

    real, fake = drawn(), factor**0.5 * drawn() + 0.15 * spread
    names = np.array([f"s{number:03d}" for number in range(slides)])[slide]
    return real.astype(np.float32), fake.astype(np.float32), names


def exact(real: Table, fake: Table, names: Strings) -> Estimate:
    """The jackknife that calculates the distance without each block of slides."""
    a, b = real.astype(np.float64), fake.astype(np.float64)
    return group_jackknife(lambda x, y: feature_distance(a[x], b[y]), names, names)


@pytest.mark.parametrize(("slides", "patches", "d"), [(20, 12, 8), (40, 16, 64), (100, 10, 200)])
def test_to_first_order_the_error_is_that_of_leaving_slides_out(slides: int, patches: int, d: int) -> None:
    ratios = []
    for seed in range(12 if d < 200 else 4):
        real, fake, names = sides(slides, patches, d, seed)
        found, left_out = FrechetDistance().estimate(real, fake, names, names, RNG), exact(real, fake, names)
        assert found.value == pytest.approx(FrechetDistance().compare(real, fake, RNG), rel=1e-9)
        assert found.error is not None and left_out.error is not None
        ratios.append(found.error / left_out.error)
        assert np.corrcoef(found.replicates, left_out.replicates)[0, 1] > 0.98
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)


def test_differences_of_two_generators_have_the_error_of_leaving_slides_out() -> None:
    """`bench compare` subtracts the values without each block."""
    real, first, names = sides(40, 16, 32)
    second = sides(40, 16, 32, seed=1)[1]
    metric = FrechetDistance()
    quick = [metric.estimate(real, fake, names, names, RNG).replicates for fake in (first, second)]
    slow = [exact(real, fake, names).replicates for fake in (first, second)]
    assert np.std(np.subtract(*quick)) == pytest.approx(np.std(np.subtract(*slow)), rel=0.05)


def test_a_constant_feature_takes_the_route_that_needs_no_inverse() -> None:
    real, fake, names = sides(20, 12, 8)
    flat = np.ones((len(real), 1), np.float32)
    found = FrechetDistance().estimate(np.hstack([real, flat]), np.hstack([fake, flat]), names, names, RNG)
    without = FrechetDistance().estimate(real, fake, names, names, RNG)
    assert found.value == pytest.approx(without.value, rel=1e-6) and found.error == pytest.approx(without.error, rel=0.1)


def test_too_few_rows_without_a_block_leave_no_interval() -> None:
    real, fake, names = sides(20, 2, 38)
    found = FrechetDistance().estimate(real, fake, names, names, RNG)
    assert found.low is None and "undefined without some of the slides" in found.reason


def test_the_interval_is_never_below_nothing_and_reaches_further_up() -> None:
    for seed in range(8):
        real, fake, names = sides(10, 12, 4, seed, factor=1.0)
        found = FrechetDistance().estimate(real, fake, names, names, RNG)
        assert found.low is not None and found.high is not None
        assert 0 <= found.low < found.value < found.high and found.high - found.value > found.value - found.low


def test_an_interval_costs_few_distances() -> None:
    real, fake, names = sides(60, 25, 384)
    metric = FrechetDistance()
    metric.compare(real, fake, RNG)

    def seconds(work: Any) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
        return min(times)

    alone = seconds(lambda: metric.compare(real, fake, RNG))
    assert seconds(lambda: metric.estimate(real, fake, names, names, RNG)) < 6 * alone  # leaving out blocks: 21 times


def test_fd_and_its_kin_bring_intervals() -> None:
    assert isinstance(registry.load("metrics", "fd"), BringsInterval)
    metric = registry.load("metrics", "fd-pca16")
    assert isinstance(metric, TrainedMetric) and isinstance(metric, BringsTrainedInterval)
    assert (metric.card.name, metric.direction, metric.minimum_n(1024), metric.minimum_n(8)) == ("fd-pca16", "lower", 34, 18)
    outcomes = check_metric(lambda **options: registry.load("metrics", "fd-pca16", **options), "fd-pca16")
    assert not [outcome for outcome in outcomes if outcome.status == "failed"]


def subspace(real: Table, fake: Table, train: Table, names: Strings) -> Estimate:
    found = registry.load("metrics", "fd-pca16").estimate_trained(real, fake, train, names, names, RNG)
    assert isinstance(found, Estimate)
    return found


def test_a_subspace_has_an_interval_where_all_features_have_none() -> None:
    """384 features, 40 slides of 25 patches: the size of a small test set under a small encoder."""
    real, fake, names = sides(40, 25, 384)
    train = sides(40, 25, 384, seed=9)[0]
    whole = registry.load("metrics", "fd-inf").estimate(real, fake, names, names, RNG)
    assert whole.low is None and whole.reason.startswith("underpowered") and "fd-pca16" in whole.reason
    truth = (0.15**2 + (1 - 0.8**0.5) ** 2) * float((1 / np.arange(1, 17)).sum())
    found = subspace(real, fake, train, names)
    assert found.low is not None and found.high is not None and found.low < truth < found.high
    assert found.high - found.low < 6 * truth and len(found.replicates) == 20


def test_only_the_axes_of_the_training_patches_are_looked_at() -> None:
    real, fake, names = sides(24, 20, 40)
    train = sides(24, 20, 40, seed=9)[0]
    train[:, 16:] *= 1e-3  # no leading axis has a part in these columns
    hidden = fake.copy()
    hidden[:, 16:] += 5
    seen = fake.copy()
    seen[:, 0] += 1
    value = subspace(real, fake, train, names).value
    assert subspace(real, hidden, train, names).value == pytest.approx(value, abs=0.02)
    assert subspace(real, seen, train, names).value > value + 0.5


def test_below_twenty_effective_slides_the_subspace_has_a_value_alone() -> None:
    real, fake, names = sides(19, 20, 24)
    found = subspace(real, fake, real[::-1], names)
    assert found.low is None and np.isfinite(found.value)
    assert found.reason.startswith("underpowered: 19 slides, an interval needs 20; the value is the distance of these slides")


def test_training_patches_are_needed_for_as_many_axes() -> None:
    real, fake, names = sides(20, 10, 24)
    found = subspace(real, fake, real[:33], names)
    assert np.isnan(found.value) and found.reason == "underpowered: 33 training patches, 34 are needed for the axes"
    with pytest.raises(UsageError, match="training patches as real"):
        registry.load("metrics", "fd-pca16").compare_trained(real, fake, real[:33], RNG)


@pytest.mark.parametrize("d", [10, 40, 300])
def test_axes_are_those_of_the_whole_decomposition(d: int) -> None:
    rows = np.random.default_rng(d).normal(size=(500, d)) * np.arange(1, d + 1) ** -0.5
    found = principal_axes(rows, 16)
    vectors = np.linalg.eigh(np.cov(rows, rowvar=False))[1][:, ::-1][:, : min(16, d)]
    np.testing.assert_allclose(found @ found.T, vectors @ vectors.T, atol=1e-6)
