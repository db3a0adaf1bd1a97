"""Intervals by slide: closed forms, coverage on simulated slides, and what is reported when there is none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.statistics import Estimate, combine_seeds, group_bootstrap, group_extrapolation, group_jackknife, paired_difference
from bench.types import Strings, Tally

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
TRUTH = 0.7
PATCHES = 12


def tallied(above: Floats, below: Floats) -> Tally:
    def ratio(sums: object) -> float:
        return sums["above"] / sums["below"] if sums["below"] else math.nan  # type: ignore[index]

    return Tally(("above", "below"), np.stack([above, below], axis=1), {"ratio": ratio})


def slides(count: int, rng: np.random.Generator) -> tuple[Tally, Strings]:
    """Patches of unlike weight whose ratio varies as much from slide to slide as within a slide."""
    groups = np.repeat(np.arange(count), PATCHES)
    ratio = TRUTH + 0.1 * rng.standard_normal(count)[groups] + 0.1 * rng.standard_normal(len(groups))
    weight = rng.uniform(500, 1500, len(groups))
    return tallied(ratio * weight, weight), np.char.add("slide-", groups.astype(str))


def covered(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([e.low <= truth <= e.high for e in estimates if e.low is not None and e.high is not None]))


def ratios(tally: Tally) -> Floats:
    return tally.counts[:, 0] / tally.counts[:, 1]


def mean_of(values: Floats) -> Callable[[Rows, Rows], float]:
    return lambda real, fake: float(values[real].mean())


def difference(ours: Floats, theirs: Floats) -> Callable[[Rows, Rows], float]:
    return lambda real, fake: float(ours[real].mean() - theirs[fake].mean())


@pytest.mark.parametrize("count", [8, 40])
def test_bootstrap_intervals_by_slide_hold_the_truth(count: int) -> None:
    rng = np.random.default_rng(count)
    repeats = [group_bootstrap(*slides(count, rng), seed=0, resamples=400)["ratio"] for _ in range(150)]
    assert 0.89 <= covered(repeats, TRUTH) <= 0.99


def test_resampling_patches_instead_of_slides_would_be_far_too_sure() -> None:
    rng = np.random.default_rng(5)
    samples = [slides(15, rng) for _ in range(100)]
    by_patch = [group_bootstrap(t, np.arange(len(g)).astype(str), seed=0, resamples=200)["ratio"] for t, g in samples]
    assert covered(by_patch, TRUTH) < 0.7


@pytest.mark.parametrize("count", [6, 40])
def test_jackknife_intervals_hold_the_truth(count: int) -> None:
    rng = np.random.default_rng(count)
    repeats = []
    for _ in range(150):
        tally, groups = slides(count, rng)
        repeats.append(group_jackknife(mean_of(ratios(tally)), groups, groups))
    assert 0.89 <= covered(repeats, TRUTH) <= 0.99


def test_jackknife_holds_a_difference_between_slides_of_two_origins() -> None:
    rng = np.random.default_rng(3)
    repeats = []
    for _ in range(150):
        (real, ours), (fake, theirs) = slides(25, rng), slides(12, rng)
        gap = difference(ratios(real), ratios(fake))
        repeats.append(group_jackknife(gap, np.char.add("real-", ours), np.char.add("fake-", theirs)))
    assert 0.89 <= covered(repeats, 0.0) <= 0.99


def test_jackknife_error_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).standard_normal(30)
    groups = np.arange(30).astype(str)
    found = group_jackknife(mean_of(values), groups, groups, blocks=30)
    error = values.std(ddof=1) / math.sqrt(30)
    assert found.value == values.mean() and found.error == pytest.approx(error)
    assert found.low == pytest.approx(values.mean() - 2.04523 * error)  # Student's t, 29 degrees of freedom
    assert found.high == pytest.approx(values.mean() + 2.04523 * error)


@pytest.mark.parametrize("measured", ["statistic", "tally"])
def test_laboratories_that_take_turns_do_not_run_along_with_the_blocks(measured: str) -> None:
    """Slides 0, 4, 8, ... of one laboratory, dealt by number to 20 blocks, would make blocks of one laboratory each."""
    values = (np.arange(160) % 4).astype(np.float64)
    errors = []
    for hospital in range(20):
        names = np.array([f"{hospital}-{number:03d}" for number in range(len(values))])
        if measured == "statistic":
            found = group_jackknife(mean_of(values), names, names)
        else:
            found = group_bootstrap(tallied(values, np.ones(len(values))), names, 0)["ratio"]
        without = np.array(found.replicates)
        errors.append(math.sqrt(19 / 20 * float(((without - without.mean()) ** 2).sum())))
    textbook = float(values.std(ddof=1)) / math.sqrt(len(values))
    assert float(np.mean(errors)) == pytest.approx(textbook, rel=0.15)


def test_a_slide_that_is_left_out_goes_from_both_sides() -> None:
    groups_real, groups_fake = np.repeat(np.arange(8), 3).astype(str), np.repeat(np.arange(8), 2).astype(str)
    seen: list[tuple[set[str], set[str]]] = []

    def watch(real: Rows, fake: Rows) -> float:
        seen.append((set(groups_real[real]), set(groups_fake[fake])))
        return 0.0

    group_jackknife(watch, groups_real, groups_fake, blocks=4)
    assert len(seen) == 5
    assert all(real == fake for real, fake in seen)
    left_out = [set(groups_real) - real for real, _ in seen[1:]]
    assert [len(block) for block in left_out] == [2, 2, 2, 2] and set.union(*left_out) == set(groups_real)


def test_generated_patches_that_share_their_slides_cancel_what_the_slides_have_in_common() -> None:
    rng = np.random.default_rng(2)
    tally, groups = slides(40, rng)
    real = ratios(tally)
    fake = real + 0.01 * rng.standard_normal(len(real))
    paired = group_jackknife(difference(real, fake), groups, groups)
    strangers = np.char.add("other-", groups[::-1])
    apart = group_jackknife(difference(real, fake), groups, strangers)
    assert paired.error is not None and apart.error is not None and paired.error < apart.error / 10


def test_order_of_patches_plays_no_part() -> None:
    tally, groups = slides(12, np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(len(groups))
    shuffled = Tally(tally.columns, tally.counts[order], tally.measures)
    ours = group_bootstrap(tally, groups, seed=4)["ratio"]
    again = group_bootstrap(shuffled, groups[order], seed=4)["ratio"]
    assert (ours.value, ours.low, ours.high) == pytest.approx((again.value, again.low, again.high))
    ours = group_jackknife(mean_of(ratios(tally)), groups, groups)
    again = group_jackknife(mean_of(ratios(shuffled)), groups[order], groups[order])
    assert (ours.value, ours.error) == pytest.approx((again.value, again.error))


def test_equal_seeds_give_equal_draws_and_other_seeds_others() -> None:
    tally, groups = slides(12, np.random.default_rng(1))
    assert group_bootstrap(tally, groups, seed=1) == group_bootstrap(tally, groups, seed=1)
    assert group_bootstrap(tally, groups, seed=1) != group_bootstrap(tally, groups, seed=2)


def test_a_constant_has_an_interval_of_no_width() -> None:
    groups = np.repeat(np.arange(6), 4).astype(str)
    found = group_bootstrap(tallied(np.full(24, 3.0), np.full(24, 4.0)), groups, seed=0)["ratio"]
    assert (found.value, found.low, found.high) == (0.75, 0.75, 0.75)


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    rng = np.random.default_rng(7)
    tally, groups = slides(20, rng)
    better = tallied(tally.counts[:, 0] + 0.02 * tally.counts[:, 1], tally.counts[:, 1])
    one, other = (group_bootstrap(t, groups, seed=0)["ratio"] for t in (tally, better))
    assert one.high is not None and other.low is not None and other.low < one.high
    gain = paired_difference(better, tally, groups, seed=0)["ratio"]
    assert gain.value == pytest.approx(0.02) and (gain.low, gain.high) == pytest.approx((0.02, 0.02))
    loss = paired_difference(tally, better, groups, seed=0)["ratio"]
    assert loss.value == pytest.approx(-0.02)


def test_paired_differences_of_equal_models_hold_zero() -> None:
    rng = np.random.default_rng(8)
    repeats = []
    for _ in range(150):
        tally, groups = slides(15, rng)
        below = tally.counts[:, 1]
        by_slide = 0.02 * rng.standard_normal(15).repeat(PATCHES)
        repeats.append(
            paired_difference(tallied(tally.counts[:, 0] + by_slide * below, below), tally, groups, 0, 300)["ratio"]
        )
    assert 0.89 <= covered(repeats, 0.0) <= 0.99


def test_tallies_of_different_patches_cannot_be_paired() -> None:
    tally, groups = slides(6, np.random.default_rng(0))
    other, _ = slides(7, np.random.default_rng(0))
    with pytest.raises(ValueError, match="same columns and patches"):
        paired_difference(tally, other, groups, seed=0)


def test_few_slides_give_a_value_without_an_interval_and_the_reason() -> None:
    tally, groups = slides(4, np.random.default_rng(0))
    for found in (
        group_bootstrap(tally, groups, seed=0)["ratio"],
        group_jackknife(mean_of(ratios(tally)), groups, groups),
        group_jackknife(mean_of(ratios(tally)), np.arange(len(groups)).astype(str), groups),
    ):
        assert math.isfinite(found.value) and found.low is None and found.high is None
        assert found.reason.startswith("underpowered: 4 slides") and found.reason.endswith("an interval needs 5")


def test_an_undefined_measure_stays_undefined() -> None:
    groups = np.repeat(np.arange(6), 4).astype(str)
    nothing = tallied(np.zeros(24), np.zeros(24))
    something, _ = slides(2, np.random.default_rng(0))
    for found in (
        group_bootstrap(nothing, groups, seed=0)["ratio"],
        paired_difference(nothing, something, groups, seed=0)["ratio"],
    ):
        assert math.isnan(found.value) and found.low is None and "nothing to measure" in found.reason
    for value in (math.nan, math.inf):
        found = group_jackknife(lambda real, fake, value=value: value, groups, groups)  # type: ignore[misc]
        assert math.isnan(found.value) and found.low is None and "no finite value" in found.reason


@pytest.mark.parametrize(
    ("slides_with_it", "reason"),
    [(1, "of resamples: too few slides"), (3, "underpowered: 3 slides, of 10, show it, an interval needs 5"), (6, "")],
)
def test_slides_that_do_not_show_the_class_do_not_count(slides_with_it: int, reason: str) -> None:
    groups = np.repeat(np.arange(10), PATCHES)
    below = np.where(groups < slides_with_it, 10.0 + groups, 0.0)
    above = below * np.random.default_rng(0).uniform(0.5, 0.9, len(groups))
    found = group_bootstrap(tallied(above, below), groups.astype(str), seed=0)["ratio"]
    assert (found.low is not None) == (not reason)
    assert reason in found.reason


def test_a_statistic_that_fails_without_some_slides_has_no_interval() -> None:
    groups = np.repeat(np.arange(8), 2).astype(str)
    found = group_jackknife(lambda real, fake: 1.0 if real[0] else math.nan, groups, groups)
    assert found.value == 1.0 and found.low is None and "without some of the slides" in found.reason


def test_as_many_groups_as_patches_are_needed() -> None:
    tally, groups = slides(6, np.random.default_rng(0))
    with pytest.raises(ValueError, match="one group for each patch"):
        group_bootstrap(tally, groups[:-1], seed=0)
    with pytest.raises(ValueError, match="at least 2 blocks"):
        group_jackknife(mean_of(ratios(tally)), groups, groups, blocks=1)


def test_seeds_that_agree_leave_the_interval_of_the_slides_alone() -> None:
    found = combine_seeds([0.7] * 3, [0.6] * 3, [0.75] * 3)
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.6, 0.75))
    assert combine_seeds([0.7] * 30, [0.6] * 30, [0.75] * 30).low == pytest.approx(0.6)


def test_seeds_alone_give_students_interval() -> None:
    values = [0.70, 0.72, 0.77]
    found = combine_seeds(values, values, values)
    reach = 4.302653 * np.std(values, ddof=1) / math.sqrt(3)  # Student's t, 2 degrees of freedom
    assert (found.low, found.high) == pytest.approx((np.mean(values) - reach, np.mean(values) + reach))


def test_slides_and_seeds_add_up_side_by_side() -> None:
    values = [0.69, 0.71] * 10
    found = combine_seeds(values, [v - 0.05 for v in values], [v + 0.02 for v in values])
    between = np.var(values, ddof=1) / 20
    assert found.low is not None and found.high is not None
    assert 0.70 - found.low == pytest.approx(math.sqrt(0.05**2 + 1.96**2 * between), rel=1e-3)
    assert found.high - 0.70 == pytest.approx(math.sqrt(0.02**2 + 1.96**2 * between), rel=1e-2)


def test_more_seeds_narrow_the_seed_part_only() -> None:
    def width(seeds: int) -> float:
        values = [0.65, 0.75] * (seeds // 2)
        found = combine_seeds(values, [v - 0.01 for v in values], [v + 0.01 for v in values])
        assert found.low is not None and found.high is not None
        return found.high - found.low

    assert width(2) > width(4) > width(40) > 2 * 0.01


def test_combined_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(11)
    repeats = []
    for _ in range(400):
        shared = 0.02 * rng.standard_normal()  # what these slides do to every seed
        values = (TRUTH + shared + 0.02 * rng.standard_normal(3)).tolist()
        repeats.append(combine_seeds(values, [v - 1.96 * 0.02 for v in values], [v + 1.96 * 0.02 for v in values]))
    assert 0.92 <= covered(repeats, TRUTH) <= 0.99


def test_what_seeds_cannot_show_is_reported() -> None:
    undefined = combine_seeds([0.7, math.nan], [0.6, None], [0.8, None])
    assert math.isnan(undefined.value) and undefined.reason == "undefined for 1 of 2 seeds"
    open_ended = combine_seeds([0.7, 0.8], [0.6, None], [0.8, 0.9])
    assert open_ended.value == pytest.approx(0.75) and open_ended.low is None and "some of the seeds" in open_ended.reason
    single = combine_seeds([0.7], [0.6], [0.8])
    assert (single.low, single.high) == (0.6, 0.8) and "one seed" in single.reason
    with pytest.raises(ValueError, match="no seeds"):
        combine_seeds([], [], [])


def biased(first: float, second: float) -> Callable[[Rows, Rows], float]:
    """TRUTH with a bias of `first` / G + `second` / G^2 on the G slides of two patches each that are chosen."""

    def statistic(real: Rows, fake: Rows) -> float:
        slides = real.sum() / 2
        return float(TRUTH + first / slides + second / slides**2 + 1e-9 * np.flatnonzero(fake).sum())

    return statistic


@pytest.mark.parametrize(("first", "second"), [(3.0, 0.0), (3.0, -0.02)])
def test_extrapolation_removes_a_bias_of_first_and_second_order(first: float, second: float) -> None:
    groups = np.repeat(np.char.add("s", np.arange(100, 140).astype(str)), 2)
    found = group_extrapolation(biased(first, second), groups, groups, seed=0)
    assert biased(first, second)(np.ones(80, bool), np.ones(80, bool)) - TRUTH > 0.07
    assert found.value == pytest.approx(TRUTH, abs=1e-4)


def test_extrapolation_refuses_an_interval_where_the_second_order_rules() -> None:
    groups = np.repeat(np.char.add("s", np.arange(100, 140).astype(str)), 2)
    found = group_extrapolation(biased(3.0, -40.0), groups, groups, seed=0)
    assert found.low is None and found.high is None
    assert found.reason.startswith("underpowered") and "standard errors" in found.reason


def test_extrapolation_without_a_standard_error_is_refused_in_words() -> None:
    """A value that no block of slides changes, and half of them do: there is no error to divide by."""
    groups = np.repeat(np.char.add("s", np.arange(100, 140).astype(str)), 2)

    def stepped(real: Rows, fake: Rows) -> float:
        return 2.0 if real.mean() > 0.6 else 3.0

    found = group_extrapolation(stepped, groups, groups, seed=0)
    assert found.low is None and found.high is None and found.error == pytest.approx(0, abs=1e-9)
    assert found.reason.startswith("underpowered: half of the slides give another value")


@pytest.mark.parametrize("value", [0.0, 0.1, 5.3, -2.7e8])
def test_extrapolation_of_a_constant_is_that_constant(value: float) -> None:
    groups = np.repeat(np.char.add("s", np.arange(100, 133).astype(str)), 2)
    found = group_extrapolation(lambda real, fake: value, groups, groups, seed=0)
    assert (found.value, found.low, found.high) == (pytest.approx(value),) * 3 and not found.reason


def test_extrapolation_needs_ten_slides() -> None:
    for count, given in ((9, False), (10, True)):
        groups = np.repeat(np.char.add("s", np.arange(100, 100 + count).astype(str)), 2)
        values = np.random.default_rng(0).normal(size=len(groups))
        found = group_extrapolation(mean_of(values), groups, groups, seed=0)
        assert (found.low is not None) == given
        assert given or found.reason == "underpowered: 9 slides, an interval needs 10"


def test_extrapolated_intervals_hold_the_truth_where_plain_ones_never_do() -> None:
    """The squared length of a mean, whose bias is its variance: as a Fréchet distance in small."""
    rng, plain, extrapolated = np.random.default_rng(3), [], []
    for _ in range(120):
        owner = np.repeat(np.arange(30), 4)
        points = 0.15 + rng.normal(size=(30, 40))[owner] * 0.6 + rng.normal(size=(120, 40)) * 0.8
        groups = np.char.add("s", (100 + owner).astype(str))

        def squared(real: Rows, fake: Rows, points: Floats = points) -> float:
            return float((points[real].mean(axis=0) ** 2).sum())

        plain.append(group_jackknife(squared, groups, groups))
        extrapolated.append(group_extrapolation(squared, groups, groups, seed=0))
    truth = 40 * 0.15**2
    assert covered(plain, truth) < 0.7
    assert 0.89 <= covered(extrapolated, truth) <= 0.995
