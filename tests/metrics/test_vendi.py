from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.types import FeatureMetric
from metrics.vendi import VendiScore, vendi_score

Table = NDArray[np.float64]
REAL = np.random.default_rng(9).normal(size=(60, 6))


def score(fake: Table, real: Table = REAL, seed: int = 0, **options: float) -> float:
    return VendiScore(**options).compare(real, fake, np.random.default_rng(seed))  # type: ignore[arg-type]


def test_it_is_registered_and_higher_is_better() -> None:
    metric = registry.load("metrics", "vendi", q="inf", relative="true")
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.q, metric.relative) == ("vendi", "higher", "inf", True)
    assert metric.compare(REAL, REAL, np.random.default_rng(0)) == 1
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
    assert score(REAL, relative=True) == pytest.approx(1, rel=1e-12)
    few = REAL[:20]
    found = [score(few, seed=seed, relative=True) for seed in range(3)]
    assert len(set(found)) == 3  # which 20 of the 60 is drawn
    assert np.mean(found) == pytest.approx(1, abs=0.1)
    assert score(few, seed=1, relative=True) == found[1]
    assert score(REAL, real=few, relative=True) == pytest.approx(1, abs=0.2)


def test_an_order_is_not_negative() -> None:
    with pytest.raises(UsageError, match="0 or more, or inf"):
        registry.load("metrics", "vendi", q="-1")
