"""Class maps read off generated patches by segmenters that read them off the pixels, so that every answer is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import UsageError
from bench.measurements.conditions import join_tallies
from bench.registry import describe, load
from bench.types import Conditions, ImageSet, silent
from metrics.faithfulness.maps import MapFaithfulness
from tasks.segmentation.config import TINY
from tasks.segmentation.task import RegionSegmentation
from tests.small_run import run

SEGMENTER = '''
"""The first reads red as the class, the second takes everything for class 0."""
import numpy as np
from bench.types import Card

class Reader:
    card = Card("reader", "1", "Reads classes off the pixels.")
    references = ("right", "blind")
    def learn_references(self, training, validation, seed, progress, folder):
        (folder / "seen.txt").write_text(f"{len(training)} {len(validation)} {seed}")
    def read_maps(self, folder, images):
        assert (folder / "seen.txt").exists()
        return np.stack([images[..., 0], np.zeros_like(images[..., 0])])

class NoSegmenter:
    card = Card("none", "1", "Cannot.")
'''
CLASSES = ("normal", "tumour", "necrosis")


@pytest.fixture
def metric(tmp_path: Path) -> MapFaithfulness:
    (tmp_path / "segmenter.py").write_text(SEGMENTER)
    (tmp_path / "seen.txt").write_text("")
    return MapFaithfulness(segmenter=f"{tmp_path / 'segmenter.py'}:Reader")


def asked() -> ImageSet:
    """Two patches: one half normal and half tumour, one half normal and half necrosis, generated exactly as asked."""
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[0, :, 8:], masks[1, :, 8:] = 1, 2
    ids = np.array(["a", "b"])
    return ImageSet("k", np.stack([masks] * 3, axis=-1), Conditions(ids, ids, CLASSES, 16, 0.5, masks=masks))


def shown(patches: ImageSet, maps: np.ndarray) -> ImageSet:
    return replace(patches, images=np.stack([maps] * 3, axis=-1))


def measured(metric: MapFaithfulness, patches: ImageSet, place: Path) -> dict[str, float]:
    tally = metric.agree(patches, place)
    sums = dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True))
    return {name: measure(sums) for name, measure in tally.measures.items()}


def test_the_mean_over_segmenters_and_classes(metric: MapFaithfulness, tmp_path: Path) -> None:
    """The first segmenter finds everything; the second finds class 0 with an IoU of one half and nothing else."""
    found = measured(metric, asked(), tmp_path)
    assert found["map-iou:normal"] == pytest.approx((1 + 0.5) / 2)
    assert found["map-iou:tumour"] == found["map-iou:necrosis"] == pytest.approx(0.5)
    assert found["map-iou"] == pytest.approx((0.75 + 0.5 + 0.5) / 3)


def test_a_swapped_and_a_dropped_class(metric: MapFaithfulness, tmp_path: Path) -> None:
    patches = asked()
    masks = np.asarray(patches.conditions.masks)
    swapped = measured(metric, shown(patches, np.choose(masks, [0, 2, 1]).astype(np.uint8)), tmp_path)
    assert swapped["map-iou:tumour"] == swapped["map-iou:necrosis"] == 0 and swapped["map-iou:normal"] == 0.75
    dropped = measured(metric, shown(patches, np.where(masks == 2, 0, masks).astype(np.uint8)), tmp_path)
    assert dropped["map-iou:necrosis"] == 0 and dropped["map-iou:tumour"] == 0.5 and dropped["map-iou:normal"] < 0.75
    shuffled = measured(metric, shown(patches, masks[::-1]), tmp_path)
    assert shuffled["map-iou"] < 0.4 < measured(metric, patches, tmp_path)["map-iou"]


def test_pixels_that_nobody_annotated_do_not_count(metric: MapFaithfulness, tmp_path: Path) -> None:
    patches = asked()
    masks = np.array(patches.conditions.masks)
    wrong = np.where(masks == 2, 0, masks).astype(np.uint8)
    masks[1, :, 12:] = 255
    wrong[1, :, 8:12] = 2
    partly = shown(replace(patches, conditions=replace(patches.conditions, masks=masks)), wrong)
    assert measured(metric, partly, tmp_path)["map-iou:necrosis"] == 0.5


def test_a_class_that_no_test_patch_shows_is_named(metric: MapFaithfulness, tmp_path: Path) -> None:
    patches = asked()[[0]]
    tally = metric.agree(patches, tmp_path)
    found = measured(metric, patches, tmp_path)
    assert np.isnan(found["map-iou"]) and found["map-iou-present"] == pytest.approx((0.75 + 0.5) / 2)
    assert tally.undefined["map-iou:necrosis"] == "no patch shows necrosis" and "map-iou-present" in tally.undefined["map-iou"]
    both = join_tallies(tally, tally)
    assert both.undefined["map-iou-of-real"] == tally.undefined["map-iou"]


def test_rows_may_be_counted_in_ranges_and_rebuilt(metric: MapFaithfulness, tmp_path: Path) -> None:
    whole = metric.agree(asked(), tmp_path)
    parts = [metric.agree(asked()[rows], tmp_path).counts for rows in ([0], [1])]
    assert np.array_equal(np.concatenate(parts), whole.counts)
    again = metric.for_classes(CLASSES).tally(whole.counts)
    assert again.columns == whole.columns and list(again.measures) == list(whole.measures)
    assert list(metric.for_classes(CLASSES).directions) == ["map-iou", *(f"map-iou:{name}" for name in CLASSES)]


def test_the_reference_segmenters_learn_from_what_they_are_given(metric: MapFaithfulness, tmp_path: Path) -> None:
    metric.learn(asked(), asked()[[0]], 7, silent, tmp_path)
    assert (tmp_path / "seen.txt").read_text() == "2 1 7"


def test_what_changes_the_segmenters_is_another_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained ones must not be found for others."""
    plain = describe(load("metrics", "map-faithfulness"))
    assert plain == describe(load("metrics", "map-faithfulness"))
    for options in ({"segmenter": "cam16-seg"}, {"segmenter_steps": 7}, {"segmenter_preset": "paper"}):
        assert describe(load("metrics", "map-faithfulness", **options)) != plain
    monkeypatch.setattr(RegionSegmentation, "references", ("deeplabv3plus",))
    assert describe(load("metrics", "map-faithfulness")) != plain
    monkeypatch.undo()
    monkeypatch.setattr(RegionSegmentation, "presets", {"tiny": replace(TINY, channels=7)})
    assert describe(load("metrics", "map-faithfulness")) != plain


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "segmenter.py").write_text(SEGMENTER)
    with pytest.raises(UsageError, match="has no reference segmenters"):
        describe(load("metrics", "map-faithfulness", segmenter=f"{tmp_path / 'segmenter.py'}:NoSegmenter"))
    with pytest.raises(UsageError, match="at least 1, not 0"):
        load("metrics", "map-faithfulness", segmenter_steps=0)
    bare = replace(asked(), conditions=replace(asked().conditions, masks=None))
    with pytest.raises(UsageError, match="masks"):
        load("metrics", "map-faithfulness").agree(bare, tmp_path)


