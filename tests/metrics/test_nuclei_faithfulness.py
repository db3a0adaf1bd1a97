"""The four questions about nuclei, asked of a segmenter that reads nuclei off the pixels, so that every answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import UsageError
from bench.measurements.conditions import join_tallies
from bench.registry import describe, load
from bench.types import Conditions, ImageSet, Tally, silent
from metrics.faithfulness.nuclei import COLUMNS, NucleiFaithfulness
from tasks.nuclei.config import TINY
from tasks.nuclei.task import LizardNuclei

SEGMENTER = '''
"""Reads red as the number of a nucleus and green as its type."""
import numpy as np
from bench.types import Card

class Reader:
    card = Card("reader", "1", "Reads nuclei off the pixels.")
    def learn(self, mix, validation, seed, progress, folder):
        (folder / "seen.txt").write_text(f"{len(mix[0])} {len(validation)} {seed}")
    def segment(self, folder, images):
        assert (folder / "seen.txt").exists()
        return images[..., 0].astype(np.int32), images[..., 1].copy()

class NoSegmenter:
    card = Card("none", "1", "Cannot.")
'''


@pytest.fixture
def metric(tmp_path: Path) -> NucleiFaithfulness:
    (tmp_path / "segmenter.py").write_text(SEGMENTER)
    (tmp_path / "seen.txt").write_text("")
    return NucleiFaithfulness(segmenter=f"{tmp_path / 'segmenter.py'}:Reader")


def splits(mpp: float = 0.5) -> ImageSet:
    """Two patches of four nuclei of 10 x 10 px and types 1 and 2, generated exactly as asked."""
    instances = np.zeros((2, 64, 64), np.int32)
    types = np.zeros((2, 64, 64), np.uint8)
    for number, (y, x) in enumerate([(5, 5), (5, 40), (40, 5), (40, 40)], start=1):
        instances[:, y : y + 10, x : x + 10] = number
        types[:, y : y + 10, x : x + 10] = 1 + number % 2
    images = np.stack([instances, types, types], axis=-1).astype(np.uint8)
    ids = np.array(["a", "b"])
    classes = ("background", "round", "long")
    return ImageSet("k", images, Conditions(ids, ids, classes, 64, mpp, masks=types, instances=instances, types=types))


def asked(metric: NucleiFaithfulness, patches: ImageSet) -> dict[str, float]:
    tally = metric.agree(patches, Path(metric.segmenter.partition(".py")[0]).parent)
    sums = dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True))
    return {name: measure(sums) for name, measure in tally.measures.items()}


def generated(images: np.ndarray) -> ImageSet:
    return replace(splits(), images=images)


def test_perfect_obedience(metric: NucleiFaithfulness) -> None:
    found = asked(metric, splits())
    assert found == {
        "nuclei-kept": 1.0,
        "nuclei-missed": 0.0,
        "nuclei-excess": 0.0,
        "nuclei-wrong-type": 0.0,
        "nuclei-shift": 0.0,
    }


def test_a_nucleus_left_out_is_missed(metric: NucleiFaithfulness) -> None:
    images = splits().images.copy()
    images[0][images[0][..., 0] == 3] = 0
    found = asked(metric, generated(images))
    assert found["nuclei-missed"] == pytest.approx(1 / 8) and found["nuclei-excess"] == 0
    assert found["nuclei-kept"] == pytest.approx(2 * 7 / 15)


def test_a_nucleus_too_many_is_excess(metric: NucleiFaithfulness) -> None:
    images = splits().images.copy()
    images[1, 25:33, 25:33] = (9, 1, 1)
    found = asked(metric, generated(images))
    assert found["nuclei-excess"] == pytest.approx(1 / 9) and found["nuclei-missed"] == 0


def test_another_type_is_wrong_and_still_found(metric: NucleiFaithfulness) -> None:
    images = splits().images.copy()
    images[0, ..., 1][images[0, ..., 0] == 1] = 1
    found = asked(metric, generated(images))
    assert found["nuclei-wrong-type"] == pytest.approx(1 / 8) and found["nuclei-missed"] == 0
    assert found["nuclei-kept"] == pytest.approx(7 / 8)


def test_a_shift_is_measured_in_pixels_until_centres_lie_too_far(metric: NucleiFaithfulness) -> None:
    by_two = asked(metric, generated(np.roll(splits().images, 2, axis=1)))
    by_four = asked(metric, generated(np.roll(splits().images, 4, axis=1)))
    assert 0 < by_two["nuclei-shift"] < by_four["nuclei-shift"] < 4
    assert by_two["nuclei-missed"] == by_four["nuclei-missed"] == 0
    gone = asked(metric, generated(np.roll(splits().images, 8, axis=1)))  # 6 px are 3 microns at 0.5 microns a pixel
    assert gone["nuclei-missed"] == gone["nuclei-excess"] == 1.0 and np.isnan(gone["nuclei-shift"])


def test_the_reach_is_in_microns(metric: NucleiFaithfulness) -> None:
    far = replace(splits(mpp=1.0), images=np.roll(splits().images, 4, axis=1))  # 4 px are 4 microns here
    assert asked(metric, far)["nuclei-missed"] == 1.0


def test_nothing_found_is_all_missed_and_nothing_in_excess(metric: NucleiFaithfulness) -> None:
    found = asked(metric, generated(np.zeros_like(splits().images)))
    assert found["nuclei-missed"] == 1.0 and found["nuclei-excess"] == 0.0 and found["nuclei-kept"] == 0.0
    assert np.isnan(found["nuclei-wrong-type"])


def test_what_lies_where_nobody_annotated_counts_for_nothing(metric: NucleiFaithfulness) -> None:
    conditions = splits().conditions
    assert conditions.masks is not None and conditions.instances is not None
    masks, instances = conditions.masks.copy(), conditions.instances.copy()
    masks[:, :, 32:], instances[:, :, 32:] = 255, 0
    half = replace(splits(), conditions=replace(conditions, masks=masks, types=masks, instances=instances))
    found = asked(metric, half)
    assert found["nuclei-excess"] == 0 and found["nuclei-missed"] == 0 and found["nuclei-kept"] == 1


@pytest.mark.parametrize(("start", "excess"), [(28, 1), (27, 1), (25, 0), (23, 0)])
def test_found_nuclei_with_less_than_half_of_their_area_annotated_are_ignored(
    metric: NucleiFaithfulness, start: int, excess: int
) -> None:
    conditions = splits().conditions
    assert conditions.masks is not None and conditions.instances is not None
    masks, instances = conditions.masks.copy(), conditions.instances.copy()
    masks[:, :, :32], instances[:, :, :32] = 255, 0
    half = replace(conditions, masks=masks, types=masks, instances=instances)
    images = splits().images.copy()
    images[0, 22:34, start : start + 10] = (9, 1, 1)  # annotated from column 32 on
    found = asked(metric, replace(splits(), images=images, conditions=half))
    assert found["nuclei-missed"] == 0 and found["nuclei-excess"] == pytest.approx(excess / (4 + excess))


def test_outlines_are_compared_where_both_are_annotated(metric: NucleiFaithfulness) -> None:
    conditions = splits().conditions
    assert conditions.masks is not None and conditions.instances is not None
    masks, instances = conditions.masks.copy(), conditions.instances.copy()
    masks[:, :, :48], instances[:, :, :48] = 255, 0  # of the nuclei on the right, columns 40 to 49, two are left
    edge = replace(conditions, masks=masks, types=masks, instances=instances)
    found = asked(metric, replace(splits(), conditions=edge))
    assert found["nuclei-kept"] == 1 and found["nuclei-missed"] == found["nuclei-excess"] == found["nuclei-shift"] == 0


def test_ratios_to_real_patches_are_of_pooled_measures() -> None:
    metric = NucleiFaithfulness()
    fake = metric.tally(np.array([[10, 10, 8, 6, 8.0]]))
    real = metric.tally(np.array([[10, 10, 10, 9, 5.0]]))
    both = join_tallies(fake, real)
    sums = dict(zip(both.columns, both.counts[0].tolist(), strict=True))
    assert both.measures["nuclei-kept"](sums) == pytest.approx(0.6)
    assert both.measures["nuclei-kept-of-real"](sums) == pytest.approx(0.6 / 0.9)
    assert both.measures["nuclei-shift-of-real"](sums) == pytest.approx((8 / 8) / (5 / 10))
    assert np.isnan(both.measures["nuclei-missed-of-real"](sums))  # real patches miss none: nothing to divide by
    assert both.bounds["nuclei-kept-of-real"] == (0.0, None)


def test_counts_of_each_patch_are_kept_apart(metric: NucleiFaithfulness, tmp_path: Path) -> None:
    images = splits().images.copy()
    images[1] = 0
    tally: Tally = metric.agree(generated(images), tmp_path)
    assert tally.columns == COLUMNS
    assert tally.counts.tolist() == [[4, 4, 4, 4, 0], [4, 0, 0, 0, 0]]


def test_the_reference_segmenter_learns_from_what_it_is_given(metric: NucleiFaithfulness, tmp_path: Path) -> None:
    metric.learn(splits(), splits()[[0]], 7, silent, tmp_path)
    assert (tmp_path / "seen.txt").read_text() == "2 1 7"


def test_rows_may_be_counted_in_ranges(metric: NucleiFaithfulness, tmp_path: Path) -> None:
    images = splits().images.copy()
    images[1] = 0
    whole = metric.agree(generated(images), tmp_path).counts
    parts = [metric.agree(generated(images)[rows], tmp_path).counts for rows in ([0], [1], [])]
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_changed_preset_of_the_segmenter_is_another_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trained segmenter must not be found for the new one."""
    before = describe(load("metrics", "nuclei-faithfulness"))
    assert before == describe(load("metrics", "nuclei-faithfulness"))
    monkeypatch.setattr(LizardNuclei, "presets", {"tiny": replace(TINY, features=7)})
    assert describe(load("metrics", "nuclei-faithfulness")) != before


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "segmenter.py").write_text(SEGMENTER)
    cannot = load("metrics", "nuclei-faithfulness", segmenter=f"{tmp_path / 'segmenter.py'}:NoSegmenter")
    with pytest.raises(UsageError, match="does not segment nuclei"):
        cannot.learn(splits(), splits(), 0, silent, tmp_path)
    bare = replace(splits(), conditions=replace(splits().conditions, instances=None))
    with pytest.raises(UsageError, match="instances"):
        load("metrics", "nuclei-faithfulness").agree(bare, tmp_path)
