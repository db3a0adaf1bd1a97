"""Precision, recall, density and coverage: one mathematics, four questions."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.runtime import torchvision_shim
from bench.statistics import group_jackknife
from bench.types import FeatureMetric
from metrics.prdc import distances, manifold, nearest
from metrics.prdc.coverage import Coverage
from metrics.prdc.density import Density
from metrics.prdc.manifold import neighbourhoods
from metrics.prdc.precision import Precision
from metrics.prdc.recall import Recall

Table = NDArray[np.float64]
RNG = np.random.default_rng(0)
FOUR = {"precision": Precision, "recall": Recall, "density": Density, "coverage": Coverage}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was remembered in one test does not help the next."""
    monkeypatch.setattr(manifold, "_remembered", {})


def both(real: Table, fake: Table, k: int = 3) -> tuple[float, float]:
    return Precision(k).compare(real, fake, RNG), Recall(k).compare(real, fake, RNG)


def all_four(real: Table, fake: Table, k: int = 5) -> dict[str, float]:
    return {name: metric(k).compare(real, fake, RNG) for name, metric in FOUR.items()}


def plainly(real: Table, fake: Table, k: int = 5) -> dict[str, float]:
    """The four by their definitions, every distance from its differences."""

    def squares(a: Table, b: Table) -> Table:
        return np.array([((b - row) ** 2).sum(axis=1) for row in a])

    across = squares(real, fake)
    real_reach, fake_reach = (np.sort(squares(side, side), axis=1)[:, k] for side in (real, fake))
    around_real, around_fake = across <= real_reach[:, None], across <= fake_reach
    return {
        "precision": around_real.any(axis=0).mean(),
        "recall": around_fake.any(axis=1).mean(),
        "density": around_real.sum(axis=0).mean() / k,
        "coverage": around_real.any(axis=1).mean(),
    }


def cloud(seed: int, n: int = 300, centre: float = 0.0, d: int = 8) -> Table:
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


@pytest.mark.parametrize(("name", "k"), [("precision", 3), ("recall", 3), ("density", 5), ("coverage", 5)])
def test_they_are_registered_and_higher_is_better(name: str, k: int) -> None:
    metric = registry.load("metrics", name)
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.k) == (name, "higher", k)


def test_on_a_line_the_shares_can_be_counted_by_hand() -> None:
    real = np.array([[0.0], [1.0], [3.0], [6.0]])  # with k = 1: balls of radius 1, 1, 2, 3
    fake = np.array([[-1.5], [-1.0], [9.0], [9.5]])  # with k = 1: balls of radius 0.5, 0.5, 0.5, 0.5
    assert both(real, fake, k=1) == (0.5, 0.0)
    assert both(fake, real, k=1) == (0.0, 0.5)
    found = all_four(real, fake, k=1)  # -1 lies in the ball of 0, and 9 in that of 6
    assert (found["density"], found["coverage"]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("n", "m", "d"), [(300, 250, 8), (2500, 1300, 3), (1100, 2100, 40), (40, 1500, 500), (6, 6, 2), (1025, 6, 2)]
)
def test_they_are_what_their_definitions_say(n: int, m: int, d: int) -> None:
    real, fake = cloud(0, n=n, d=d), 0.9 * cloud(1, n=m, d=d) + 0.1
    assert all_four(real, fake) == plainly(real, fake)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_clusters_duplicates_and_far_origins_are_exact_too(offset: float) -> None:
    rng = np.random.default_rng(5)
    centres = 100 * rng.normal(size=(20, 16))
    real = centres[rng.integers(0, 20, 1500)] + rng.normal(size=(1500, 16)) + offset
    fake = centres[rng.integers(0, 15, 1200)] + 0.5 * rng.normal(size=(1200, 16)) + offset
    fake[:300] = real[:300]
    real[300:700] = real[rng.integers(0, 300, 400)]
    assert all_four(real, fake) == plainly(real, fake)


def test_features_in_single_precision_are_distinguished_as_in_double() -> None:
    real, fake = cloud(0, n=1300, d=64).astype(np.float32), cloud(1, n=1200, d=64).astype(np.float32)
    assert all_four(real, fake) == plainly(real.astype(np.float64), fake.astype(np.float64))


@pytest.mark.parametrize("far", [1e2, 1e4])
def test_rows_that_float32_cannot_tell_apart_are_measured_in_double(far: float) -> None:
    """Beside one row that is so far away, float32 does not resolve the distances of the others."""
    real, fake = cloud(0, n=1200), cloud(1, n=1100)
    real[0] = far
    assert all_four(real, fake) == plainly(real, fake)


def test_a_set_covers_itself() -> None:
    rows = cloud(0)
    found = all_four(rows, np.random.default_rng(1).permutation(rows))
    assert (found["precision"], found["recall"], found["coverage"]) == (1.0, 1.0, 1.0)
    assert found["density"] == pytest.approx(1 + 1 / 5)  # itself and five others


