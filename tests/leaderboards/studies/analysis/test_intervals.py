"""Intervals over readers and slides: closed forms, one reader, and what has none."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.stats import t

from leaderboards.studies.analysis import measures
from leaderboards.studies.analysis.intervals import Parts, ReaderEstimate, estimate, replicate, split_variance

YES = partial(measures.mean_score, scores=np.array([0.0, 1.0]))
SCORE = partial(measures.mean_score, scores=np.arange(1.0, 6.0))


def one_answer_each(values: np.ndarray, kinds: int) -> np.ndarray:
    """Counts (readers, slides, 1, answers) of one image of each slide."""
    return (values[:, :, None, None] == np.arange(kinds)).astype(float)


def measured(counts: np.ndarray, measure=YES, **more: float) -> ReaderEstimate:  # type: ignore[no-untyped-def]
    names = tuple(f"r{i}" for i in range(len(counts)))
    return estimate(counts, counts.sum(axis=(2, 3)).max(axis=0), names, measure, **more)


def test_one_reader_of_independent_images_has_the_interval_of_student() -> None:
    values = np.random.default_rng(0).integers(0, 5, (1, 30))
    found = measured(one_answer_each(values, 5), SCORE)
    half = t.ppf(0.975, 29) * values.std(ddof=1) / np.sqrt(30)
    assert found.bounds is None and found.these is not None and found.freedom == 29
    assert found.these.high - found.value == pytest.approx(half)
    assert "one reader" in found.reason


def test_readers_who_agree_in_everything_have_the_interval_of_one() -> None:
    values = np.random.default_rng(0).integers(0, 5, (1, 30))
    alone = measured(one_answer_each(values, 5), SCORE)
    three = measured(one_answer_each(np.repeat(values, 3, axis=0), 5), SCORE)
    assert three.bounds == pytest.approx(alone.these)


def test_readers_who_differ_widen_the_interval_and_fewer_of_them_widen_it_more() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=60)
    lenient = np.array([-1.0, 1.0, -0.5, 0.5, -0.8, 0.8])
    values = np.clip(np.round(seen + lenient[:, None]), -2, 2).astype(int) + 2
    six, two = measured(one_answer_each(values, 5), SCORE), measured(one_answer_each(values[:2], 5), SCORE)
    for found in (six, two):
        assert found.bounds and found.these and found.bounds.low < found.these.low and found.these.high < found.bounds.high
    assert six.bounds and two.bounds and six.bounds.high - six.bounds.low < two.bounds.high - two.bounds.low
    assert six.detectable and two.detectable and six.detectable < two.detectable


def test_shares_have_intervals_within_their_bounds() -> None:
    values = (np.random.default_rng(0).random((3, 20)) < 0.05).astype(int)
    found = measured(one_answer_each(values, 2), least=0.0, most=1.0)
    assert 0 < found.value < 0.1 and found.bounds and 0 < found.bounds.low < found.value < found.bounds.high < 1


def test_no_yes_at_all_has_the_interval_of_clopper_and_pearson_for_slides() -> None:
    found = measured(one_answer_each(np.zeros((3, 20), dtype=int), 2), least=0.0, most=1.0)
    assert found.bounds and found.bounds.low == 0 and found.bounds.high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_level_changes_the_interval() -> None:
    counts = one_answer_each(np.random.default_rng(0).integers(0, 5, (3, 30)), 5)
    wide, narrow = (measured(counts, SCORE, level=level).bounds for level in (0.95, 0.8))
    assert wide and narrow and wide.low < narrow.low < narrow.high < wide.high


def test_few_slides_and_answers_that_never_vary_have_no_interval() -> None:
    few = measured(one_answer_each(np.random.default_rng(0).integers(0, 5, (3, 4)), 5), SCORE)
    assert few.bounds is None and few.these is None and "an interval needs 5" in few.reason
    same = measured(one_answer_each(np.full((3, 20), 3), 5), SCORE, least=1.0, most=5.0)
    assert same.value == 4 and same.bounds is None and "the same without each slide" in same.reason


def test_slides_of_unequal_size_lower_the_degrees_of_freedom() -> None:
    counts = one_answer_each(np.random.default_rng(0).integers(0, 5, (1, 30)), 5)
    counts[:, 0] *= 10
    found = measured(counts, SCORE)
    assert found.freedom is not None and found.freedom < 15


def test_the_quantile_lies_between_the_two_usual_ones_and_nearer_to_that_of_satterthwaite_with_more_readers() -> None:
    shares = []
    for readers in (2, 3, 10):
        parts = Parts(2.0, 1.0, readers - 1, 19)
        joint = t.ppf(0.975, 9 / (4 / (readers - 1) + 1 / 19))
        mixed = (2 * t.ppf(0.975, readers - 1) + t.ppf(0.975, 19)) / 3
        shares.append((parts.quantile(0.975) - joint) / (mixed - joint))
    assert shares == pytest.approx([1 / 2, 1 / 3, 1 / 10])
    assert Parts(0.0, 1.0, 1.0, 19).quantile(0.975) == pytest.approx(t.ppf(0.975, 19)), "one reader: that of Student"


def test_replicates_have_the_variance_of_slides_and_that_of_readers() -> None:
    counts = one_answer_each(np.random.default_rng(0).integers(0, 5, (3, 30)), 5)
    found = np.array(replicate(counts, SCORE))
    slides = counts.sum(axis=(0, 2)) @ np.arange(1.0, 6.0) / 3
    readers = counts.sum(axis=(1, 2)) @ np.arange(1.0, 6.0) / 30
    assert len(found) == 33 and found.mean() == pytest.approx(readers.mean())
    assert 32 / 33 * np.square(found - found.mean()).sum() == pytest.approx(slides.var(ddof=1) / 30 + readers.var(ddof=1) / 3)
    assert split_variance(readers, np.eye(3), 29).readers == pytest.approx(readers.var(ddof=1) / 3)
    assert replicate(counts[:, :4], SCORE) == (), "too few slides"


def test_measures_of_counts() -> None:
    counts = np.array([[[8.0, 2.0], [3.0, 7.0]]])  # 8 of 10 real called real, 7 of 10 generated called generated
    assert measures.accuracy(counts) == pytest.approx(0.75) == measures.plain_accuracy(counts)
    # (2 + 0.5) / 11 and (7 + 0.5) / 11
    assert measures.d_prime(counts) == pytest.approx(0.472789 + 0.747859, abs=1e-5)
    all_right = np.array([[[10.0, 0.0], [0.0, 10.0]]])
    assert np.isfinite(measures.d_prime(all_right)).all()
    scores = np.array([[[2.0, 1.0, 1.0], [1.0, 1.0, 2.0]]])
    from sklearn.metrics import roc_auc_score

    expected = roc_auc_score([0] * 4 + [1] * 4, [0, 0, 1, 2, 0, 1, 2, 2])
    assert measures.superiority(scores) == pytest.approx(expected)
    unequal = np.array([[[18.0, 2.0], [5.0, 5.0]]])
    assert measures.accuracy(unequal) == pytest.approx(0.7) and measures.plain_accuracy(unequal) == pytest.approx(23 / 30)
