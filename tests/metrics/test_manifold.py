from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry, torchvision_shim
from bench.errors import MissingError, UsageError
from bench.types import FeatureMetric
from metrics import manifold
from metrics.manifold import Precision, Recall

Table = NDArray[np.float64]


def both(real: Table, fake: Table, k: int = 3) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    return Precision(k).compare(real, fake, rng), Recall(k).compare(real, fake, rng)


def cloud(seed: int, n: int = 300, centre: float = 0.0, d: int = 8) -> Table:
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


@pytest.mark.parametrize("name", ["precision", "recall"])
def test_they_are_registered_and_higher_is_better(name: str) -> None:
    metric = registry.load("metrics", name)
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.k) == (name, "higher", 3)


def test_on_a_line_the_shares_can_be_counted_by_hand() -> None:
    real = np.array([[0.0], [1.0], [3.0], [6.0]])  # with k = 1: balls of radius 1, 1, 2, 3
    fake = np.array([[-1.5], [-1.0], [9.0], [9.5]])  # with k = 1: balls of radius 0.5, 0.5, 0.5, 0.5
    assert both(real, fake, k=1) == (0.5, 0.0)
    assert both(fake, real, k=1) == (0.0, 0.5)


def test_a_set_covers_itself() -> None:
    rows = cloud(0)
    assert both(rows, np.random.default_rng(1).permutation(rows)) == (1.0, 1.0)


def test_far_apart_nothing_is_covered() -> None:
    assert both(cloud(0), cloud(1, centre=100.0)) == (0.0, 0.0)


def test_a_collapsed_generator_is_precise_and_recalls_little() -> None:
    real = cloud(0)
    fake = 0.05 * cloud(1)
    precision, recall = both(real, fake)
    assert precision > 0.95
    assert recall < 0.05


def test_a_scattered_generator_recalls_more_than_it_is_precise() -> None:
    precision, recall = both(cloud(0), 2.5 * cloud(1))
    assert recall > 0.8
    assert precision < 0.5


def test_one_of_two_modes_lost_costs_half_the_recall() -> None:
    real = np.concatenate([cloud(0, centre=-20.0), cloud(1, centre=20.0)])
    precision, recall = both(real, cloud(2, n=600, centre=20.0))
    assert precision > 0.8
    assert 0.4 < recall <= 0.5


def test_more_neighbours_cover_more() -> None:
    narrow, wide = both(cloud(0), cloud(1), k=1), both(cloud(0), cloud(1), k=10)
    assert narrow[0] < wide[0]
    assert narrow[1] < wide[1]


def test_shift_and_scale_of_both_sides_do_not_matter() -> None:
    a, b = cloud(0), cloud(1, centre=0.3)
    assert both(a, b) == both(1000 + 5 * a, 1000 + 5 * b) == both(a * 1e-6, b * 1e-6)


def test_order_does_not_matter() -> None:
    a, b = cloud(0), cloud(1)
    assert both(a, b) == both(a[::-1], b[::-1])


@pytest.mark.parametrize(("here", "there", "share"), [(0.1, 0.1, 1.0), (0.1, 0.2, 0.0)])
def test_constant_features_score_one_where_they_are_equal_and_else_nothing(here: float, there: float, share: float) -> None:
    assert both(np.full((20, 5), here), np.full((30, 5), there)) == (share, share)


def test_duplicates_are_covered_by_each_other_alone() -> None:
    real = np.repeat(cloud(0, n=20), 5, axis=0)  # each point five times: every ball has radius 0
    fake = np.concatenate([real[:50], cloud(1, n=50)])
    assert both(real, fake)[0] == 0.5


def test_the_memory_limit_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = cloud(0), cloud(1, n=200)
    whole = both(a, b)
    monkeypatch.setattr(manifold, "_BLOCK", 1000)
    assert both(a, b) == whole


@pytest.mark.parametrize("k", [1, 3, 7])
def test_they_agree_with_torch_fidelity(k: int) -> None:
    torchvision_shim.ready()
    import torch
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, fake = cloud(0, d=32), cloud(1, n=250, centre=0.2, d=32)
    options = {"prc_neighborhood": k, "prc_batch_size": 100, "save_cpu_ram": False, "verbose": False}
    theirs = prc_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), **options)
    assert both(real, fake, k) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)


@pytest.mark.parametrize("metric", [Precision(k=5), Recall(k=5)])
def test_too_few_rows_are_refused_with_both_counts(metric: Precision | Recall) -> None:
    assert metric.minimum_n(8) == metric.minimum_n(512) == 6
    with pytest.raises(UsageError, match="at least 6 patches on each side, found 6 real and 5 fake"):
        metric.compare(cloud(0, n=6), cloud(1, n=5), np.random.default_rng(0))


@pytest.mark.parametrize("metric", [Precision(), Recall()])
def test_broken_tables_are_refused(metric: Precision | Recall) -> None:
    broken = cloud(1)
    broken[0, 0] = np.nan
    with pytest.raises(MissingError, match="1 of 300 fake"):
        metric.compare(cloud(0), broken, np.random.default_rng(0))
    with pytest.raises(UsageError, match="equally many features"):
        metric.compare(cloud(0), cloud(0, d=9), np.random.default_rng(0))


@pytest.mark.parametrize("name", ["precision", "recall"])
def test_a_neighbourhood_has_a_neighbour(name: str) -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        registry.load("metrics", name, k="0")
