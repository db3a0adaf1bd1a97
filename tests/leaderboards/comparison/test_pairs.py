"""Comparisons in pairs: closed forms, coverage on simulated slides and seeds, and what is stated where there is no pair."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.results.schema import ResultRecord
from bench.statistics import group_bootstrap, group_jackknife, scattered
from bench.types import Tally
from leaderboards.comparison.pairs import Difference, paired

SLIDES, PATCHES = 40, 8
GROUPS = np.char.add("slide-", np.repeat(np.arange(SLIDES), PATCHES).astype(str))


def line(values: NDArray[np.float64], seed: int = 0) -> ResultRecord:
    """The mean of the values of patches, as a run would write it."""
    tally = Tally(("sum", "n"), np.stack([values, np.ones(len(values))], 1), {"mean": lambda sums: sums["sum"] / sums["n"]})
    found = group_bootstrap(tally, GROUPS, seed=0, resamples=50)["mean"]
    return ResultRecord(
        "a",
        "d",
        "none",
        "t",
        "mean",
        "higher",
        "p",
        seed=seed,
        value=found.value,
        replicates=found.replicates,
        n=len(values),
        groups=SLIDES,
    )


def simulated(rng: np.random.Generator, gap: float, seeds: int = 3) -> tuple[list[ResultRecord], list[ResultRecord]]:
    """Two generators on slides that are hard for both alike, each with noise of its own by seed."""
    hard = rng.normal(0, 1, SLIDES).repeat(PATCHES)
    own = [rng.normal(0, 0.2, SLIDES).repeat(PATCHES) for _ in range(2)]

    def drawn(side: int, shift: float, seed: int) -> ResultRecord:
        return line(hard + own[side] + shift + rng.normal(0, 0.02) + rng.normal(0, 0.1, len(hard)), seed)

    return [drawn(0, gap, s) for s in range(seeds)], [drawn(1, 0, s) for s in range(seeds)]


def test_the_error_of_a_mean_is_the_textbook_one() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, SLIDES)).repeat(PATCHES, axis=1)
    found = paired([line(first)], [line(second)])
    assert isinstance(found, Difference)
    assert found.value == pytest.approx((first - second).mean())
    per_slide = {name: float((first - second)[GROUPS == name][0]) for name in np.unique(GROUPS).tolist()}
    by_name = np.array([per_slide[name] for name in scattered(per_slide)])
    replicates = [np.delete(np.arange(SLIDES), [block, block + 20]) for block in range(20)]
    without = np.array([by_name[rows].mean() for rows in replicates])
    assert found.error == pytest.approx(math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum()))
    assert "one seed" in found.reason


def test_intervals_hold_the_truth_and_pairs_are_far_narrower_than_lines() -> None:
    rng = np.random.default_rng(1)
    found = [paired(*simulated(rng, 0.1)) for _ in range(120)]
    assert all(isinstance(f, Difference) for f in found)
    held = [f.interval[0] <= 0.1 <= f.interval[1] for f in found if isinstance(f, Difference)]
    assert 0.9 <= np.mean(held) <= 1.0
    widths = [f.interval[1] - f.interval[0] for f in found if isinstance(f, Difference)]
    assert np.mean(widths) < 0.35  # each line alone: about 0.65


def test_sides_turn_around() -> None:
    first, second = simulated(np.random.default_rng(2), 0.3)
    there, back = paired(first, second), paired(second, first)
    assert isinstance(there, Difference) and isinstance(back, Difference)
    assert there.value == pytest.approx(-back.value) and there.error == pytest.approx(back.error)
    assert there.above(0) == pytest.approx(1 - back.above(0))
    assert there.above(0) < 0.05 < there.above(there.value + 1)


def test_equal_lines_differ_by_nothing_for_certain() -> None:
    lines, _ = simulated(np.random.default_rng(3), 0)
    found = paired(lines, lines)
    assert isinstance(found, Difference)
    assert (found.value, found.error) == (0, 0) and found.interval == (0, 0)
    assert found.above(0) == 1 and found.above(-0.1) == 0


def test_distances_of_features_keep_replicates_too() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=len(GROUPS))
    found = group_jackknife(lambda real, fake: float(values[real].mean()), GROUPS, GROUPS)
    assert len(found.replicates) == 20
    assert found.replicates == pytest.approx(line(values).replicates)  # the same blocks, whatever the kind of measure


def test_what_cannot_be_paired_is_stated() -> None:
    ours, theirs = simulated(np.random.default_rng(5), 0)
    assert "no seed in common" in str(paired(ours[:1], theirs[1:]))
    assert "protocols differ" in str(paired(ours, [replace(found, protocol="q") for found in theirs]))
    assert "without each block" in str(paired(ours, [replace(found, replicates=()) for found in theirs]))
    more = paired(ours, theirs[:2])
    assert isinstance(more, Difference) and more.seeds == 2
