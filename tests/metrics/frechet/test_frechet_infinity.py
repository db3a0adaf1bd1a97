from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.types import FeatureMetric
from metrics.frechet.frechet_infinity import (
    POINTS,
    FrechetInfinity,
    intercept,
    nest,
    nested_distances,
    nested_gaussians,
    subset_sizes,
)
from metrics.frechet.gaussians import feature_distance, gaussian

Table = NDArray[np.float64]
SPREAD = np.arange(1, 17) ** -0.5


def cloud(seed: int, n: int = 400, shift: float = 0.0) -> Table:
    return np.random.default_rng(seed).normal(size=(n, 16)) * SPREAD + shift


def extrapolate(real: Table, fake: Table, seed: int = 0, **options: object) -> float:
    return FrechetInfinity(**options).compare(real, fake, np.random.default_rng(seed))  # type: ignore[arg-type]


def test_it_is_registered_and_lower_is_better() -> None:
    metric = registry.load("metrics", "fd-inf", sides="fake")
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.sides, metric.minimum_n(64)) == ("fd-inf", "lower", "fake", 130)


def test_two_samples_of_one_distribution_are_at_no_distance_on_average() -> None:
    pairs = [(cloud(s, n=200), cloud(s + 100, n=200)) for s in range(20)]
    raw = np.mean([feature_distance(*pair) for pair in pairs])
    both = np.mean([extrapolate(*pair) for pair in pairs])
    fake = np.mean([extrapolate(*pair, sides="fake") for pair in pairs])
    assert abs(both) < 0.15 * raw
    assert 0.3 * raw < fake < 0.8 * raw  # one side keeps its bias


def test_a_shift_keeps_its_closed_form() -> None:
    found = [extrapolate(cloud(s), cloud(s + 100, shift=0.3)) for s in range(10)]
    assert np.mean(found) == pytest.approx(16 * 0.3**2, rel=0.1)


def test_a_set_is_nearer_to_itself_than_to_another_sample() -> None:
    assert extrapolate(cloud(0), cloud(0)) < extrapolate(cloud(0), cloud(1)) < extrapolate(cloud(0), cloud(1, shift=0.3))


def test_worse_is_farther() -> None:
    real, noise = cloud(0), cloud(1)
    near, far = (extrapolate(real, cloud(2) + size * noise) for size in (0.5, 2.0))
    assert near < far


def test_a_line_is_taken_from_its_points() -> None:
    inverse = 1 / np.array([100.0, 200.0, 400.0])
    assert intercept(inverse, 3 + 50 * inverse) == pytest.approx(3)
    with pytest.raises(UsageError, match="different sizes"):
        intercept(np.ones(3), np.arange(3.0))


def test_one_seed_gives_one_number_and_another_another() -> None:
    a, b = cloud(0), cloud(1)
    assert extrapolate(a, b) == extrapolate(a, b)
    assert extrapolate(a, b) != extrapolate(a, b, seed=1)


def test_the_smallest_subset_changes_the_number_and_is_never_below_the_features() -> None:
    a, b = cloud(0), cloud(1)
    assert extrapolate(a, b, smallest=0.25) != extrapolate(a, b, smallest=0.6)
    assert extrapolate(a, b, smallest=0.01) == extrapolate(a, b, smallest=17 / 400)
    sizes = subset_sizes(400, 17, 0.25)
    assert (len(sizes), sizes[0], sizes[-1]) == (POINTS, 100, 400)
    assert subset_sizes(40, 17, 0.25)[0] == 17


@pytest.mark.parametrize("share", ["0", "1", "-0.5"])
def test_a_share_is_a_share(share: str) -> None:
    with pytest.raises(UsageError, match="share between 0 and 1"):
        registry.load("metrics", "fd-inf", smallest=share)


def test_unequal_sides_are_shrunk_alike() -> None:
    assert np.isfinite(extrapolate(cloud(0, n=500), cloud(1, n=60)))


def test_nested_moments_are_those_of_the_rows() -> None:
    rows = 100 + cloud(0, n=90)
    subsets = nest(np.random.default_rng(0).permutation(90), [20, 21, 90])
    for subset, found in zip(subsets, nested_gaussians(rows, subsets), strict=True):
        expected = gaussian(rows[subset])
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-9, atol=1e-12)


def test_subsets_of_whole_slides_are_taken_as_given() -> None:
    real, fake = cloud(0, n=120), cloud(1, n=120)
    slides = np.arange(120) // 6
    order = np.argsort(np.random.default_rng(0).permutation(20)[slides], kind="stable")
    subsets = nest(order, [60, 90, 120])
    expected = [feature_distance(real[s], fake[s]) for s in subsets]
    np.testing.assert_allclose(nested_distances(real, fake, subsets, subsets), expected, rtol=1e-9)
    expected = [feature_distance(real, fake[s]) for s in subsets]
    np.testing.assert_allclose(nested_distances(real, fake, None, subsets), expected, rtol=1e-9)
