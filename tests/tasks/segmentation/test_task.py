"""The segmentation tasks: they learn, select on validation only, repeat exactly, and say what they cannot use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import BenchError, MissingError, UsageError
from bench.histology.class_scores import IGNORED
from bench.types import Conditions, ImageSet, Tally, Task, silent
from tasks.segmentation.task import Cam16Segmentation, PandaSegmentation

CLASSES = ("normal", "tumour")
PINK, VIOLET = (225, 150, 190), (120, 80, 160)


def generated(masks: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Pink where the mask is 0, violet where it is 1, with grain."""
    flat = np.array([PINK, VIOLET])[masks % 2]
    return np.clip(flat + rng.normal(0, 15, flat.shape), 0, 255).astype(np.uint8)


def toy(count: int, seed: int, height: int = 32, width: int = 32) -> ImageSet:
    """Patches with a straight border between two tissues of unlike colour."""
    rng = np.random.default_rng(seed)
    borders = rng.integers(width // 4, 3 * width // 4, count)
    masks = (np.arange(width) < borders[:, None])[:, None, :].repeat(height, axis=1).astype(np.uint8)
    names = np.array([f"{seed}-{i}" for i in range(count)])
    conditions = Conditions(names, names, CLASSES, width, 1.0, masks=masks)
    return ImageSet(f"toy-{seed}", generated(masks, rng), conditions)


def with_masks(patches: ImageSet, masks: NDArray[np.uint8] | None) -> ImageSet:
    return replace(patches, conditions=replace(patches.conditions, masks=masks))


def masks_of(patches: ImageSet) -> NDArray[np.uint8]:
    assert patches.conditions.masks is not None
    return patches.conditions.masks.copy()


TRAIN, VALIDATION, TEST = toy(24, 1), toy(8, 2), toy(8, 3)
QUICK: dict[str, Any] = {"steps": 6, "batch": 4}


def iou(tally: Tally, name: str = "iou") -> float:
    return tally.measures[name](dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True)))


@pytest.mark.parametrize("name", ["cam16-seg", "panda-seg"])
def test_the_registered_tasks_fulfil_the_protocol(name: str) -> None:
    task = registry.load("tasks", name)
    assert isinstance(task, Task) and task.card.name == name
    assert task.embedded in registry.names("datasets") and set(task.readers) <= set(registry.names("datasets"))
    assert [mix.name for mix in task.mixes] == ["real", "synthetic", "real+synthetic"]
    assert registry.describe(task)["options"]["steps"] > 0


def test_a_model_learns_from_its_mix() -> None:
    task = Cam16Segmentation(steps=40, batch=8)
    learned = task.score([TRAIN], VALIDATION, TEST, 0, silent)
    assert learned.counts.shape == (len(TEST), len(learned.columns))
    assert iou(learned) > 0.85 and iou(learned, "iou-patch") > 0.8
    shuffled = with_masks(TRAIN, np.random.default_rng(0).permutation(masks_of(TRAIN)[:, :, ::-1]))
    assert iou(task.score([shuffled], VALIDATION, TEST, 0, silent)) < iou(learned) - 0.1


def test_stored_counts_give_the_tally_back() -> None:
    task = Cam16Segmentation(**QUICK)
    made = task.score([TRAIN], VALIDATION, TEST, 0, silent)
    again = task.tally(made.counts, CLASSES)
    assert again.columns == made.columns and iou(again) == iou(made)


def test_every_class_of_the_data_is_scored() -> None:
    classes = ("background", "stroma", "benign", "cancer")

    def four(patches: ImageSet) -> ImageSet:
        masks = masks_of(patches)
        masks[:, 16:] += 2
        return replace(patches, conditions=replace(patches.conditions, masks=masks, classes=classes))

    made = PandaSegmentation(**QUICK).score([four(TRAIN)], four(VALIDATION), four(TEST), 0, silent)
    assert {f"iou:{name}" for name in classes} <= set(made.measures)