def test_far_apart_nothing_is_covered() -> None:
    assert set(all_four(cloud(0), cloud(1, centre=100.0)).values()) == {0.0}


def test_another_sample_has_a_density_of_one_and_the_coverage_that_the_card_states() -> None:
    found = [all_four(cloud(s, n=800), cloud(s + 50, n=800)) for s in range(4)]
    assert np.mean([f["density"] for f in found]) == pytest.approx(1, abs=0.05)
    n, k = 800, 5
    stated = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    assert np.mean([f["coverage"] for f in found]) == pytest.approx(stated, abs=0.01)


def test_a_collapsed_generator_is_precise_and_dense_and_recalls_and_covers_little() -> None:
    found = all_four(cloud(0), 0.05 * cloud(1))
    assert found["precision"] > 0.95 and found["density"] > 2
    assert found["recall"] < 0.05 and found["coverage"] < 0.9


def test_a_scattered_generator_recalls_more_than_it_is_precise() -> None:
    precision, recall = both(cloud(0), 2.5 * cloud(1))
    assert recall > 0.8
    assert precision < 0.5


def test_one_of_two_modes_lost_costs_half_the_recall_and_the_coverage() -> None:
    real = np.concatenate([cloud(0, centre=-20.0), cloud(1, centre=20.0)])
    found = all_four(real, cloud(2, n=600, centre=20.0))
    assert found["precision"] > 0.8
    assert 0.4 < found["recall"] <= 0.5 and 0.4 < found["coverage"] <= 0.5


@pytest.mark.parametrize("name", FOUR)
def test_more_neighbours_cover_more(name: str) -> None:
    narrow, wide = (FOUR[name](k).compare(cloud(0), 0.9 * cloud(1), RNG) for k in (1, 10))
    assert narrow < wide or name == "density" and narrow != wide


def test_worse_copies_score_less() -> None:
    real, noise = cloud(0), cloud(1)
    near, far = (all_four(real, real + size * noise) for size in (0.3, 2.0))
    assert all(near[name] > far[name] for name in ("precision", "density", "coverage"))


def test_shift_and_scale_of_both_sides_do_not_matter() -> None:
    a, b = cloud(0), cloud(1, centre=0.3)
    assert all_four(a, b) == all_four(1000 + 5 * a, 1000 + 5 * b) == all_four(a * 1e-6, b * 1e-6)


def test_order_does_not_matter() -> None:
    a, b = cloud(0), cloud(1)
    assert all_four(a, b) == all_four(a[::-1], b[::-1])


def test_precision_of_one_side_is_recall_of_the_other() -> None:
    a, b = cloud(0), 0.8 * cloud(1)
    assert both(a, b) == both(b, a)[::-1]


@pytest.mark.parametrize(("here", "there", "share"), [(0.1, 0.1, 1.0), (0.1, 0.2, 0.0)])
def test_constant_features_score_one_where_they_are_equal_and_else_nothing(here: float, there: float, share: float) -> None:
    assert both(np.full((20, 5), here), np.full((30, 5), there)) == (share, share)


def test_duplicates_are_covered_by_each_other_alone() -> None:
    real = np.repeat(cloud(0, n=20), 5, axis=0)  # each point five times: every ball has radius 0
    fake = np.concatenate([real[:50], cloud(1, n=50)])
    assert both(real, fake)[0] == 0.5


CUTS: list[dict[str, Any]] = [
    {"TILE": 60},
    {"CROWDED": 10**9},
    {"CROWDED": 1},
    {"TILE": 60, "_HELD": 100},
    {"_SPARE": 0},
    {"_MANY": 1, "CROWDED": 1},
]
"""Sizes of tiles, routes for few and for many undecided pairs, lists that are shortened, balls that have to be looked up."""


@pytest.fixture(params=CUTS, ids=[" ".join(f"{name}={value}" for name, value in cut.items()) for cut in CUTS])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every route through the work."""
    for name, value in request.param.items():
        for module in (distances, nearest, manifold):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("cut")
def test_how_the_work_is_cut_does_not_change_the_result() -> None:
    a, b = cloud(0), cloud(1, n=200)
    assert all_four(a, b) == plainly(a, b)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("span", [2, 4, 30])
def test_ties_of_whole_numbers_are_ties(span: int, offset: float) -> None:
    """Features that are whole numbers have many neighbours at one distance: who is inside is no matter of rounding."""
    rng = np.random.default_rng(span)
    real, fake = (rng.integers(0, span, (n, 3)) + offset for n in (400, 300))
    assert all_four(real, fake) == plainly(real, fake)
    assert all_four(real.astype(np.float32), fake.astype(np.float32)) == plainly(real, fake)


@pytest.mark.usefixtures("cut")
def test_ties_of_repeated_rows_are_ties() -> None:
    """Rows that occur several times, of features that are no whole numbers."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 7)).astype(np.float32) * 3.3 + 11.7
    real, fake = (rows[rng.integers(0, 40, n)] for n in (400, 300))
    exact = [side.astype(np.float64) for side in (real, fake)]
    assert all_four(real, fake) == plainly(*exact)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("kind", ["clustered", "apart", "ties"])
