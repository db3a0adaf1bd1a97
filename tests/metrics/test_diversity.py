"""Diversity of features whose spread is known: none, that of real patches, and that of other conditions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.errors import UsageError
from bench.statistics import Estimate, group_bootstrap
from bench.types import Conditions, Features
from metrics.diversity import COLUMNS, OTHERS, SAME, Diversity, spread

SLIDES, PER_SLIDE, WIDTH = 8, 6, 12


def conditions(slides: int = SLIDES, per_slide: int = PER_SLIDE) -> Conditions:
    """Maps of two classes in shares that every slide has alike."""
    n = slides * per_slide
    masks = np.zeros((n, 16, 16), np.uint8)
    for i in range(n):
        masks[i, : 2 + i % per_slide] = 1
    ids = np.array([f"p{i:03d}" for i in range(n)])
    return Conditions(ids, np.array([f"s{i // per_slide}" for i in range(n)]), ("normal", "tumour"), 16, 0.5, masks=masks)


def features(asked: Conditions, seed: int, within: float = 0.05, between: float = 0.3) -> Features:
    """A mean of each slide, and noise around it."""
    rng = np.random.default_rng(0)
    means = {name: rng.normal(3, between, WIDTH) for name in np.unique(asked.groups)}
    noise = np.random.default_rng(seed).normal(0, within, (len(asked), WIDTH))
    return np.asarray(np.array([means[name] for name in asked.groups]) + noise, dtype=np.float32)


def measured(made: np.ndarray, asked: Conditions, shown: Conditions | None = None, **options: int) -> dict[str, Estimate]:
    shown = asked if shown is None else shown
    tally = Diversity(**options).tally_repeats(made, asked, features(shown, 1), shown)
    assert tally.columns == COLUMNS
    return group_bootstrap(tally, asked.units, seed=0)


def repeated(asked: Conditions, images: int = 4, **spreads: float) -> np.ndarray:
    return np.stack([features(asked, 10 + k, **spreads) for k in range(images)])


def test_ignored_seeds_give_0() -> None:
    asked = conditions()
    found = measured(np.stack([features(asked, 10)] * 3), asked)
    for one in found.values():
        assert (one.value, one.low, one.high) == (0, 0, 0)
    rounded = np.stack([features(asked, 10), features(asked, 10) * (1 + 1e-7)]).astype(np.float32)
    assert measured(rounded, asked)[SAME].value == 0, "what a batch may change is no variety"


def test_the_spread_of_real_patches_gives_1_and_twice_the_deviation_4() -> None:
    asked = conditions()
    found = measured(repeated(asked), asked)[SAME]
    assert found.value == pytest.approx(1, abs=0.2) and found.low is not None and found.high is not None
    assert found.low < 1 < found.high
    assert measured(repeated(asked, within=0.1), asked)[SAME].value == pytest.approx(4, rel=0.25)
    assert measured(repeated(asked), asked)[OTHERS].value < 0.2, "other slides are more varied than one"


def test_a_generator_that_guesses_the_slide_is_as_varied_as_other_slides() -> None:
    asked = conditions()
    rng = np.random.default_rng(3)
    guessed = np.stack([features(asked, 20 + k)[rng.permutation(len(asked))] for k in range(6)])
    found = measured(guessed, asked, images=6)
    assert found[OTHERS].value == pytest.approx(1, abs=0.3) and found[SAME].value > 5


def test_real_patches_are_those_with_the_nearest_shares_of_classes() -> None:
    """Patches of the other half of shares have features of their own: they count only once `like` reaches them."""
    asked = conditions()
    real = features(asked, 1)
    real[np.arange(len(real)) % PER_SLIDE >= 3] *= np.linspace(1, 3, WIDTH, dtype=np.float32)
    made = repeated(asked)[:, ::PER_SLIDE]
    counts = {k: Diversity(like=k).tally_repeats(made, asked[::PER_SLIDE], real, asked).counts for k in (3, 6)}
    assert counts[6][:, 1].mean() > 10 * counts[3][:, 1].mean()
    assert np.array_equal(counts[6][:, 0], counts[3][:, 0])
    others = [Diversity(like=k).tally_repeats(made, asked[::PER_SLIDE], real, asked).counts[:, 3] for k in (3, 6)]
    assert others[0].mean() == pytest.approx(others[1].mean(), rel=0.3), "every slide has a patch of these shares"


def test_patches_that_share_pixels_are_not_compared() -> None:
    asked = conditions(per_slide=2)
    near = replace(asked, origins=asked.groups, corners=np.tile([[0, 0], [8, 0]], (SLIDES, 1)).astype(np.int64))
    found = measured(repeated(near), near)
    assert np.isnan(found[SAME].value) and "share no pixel" in found[SAME].reason
    assert found[OTHERS].value > 0


def test_one_slide_has_no_interval_and_no_other_slides() -> None:
    asked = conditions(slides=1)
    found = measured(repeated(asked), asked)
    assert found[SAME].value > 0 and found[SAME].low is None and "1 slide" in found[SAME].reason
    assert np.isnan(found[OTHERS].value) and "other slides" in found[OTHERS].reason


def test_maps_that_nobody_annotated_are_like_none() -> None:
    asked = conditions()
    assert asked.masks is not None
    masks = asked.masks.copy()
    masks[:PER_SLIDE] = 255
    found = Diversity().tally_repeats(repeated(asked), asked, features(asked, 1), replace(asked, masks=masks))
    assert not found.counts[:PER_SLIDE, :2].any() and found.counts[PER_SLIDE:, 1].all()
    hidden = Diversity().tally_repeats(repeated(asked), replace(asked, masks=masks), features(asked, 1), asked)
    assert not hidden.counts[:PER_SLIDE].any() and hidden.counts[PER_SLIDE:].all()


def test_spread_is_the_mean_cosine_distance_of_pairs() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 7))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (rows @ rows.T)[np.triu_indices(5, 1)]
    assert spread(rows) == pytest.approx(1 - cosines.mean())


@pytest.mark.parametrize(("option", "value"), [("images", 1), ("like", 1), ("patches", -1)])
def test_options_without_a_spread_are_refused(option: str, value: int) -> None:
    with pytest.raises(UsageError, match=option):
        Diversity(**{option: value})