def test_seeds_decide_everything_and_nothing_outside_changes() -> None:
    import torch

    def outside() -> tuple[object, ...]:
        backend = torch.backends.cudnn
        settings = (backend.deterministic, backend.benchmark, backend.allow_tf32)
        return (*torch.get_rng_state().tolist(), torch.are_deterministic_algorithms_enabled(), *settings)

    task = Cam16Segmentation(**QUICK)
    before = outside()
    first = task.score([TRAIN], VALIDATION, TEST, 0, silent).counts
    assert outside() == before
    torch.rand(7)
    assert (task.score([TRAIN], VALIDATION, TEST, 0, silent).counts == first).all()
    assert (task.score([TRAIN], VALIDATION, TEST, 1, silent).counts != first).any()


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 9},
        {"batch": 6},
        {"encoder": "tu-resnet10t"},
        {"learning_rate": 1e-4},
        {"preset": "paper", "encoder": "tu-test_resnet"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_option_changes_the_result(options: dict[str, Any]) -> None:
    usual = Cam16Segmentation(**QUICK).score([TRAIN], VALIDATION, TEST, 0, silent)
    other = Cam16Segmentation(**{**QUICK, **options}).score([TRAIN], VALIDATION, TEST, 0, silent)
    assert (usual.counts != other.counts).any()


def test_budgets_are_equal_whatever_the_mix() -> None:
    def steps(mix: list[ImageSet]) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        Cam16Segmentation(**QUICK).score(mix, VALIDATION, TEST, 0, lambda done, total, what: seen.append((done, total)))
        return seen

    assert steps([TRAIN]) == steps([TRAIN, toy(40, 4)]) == steps([TRAIN[:3]]) == [(i, 6) for i in range(1, 7)]


def test_both_sets_of_a_mix_are_learned_from() -> None:
    violet = TRAIN[:12]
    masks = np.zeros_like(masks_of(violet))
    only_normal = ImageSet("normal", generated(masks, np.random.default_rng(0)), with_masks(violet, masks).conditions)
    only_tumour = ImageSet("tumour", generated(masks + 1, np.random.default_rng(1)), with_masks(violet, masks + 1).conditions)
    task = Cam16Segmentation(steps=40, batch=8)
    assert iou(task.score([only_normal, only_tumour], VALIDATION, TEST, 0, silent)) > 0.5


def test_the_checkpoint_is_chosen_on_validation_and_never_on_test() -> None:
    task = Cam16Segmentation(steps=24, batch=4)
    usual = task.score([TRAIN], VALIDATION, TEST, 0, silent)
    inverted = with_masks(TEST, 1 - masks_of(TEST))
    assert (called_tumour(task.score([TRAIN], VALIDATION, inverted, 0, silent), inverted) == called_tumour(usual, TEST)).all()
    misleading = with_masks(VALIDATION, 1 - masks_of(VALIDATION))
    assert (called_tumour(task.score([TRAIN], misleading, TEST, 0, silent), TEST) != called_tumour(usual, TEST)).any()


def called_tumour(tally: Tally, test: ImageSet) -> NDArray[np.float64]:
    """Pixels of each patch that were predicted as tumour: intersection + union - pixels that are tumour."""
    intersection, union = (tally.counts[:, tally.columns.index(f"{name}:tumour")] for name in ("intersection", "union"))
    return np.asarray(intersection + union - masks_of(test).sum(axis=(1, 2)), dtype=np.float64)


def test_unlabelled_pixels_teach_nothing() -> None:
    masks = masks_of(TRAIN)
    masks[:, :8], masks[12:] = IGNORED, IGNORED
    misled = masks_of(TRAIN)
    misled[:, :8], misled[12:] = 1 - misled[:, :8], 0
    task = Cam16Segmentation(steps=40, batch=8)
    unlabelled, wrong = (task.score([with_masks(TRAIN, m)], VALIDATION, TEST, 0, silent) for m in (masks, misled))
    assert iou(unlabelled) > 0.85 and iou(unlabelled) > iou(wrong)


def test_batches_without_a_label_do_no_harm() -> None:
    masks = masks_of(TRAIN)
    masks[1:] = IGNORED
    tally = Cam16Segmentation(steps=12, batch=2).score([with_masks(TRAIN, masks)], VALIDATION, TEST, 0, silent)
    assert np.isfinite(tally.counts).all()


def test_the_preset_of_the_paper_runs() -> None:
    sets = [toy(4, seed, 16, 16) for seed in (1, 2, 3)]
    made = PandaSegmentation(preset="paper", steps=1, batch=2).score([sets[0]], sets[1], sets[2], 0, silent)
    assert made.counts.shape[0] == 4


@pytest.mark.parametrize(("height", "width"), [(16, 16), (48, 48), (64, 96)])
def test_any_multiple_of_sixteen_is_a_patch(height: int, width: int) -> None:
    sets = [toy(4, seed, height, width) for seed in (1, 2, 3)]
    made = Cam16Segmentation(steps=1, batch=2).score([sets[0]], sets[1], sets[2], 0, silent)
    assert made.counts.shape[0] == 4


def test_validation_may_lack_a_class() -> None:
    normal = with_masks(VALIDATION, np.zeros_like(masks_of(VALIDATION)))
    Cam16Segmentation(**QUICK).score([TRAIN], normal, TEST, 0, silent)


def whole(patches: ImageSet) -> ImageSet:
    """The patches with one class for everything."""
    conditions = replace(patches.conditions, classes=("all",), masks=masks_of(patches) * 0)
    return replace(patches, conditions=conditions)


Training = tuple[list[ImageSet], ImageSet, ImageSet]
REFUSED: dict[str, tuple[Callable[[], Training], type[BenchError], str]] = {
    "empty test": (lambda: ([TRAIN], VALIDATION, TEST[:0]), MissingError, "cam16-seg, test: there are no patches"),
    "empty validation": (lambda: ([TRAIN], VALIDATION[:0], TEST), MissingError, "validation: there are no patches"),
    "empty training mix": (lambda: ([TRAIN[:0]], VALIDATION, TEST), MissingError, "training mix: there are no patches"),
    "no training mix": (lambda: ([], VALIDATION, TEST), MissingError, "cannot learn normal, tumour from this training mix"),
    "no masks": (
        lambda: ([with_masks(TRAIN, None)], VALIDATION, TEST),
        UsageError,
        "training mix needs conditions with masks",
    ),
    "a class absent": (
        lambda: ([with_masks(TRAIN, np.zeros_like(masks_of(TRAIN)))], VALIDATION, TEST),
        MissingError,
        "cannot learn tumour from this training mix: no pixel of it in 24 patches",
    ),
    "unlabelled": (
        lambda: ([TRAIN], with_masks(VALIDATION, np.full_like(masks_of(VALIDATION), IGNORED)), TEST),
        MissingError,
        "validation: no pixel is labelled",
    ),
    "odd size": (lambda: ([toy(4, 1, 40, 40)], toy(4, 2, 40, 40), toy(4, 3, 40, 40)), UsageError, "multiple of 16 px"),
    "two sizes": (lambda: ([toy(4, 1, 48, 48)], VALIDATION, TEST), UsageError, "found 32 x 32 and 48 x 48"),
    "other classes": (
        lambda: ([replace(TRAIN, conditions=replace(TRAIN.conditions, classes=("a", "b")))], VALIDATION, TEST),
        UsageError,
        "the classes are",
    ),
    "one class": (lambda: ([], whole(VALIDATION), whole(TEST)), UsageError, "tells classes apart"),
    "strange ids": (lambda: ([with_masks(TRAIN, masks_of(TRAIN) + 3)], VALIDATION, TEST), UsageError, "class ids 3, 4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_before_training(case: str) -> None:
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        Cam16Segmentation(**QUICK).score(*make(), 0, silent)


@pytest.mark.parametrize("options", [{"steps": 0}, {"batch": 1}, {"learning_rate": 0.0}, {"patches": -1}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="takes steps >= 1, batch >= 2"):
        Cam16Segmentation(**options)


def test_an_unknown_encoder_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="'resnet19' does not make a DeepLabV3.*Did you mean 'resnet18'"):
        Cam16Segmentation(encoder="resnet19").score([TRAIN], VALIDATION, TEST, 0, silent)


def test_a_training_that_diverges_is_no_score() -> None:
    with pytest.raises(UsageError, match="diverged by step"):
        Cam16Segmentation(steps=8, batch=4, learning_rate=1e30).score([TRAIN], VALIDATION, TEST, 0, silent)
