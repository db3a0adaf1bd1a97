"""Slides of unequal size: what counts is their effective number, and intervals hold the truth on simulated slides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.statistics import (
    Estimate,
    assign_blocks,
    blocks_of,
    effective_groups,
    group_bootstrap,
    group_extrapolation,
    group_jackknife,
    paired_difference,
    scattered,
)
from bench.types import Strings, Tally

Floats = NDArray[np.float64]
FEW_LARGE = (200,) * 5 + (5,) * 35
"""6.9 effective slides of 40."""
ONE_HUGE = (600,) + (15,) * 39
"""3.8 effective slides of 40."""
TRUTH = 0.7


def names(sizes: tuple[int, ...], prefix: str = "s") -> Strings:
    return np.repeat(np.array([f"{prefix}{number:03d}" for number in range(len(sizes))]), sizes)


def scores(sizes: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Scores of patches around those of their slides, which are spread by 0.1."""
    slide = np.repeat(np.arange(len(sizes)), sizes)
    return np.asarray(TRUTH + 0.1 * rng.normal(size=len(sizes))[slide] + 0.1 * rng.normal(size=len(slide)))


def tallied(values: Floats, weights: Floats | None = None) -> Tally:
    """The mean of the values, by weight."""
    weights = np.ones(len(values)) if weights is None else weights

    def mean(sums: object) -> float:
        return sums["above"] / sums["below"] if sums["below"] else math.nan  # type: ignore[index]

    return Tally(("above", "below"), np.stack([values * weights, weights], axis=1), {"mean": mean})


def held(found: list[Estimate], truth: float) -> float:
    """Share of the intervals that hold the truth."""
    given = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
    assert len(given) > 0.9 * len(found)
    return float(np.mean([low <= truth <= high for low, high in given]))


def test_a_score_holds_the_truth_where_few_slides_have_most_patches() -> None:
    rng, groups = np.random.default_rng(0), names(FEW_LARGE)
    found = [group_bootstrap(tallied(scores(FEW_LARGE, rng)), groups, 0, 400)["mean"] for _ in range(500)]
    assert 0.91 <= held(found, TRUTH) <= 0.98  # with the count of slides: 0.86


def test_a_jackknife_holds_the_truth_where_few_slides_have_most_patches() -> None:
    rng, groups, found = np.random.default_rng(1), names(FEW_LARGE), []
    for _ in range(500):
        values = scores(FEW_LARGE, rng)
        found.append(group_jackknife(lambda real, fake, v=values: float(v[real].mean()), groups, groups))  # type: ignore[misc]
    assert 0.92 <= held(found, TRUTH) <= 0.98


def test_paired_differences_of_equal_models_raise_few_alarms() -> None:
    rng, groups, found = np.random.default_rng(2), names(FEW_LARGE), []
    for _ in range(500):
        hard, (one, other) = scores(FEW_LARGE, rng), (scores(FEW_LARGE, rng) - TRUTH for _ in range(2))
        found.append(paired_difference(tallied(hard + one), tallied(hard + other), groups, 0, 400)["mean"])
    assert 0.02 <= 1 - held(found, 0.0) <= 0.075


def test_a_class_counts_the_slides_that_show_it() -> None:
    """One slide in six of 60 shows it: intervals as for 60 slides would hold the truth in 88 of 100 cases."""
    rng, sizes, found = np.random.default_rng(3), (8,) * 60, []
    slide = np.repeat(np.arange(60), 8)
    shows = (slide % 6 == 0) & (slide % 12 + 1 > np.tile(np.arange(8), 60))
    for _ in range(600):
        found.append(group_bootstrap(tallied(scores(sizes, rng), shows.astype(np.float64)), names(sizes), 0, 400)["mean"])
    assert 0.925 <= held(found, TRUTH) <= 0.98
    assert found[0].freedom is not None and found[0].freedom < 9


