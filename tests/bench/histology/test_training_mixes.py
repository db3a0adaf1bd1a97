"""Which patches a training mix serves: whole sets, nested shares that never meet, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import MissingError, UsageError
from bench.histology.training_mixes import BOTH, REAL, SYNTHETIC, training_sets
from bench.types import Conditions, ImageSet, TrainingMix


def patches(key: str, count: int, prefix: str = "patch") -> ImageSet:
    ids = np.array([f"{prefix}-{i}" for i in range(count)])
    images = np.zeros((count, 16, 16, 3), np.uint8)
    return ImageSet(key, images, Conditions(ids, ids, ("normal", "tumour"), 16, 1.0))


def training(real_share: float, synthetic_share: float, count: int = 101) -> list[set[str]]:
    sets = training_sets(
        TrainingMix("mixed", real_share, synthetic_share), patches("real", count), patches("generated", count)
    )
    return [set(part.conditions.ids.tolist()) for part in sets]


def test_the_three_mixes_serve_whole_sets() -> None:
    real, generated = patches("real", 10), patches("generated", 10)
    assert training_sets(REAL, real, None) == [real]
    assert training_sets(SYNTHETIC, real, generated) == [generated]
    assert training_sets(BOTH, real, generated) == [real, generated]


@pytest.mark.parametrize(("real", "synthetic"), [(0.25, 0.75), (0.5, 0.5), (0.1, 0.9), (0.9, 0.1), (0.3, 0.2)])
def test_shares_that_fit_into_one_never_show_a_condition_twice(real: float, synthetic: float) -> None:
    for count in (11, 20, 101):
        ours, theirs = training(real, synthetic, count)
        assert not ours & theirs
        assert (len(ours), len(theirs)) == (int(round(real * count, 6)), int(round(synthetic * count, 6)))


def test_shares_above_one_meet_only_in_the_excess() -> None:
    ours, theirs = training(0.75, 0.5, 100)
    assert len(ours & theirs) == 25


def test_a_larger_share_holds_the_smaller_one() -> None:
    smaller, larger = training(0.2, 0.2), training(0.4, 0.6)
    assert smaller[0] < larger[0] and smaller[1] < larger[1]


def test_rows_keep_their_order_and_the_order_of_the_set_changes_nothing() -> None:
    real = patches("real", 50)
    (part,) = training_sets(TrainingMix("half", 0.5, 0), real, None)
    rows = [int(name.removeprefix("patch-")) for name in part.conditions.ids.tolist()]
    assert rows == sorted(rows) and rows != list(range(25))
    (again,) = training_sets(TrainingMix("half", 0.5, 0), real[np.arange(50)[::-1]], None)
    assert set(again.conditions.ids.tolist()) == set(part.conditions.ids.tolist())


def test_an_impossible_mix_is_refused() -> None:
    real, generated = patches("real", 10), patches("generated", 10)
    with pytest.raises(MissingError, match="needs generated patches"):
        training_sets(BOTH, real, None)
    with pytest.raises(MissingError, match="real share 0.05 of 10 patches is not one patch"):
        training_sets(TrainingMix("crumbs", 0.05, 0), real, generated)
    with pytest.raises(UsageError, match="20 are in one set only"):
        training_sets(TrainingMix("mixed", 0.5, 0.5), real, patches("generated", 10, "stranger"))
    for shares in ((0, 0), (1.5, 0), (-0.1, 1)):
        with pytest.raises(UsageError, match="shares are in"):
            training_sets(TrainingMix("odd", *shares), real, generated)


def varied(key: str, count: int) -> ImageSet:
    """Patches that can be told apart by their level."""
    part = patches(key, count)
    return ImageSet(
        key, np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 16, 16, 3)), part.conditions
    )


def level(part: ImageSet) -> list[int]:
    return [int(image[0, 0, 0]) for image in part.images]


def test_shuffled_generated_sets_keep_their_maps_and_lose_their_images() -> None:
    generated = varied("generated", 20)
    (training,) = training_sets(TrainingMix("wrong", 0, 1, "shuffled"), varied("real", 20), generated)
    assert training.conditions is generated.conditions and training.key != generated.key
    assert sorted(level(training)) == sorted(level(generated))
    assert all(mine != theirs for mine, theirs in zip(level(training), level(generated), strict=True))


def test_copies_are_the_real_share_again_as_many_as_the_synthetic_share() -> None:
    real = varied("real", 20)
    share, copies = training_sets(TrainingMix("more", 0.25, 0.75, "copied"), real, None)
    assert (len(share), len(copies)) == (5, 15)
    assert level(copies) == level(share) * 3
    assert len(set(copies.conditions.ids.tolist())) == 15


def test_augmented_views_are_of_the_real_share_and_as_many() -> None:
    real = patches("real", 20)
    noise = np.random.default_rng(0).integers(0, 256, real.images.shape, np.uint8)
    real = ImageSet("real", noise, real.conditions)
    share, views = training_sets(TrainingMix("more", 0.25, 0.5, "augmented"), real, None)
    assert (len(share), len(views)) == (5, 10)
    assert {name.partition("#")[0] for name in views.conditions.ids.tolist()} == set(share.conditions.ids.tolist())
    assert views.key != share.key and not np.array_equal(views.images[:5], share.images)


@pytest.mark.parametrize("synthetic_source", ["copied", "augmented"])
def test_there_is_nothing_to_copy_without_a_real_share(synthetic_source: str) -> None:
    with pytest.raises(UsageError, match="give it a real share"):
        training_sets(TrainingMix("none", 0, 1, synthetic_source), patches("real", 10), None)  # type: ignore[arg-type]
