"""Corruptions do to the target patches what their names say, the more the stronger."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts import check_generator, mock
from bench.errors import UsageError
from bench.types import Generator, Images, ImageSet, IsCorruption, image_seeds, silent
from generators.corruptions.pixels import find_nuclei
from tasks.datasets.phantom.dataset import PhantomCam16
from tests.generators.test_controls import source_rows

PIXELS = ("jpeg", "blur", "stain-shift", "gaussian-noise", "nuclei-removed")
PATCHES = ("class-swapped", "crop-pasted", "memorized-share", "mode-dropped")


@pytest.fixture(scope="module")
def tissue() -> ImageSet:
    """24 phantom patches of 6 slides."""
    return PhantomCam16(test_slides=6, per_slide=4, test_laboratories=2).split("test")


@pytest.fixture(scope="module")
def joined() -> ImageSet:
    """12 mock patches, of which those of the first slide are training patches."""
    patches = mock(32)
    splits = np.where(patches.conditions.groups == patches.conditions.groups[0], "train", "test")
    return replace(patches, conditions=replace(patches.conditions, splits=splits))


def generate(name: str, patches: ImageSet, *strength: float, seed: int = 0) -> tuple[Images, Generator]:
    """The images of one strength, or of the default one, and the fitted generator."""
    control = registry.load("generators", ":".join([name, *(f"{value:g}" for value in strength)]))
    control.fit(patches, seed, silent, Path("unused"))
    return control.generate(patches.conditions, image_seeds(0, patches.conditions.ids)), control


@pytest.mark.parametrize("name", [*PIXELS, *PATCHES, "unchanged"])
def test_contract(name: str) -> None:
    outcomes = check_generator(partial(registry.load, "generators", name), name, 32)
    assert [outcome for outcome in outcomes if outcome.status == "failed"] == []


@pytest.mark.parametrize("name", PIXELS)
def test_every_patch_is_farther_from_its_target_at_every_stronger_strength(name: str, tissue: ImageSet) -> None:
    cls = registry.find("generators", name)[0]
    assert isinstance(cls, IsCorruption)
    errors = [np.abs(generate(name, tissue, s)[0].astype(float) - tissue.images).mean() for s in cls.strengths]
    assert errors[0] > 0 and (np.diff(errors) > 0).all(), errors


@pytest.mark.parametrize("name", ["stain-shift", "gaussian-noise", "nuclei-removed", *PATCHES])
def test_nothing_changes_at_strength_0(name: str, joined: ImageSet) -> None:
    cls = registry.find("generators", name)[0]
    assert cls.unchanged == 0 and np.array_equal(generate(name, joined, 0)[0], joined.images)
    assert not np.array_equal(generate(name, joined, 0.5)[0], joined.images)


def test_unchanged_is_the_target(joined: ImageSet) -> None:
    assert np.array_equal(generate("unchanged", joined)[0], joined.images)


def test_removed_nuclei_are_not_found_again_and_the_rest_of_the_patch_stays(tissue: ImageSet) -> None:
    images = generate("nuclei-removed", tissue, 1)[0]
    for before, after in zip(tissue.images, images, strict=True):
        nuclei = find_nuclei(before)[0] > 0
        assert nuclei.any() and np.array_equal(after[~nuclei], before[~nuclei])
        assert after[nuclei].mean() > before[nuclei].mean(), "what surrounds a nucleus is paler"


def test_removed_at_one_strength_is_removed_at_every_stronger_one(tissue: ImageSet) -> None:
    few, many = (generate("nuclei-removed", tissue, share)[0] for share in (0.3, 0.7))
    removed = (few != tissue.images).any(axis=-1)
    assert removed.any() and np.array_equal(few[removed], many[removed])


def test_class_swapped_changes_maps_and_not_the_images_of_a_slide(tissue: ImageSet) -> None:
    images, _ = generate("class-swapped", tissue, 1)
    rows = np.array(source_rows(images, tissue))
    shown, asked = tissue.conditions.masks[rows], tissue.conditions.masks  # type: ignore[index]
    assert np.array_equal(np.sort(rows), np.arange(len(tissue))), "as a set the images are the same"
    assert (tissue.conditions.groups[rows] == tissue.conditions.groups).all()
    assert np.mean(shown != asked) > 0.4
    half = source_rows(generate("class-swapped", tissue, 0.5)[0], tissue)
    assert 0 < sum(row != i for i, row in enumerate(half)) <= len(tissue) / 2


def test_memorized_patches_are_training_patches_and_exactly_the_asked_share(joined: ImageSet) -> None:
    is_test = joined.conditions.splits == "test"
    for share, count in ((0.25, 2), (0.5, 4), (1.0, 8)):
        images, _ = generate("memorized-share", joined, share)
        rows = np.array(source_rows(images, joined))
        replaced = rows != np.arange(len(rows))
        assert replaced[is_test].sum() == count
        assert (joined.conditions.splits[rows[replaced]] == "train").all()  # type: ignore[index]


def test_another_fit_seed_replaces_other_patches(joined: ImageSet) -> None:
    first, second = (generate("memorized-share", joined, 0.25, seed=seed)[0] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_dropped_slides_are_never_shown_and_maps_agree_best(tissue: ImageSet) -> None:
    images, _ = generate("mode-dropped", tissue, 0.5)
    groups, rows = tissue.conditions.groups, np.array(source_rows(images, tissue))
    kept = rows == np.arange(len(rows))
    assert len(set(groups[kept].tolist())) == 3 and set(groups[rows].tolist()) == set(groups[kept].tolist())
    masks = tissue.conditions.masks
    assert masks is not None
    others = np.flatnonzero(kept)
    for row in np.flatnonzero(~kept):
        chosen, usual = np.mean(masks[rows[row]] != masks[row]), np.mean(masks[others] != masks[row])
        assert chosen < usual


def test_crops_are_pasted_in_the_asked_share_of_patches_where_there_is_a_crop(joined: ImageSet) -> None:
    prompts, masks = joined.conditions.prompts, joined.conditions.masks
    assert prompts is not None and masks is not None
    prompts.sources[:, 0] = ""
    images, _ = generate("crop-pasted", joined, 0.5)
    changed = (images != joined.images).any(axis=-1)
    assert (changed.any(axis=(1, 2)).sum(), changed[masks == 0].any()) == (6, False)
    tiles = registry.load("generators", "crop-paste").generate(joined.conditions, image_seeds(0, joined.conditions.ids))
    assert np.array_equal(images[changed], tiles[changed])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("jpeg", 0), ("stain-shift", -1), ("gaussian-noise", 300), ("nuclei-removed", 2), ("mode-dropped", -0.1)],
)
def test_strengths_outside_their_range_are_refused(name: str, wrong: float, joined: ImageSet) -> None:
    with pytest.raises(UsageError, match=name):
        generate(name, joined, wrong)


def test_noise_follows_the_seed_of_the_image(joined: ImageSet) -> None:
    _, control = generate("gaussian-noise", joined, 8)
    ids = joined.conditions.ids
    first, second = (control.generate(joined.conditions, image_seeds(seed, ids)) for seed in (0, 1))
    assert not np.array_equal(first, second)
    inner = (joined.images > 60) & (joined.images < 195)
    assert (first.astype(float) - joined.images)[inner].std() == pytest.approx(8, rel=0.1)
