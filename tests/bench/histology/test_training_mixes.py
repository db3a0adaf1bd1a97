"""Which patches a diet serves: whole sets, nested shares that never meet, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import MissingError, UsageError
from bench.histology.training_mixes import BOTH, REAL, SYNTHETIC, training_sets
from bench.types import Conditions, Diet, ImageSet


def patches(key: str, count: int, prefix: str = "patch") -> ImageSet:
    ids = np.array([f"{prefix}-{i}" for i in range(count)])
    images = np.zeros((count, 16, 16, 3), np.uint8)
    return ImageSet(key, images, Conditions(ids, ids, ("normal", "tumour"), 16, 1.0))


def served(real_share: float, synthetic_share: float, count: int = 101) -> list[set[str]]:
    sets = training_sets(Diet("mixed", real_share, synthetic_share), patches("real", count), patches("painted", count))
    return [set(part.conditions.ids.tolist()) for part in sets]


def test_the_three_diets_serve_whole_sets() -> None:
    real, painted = patches("real", 10), patches("painted", 10)
    assert training_sets(REAL, real, None) == [real]
    assert training_sets(SYNTHETIC, real, painted) == [painted]
    assert training_sets(BOTH, real, painted) == [real, painted]


@pytest.mark.parametrize(("real", "synthetic"), [(0.25, 0.75), (0.5, 0.5), (0.1, 0.9), (0.9, 0.1), (0.3, 0.2)])
def test_shares_that_fit_into_one_never_show_a_condition_twice(real: float, synthetic: float) -> None:
    for count in (11, 20, 101):
        ours, theirs = served(real, synthetic, count)
        assert not ours & theirs
        assert (len(ours), len(theirs)) == (int(round(real * count, 6)), int(round(synthetic * count, 6)))


def test_shares_above_one_meet_only_in_the_excess() -> None:
    ours, theirs = served(0.75, 0.5, 100)
    assert len(ours & theirs) == 25


def test_a_larger_share_holds_the_smaller_one() -> None:
    smaller, larger = served(0.2, 0.2), served(0.4, 0.6)
    assert smaller[0] < larger[0] and smaller[1] < larger[1]


def test_rows_keep_their_order_and_the_order_of_the_set_changes_nothing() -> None:
    real = patches("real", 50)
    (part,) = training_sets(Diet("half", 0.5, 0), real, None)
    rows = [int(name.removeprefix("patch-")) for name in part.conditions.ids.tolist()]
    assert rows == sorted(rows) and rows != list(range(25))
    (again,) = training_sets(Diet("half", 0.5, 0), real[np.arange(50)[::-1]], None)
    assert set(again.conditions.ids.tolist()) == set(part.conditions.ids.tolist())


def test_what_cannot_be_served_is_refused() -> None:
    real, painted = patches("real", 10), patches("painted", 10)
    with pytest.raises(MissingError, match="needs painted patches"):
        training_sets(BOTH, real, None)
    with pytest.raises(MissingError, match="real share 0.05 of 10 patches is not one patch"):
        training_sets(Diet("crumbs", 0.05, 0), real, painted)
    with pytest.raises(UsageError, match="20 stand on one side only"):
        training_sets(Diet("mixed", 0.5, 0.5), real, patches("painted", 10, "stranger"))
    for shares in ((0, 0), (1.5, 0), (-0.1, 1)):
        with pytest.raises(UsageError, match="shares are in"):
            training_sets(Diet("odd", *shares), real, painted)


def varied(key: str, count: int) -> ImageSet:
    """Patches that can be told apart by their level."""
    part = patches(key, count)
    return ImageSet(
        key, np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 16, 16, 3)), part.conditions
    )


def level(part: ImageSet) -> list[int]:
    return [int(image[0, 0, 0]) for image in part.images]


def test_shuffled_paintings_keep_their_maps_and_lose_their_images() -> None:
    painted = varied("painted", 20)
    (served,) = training_sets(Diet("wrong", 0, 1, "shuffled"), varied("real", 20), painted)
    assert served.conditions is painted.conditions and served.key != painted.key
    assert sorted(level(served)) == sorted(level(painted))
    assert all(mine != theirs for mine, theirs in zip(level(served), level(painted), strict=True))


def test_copies_are_the_real_share_again_as_many_as_the_synthetic_share() -> None:
    real = varied("real", 20)
    share, copies = training_sets(Diet("more", 0.25, 0.75, "copied"), real, None)
    assert (len(share), len(copies)) == (5, 15)
    assert level(copies) == level(share) * 3
    assert len(set(copies.conditions.ids.tolist())) == 15


def test_augmented_views_are_of_the_real_share_and_as_many() -> None:
    real = patches("real", 20)
    noise = np.random.default_rng(0).integers(0, 256, real.images.shape, np.uint8)
    real = ImageSet("real", noise, real.conditions)
    share, views = training_sets(Diet("more", 0.25, 0.5, "augmented"), real, None)
    assert (len(share), len(views)) == (5, 10)
    assert {name.partition("#")[0] for name in views.conditions.ids.tolist()} == set(share.conditions.ids.tolist())
    assert views.key != share.key and not np.array_equal(views.images[:5], share.images)


@pytest.mark.parametrize("filling", ["copied", "augmented"])
def test_there_is_nothing_to_copy_without_a_real_share(filling: str) -> None:
    with pytest.raises(UsageError, match="give it a real share"):
        training_sets(Diet("none", 0, 1, filling), patches("real", 10), None)  # type: ignore[arg-type]
