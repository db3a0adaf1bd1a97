"""Controls generate what their name says, whatever the batch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts import check_generator, mock
from bench.errors import MissingError, UsageError
from bench.types import (
    GREY,
    Conditions,
    Generator,
    Images,
    ImageSet,
    Prompts,
    ShowsRealPatches,
    Trainable,
    image_seeds,
    silent,
)

CONTROLS = ("blur", "copy-train", "crop-paste", "drop-class", "noise", "flat-colour", "real", "shuffle")
TRAINABLE = ("blur", "copy-train", "drop-class", "flat-colour", "real", "shuffle")


@pytest.fixture
def real() -> ImageSet:
    return mock(32)


def fitted(name: str, train: ImageSet, seed: int = 0, **options: object) -> Generator:
    control = registry.load("generators", name, **options)
    control.fit(train, seed, silent, Path("unused"))
    return control


def generated(control: Generator, conditions: Conditions, run_seed: int = 0) -> Images:
    return control.generate(conditions, image_seeds(run_seed, conditions.ids))


def source_rows(images: Images, shown: ImageSet) -> list[int]:
    """Row of the real patch that each image is; fails where one is none."""
    row = {patch.tobytes(): i for i, patch in enumerate(shown.images)}
    return [row[image.tobytes()] for image in images]


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", CONTROLS)
def test_contract(name: str, size: int) -> None:
    outcomes = check_generator(partial(registry.load, "generators", name), name, size)
    assert [outcome for outcome in outcomes if outcome.status == "failed"] == []


@pytest.mark.parametrize("name", CONTROLS)
def test_nothing_asked_nothing_generated(name: str, real: ImageSet) -> None:
    control = fitted(name, real) if name in TRAINABLE else registry.load("generators", name)
    assert generated(control, real.conditions[:0]).shape == (0, 32, 32, 3)


def test_noise_is_uniform_and_ignores_the_condition(real: ImageSet) -> None:
    noise = registry.load("generators", "noise")
    images = generated(noise, real.conditions)
    assert np.bincount(images.ravel(), minlength=256).min() > 80  # 144 expected, standard deviation 12
    assert abs(images.mean() - 127.5) < 1.5
    bare = replace(real.conditions, masks=None, prompts=None)
    assert np.array_equal(generated(noise, bare), images)


def test_flat_colour_is_the_mean_colour_of_each_class(real: ImageSet) -> None:
    images = generated(fitted("flat-colour", real), real.conditions)
    masks = real.conditions.masks
    assert masks is not None
    for c in (0, 1):
        assert np.array_equal(np.unique(images[masks == c], axis=0), np.rint(real.images[masks == c].mean(0))[None])


def test_flat_colour_refuses_a_class_that_it_never_saw(real: ImageSet) -> None:
    assert real.conditions.masks is not None
    light_only = ImageSet("light", real.images, replace(real.conditions, masks=np.zeros_like(real.conditions.masks)))
    control = fitted("flat-colour", light_only)
    with pytest.raises(UsageError, match="no colour for dark"):
        generated(control, real.conditions)
    assert len(generated(control, light_only.conditions)) == 12  # a class that is not asked for needs no colour
    with pytest.raises(UsageError, match="learned 2 classes and is asked for 3"):
        generated(control, replace(light_only.conditions, classes=("light", "dark", "third")))


def test_crop_paste_tiles_the_crop_from_its_own_place() -> None:
    crop = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    canvases = np.full((1, 2, 8, 8, 3), GREY, dtype=np.uint8)
    canvases[0, 0, 2:4, 1:4] = crop
    boxes = np.array([[[2, 1, 4, 4], [0, 0, 0, 0]]], dtype=np.int32)
    masks = np.zeros((1, 8, 8), dtype=np.uint8)
    masks[0, :, 6:] = 1  # the class without a crop
    prompts = Prompts("slide", canvases, boxes, np.array([["donor", ""]]))
    conditions = Conditions(np.array(["a"]), np.array(["s"]), ("with", "without"), 8, 1.0, masks=masks, prompts=prompts)
    image = generated(registry.load("generators", "crop-paste"), conditions)[0]
    tiling = np.tile(crop, (5, 4, 1))  # the crop starts on an even row, and at column 1 of every 3
    assert np.array_equal(image[:, :6], tiling[:8, 2:8])
    assert np.array_equal(image[2:4, 1:4], crop)
    assert (image[:, 6:] == GREY).all()


def test_copy_train_shows_every_training_patch_in_time(real: ImageSet) -> None:
    control = fitted("copy-train", real)
    rows = [row for seed in range(10) for row in source_rows(generated(control, real.conditions, seed), real)]
    assert set(rows) == set(range(12))


def test_shuffle_exchanges_patches_within_slides(real: ImageSet) -> None:
    rows = source_rows(generated(fitted("shuffle", real), real.conditions), real)
    assert sorted(rows) == list(range(12))
    assert all(row != i for i, row in enumerate(rows))
    assert np.array_equal(real.conditions.groups[rows], real.conditions.groups)
    others = [source_rows(generated(fitted("shuffle", real, seed), real.conditions), real) for seed in range(1, 5)]
    assert any(other != rows for other in others)


def test_shuffle_takes_another_slide_for_an_only_patch(real: ImageSet) -> None:
    lonely = real[[0, 1, 2, 4]]  # two slides, one with a single patch
    for seed in range(10):
        rows = source_rows(generated(fitted("shuffle", lonely, seed), lonely.conditions), lonely)
        assert all(row != i for i, row in enumerate(rows))
    with pytest.raises(UsageError, match="two real patches"):
        fitted("shuffle", real[:1])


def test_real_shows_every_held_out_patch_whatever_the_slide_of_the_condition(real: ImageSet) -> None:
    control = fitted("real", real[:8])
    rows = [row for seed in range(10) for row in source_rows(generated(control, real.conditions, seed), real)]
    assert set(rows) == set(range(8))
    assert control.training_patches == "holdout"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["copy-train", "real", "shuffle"])
@pytest.mark.parametrize("has_clusters", [False, True])
def test_real_patches_belong_to_the_slides_that_they_show(
    name: str, has_clusters: bool, real: ImageSet, tmp_path: Path
) -> None:
    clusters = np.array([f"lab-{i % 2}" for i in range(len(real))]) if has_clusters else None
    shown = replace(real, conditions=replace(real.conditions, clusters=clusters))
    control = fitted(name, shown)
    assert isinstance(control, ShowsRealPatches) and isinstance(control, Trainable)
    control.save(tmp_path)
    again = registry.load("generators", name)
    again.load(tmp_path)
    for seed in range(3):
        seeds = image_seeds(seed, real.conditions.ids)
        rows = source_rows(generated(control, real.conditions, seed), real)
        for one in (control, again):
            assert np.array_equal(one.shown_units(real.conditions, seeds), shown.conditions.units[rows])


def test_blur_keeps_the_patch_and_loses_detail(real: ImageSet) -> None:
    def detail(images: Images) -> float:
        return float(np.abs(np.diff(images.astype(float), axis=2)).mean())

    weak, strong = (generated(fitted("blur", real, sigma=sigma), real.conditions) for sigma in (1.0, "4"))
    assert detail(real.images) > 2 * detail(weak) > 2 * detail(strong)
    means = real.images.mean(axis=(1, 2))
    assert np.abs(strong.mean(axis=(1, 2)) - means).max() < 1
    flat = ImageSet("flat", np.full_like(real.images, 77), real.conditions)
    assert (generated(fitted("blur", flat), real.conditions) == 77).all()


@pytest.mark.parametrize("sigma", ["0", "-1", "nan", "inf", "wide"])
def test_blur_refuses_a_senseless_sigma(sigma: str) -> None:
    with pytest.raises(UsageError, match="sigma"):
        registry.load("generators", "blur", sigma=sigma)


@pytest.mark.parametrize("name", ["blur", "shuffle"])
def test_a_condition_whose_patch_was_not_shown_is_named(name: str, real: ImageSet) -> None:
    control = fitted(name, real[:8])
    with pytest.raises(MissingError, match="none for mock-2/0, mock-2/1, mock-2/2, mock-2/3. It has 8 others"):
        generated(control, real.conditions)
    assert control.training_patches == "target"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", TRAINABLE)
def test_unfitted_is_refused(name: str, real: ImageSet, tmp_path: Path) -> None:
    control = registry.load("generators", name)
    assert isinstance(control, Trainable)
    with pytest.raises(UsageError, match=f"{name} has been shown no real patches"):
        generated(control, real.conditions)
    with pytest.raises(UsageError, match="no real patches"):
        control.save(tmp_path)


@pytest.mark.parametrize("name", TRAINABLE)
def test_damaged_files_are_named(name: str, real: ImageSet, tmp_path: Path) -> None:
    control = fitted(name, real)
    assert isinstance(control, Trainable)
    with pytest.raises(MissingError, match="does not exist"):
        control.load(tmp_path)
    control.save(tmp_path)
    largest = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:100])
    with pytest.raises(MissingError, match=largest.name):
        control.load(tmp_path)


@pytest.mark.parametrize("name", ["blur", "copy-train", "real", "shuffle"])
def test_patches_of_another_size_are_refused(name: str, real: ImageSet) -> None:
    with pytest.raises(UsageError, match=r"\(32, 32\) px, asked for \(64, 64\)"):
        generated(fitted(name, real), mock(64).conditions)


@pytest.mark.parametrize("name", ["blur", "copy-train", "real"])
def test_an_empty_set_is_refused(name: str, real: ImageSet) -> None:
    with pytest.raises(UsageError, match=f"{name} was handed no real patches"):
        fitted(name, real[:0])


def test_drop_class_shows_other_tissue_where_the_rarest_class_is(real: ImageSet) -> None:
    masks = np.zeros((12, 32, 32), np.uint8)
    masks[:6, :4] = 1  # the rarest: the upper rows of half of the patches
    masks[0, 30:] = 255
    colours = np.array([50, 200, 120], np.uint8)
    images = colours[np.minimum(masks, 2)][..., None].repeat(3, axis=3)
    patches = replace(real, images=images, conditions=replace(real.conditions, masks=masks))
    shown = generated(fitted("drop-class", patches), patches.conditions)
    assert (shown[masks != 255] == 50).all() and (shown[0, 30:] == images[0, 30:]).all()
    other = generated(fitted("drop-class", patches, dropped="light"), patches.conditions)
    assert (other[:6, :4] == 200).all() and (other[6:, :4] == 200).all() and (other[:, 10] == 50).all()
    with pytest.raises(UsageError, match="no class 'tumour', but light, dark"):
        generated(fitted("drop-class", patches, dropped="tumour"), patches.conditions)
    flat = replace(patches, conditions=replace(real.conditions, masks=np.zeros_like(masks)))
    with pytest.raises(UsageError, match="these patches show 1"):
        generated(fitted("drop-class", flat), flat.conditions)
