"""Counts and measures of segmentation: by hand, against another implementation, and where there is nothing to measure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.class_scores import IGNORED, class_pixels, segmentation_counts, segmentation_tally, shown_iou
from bench.runtime import torchvision_shim
from bench.statistics import group_bootstrap
from bench.types import Tally

CLASSES = ("normal", "tumour")


def maps(*rows: list[list[int]]) -> NDArray[np.uint8]:
    return np.array(rows, dtype=np.uint8)


def measured(tally: Tally) -> dict[str, float]:
    sums = dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True))
    return {name: measure(sums) for name, measure in tally.measures.items()}


def scored(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], classes: tuple[str, ...] = CLASSES) -> dict[str, float]:
    return measured(segmentation_tally(segmentation_counts(predicted, truth, len(classes)), classes))


def test_two_patches_by_hand() -> None:
    truth = maps([[0, 0], [1, 1]], [[1, 1], [1, 0]])
    predicted = maps([[0, 1], [1, 1]], [[1, 1], [0, 0]])
    found = scored(predicted, truth)
    assert found["iou:normal"] == pytest.approx((1 + 1) / (2 + 2))
    assert found["iou:tumour"] == pytest.approx((2 + 2) / (3 + 3))
    assert found["iou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["iou-patch:normal"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert found["iou-patch:tumour"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found["iou-patch"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_pooling_weighs_pixels_and_patches_weigh_the_same() -> None:
    truth = maps([[1, 1], [1, 1]], [[1, 0], [0, 0]])
    predicted = maps([[1, 1], [1, 1]], [[0, 0], [0, 0]])
    found = scored(predicted, truth)
    assert found["iou:tumour"] == pytest.approx(4 / 5)
    assert found["iou-patch:tumour"] == pytest.approx(1 / 2)


def test_a_perfect_map_scores_one_and_a_swapped_one_zero() -> None:
    truth = np.random.default_rng(0).integers(2, size=(5, 8, 8)).astype(np.uint8)
    assert set(scored(truth, truth).values()) == {1.0}
    assert set(scored(1 - truth, truth).values()) == {0.0}


def test_counts_agree_with_another_implementation() -> None:
    torchvision_shim.ready()
    import segmentation_models_pytorch as smp
    import torch

    rng = np.random.default_rng(1)
    predicted, truth = rng.integers(4, size=(2, 6, 16, 16)).astype(np.uint8)
    classes = ("background", "stroma", "benign", "cancer")
    hits, false_hits, misses, _ = smp.metrics.get_stats(
        torch.from_numpy(predicted).long(), torch.from_numpy(truth).long(), mode="multiclass", num_classes=4
    )
    pooled = (hits.sum(0) / (hits + false_hits + misses).sum(0)).numpy()
    by_patch = (hits / (hits + false_hits + misses)).mean(0).numpy()
    found = scored(predicted, truth, classes)
    assert [found[f"iou:{name}"] for name in classes] == pytest.approx(pooled.tolist())
    assert [found[f"iou-patch:{name}"] for name in classes] == pytest.approx(by_patch.tolist())
    assert found["iou"] == pytest.approx(pooled.mean())


def test_unlabelled_pixels_count_for_nobody() -> None:
    truth = maps([[0, 1], [IGNORED, IGNORED]])
    found = [segmentation_counts(maps([[0, 1], below]), truth, 2).tolist() for below in ([0, 0], [1, 0], [1, 1])]
    assert found[0] == found[1] == found[2]


def test_a_class_that_no_patch_shows_is_undefined_and_so_is_the_mean() -> None:
    truth = maps([[0, 0], [0, 0]])
    for predicted in (truth, maps([[0, 0], [0, 1]])):
        found = scored(predicted, truth)
        assert math.isnan(found["iou:tumour"]) and math.isnan(found["iou-patch:tumour"])
        assert math.isnan(found["iou"]) and math.isnan(found["iou-patch"])
        assert not math.isnan(found["iou:normal"])


def test_the_mean_over_the_classes_present_stands_beside_the_refused_mean() -> None:
    classes = ("normal", "tumour", "stroma", "fat")
    truth, predicted = maps([[0, 0], [2, 2]], [[0, 0], [0, 0]]), maps([[0, 2], [2, 2]], [[0, 0], [0, 3]])
    tally = segmentation_tally(segmentation_counts(predicted, truth, 4), classes)
    found = group_bootstrap(tally, np.array(["a", "b"]), seed=0, resamples=10)
    assert found["iou-present"].value == pytest.approx((4 / 6 + 2 / 3) / 2)
    assert found["iou-patch-present"].value == pytest.approx(((1 / 2 + 3 / 4) / 2 + 2 / 3) / 2)
    for name in ("iou", "iou-patch"):
        assert math.isnan(found[name].value)
        assert found[name].reason == f"no patch shows tumour, fat: the mean over the other classes is {name}-present"
    assert found["iou:tumour"].reason == "no patch shows tumour" and not math.isnan(found["iou:stroma"].value)


def test_the_mean_over_the_classes_present_is_of_the_same_classes_in_every_resample() -> None:
    """Six slides show normal, one of them tumour: a resample without that slide has no mean, rather than one of one class."""
    truth, predicted = np.zeros((6, 2, 2), np.uint8), np.zeros((6, 2, 2), np.uint8)
    truth[0, 0], predicted[0, 0, 0] = 1, 1
    tally = segmentation_tally(segmentation_counts(predicted, truth, 3), ("normal", "tumour", "fat"))
    found = group_bootstrap(tally, np.array(list("abcdef")), seed=0, resamples=200)["iou-present"]
    assert found.value == pytest.approx((22 / 23 + 1 / 2) / 2) and found.low is None and "of resamples" in found.reason


def test_where_all_classes_are_shown_no_second_mean_stands_beside_the_first() -> None:
    assert not [name for name in scored(maps([[0, 1]]), maps([[0, 1]])) if "present" in name]


def test_false_alarms_lower_the_pooled_score_of_a_class_that_other_patches_show() -> None:
    truth = maps([[1, 1], [0, 0]], [[0, 0], [0, 0]])
    quiet = scored(truth, truth)
    alarmed = scored(maps([[1, 1], [0, 0]], [[1, 1], [0, 0]]), truth)
    assert alarmed["iou:tumour"] == 0.5 < quiet["iou:tumour"]
    assert alarmed["iou-patch:tumour"] == quiet["iou-patch:tumour"]
    assert alarmed["iou-patch:normal"] < quiet["iou-patch:normal"]


def test_checkpoints_are_compared_on_the_classes_that_validation_shows() -> None:
    truth, predicted = maps([[0, 0], [0, 0]]), maps([[0, 0], [0, 1]])
    assert shown_iou(segmentation_counts(predicted, truth, 3)) == pytest.approx(3 / 4)
    both = maps([[0, 0], [1, 1]])
    assert shown_iou(segmentation_counts(predicted, both, 3)) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_pixels_of_each_class_and_ids_that_no_class_has() -> None:
    masks = np.tile(maps([[0, 1], [1, IGNORED]]), (300, 1, 1))
    assert class_pixels(masks, 2, "task").tolist() == [300, 600]
    assert class_pixels(masks, 3, "task").tolist() == [300, 600, 0]
    with pytest.raises(UsageError, match=r"task: masks hold the class ids 2, 7; the 2 classes are 0 to 1"):
        class_pixels(maps([[0, 1], [2, 7]]), 2, "task")