def test_slides_of_equal_size_have_the_intervals_that_they_had() -> None:
    """Closed forms: Student's interval of block means, and percentiles widened for 40 groups."""
    rng, sizes = np.random.default_rng(4), (6,) * 40
    values, groups = scores(sizes, rng), names(sizes)
    found = group_jackknife(lambda real, fake: float(values[real].mean()), groups, groups)
    order = {name: number for number, block in enumerate(blocks_of(scattered(groups.tolist()))) for name in block}
    assert assign_blocks(groups, groups) == order
    means = np.array([values[[order[name] == block for name in groups.tolist()]].mean() for block in range(20)])
    error = means.std(ddof=1) / math.sqrt(20)
    assert found.error == pytest.approx(error) and found.freedom == pytest.approx(19)
    assert found.high == pytest.approx(found.value + 2.093024 * error)
    assert group_bootstrap(tallied(values), groups, 0)["mean"].freedom == pytest.approx(39)


@pytest.mark.parametrize("sizes", [FEW_LARGE, tuple(100 // (rank + 1) + 1 for rank in range(60))])
def test_blocks_hold_equal_parts_and_do_not_depend_on_the_generator(sizes: tuple[int, ...]) -> None:
    real = names(sizes)
    assigned = assign_blocks(real, real)
    parts = np.bincount([assigned[name] for name in real.tolist()], minlength=20)
    in_turn = {name: number for number, block in enumerate(blocks_of(sorted(set(real.tolist())))) for name in block}
    assert parts.std() < np.bincount([in_turn[name] for name in real.tolist()], minlength=20).std()
    assert parts.max() <= max(max(sizes), 2 * len(real) / 20)
    for other in (names((3,) * 25, "other"), names((90, *(2,) * 11), "other")):
        apart = assign_blocks(real, other)
        assert {name: apart[name] for name in assigned} == assigned, "two numbers of the same slides have the same blocks"


@pytest.mark.parametrize("kind", ["jackknife", "tally", "paired", "fd", "fd-inf", "fd-pca16"])
def test_one_huge_slide_leaves_too_few_and_both_counts_are_stated(kind: str) -> None:
    rng, groups = np.random.default_rng(5), names(ONE_HUGE)
    assert effective_groups(groups) == pytest.approx(3.8, abs=0.05)
    values = scores(ONE_HUGE, rng)
    if kind == "jackknife":
        found = group_jackknife(lambda real, fake: float(values[real].mean()), groups, groups)
    elif kind == "tally":
        found = group_bootstrap(tallied(values), groups, 0)["mean"]
    elif kind == "paired":
        found = paired_difference(tallied(values), tallied(values[::-1]), groups, 0)["mean"]
    else:
        real, fake, train = (rng.normal(size=(len(groups), 8)).astype(np.float32) for _ in range(3))
        metric = registry.load("metrics", kind)
        sides = (real, fake, train) if kind == "fd-pca16" else (real, fake)
        found = getattr(metric, "estimate_trained" if kind == "fd-pca16" else "estimate")(*sides, groups, groups, rng)
    assert found.low is None and found.high is None and math.isfinite(found.value)
    assert found.reason.startswith("underpowered: 40 slides, effective 3.8, an interval needs ")


def test_an_extrapolation_needs_ten_effective_slides() -> None:
    for sizes, given in (((4,) * 10, True), ((12, 12, *(4,) * 8), False)):
        groups, rng = names(sizes), np.random.default_rng(0)
        values = scores(sizes, rng)
        found = group_extrapolation(lambda real, fake, v=values: float(v[real].mean()), groups, groups, 0)  # type: ignore[misc]
        assert (found.low is not None) == given
        assert given or found.reason == "underpowered: 10 slides, effective 7.5, an interval needs 10"


def test_an_extrapolation_removes_a_bias_of_unequal_slides() -> None:
    """The squared length of a mean of slides of unequal size: its bias is in their effective number."""
    sizes, rng, values = (40,) * 10 + (4,) * 40, np.random.default_rng(6), []
    slide, groups = np.repeat(np.arange(50), sizes), names(sizes)
    for _ in range(60):
        points = 0.3 + rng.normal(size=(50, 30))[slide] + 0.3 * rng.normal(size=(len(slide), 30))
        found = group_extrapolation(lambda a, b, p=points: float((p[a].mean(0) ** 2).sum()), groups, groups, 0)  # type: ignore[misc]
        values.append((found.value, float((points.mean(0) ** 2).sum())))
    (value, biased), error = np.mean(values, axis=0), np.std(values, axis=0)[0] / math.sqrt(60)
    truth = 30 * 0.3**2
    assert biased - truth > 1.0 and abs(value - truth) < 3 * error