def test_every_replicate_is_the_measure_of_the_rows_that_are_left(kind: str) -> None:
    """Slides of unequal size, on one side or both; in `apart` nearest neighbours are all of one slide or its neighbour."""
    rng = np.random.default_rng(3)
    ours, theirs = (np.array([f"s{int(25 * u**2)}" for u in rng.random(n)]) for n in (300, 250))
    centres = {f"s{i}": rng.normal(size=5) * {"clustered": 1, "apart": 30, "ties": 1}[kind] for i in range(25)}
    real, fake = (np.array([centres[name] for name in names]) + rng.normal(size=(len(names), 5)) for names in (ours, theirs))
    if kind == "ties":
        real, fake = np.rint(real), np.rint(fake)
    for name, metric in FOUR.items():
        found = metric(5).estimate(real, fake, ours, theirs, RNG)
        expected = group_jackknife(lambda x, y, name=name: plainly(real[x], fake[y])[name], ours, theirs)
        assert found.value == expected.value
        ours_spread, plain_spread = (np.subtract(side.replicates, np.mean(side.replicates)) for side in (found, expected))
        assert np.mean(found.replicates) == pytest.approx(np.mean(expected.replicates), rel=1e-12)
        assert found.error and expected.error  # the spread is brought to the standard error of parts
        np.testing.assert_allclose(ours_spread / found.error, plain_spread / expected.error, atol=1e-9)


@pytest.mark.parametrize("sizes", [[8] * 20, [round(50 / (rank + 1)) for rank in range(20)]], ids=["equal", "zipf"])
def test_the_standard_error_is_the_spread_over_other_slides(sizes: list[int]) -> None:
    """40 trials. The error of the jackknife, as before, was 1.3 to 2.3 times as large: one neighbour more or less decides."""
    slides = np.repeat([f"s{i:02}" for i in range(len(sizes))], sizes)
    values: dict[str, list[float]] = {name: [] for name in FOUR}
    errors: dict[str, list[float]] = {name: [] for name in FOUR}
    for trial in range(40):
        rng = np.random.default_rng(trial)
        effects = [np.repeat(rng.normal(size=(len(sizes), 6)), sizes, axis=0) for _ in range(2)]
        real, fake = (0.3 * effect + rng.normal(size=effect.shape) for effect in effects)
        for name, metric in FOUR.items():
            found = metric().estimate(real, 0.9 * fake + 0.1, slides, slides, rng)
            values[name].append(found.value)
            errors[name].append(found.error)
    for name in FOUR:
        ratio = np.sqrt(np.mean(np.square(errors[name]))) / np.std(values[name], ddof=1)
        assert 0.7 < ratio < 1.4, (name, ratio)


def test_what_was_measured_is_remembered_by_content(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, measured = [], manifold._measure
    monkeypatch.setattr(manifold, "_measure", lambda *words: calls.append(words) or measured(*words))
    monkeypatch.setattr(manifold, "_KEPT", 3)
    a, b = cloud(0), cloud(1)
    first = all_four(a, b), all_four(a.copy(), b)
    assert len(calls) == 1 and first[0] == first[1]
    changed = b.copy()
    changed[0] += 100
    assert all_four(a, changed) != first[0] and all_four(b, a) != first[0] and both(a, b, k=2)
    assert len(calls) == 4 and len(manifold._remembered) == 3
    neighbourhoods(a, b, 5)
    assert len(calls) == 5  # the oldest was forgotten


def test_the_table_of_distances_is_never_held() -> None:
    a, b = cloud(0, n=4000, d=4), cloud(1, n=4000, d=4)
    tracemalloc.start()
    neighbourhoods(a, b, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000 * 8 / 3


@pytest.mark.parametrize("k", [1, 3, 7])
def test_they_agree_with_torch_fidelity(k: int) -> None:
    torchvision_shim.ready()
    import torch
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, fake = cloud(0, d=32), cloud(1, n=250, centre=0.2, d=32)
    options = {"prc_neighborhood": k, "prc_batch_size": 100, "save_cpu_ram": False, "verbose": False}
    theirs = prc_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), **options)
    assert both(real, fake, k) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)


@pytest.mark.parametrize("metric", [cls(k=5) for cls in FOUR.values()])
def test_too_few_rows_are_refused_with_both_counts(metric: FeatureMetric) -> None:
    assert metric.minimum_n(8) == metric.minimum_n(512) == 6
    with pytest.raises(UsageError, match="at least 6 patches on each side, found 6 real and 5 fake"):
        metric.compare(cloud(0, n=6), cloud(1, n=5), np.random.default_rng(0))


@pytest.mark.parametrize("name", FOUR)
def test_a_neighbourhood_has_a_neighbour(name: str) -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        registry.load("metrics", name, k="0")