@pytest.mark.parametrize("size", [40])
def test_real_segmenters_read_patches_of_any_size(tmp_path: Path, size: int) -> None:
    """Dark squares on light ground: three networks learn to find them in few steps."""
    rng = np.random.default_rng(0)
    masks = np.zeros((24, size, size), np.uint8)
    for mask, (y, x) in zip(masks, rng.integers(0, size // 2, (24, 2)), strict=True):
        mask[y : y + size // 2, x : x + size // 2] = 1
    images = np.where(masks[..., None] == 1, 60, 220) + rng.integers(0, 20, (24, size, size, 3))
    ids = np.array([f"p{i}" for i in range(24)])
    patches = ImageSet("k", images.astype(np.uint8), Conditions(ids, ids, ("light", "dark"), size, 0.5, masks=masks))
    metric = MapFaithfulness(segmenter_steps=30)
    metric.learn(patches[:16], patches[16:20], 0, silent, tmp_path)
    held = patches[20:]
    found = metric.agree(held, tmp_path)
    sums = dict(zip(found.columns, found.counts.sum(axis=0).tolist(), strict=True))
    assert found.measures["map-iou"](sums) > 0.7
    names = ("deeplabv3plus", "fpn", "linknet")
    each = [sums[f"{name} intersection:dark"] / sums[f"{name} union:dark"] for name in names]
    assert len(set(each)) == 3 and min(each) > 0.5, "three different networks"


def test_a_run_has_the_measures_in_its_records_and_controls_in_order(tmp_path: Path) -> None:
    """Slightly blurred patches are near 1 of real ones, patches under the maps of others far below."""
    words = ["-g", "blur", "-t", "cam16-seg", "-m", "map-faithfulness", "--controls", "shuffle", "--seeds", "0", "-e", "stain"]
    words += ["--no-downstream", "-o", "metric.segmenter_steps=60", "-o", "generator.sigma=0.3", "--workers", "1"]
    size = {"train_slides": 8, "validation_slides": 2, "test_slides": 6, "per_slide": 8}
    words += [word for name, value in size.items() for word in ("-o", f"dataset.{name}={value}")]
    folder = run(*words, home=tmp_path / "home", out=tmp_path / "out")
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {(record["generator"], record["measure"]): record for record in records}
    values = {key: record["value"] for key, record in found.items()}
    for measure in ("map-iou", "map-iou:normal", "map-iou:tumour"):
        assert values["blur", f"{measure}-of-real"] > 0.9 > 0.8 > values["shuffle", f"{measure}-of-real"] > 0
        assert found["blur", measure]["low"] < values["blur", measure] < found["blur", measure]["high"]
        assert found["blur", measure]["direction"] == "higher"
