from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.statistics import group_jackknife
from bench.types import FeatureMetric
from metrics.vendi import VendiScore, vendi_score

Table = NDArray[np.float64]
REAL = np.random.default_rng(9).normal(size=(60, 6))


def score(fake: Table, real: Table = REAL, seed: int = 0, relative: bool = False, **options: float) -> float:
    return VendiScore(relative=relative, **options).compare(real, fake, np.random.default_rng(seed))  # type: ignore[arg-type]


def test_it_is_registered_relative_to_real_patches_and_lower_is_better() -> None:
    metric = registry.load("metrics", "vendi", q="inf")
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.q, metric.relative) == ("vendi", "lower", "inf", True)
    assert metric.compare(REAL, REAL, np.random.default_rng(0)) == 0
    assert registry.load("metrics", "vendi", relative="false").direction == "higher"
    assert json.loads(json.dumps(registry.describe(metric), allow_nan=False))["options"]["q"] == "inf"


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, 2.0, np.inf])
def test_patches_with_nothing_in_common_count_each_and_alike_ones_once(q: float) -> None:
    assert score(3 * np.repeat(np.eye(6), 4, axis=0), q=q) == pytest.approx(6, rel=1e-9)
    assert score(np.tile(REAL[0], (30, 1)), q=q) == pytest.approx(1, rel=1e-9)


def test_two_patches_at_an_angle_by_closed_form() -> None:
    angle = 0.7
    rows = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    shares = np.array([1 + np.cos(angle), 1 - np.cos(angle)]) / 2
    assert score(rows, REAL[:, :2]) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-12)
    assert score(rows, REAL[:, :2], q=2.0) == pytest.approx(1 / (shares**2).sum(), rel=1e-12)
    assert score(rows, REAL[:, :2], q=np.inf) == pytest.approx(1 / shares.max(), rel=1e-12)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0])
def test_products_of_rows_and_of_columns_give_the_same(q: float) -> None:
    rows = REAL / np.linalg.norm(REAL, axis=1, keepdims=True)
    wide = np.hstack([rows, np.zeros((60, 100))])  # more columns than rows: the other route
    assert vendi_score(wide, q) == pytest.approx(vendi_score(rows, q), rel=1e-9)


def test_a_higher_order_sees_fewer() -> None:
    found = [score(REAL * [9, 3, 1, 1, 1, 1], q=q) for q in (0.0, 0.5, 1.0, 2.0, np.inf)]
    assert found == sorted(found, reverse=True) and len(set(found)) == 5


def test_order_and_length_of_rows_do_not_matter_and_real_patches_neither() -> None:
    assert score(REAL[::-1] * 5) == pytest.approx(score(REAL), rel=1e-12)
    assert score(REAL, real=REAL[:10]) == score(REAL)


def test_collapse_is_seen() -> None:
    assert score(REAL) > 1.5 * score(REAL * 0.2 + 1)


def test_relative_to_as_many_real_patches() -> None:
    assert score(REAL, relative=True) == pytest.approx(0, abs=1e-12)
    few = REAL[:20]
    found = [score(few, seed=seed, relative=True) for seed in range(3)]
    assert len(set(found)) == 3  # which 20 of the 60 is drawn
    assert np.mean(found) == pytest.approx(0, abs=0.1)
    assert score(few, seed=1, relative=True) == found[1]
    assert score(REAL, real=few, relative=True) == pytest.approx(0, abs=0.2)
    assert score(REAL * 0.2 + 1, relative=True) == pytest.approx(np.log(score(REAL) / score(REAL * 0.2 + 1)), rel=1e-9)


def test_neither_noise_nor_a_collapse_is_as_good_as_real_tissue() -> None:
    """Tissue lies in a cone of few directions. Noise has a higher score, a collapsed generator a lower one: both are worse."""
    rng = np.random.default_rng(0)
    tissue, other = (rng.normal(size=(300, 6)) * [5, 2, 1, 0.5, 0.2, 0.1] + 3 for _ in range(2))
    noise, collapsed = rng.normal(size=(300, 6)), 0.1 * rng.normal(size=(300, 6)) + 3
    assert score(noise) > score(other) > score(collapsed)
    best, *worse = (score(fake, real=tissue, relative=True) for fake in (other, noise, collapsed))
    assert best < 0.1 < 1.5 * best + 0.1 < min(worse)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("d", [6, 90])
def test_its_interval_is_that_of_the_rows_that_are_left(relative: bool, d: int) -> None:
    """With more rows than columns and with fewer."""
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(80, d)) + 0.5, rng.normal(size=(80, d)) + 0.8
    slides = np.repeat([f"s{i}" for i in range(20)], 4)
    metric = VendiScore(relative=relative)
    found = metric.estimate(real, fake, slides, slides, rng)  # type: ignore[arg-type]
    expected = group_jackknife(
        lambda x, y: metric.compare(real[x], fake[y], np.random.default_rng(0)),  # type: ignore[arg-type]
        slides,
        slides,
    )
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    np.testing.assert_allclose(found.replicates, expected.replicates, rtol=1e-9)


def test_an_interval_around_nothing_begins_there_and_numbers_are_equal_by_slide() -> None:
    rng = np.random.default_rng(2)
    real, fake = rng.normal(size=(200, 6)) + 0.5, rng.normal(size=(100, 6)) + 0.5
    ours, theirs = (np.repeat([f"s{i}" for i in range(20)], n) for n in (10, 5))
    found = VendiScore().estimate(real, fake, ours, theirs, rng)  # type: ignore[arg-type]
    assert found.low == 0.0 and found.high is not None and found.high > found.value > 0
    every_other = np.arange(0, 200, 2)
    order = np.argsort(ours, kind="stable")[every_other]
    assert found.value == pytest.approx(score(fake, real=real[order], relative=True), rel=1e-9)


def test_an_order_is_not_negative() -> None:
    with pytest.raises(UsageError, match="0 or more, or inf"):
        registry.load("metrics", "vendi", q="-1")
