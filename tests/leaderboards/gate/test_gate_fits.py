"""The gate on records of several fits: the same weights, and the same method."""

from __future__ import annotations

from dataclasses import replace

from bench.results.schema import ResultRecord
from leaderboards.gate.gate import measured
from tests.leaderboards.gate.test_gate import LOOSE, only
from tests.leaderboards.runs import run


def test_the_page_of_fits_shows_few_alarms_between_fits_of_one_method_and_many_without_knowing_them() -> None:
    from benchmarks import fits_simulation
    from benchmarks.fits import STUDY

    kept = STUDY.held()
    assert set(kept) == set(fits_simulation.settings())
    for setting, found in kept.items():
        if setting.mode == "same-method":
            assert found.alarms / setting.trials <= 0.05, setting
            assert setting.fits != 3 or setting.worse or setting.trials >= 1000
            assert found.differences / setting.trials <= 0.06, setting
        elif setting.spread == "large":
            assert found.alarms / setting.trials > 0.1, "one fit a side: what the gate found before it knew of fits"


def with_fits(records: list[ResultRecord], *seeds: int, weights: str = "") -> list[ResultRecord]:
    """The records once for each fit, shifted a little by it."""
    return [
        replace(
            record,
            value=(record.value or 0) + 0.001 * seed,
            replicates=tuple(x + 0.001 * seed for x in record.replicates),
            fit={"origin": "trained", "seed": str(seed), "weights": f"{weights}{seed}"},
            keys={"method": "r"},
        )
        for seed in seeds
        for record in records
    ]


def test_a_fit_that_the_candidate_lacks_is_broken_and_other_fits_are_not_comparable() -> None:
    both = with_fits(run(), 0, 1)
    assert measured(both, both, LOOSE).verdict == "pass"
    assert only(measured(both, with_fits(run(), 0), LOOSE)).reason == "the candidate lacks the fit trained 1"
    other = measured(both, with_fits(run(), 2, 3), LOOSE)
    assert other.verdict == "not-comparable" and "The mode same-method compares methods" in other.gate_results[0].reason


def test_a_repeated_training_that_gave_other_weights_is_never_a_regression_of_the_same_weights() -> None:
    before, after = with_fits(run(), 0), with_fits(run(worse=0.1, noise="again"), 0, weights="other ")
    found = measured(before, after, LOOSE)
    assert found.verdict == "inconclusive" and "gave other weights" in found.gate_results[0].reason
    same = [replace(record, fit={**record.fit, "weights": "0"}) for record in after]
    assert measured(before, same, LOOSE).verdict == "regress", "of the same weights it is one"


def test_a_method_that_is_worse_in_all_its_fits_regresses() -> None:
    method = replace(LOOSE, mode="same-method")
    before, after = with_fits(run(), 0, 1, 2), with_fits(run(worse=0.1, noise="again"), 3, 4, 5)
    assert measured(before, after, method).verdict == "regress"
    assert measured(before, with_fits(run(noise="again"), 3, 4, 5), method).verdict == "pass"
    one = measured(with_fits(run(), 0), with_fits(run(worse=0.1, noise="again"), 3), method)
    assert one.exit_code == 6 and one.tested == 0 and "2 are needed" in one.gate_results[0].reason
    assert measured(run(), run(worse=0.1, noise="again"), method).verdict == "regress", "what is not trained has no fits"
