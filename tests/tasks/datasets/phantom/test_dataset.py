"""Phantom tissue: exact maps, slides that never leak, variety between slides."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.errors import UsageError
from bench.histology.stain import optical_density
from bench.types import ImageSet
from tasks.datasets.phantom.dataset import LARGEST, SMALLEST, PhantomCam16, PhantomLizard, PhantomPanda

VARIANTS = [PhantomCam16, PhantomPanda, PhantomLizard]


def small(variant=PhantomCam16, **options: int):
    return variant(**{"train_slides": 6, "validation_slides": 2, "test_slides": 3, "per_slide": 4, **options})


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_and_ranges(variant: type) -> None:
    patches = small(variant).split("train")
    conditions = patches.conditions
    assert patches.images.shape == (24, 64, 64, 3) and patches.images.dtype == np.uint8
    assert conditions.masks.dtype == np.uint8 and conditions.masks.max() < len(conditions.classes)
    assert conditions.instances.dtype == np.int32 and conditions.types.dtype == np.uint8
    assert ((conditions.instances > 0) == (conditions.types > 0)).all()
    assert len(set(conditions.ids.tolist())) == 24
    assert conditions.columns() == variant.provides


@pytest.mark.parametrize("variant", [PhantomCam16, PhantomPanda])
def test_shares_of_classes_lie_within_the_papers_bounds(variant: type) -> None:
    patches = small(variant).split("train")
    for mask in patches.conditions.masks:
        shares = np.bincount(mask.ravel()) / mask.size
        present = shares[shares > 0]
        assert len(present) >= 2
        assert present.min() > SMALLEST - 0.01 and present.max() < LARGEST + 0.01


def test_every_instance_has_one_type() -> None:
    patches = small(PhantomLizard).split("train")
    for instances, types in zip(patches.conditions.instances, patches.conditions.types, strict=True):
        for number in np.unique(instances[instances > 0]):
            assert len(np.unique(types[instances == number])) == 1


def test_splits_share_no_slide_and_holdout_shows_other_slides_of_the_laboratories_of_test() -> None:
    data = small()
    groups = {name: set(data.split(name).conditions.groups.tolist()) for name in ("train", "validation", "test", "holdout")}
    assert not groups["train"] & groups["test"] and not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]
    assert len(groups["holdout"]) == len(groups["test"])
    assert not groups["holdout"] & set.union(*(groups[name] for name in ("train", "validation", "test")))
    test, holdout = data.split("test"), data.split("holdout")
    assert not any((image == other).all() for image in test.images for other in holdout.images)


def test_held_out_slides_are_stained_as_the_test_slides_are() -> None:
    """By one laboratory: training slides, each of a laboratory of its own, differ more in colour."""
    data = PhantomCam16(size=32, train_slides=24, validation_slides=1, test_slides=24, per_slide=2, test_laboratories=1)
    test, holdout, train = (data.split(name).images.mean(axis=(1, 2)) for name in ("test", "holdout", "train"))
    assert train.std(axis=0).mean() > 1.2 * holdout.std(axis=0).mean()
    assert np.abs(test.mean(axis=0) - holdout.mean(axis=0)).max() < 3 * holdout.std(axis=0).max() / math.sqrt(12)
    assert data.sampling.population == "other slides of the same laboratory"


def test_same_options_same_bytes_and_every_option_changes_them() -> None:
    first = small().split("train")
    assert np.array_equal(first.images, small().split("train").images)
    for option in ({"seed": 1}, {"size": 32}, {"train_slides": 5}, {"per_slide": 3}):
        other = small(**option).split("train")
        assert other.key != first.key
        assert other.images.shape != first.images.shape or not np.array_equal(other.images, first.images)
    assert small(validation_slides=1).split("validation").images.shape[0] == 4
    assert small(test_slides=2).split("test").images.shape[0] == 8


def test_more_slides_do_not_change_the_first_ones() -> None:
    few, many = small(train_slides=2).split("train"), small(train_slides=6).split("train")
    assert np.array_equal(few.images, many.images[:8])


def test_slides_differ_more_than_patches_of_a_slide() -> None:
    patches = PhantomCam16(train_slides=20, per_slide=6).split("train")
    density = optical_density(patches.images).mean(axis=(1, 2)).reshape(20, 6, 3)
    assert density.mean(axis=1).var(axis=0).min() > 3 * density.var(axis=1).mean(axis=0).max()


def test_nuclei_are_darker_than_their_surroundings() -> None:
    patches = small().split("train")
    red = optical_density(patches.images)[..., 0]
    inside = patches.conditions.instances > 0
    assert red[inside].mean() > 2 * red[~inside].mean()


def test_tumour_nuclei_are_larger_than_lymphocytes() -> None:
    patches = small(train_slides=10).split("train")

    def mean_area(value: int) -> float:
        found = [
            np.bincount(i[t == value])[1:] for i, t in zip(patches.conditions.instances, patches.conditions.types, strict=True)
        ]
        areas = np.concatenate(found)
        return float(areas[areas > 0].mean())

    assert mean_area(2) > 2 * mean_area(3)


def test_rare_types_are_rare_in_the_colon() -> None:
    types = PhantomLizard(train_slides=20, per_slide=4).split("train").conditions.types
    pixels = np.bincount(types.ravel(), minlength=7)
    assert (pixels[1:] > 0).all()
    assert pixels[1] < pixels[3] / 4 and pixels[5] < pixels[3] / 4


def test_pools_are_the_first_slides_of_training_and_slides_of_their_own() -> None:
    data = small(PhantomLizard, size=32, pool_slides=3)
    train, first, own = (data.split(name) for name in ("train", "R1", "R2"))
    assert data.pools == ("R1", "R2") and len(first) == len(own) == 3 * 4
    assert first.conditions.ids.tolist() == train.conditions.ids[:12].tolist()
    assert np.array_equal(first.images, train.images[:12]) and len({train.key, first.key, own.key}) == 3
    for name in ("train", "validation", "test"):
        assert not set(own.conditions.groups.tolist()) & set(data.split(name).conditions.groups.tolist())
    assert len(small(PhantomLizard, size=32, pool_slides=9).split("R1")) == len(train)
    assert len(PhantomLizard(size=32, per_slide=1).split("R2")) == 20
    with pytest.raises(UsageError, match="at least one slide, not 0"):
        PhantomLizard(pool_slides=0)
    with pytest.raises(UsageError, match="train, validation, test, holdout; asked for 'R2'"):
        small(PhantomCam16).split("R2")


def test_keys_of_the_splits_that_weights_were_shipped_for_do_not_change() -> None:
    assert PhantomLizard().key("train") == "015562c2adf9e585"


@pytest.mark.parametrize("option", [{"size": 30}, {"size": 65}, {"train_slides": 0}, {"per_slide": 0}])
def test_impossible_options_are_refused(option: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        small(**option)


def test_unknown_split_is_refused() -> None:
    with pytest.raises(UsageError, match="train, validation, test, holdout"):
        small().split("tset")


def test_rows_are_chosen_in_the_order_of_the_index() -> None:
    patches = small().split("train")
    part: ImageSet = patches[[5, 1]]
    assert part.conditions.ids.tolist() == [patches.conditions.ids[5], patches.conditions.ids[1]]
    assert np.array_equal(part.images[1], patches.images[1])
    assert part.key != patches.key and part.key != patches[[1, 5]].key
