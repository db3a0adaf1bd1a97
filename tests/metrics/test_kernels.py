"""Two discrepancies: `kid` under a cubic kernel, `cmmd` under a wide Gaussian one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.statistics import Estimate, group_jackknife
from bench.types import BringsInterval, FeatureMetric
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
    some = KernelDistance("all", subset=100, subsets=40)
    assert some.minimum_n(8) == 100
    found = measure(some, a, b)
    assert found == measure(some, a, b) != measure(some, a, b, seed=1)
    assert found == pytest.approx(measure(METRICS[0], a, b), rel=0.1)
    assert found != measure(KernelDistance("all", 100, 3), a, b) != measure(KernelDistance("all", 50), a, b)
    assert measure(KernelDistance("all", 200, 1), a, b) == pytest.approx(measure(METRICS[0], a, b), rel=1e-9)


@pytest.mark.parametrize("options", [{"subset": "1"}, {"subset": "-5"}, {"subsets": "0"}])
def test_subsets_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="at least"):
        registry.load("metrics", "kid", pairs="all", **options)


def test_subsets_and_pairs_of_other_slides_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="give pairs=all too"):
        registry.load("metrics", "kid", subset="100")


def test_the_length_of_features_does_not_matter_to_directions() -> None:
    a, b = cloud(0), cloud(1, shift=0.5)
    assert measure(METRICS[1], 7 * a, b) == pytest.approx(measure(METRICS[1], a, b), rel=1e-9)


SIZES = {
    "equal": [10] * 20,
    "zipf": [round(80 / (rank + 1)) for rank in range(20)],
    "one huge": [120, *[5] * 16],
}
"""Patches of each slide."""


def slides_of(sizes: list[int]) -> NDArray[np.str_]:
    return np.repeat([f"slide{i:02}" for i in range(len(sizes))], sizes)


def clustered(sizes: list[int], seed: int) -> Table:
    """Patches that resemble those of their slide: a quarter of the variance is between slides."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(size=(len(sizes), 8)) / 2, sizes, axis=0) + rng.normal(size=(sum(sizes), 8)) * 0.75**0.5


def estimate(metric: FeatureMetric, real: Table, fake: Table, *groups: NDArray[np.str_]) -> Estimate:
    assert isinstance(metric, BringsInterval)
    found = metric.estimate(real, fake, *groups, np.random.default_rng(0))  # type: ignore[arg-type]
    assert isinstance(found, Estimate)
    return found


