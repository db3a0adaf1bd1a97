"""Distances of simulated features with slides and laboratories: what intervals hold, and what normalised distances say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry, statistics
from bench.measurements.distributions import FeaturePair
from bench.statistics.halves import FEWEST, halvings
from bench.types import Direction
from metrics.frechet.frechet_distance import FrechetDistance
from tests.bench.measurements.simulation import Side, real_control, slides

D = 3


def pair(metric: Any, real: Side, generated: Side | None) -> FeaturePair:
    other = (None, real.units) if generated is None else (generated.features, generated.units)
    return FeaturePair(metric, real.features, other[0], None, real.units, other[1], seed=0)


def load(name: str) -> Any:
    return registry.load("metrics", name)


class MeanGap:
    """Squared distance of the means: quadratic in the slides, so that what halvings give can be computed."""

    card = replace(load("fd").card, name="gap")
    direction: Direction = "lower"
    normalised = True

    def minimum_n(self, d: int) -> int:
        return 1

    def compare(self, real: NDArray[Any], fake: NDArray[Any], rng: np.random.Generator) -> float:
        gap = real.mean(axis=0) - fake.mean(axis=0)
        return float(gap @ gap)


def held(truth: float, estimates: list[statistics.Estimate]) -> tuple[float, int]:
    """Share of the intervals that hold the truth, and how many there are."""
    bounds = [(one.low, one.high) for one in estimates if one.low is not None and one.high is not None]
    return sum(low <= truth <= high for low, high in bounds) / max(1, len(bounds)), len(bounds)


@pytest.mark.parametrize("held_out", [12, 20, 40])
def test_the_control_real_is_at_no_distance_from_real_slides(held_out: int) -> None:
    found = []
    for trial in range(200):
        rng = np.random.default_rng([1, held_out, trial])
        real = slides(rng, 40, 10, D, "test")
        found.append(pair(load("fd-inf"), real, real_control(rng, slides(rng, held_out, 10, D, "other"), 400)).compare())
    share, count = held(0.0, [one.estimate for one in found])
    assert share >= 0.9 and count >= 150


def test_eight_held_out_slides_hold_0_or_are_refused() -> None:
    found = []
    for trial in range(200):
        rng = np.random.default_rng([2, trial])
        real = slides(rng, 40, 10, D, "test")
        found.append(pair(load("fd-inf"), real, real_control(rng, slides(rng, 8, 10, D, "other"), 400)).compare().estimate)
    refused = [one for one in found if one.low is None]
    assert all(one.reason.startswith("underpowered") for one in refused)
    share, count = held(0.0, found)
    assert count + len(refused) == 200 and (not count or share >= 0.9)


@pytest.mark.parametrize(("by", "least", "most"), [("laboratory", 0.9, 1.0), ("slide", 0.0, 0.8)])
def test_intervals_over_laboratories_hold_what_those_over_slides_do_not(by: str, least: float, most: float) -> None:
    """Eight laboratories of five slides: the mean of a score over other laboratories is 0."""

    found = []
    for trial in range(300):
        rng = np.random.default_rng([3, trial])
        real = slides(rng, 40, 4, 1, "test", laboratories=8, by=by)
        values = real.features[:, 0]
        found.append(statistics.group_jackknife(_mean(values), real.units, real.units))
    share, count = held(0.0, found)
    assert count == 300 and least <= share <= most


def _mean(values: NDArray[Any]) -> Callable[[statistics.Rows, statistics.Rows], float]:
    return lambda rows, _: float(values[rows].mean())


@pytest.mark.parametrize("count", [2, 5, 7, 8, 9, 12, 17, 20, 24, 40, 129])
def test_halvings_part_all_slides_equally(count: int) -> None:
    groups = np.repeat([f"s{i}" for i in range(count)], 6)
    found = halvings(groups)
    assert len(found) >= FEWEST or count < 7
    for half in found:
        names, rest = set(groups[half].tolist()), set(groups[~half].tolist())
        assert not names & rest and 0.4 <= half.mean() <= 0.6
    assert len({half.tobytes() for half in found}) == len(found)


@pytest.mark.parametrize("count", [8, 12, 20, 24])
def test_the_lower_reference_is_the_mean_over_all_halvings(count: int) -> None:
    """Of a metric that is quadratic in the slides: 4 times the variance between slides over their number."""
    rng = np.random.default_rng(count)
    real = slides(rng, count, 5, D, "test")
    means = np.stack([real.features[real.units == name].mean(axis=0) for name in np.unique(real.units)])
    every = 4 * float(means.astype(np.float64).var(axis=0, ddof=1).sum()) / count
    found = pair(MeanGap(), real, None).compare_halves().estimate
    assert found.value == pytest.approx(every, rel=1e-4)


def test_moments_by_slide_give_what_rows_give() -> None:
    rng = np.random.default_rng(4)
    real, generated = slides(rng, 11, 9, D, "test"), slides(rng, 11, 9, D, "test", shift=1.0)
    for method in ("compare_halves", "normalise"):
        quick, slow = (getattr(pair(metric, real, generated), method)().estimate for metric in (load("fd"), _by_rows()))
        assert quick.value == pytest.approx(slow.value, rel=1e-6)
        assert quick.replicates == pytest.approx(slow.replicates, rel=1e-6)


def _by_rows() -> Any:
    """The Fréchet distance without the quick route."""
    fd = load("fd")

    class ByRows:
        card, direction, normalised = fd.card, fd.direction, True
        minimum_n, compare = staticmethod(fd.minimum_n), staticmethod(fd.compare)

    return ByRows()


def normalised(sides: Callable[[np.random.Generator], tuple[Side, Side]], trials: int = 25) -> list[statistics.Estimate]:
    return [pair(load("fd"), *sides(np.random.default_rng([5, trial]))).normalise().estimate for trial in range(trials)]


def _test(rng: np.random.Generator) -> Side:
    return slides(rng, 40, 10, D, "test")


def test_real_slides_are_at_0_and_tissue_without_slides_is_not_before_them() -> None:
    others = normalised(lambda rng: (_test(rng), slides(rng, 40, 10, D, "other")))
    scattered = normalised(lambda rng: (_test(rng), slides(rng, 400, 1, D, "each")))
    for found in (others, scattered):
        values = np.array([one.value for one in found])
        assert abs(values.mean()) < 3 * values.std(ddof=1) / math.sqrt(len(values)) + 0.15
        assert held(0.0, found)[0] >= 0.85
    assert np.mean([one.value for one in scattered]) > np.mean([one.value for one in others]) - 0.25


def test_one_more_is_twice_the_distance() -> None:
    means = [
        np.mean([one.value for one in normalised(lambda rng, s=s: (_test(rng), _shifted(rng, s)), trials=6)])
        for s in (2.0, 2.0 * math.sqrt(2), 4.0)
    ]
    assert np.diff(means) == pytest.approx([1, 1], abs=0.15)


def _shifted(rng: np.random.Generator, shift: float) -> Side:
    return slides(rng, 40, 10, D, "other", shift=shift)


@pytest.mark.parametrize("sizes", ["equal", "Zipf", "few large"])
def test_unequal_slides_move_no_normalised_distance(sizes: str) -> None:
    """A shift of the mean by 2 is at the same distance in units of a lower reference whose slides are as unequal."""
    counts = {
        "equal": np.full(40, 12),
        "Zipf": np.maximum(2, 480 // np.arange(5, 45)),
        "few large": np.r_[np.full(8, 40), np.full(32, 5)],
    }[sizes]

    def sides(rng: np.random.Generator, shift: float) -> tuple[Side, Side]:
        return slides(rng, counts, 0, D, "test"), slides(rng, counts, 0, D, "other", shift=shift)

    nothing = normalised(lambda rng: sides(rng, 0.0), trials=12)
    values = np.array([one.value for one in nothing])
    assert abs(np.median(values)) < 0.5
    far = [one.value for one in normalised(lambda rng: sides(rng, 3.0), trials=5)]
    assert np.ptp(far) < 3 and min(far) > 2


def test_the_test_patches_of_one_slide_have_no_other_half() -> None:
    one = slides(np.random.default_rng(6), 1, 30, D, "test")
    for method in ("compare_halves", "normalise"):
        found = getattr(pair(load("fd"), one, one), method)().estimate
        assert math.isnan(found.value) and found.reason.startswith("underpowered: the test patches are of one slide")


def test_units_of_both_sides_are_left_out() -> None:
    """Twelve test slides and five held-out ones: 17 slides, each of which is left out once."""
    rng = np.random.default_rng(7)
    found = pair(load("fd"), slides(rng, 12, 10, D, "test"), slides(rng, 5, 10, D, "other")).compare().estimate
    assert len(found.replicates) == 17


def test_a_lower_reference_of_many_features_is_measured_to_first_order_without_blocks_of_slides() -> None:
    """At 260 features the value is that of the exact route; its standard error is the exact one but for second-order terms."""
    metric, d, slides, per_slide = registry.load("metrics", "fd"), 260, 10, 110
    rng = np.random.default_rng(3)
    spread = np.arange(1, d + 1) ** -1.0
    groups = np.repeat([f"slide{i:02}" for i in range(slides)], per_slide)
    real, generated = (
        (
            (rng.normal(size=(slides, d))[np.repeat(np.arange(slides), per_slide)] + rng.normal(size=(len(groups), d)))
            * spread
        ).astype(np.float32)
        + shift
        for shift in (0.0, 0.05)
    )
    found, exact = [
        FeaturePair(one, real, generated, None, groups, groups, 0).normalise().estimate for one in (metric, AllRows())
    ]
    assert found.value == pytest.approx(exact.value, rel=1e-4)
    assert found.error is not None and exact.error is not None and 0.9 < found.error / exact.error < 1.6
    assert found.error != exact.error


class AllRows(FrechetDistance):
    """The distance without a quick route for the values without a block."""

    def compare_without_blocks(self, *_: object) -> None:
        return None
