from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from bench import registry
from bench.errors import MissingError, UsageError
from bench.runtime import torchvision_shim
from bench.types import FeatureMetric
from metrics.frechet import gaussians as module
from metrics.frechet.frechet_distance import FrechetDistance
from metrics.frechet.gaussians import feature_distance, frechet_distance, gaussian_distance

Table = NDArray[np.float64]
FD = FrechetDistance()


def distance(real: Table, fake: Table) -> float:
    return FD.compare(real, fake, np.random.default_rng(0))


def gaussian(seed: int, n: int = 400, d: int = 12) -> Table:
    """Rows with a mean and a covariance of their own, drawn by seed."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def exactly(mean: Table, spread: Table, seed: int) -> Table:
    """Rows whose sample mean and sample covariance are `mean` and diag(spread^2), not nearly but exactly."""
    rows = np.random.default_rng(seed).normal(size=(50, len(mean)))
    rows -= rows.mean(axis=0)
    factor = np.linalg.cholesky(np.cov(rows, rowvar=False))
    return np.linalg.solve(factor, rows.T).T * spread + mean


def moments(rows: Table) -> tuple[Table, Table]:
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


def test_it_is_the_registered_fd_and_lower_is_better() -> None:
    metric = registry.load("metrics", "fd")
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction) == ("fd", "lower")


def test_two_diagonal_gaussians_have_the_distance_of_the_closed_form() -> None:
    mean_a, spread_a = np.array([0.0, 1.0, -2.0]), np.array([1.0, 2.0, 0.5])
    mean_b, spread_b = np.array([3.0, 1.0, 2.0]), np.array([1.5, 0.1, 0.5])
    expected = ((mean_a - mean_b) ** 2).sum() + ((spread_a - spread_b) ** 2).sum()
    found = distance(exactly(mean_a, spread_a, seed=1), exactly(mean_b, spread_b, seed=2))
    assert found == pytest.approx(expected, rel=1e-10)


def test_a_shift_costs_its_squared_length() -> None:
    rows, shift = gaussian(0), np.linspace(-1, 2, 12)
    assert distance(rows, rows + shift) == pytest.approx(shift @ shift, rel=1e-10)


def test_one_feature_is_enough() -> None:
    a, b = gaussian(0, d=1), gaussian(1, d=1)
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_a_set_is_at_no_distance_from_itself_in_any_order() -> None:
    rows = gaussian(3)
    shuffled = np.random.default_rng(0).permutation(rows)
    scale = np.trace(np.cov(rows, rowvar=False))
    assert 0 <= distance(rows, rows) <= 1e-12 * scale
    assert 0 <= distance(rows, shuffled) <= 1e-12 * scale


def test_sides_and_order_do_not_matter() -> None:
    a, b = gaussian(0, n=100), gaussian(1, n=300)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-10)
    assert distance(a, b) == pytest.approx(distance(a[::-1], b[::-1]), rel=1e-10)


def test_worse_copies_are_farther() -> None:
    rows = gaussian(0)
    noise = np.random.default_rng(1).normal(size=rows.shape)
    near, far = distance(rows, rows + 0.5 * noise), distance(rows, rows + 2.0 * noise)
    assert 0 < near < far


@pytest.mark.parametrize("d", [2, 12, 64])
def test_it_agrees_with_the_matrix_square_root(d: int) -> None:
    a, b = gaussian(0, d=d), gaussian(1, d=d)
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_it_agrees_with_torch_fidelity() -> None:
    torchvision_shim.ready()
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = gaussian(0, d=64), gaussian(1, d=64)
    theirs = fid_statistics_to_metric(*(fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)), verbose=False)
    assert distance(a, b) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


def test_a_constant_feature_adds_its_shift_and_nothing_else() -> None:
    a, b = gaussian(0), gaussian(1)
    flat = np.ones((len(a), 1))
    assert distance(np.hstack([a, flat]), np.hstack([b, 3 * flat])) == pytest.approx(distance(a, b) + 4, rel=1e-6)


def test_a_collapsed_side_is_a_point() -> None:
    a, point = gaussian(0), np.zeros((400, 12))
    mean, covariance = moments(a)
    assert distance(a, point) == pytest.approx(mean @ mean + np.trace(covariance), rel=1e-10)


def test_features_of_single_precision_are_compared_in_double() -> None:
    a, b = (1000 + gaussian(seed) for seed in (0, 1))
    single = distance(a.astype(np.float32), b.astype(np.float32))
    assert single == pytest.approx(distance(a, b), rel=1e-4)


def test_the_plain_function_takes_moments() -> None:
    a, b = gaussian(0), gaussian(1)
    assert frechet_distance(*moments(a), *moments(b)) == pytest.approx(distance(a, b), rel=1e-12)


def test_as_many_rows_as_features_and_one_more_are_enough() -> None:
    a, b = gaussian(0, n=13), gaussian(1, n=13)
    assert FD.minimum_n(12) == 13
    assert distance(a, b) > 0


@pytest.mark.parametrize(("real", "fake"), [(12, 400), (400, 12)])
def test_too_few_rows_are_refused_with_both_counts(real: int, fake: int) -> None:
    with pytest.raises(UsageError, match=f"at least 13 patches on each side, found {real} real and {fake} fake"):
        distance(gaussian(0, n=real), gaussian(1, n=fake))


def test_tables_of_different_width_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(400, 12\) and fake \(400, 3\)"):
        distance(gaussian(0), gaussian(1, d=3))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_and_counted(value: float) -> None:
    broken = gaussian(1)
    broken[[3, 5], 2] = value
    with pytest.raises(MissingError, match="0 of 400 real and 2 of 400 fake"):
        distance(gaussian(0), broken)


def near_singular(seed: int) -> Table:
    """Twelve features that span six directions, but for a trace."""
    rows = gaussian(seed, d=6)
    return np.hstack([rows, rows + 1e-7 * gaussian(seed + 10, d=6)])


def test_both_routes_agree_where_the_fast_one_is_trusted() -> None:
    moments_a, moments_b = moments(gaussian(0)), moments(gaussian(1))
    overlap, doubt = module._fast_overlap(moments_a[1], moments_b[1])
    assert overlap == pytest.approx(module._careful_overlap(moments_a[1], moments_b[1]), rel=1e-10)
    assert 0 < doubt < 1e-10 * overlap


def test_the_careful_route_is_taken_where_rounding_could_show(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, careful = [], module._careful_overlap
    monkeypatch.setattr(module, "_careful_overlap", lambda *covs: calls.append(1) or careful(*covs))
    distance(gaussian(0), gaussian(1))
    assert not calls
    distance(gaussian(0), gaussian(0))  # nothing is left but rounding
    distance(gaussian(0), np.zeros((400, 12)))  # no Cholesky factor
    distance(near_singular(0), near_singular(1))
    assert len(calls) == 3


def test_features_that_nearly_repeat_others_do_not_disturb() -> None:
    """Each of six features twice: the squared distance doubles."""
    a, b = gaussian(0, d=6), gaussian(1, d=6)
    assert distance(near_singular(0), near_singular(1)) == pytest.approx(2 * distance(a, b), rel=1e-5)


@pytest.mark.parametrize(("n", "m"), [(5, 9), (11, 12), (30, 8), (2, 2)])
def test_fewer_rows_than_features_give_the_distance_of_their_singular_gaussians(n: int, m: int) -> None:
    a, b = gaussian(0, n=n), gaussian(1, n=m)
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    overlap = np.linalg.svd((a - mean_a) @ (b - mean_b).T, compute_uv=False).sum() / np.sqrt((n - 1) * (m - 1))
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * overlap
    assert feature_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(mean_a, cov_a, mean_b, cov_b) == pytest.approx(expected, rel=1e-6)
    assert feature_distance(a, a) == pytest.approx(0, abs=1e-12 * np.trace(cov_a))


def test_a_reference_may_be_kept_as_its_moments() -> None:
    a, b = gaussian(0), gaussian(1)
    assert gaussian_distance(module.gaussian(a), module.gaussian(b)) == distance(a, b)


def test_measuring_does_not_load_torch() -> None:
    packages = (
        "metrics.frechet.frechet_distance, metrics.prdc.manifold, metrics.fls, metrics.vendi, metrics.encoders.builtin.stain"
    )
    line = f"import sys, {packages}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0