@pytest.mark.parametrize("metric", [KernelDistance("all"), GaussianDistance()], ids=["kid", "cmmd"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_every_replicate_is_the_statistic_of_the_rows_that_are_left(metric: FeatureMetric, sizes: list[int]) -> None:
    real, fake, groups = clustered(sizes, 0), clustered(sizes, 1) + 0.2, slides_of(sizes)
    found = estimate(metric, real, fake, groups, groups[::-1])
    expected = group_jackknife(lambda x, y: measure(metric, real[x], fake[y]), groups, groups[::-1])
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    np.testing.assert_allclose(found.replicates, expected.replicates, rtol=1e-8)
    if expected.low is None:  # too few effective slides
        assert found.low is None and found.reason == expected.reason
    else:
        assert found.low == pytest.approx(expected.low, rel=1e-6) and found.high == pytest.approx(expected.high, rel=1e-6)


def over_other_slides(real: Table, fake: Table, ours: NDArray[np.str_], theirs: NDArray[np.str_]) -> float:
    """The definition: the mean kernel over pairs of different slides, within and across."""

    def mean(a: Table, b: Table, of_a: NDArray[np.str_], of_b: NDArray[np.str_]) -> float:
        return float(((a @ b.T / a.shape[1] + 1) ** 3)[of_a[:, None] != of_b].mean())

    return mean(real, real, ours, ours) + mean(fake, fake, theirs, theirs) - 2 * mean(real, fake, ours, theirs)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_kid_is_the_mean_over_pairs_of_different_slides(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake, groups = clustered(sizes, 0), clustered(sizes[::-1], 1) + 0.2, slides_of(sizes)
    theirs = slides_of(sizes[::-1])
    monkeypatch.setattr(kernel, "_BLOCK", 7 * len(real))  # slides that lie across blocks
    found = estimate(KernelDistance(), real, fake, groups, theirs)
    assert found.value == pytest.approx(over_other_slides(real, fake, groups, theirs), rel=1e-9)
    expected = group_jackknife(lambda x, y: over_other_slides(real[x], fake[y], groups[x], theirs[y]), groups, theirs)
    np.testing.assert_allclose(found.replicates, expected.replicates, rtol=1e-8)


def test_patches_that_are_each_a_slide_of_their_own_give_the_published_statistic() -> None:
    real, fake = cloud(0), cloud(1, n=150, shift=0.3)
    ours, theirs = (np.array([f"{side}{i}" for i in range(n)]) for side, n in (("r", 200), ("f", 150)))
    assert estimate(KernelDistance(), real, fake, ours, theirs).value == pytest.approx(
        measure(METRICS[0], real, fake), rel=1e-9
    )


SETTINGS = [pytest.param(SIZES[name], id=name, marks=[pytest.mark.slow] * (name == "zipf")) for name in SIZES]


@pytest.mark.parametrize("sizes", SETTINGS)
def test_kid_of_a_perfect_generator_is_nothing_on_average_where_patches_cluster_in_slides(sizes: list[int]) -> None:
    """200 trials: the generated patches of a slide resemble each other and are not its real patches. The published statistic
    is above 0 there."""
    groups = slides_of(sizes)
    sides = [(clustered(sizes, 2 * trial), clustered(sizes, 2 * trial + 1)) for trial in range(200)]
    found = np.array([estimate(KernelDistance(), *pair, groups, groups).value for pair in sides])
    published = np.array([measure(METRICS[0], *pair) for pair in sides])
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean()) < 3 * error
    assert published.mean() > 6 * published.std(ddof=1) / np.sqrt(len(published)) and published.mean() > 6 * error


def test_kid_of_a_perfect_generator_that_follows_the_slide_is_nothing_on_average() -> None:
    """Generated patches resemble the real ones of their slide: the pairs across one slide are left out as those within are."""
    sizes = SIZES["zipf"]
    groups, found = slides_of(sizes), []
    for trial in range(200):
        rng = np.random.default_rng(trial)
        slide = np.repeat(rng.normal(size=(len(sizes), 8)) / 2, sizes, axis=0)
        real, fake = (slide + rng.normal(size=slide.shape) * 0.75**0.5 for _ in range(2))
        found.append(estimate(KernelDistance(), real, fake, groups, groups).value)
    assert abs(np.mean(found)) < 3 * np.std(found, ddof=1) / np.sqrt(len(found))


def test_kid_between_patches_of_one_slide_is_undefined_and_says_why() -> None:
    one = np.full(200, "slide")
    found = estimate(KernelDistance(), cloud(0), cloud(1), one, one)
    assert np.isnan(found.value) and "different slides, found one slide" in found.reason
    assert np.isfinite(estimate(KernelDistance("all"), cloud(0), cloud(1), one, one).value)


def test_kid_keeps_its_digits_where_features_are_small() -> None:
    """At a scale of 1e-6 the cubic kernel is 1 + 3 x.y / d to 1e-12, and the statistic that of its linear part."""
    a, b = cloud(0), cloud(1, shift=0.3)
    gap, n = a.mean(axis=0) - b.mean(axis=0), len(a)
    noise = sum(side.var(axis=0, ddof=1).sum() / n for side in (a, b))
    assert measure(METRICS[0], 1e-6 * a, 1e-6 * b) == pytest.approx(3e-12 * (gap @ gap - noise) / 8, rel=1e-7)
