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


def of_fit(
    rng: np.random.Generator, hard: NDArray[np.float64], side: int, fit: int, offset: float = 0.1
) -> list[ResultRecord]:
    """Two seeds of one fit, whose offset is drawn anew."""
    own = hard + rng.normal(0, offset) + rng.normal(0, 0.05, SLIDES).repeat(PATCHES)
    stated = {"origin": "trained", "seed": str(fit), "weights": f"{side} {fit}"}
    return [replace(line(own + rng.normal(0, 0.1, len(own)), seed), fit=stated) for seed in (0, 1)]


def test_two_fits_of_one_method_differ_for_sure_and_two_sets_of_fits_do_not() -> None:
    """Shares of comparisons of nothing that find a difference at 5 %."""
    rng = np.random.default_rng(6)
    alarms = {1: 0, 3: 0}
    for _ in range(150):
        hard = rng.normal(0, 1, SLIDES).repeat(PATCHES)
        for fits in alarms:
            sides = [[r for fit in range(fits) for r in of_fit(rng, hard, side, fit)] for side in (0, 1)]
            found = paired(*sides)
            assert isinstance(found, Difference) and found.fits == (fits, fits)
            assert found.is_of_methods == (fits > 1)
            alarms[fits] += not found.interval[0] <= 0 <= found.interval[1]
    assert alarms[1] > 75 and alarms[3] <= 14


def test_fits_of_a_difference_are_welchs_beside_a_generator_that_has_none() -> None:
    rng = np.random.default_rng(7)
    hard = rng.normal(0, 1, SLIDES).repeat(PATCHES)
    several = [r for fit in range(3) for r in of_fit(rng, hard, 0, fit)]
    control = [replace(r, fit={"origin": "none"}) for r in of_fit(rng, hard, 1, 0)]
    found = paired(several, control)
    assert isinstance(found, Difference) and found.fits == (3, 0) and found.is_of_methods
    means = [np.mean([r.value for r in several if r.fit["seed"] == str(fit)]) for fit in range(3)]
    by_seed = [np.mean([r.value for r in several if r.seed == s]) - control[s].value for s in (0, 1)]  # type: ignore[operator]
    alone = paired(several, control, same_weights=True)
    assert isinstance(alone, Difference)
    assert found.error**2 == pytest.approx(alone.error**2 + np.var(means, ddof=1) / 3)
    assert found.value == pytest.approx(np.mean(by_seed)) and found.freedom < 25


def test_the_same_fits_on_both_sides_are_paired() -> None:
    """As of two samplers: the fits' own offsets cancel."""
    rng = np.random.default_rng(8)
    hard = rng.normal(0, 1, SLIDES).repeat(PATCHES)
    first = [r for fit in range(3) for r in of_fit(rng, hard, 0, fit)]
    second = [replace(r, value=r.value + 0.01, replicates=tuple(x + 0.01 for x in r.replicates)) for r in first]  # type: ignore[operator]
    found = paired(second, first)
    assert isinstance(found, Difference) and found.value == pytest.approx(0.01) and found.error < 1e-9
    others = [replace(r, fit={**r.fit, "weights": f"other {r.fit['seed']}"}) for r in second]
    apart = paired(others, first)
    assert isinstance(apart, Difference) and apart.error > 0.03


def test_trainings_that_gave_the_same_bytes_count_once() -> None:
    rng = np.random.default_rng(9)
    hard = rng.normal(0, 1, SLIDES).repeat(PATCHES)
    first = [replace(r, fit={**r.fit, "weights": "w"}) for fit in range(2) for r in of_fit(rng, hard, 0, fit)]
    found = paired(first, of_fit(rng, hard, 1, 0))
    assert isinstance(found, Difference) and found.fits == (1, 1) and not found.is_of_methods
