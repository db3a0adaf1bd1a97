"""`mind`: the sliced Wasserstein distance, against scipy slice by slice, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ortho_group, wasserstein_distance_nd

from bench import registry
from bench.errors import UsageError
from bench.statistics import group_jackknife
from bench.types import BringsInterval, FeatureMetric
from metrics.mind import SlicedDistance, couple, unit_vectors

Table = NDArray[np.float64]


def cloud(seed: int, n: int = 120, d: int = 6, shift: float = 0.0) -> Table:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def measure(real: Table, fake: Table, directions: int = 200) -> float:
    return SlicedDistance(directions).compare(real, fake, np.random.default_rng(0))  # type: ignore[arg-type]


def plainly(real: Table, fake: Table, directions: int) -> float:
    """3 d times the mean over directions of the integral of the squared gap between the quantile functions."""
    n, m, found = len(real), len(fake), []
    for vector in unit_vectors(directions, real.shape[1]):
        x, y = (np.repeat(np.sort(side @ vector), other) for side, other in ((real, m), (fake, n)))  # n m values a side
        found.append(np.mean((x - y) ** 2))
    return float(3 * real.shape[1] * np.mean(found))


def test_it_is_registered_lower_is_better_and_it_needs_no_more_patches_than_two() -> None:
    metric = registry.load("metrics", "mind", directions="50")
    assert isinstance(metric, FeatureMetric) and isinstance(metric, BringsInterval)
    assert (metric.card.name, metric.direction, metric.minimum_n(2560), metric.directions) == ("mind", "lower", 2, 50)
    with pytest.raises(UsageError, match="at least 1, not 0"):
        registry.load("metrics", "mind", directions="0")


@pytest.mark.parametrize(("n", "m", "d"), [(60, 60, 6), (60, 45, 6), (31, 64, 3), (20, 20, 50), (2, 7, 1)])
def test_it_is_what_its_definition_says(n: int, m: int, d: int) -> None:
    real, fake = cloud(0, n=n, d=d), 0.8 * cloud(1, n=m, d=d, shift=0.4)
    for directions in (1, 9, 150):
        assert measure(real, fake, directions) == pytest.approx(plainly(real, fake, directions), rel=1e-10)


def test_one_slice_is_the_transport_that_linear_programming_finds() -> None:
    """scipy has the 1-Wasserstein distance alone: that of the same coupling, where the cost of a pair is its gap."""
    vector = unit_vectors(1, 5)[0]
    x, y = np.sort(cloud(0, n=24, d=5) @ vector), np.sort(cloud(1, n=36, d=5, shift=0.5) @ vector)
    first, second, share = couple(24, 36) or pytest.fail("sizes differ")
    assert share.sum() == pytest.approx(1) and len(share) == 24 + 36 - 12
    found = (np.abs(x[first] - y[second]) * share).sum()
    assert found == pytest.approx(wasserstein_distance_nd(x[:, None], y[:, None]), rel=1e-6)


def test_a_shift_counts_three_times_its_square_and_a_set_is_at_no_distance_from_itself() -> None:
    rows, shift = cloud(0), np.array([3.0, 0, 0, 0, 0, 0])
    assert measure(rows, np.random.default_rng(1).permutation(rows)) == pytest.approx(0, abs=1e-12)
    assert measure(rows, rows + shift, 4000) == pytest.approx(3 * 9, rel=0.05)  # the mean of a squared cosine is 1 / d


def test_sides_order_and_turns_of_the_features_do_not_matter() -> None:
    a, b = cloud(0), 1.5 * cloud(1, n=90, shift=0.3)
    assert measure(a, b) == pytest.approx(measure(b[::-1], a), rel=1e-9)
    turn = ortho_group.rvs(6, random_state=0)
    assert measure(a @ turn, b @ turn, 4000) == pytest.approx(measure(a, b, 4000), rel=0.05)


def test_it_sees_what_mean_and_covariance_do_not() -> None:
    """Two clusters against one Gaussian of the same mean and covariance."""
    rng = np.random.default_rng(0)
    two = np.where(rng.random((4000, 1)) < 0.5, -3.0, 3.0) + rng.normal(size=(4000, 1))
    one = rng.normal(size=(4000, 1)) * two.std() + two.mean()
    other = rng.normal(size=(4000, 1)) * two.std() + two.mean()
    assert measure(two, one, 1) > 20 * measure(other, one, 1)


@pytest.mark.parametrize("m", [200, 160])
def test_every_replicate_is_the_distance_of_the_rows_that_are_left(m: int) -> None:
    real, fake = cloud(0, n=200), cloud(1, n=m, shift=0.2)
    ours, theirs = (np.array([f"s{i % 23}" for i in range(n)]) for n in (200, m))
    metric = SlicedDistance(30)
    found = metric.estimate(real, fake, ours, theirs, np.random.default_rng(0))  # type: ignore[arg-type]
    expected = group_jackknife(lambda x, y: measure(real[x], fake[y], 30), ours, theirs)
    assert found.value == pytest.approx(expected.value, rel=1e-10)
    np.testing.assert_allclose(found.replicates, expected.replicates, rtol=1e-9)


def test_directions_are_the_same_in_every_run() -> None:
    np.testing.assert_array_equal(unit_vectors(10, 4), unit_vectors(10, 4))
    np.testing.assert_allclose(np.linalg.norm(unit_vectors(10, 4), axis=1), 1)
