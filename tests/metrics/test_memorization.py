"""Copies of training patches among generated ones: how many are there is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import MissingError, UsageError
from bench.registry import describe, load
from bench.types import ImageSet, silent
from metrics.copying.training import Memorization, p_values, whitening
from tests.metrics.copies import NEAR, small_records, splits


@pytest.fixture(scope="module")
def sets() -> tuple[ImageSet, ImageSet, ImageSet]:
    return splits(12, 8, 10)


@pytest.fixture(scope="module")
def learned(sets: tuple[ImageSet, ImageSet, ImageSet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    Memorization().learn(sets[0], sets[1], 0, silent, folder)
    return folder


def share(patches: ImageSet, learned: Path) -> float:
    tally = Memorization().agree(patches, learned)
    return tally.measures["memorized"](dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True)))


def test_real_patches_of_other_slides_are_no_copies(sets: tuple[ImageSet, ImageSet, ImageSet], learned: Path) -> None:
    assert share(sets[2], learned) == 0


@pytest.mark.parametrize("way", NEAR)
def test_copies_are_found_and_their_patch_is_named(sets: tuple[ImageSet, ImageSet, ImageSet], learned: Path, way: str) -> None:
    train, _, test = sets
    rows = np.random.default_rng(0).permutation(len(train))[:20]
    found = Memorization().find(NEAR[way](np.asarray(train.images)[rows]), learned)
    assert np.mean(found.rows == rows) >= 0.95 and np.mean(found.scores > 0.9) >= 0.9
    images = np.array(test.images)
    images[5] = NEAR[way](np.asarray(train.images)[rows[:1]])[0]
    assert share(replace(test, images=images), learned) == 1 / len(test)


def test_each_patch_counts_for_itself(sets: tuple[ImageSet, ImageSet, ImageSet], learned: Path) -> None:
    mixed = replace(sets[2][:20], images=np.concatenate([sets[0].images[:5], sets[2].images[5:20]]))
    whole = Memorization().agree(mixed, learned).counts
    assert whole[:, 1].tolist() == [1] * 5 + [0] * 15
    assert np.array_equal(np.concatenate([Memorization().agree(mixed[[row]], learned).counts for row in range(20)]), whole)


def test_ground_without_detail_is_no_copy(sets: tuple[ImageSet, ImageSet, ImageSet], tmp_path: Path) -> None:
    white = np.full((1, 64, 64, 3), 240, np.uint8)
    train = replace(sets[0][:40], images=np.concatenate([white, sets[0].images[1:40]]))
    Memorization().learn(train, sets[1], 0, silent, tmp_path)
    assert Memorization().find(white, tmp_path).scores[0] == 0
    blank = replace(sets[2][:3], images=np.concatenate([white] * 3))
    assert Memorization().agree(blank, tmp_path).undefined == {"memorized": "no patch shows detail that could be recognised"}
    one = replace(blank, images=np.concatenate([white, white, train.images[3:4]]))
    assert share(one, tmp_path) == 1, "patches that nobody could recognise do not count"


def test_leaking_splits_are_refused_by_name(sets: tuple[ImageSet, ImageSet, ImageSet], tmp_path: Path) -> None:
    train, validation, _ = sets
    leak = replace(validation, images=np.concatenate([train.images[7:8], validation.images[1:]]))
    with pytest.raises(UsageError) as refused:
        Memorization().learn(train, leak, 0, silent, tmp_path)
    assert str(train.conditions.ids[7]) in str(refused.value) and str(leak.conditions.ids[0]) in str(refused.value)


def test_refusals(sets: tuple[ImageSet, ImageSet, ImageSet], learned: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="found 3 patches and needs 8"):
        Memorization().learn(sets[0], sets[1][:3], 0, silent, tmp_path)
    with pytest.raises(UsageError, match="lookup names encoders"):
        describe(load("metrics", "memorization", lookup=""))
    with pytest.raises(UsageError, match="nearest"):
        load("metrics", "memorization", nearest=0)
    with pytest.raises(UsageError, match="shown"):
        Memorization().find(np.zeros((1, 48, 48, 3), np.uint8), learned)


def test_options_are_in_the_description() -> None:
    plain = describe(load("metrics", "memorization"))
    assert describe(load("metrics", "memorization", lookup="texture")) != plain
    assert describe(load("metrics", "memorization", nearest=2)) != plain


def test_more_neighbours_find_what_fewer_miss(sets: tuple[ImageSet, ImageSet, ImageSet], learned: Path) -> None:
    images = np.asarray(sets[2].images)[:20]
    few, many = (Memorization(nearest=count).find(images, learned).scores for count in (1, 20))
    assert (many >= few - 1e-6).all() and (many > few + 0.01).any()


def test_whitened_features_have_unit_variance_where_they_vary() -> None:
    features = np.random.default_rng(0).normal(0, [1, 5, 0], (4000, 3)) @ [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    mean, matrix = whitening(features)
    white = np.cov((features - mean) @ matrix, rowvar=False)
    assert np.allclose(np.sort(np.linalg.eigvalsh(white)), [0, 1, 1], atol=0.1)


def test_p_values_count_held_out_patches_that_resemble_as_much() -> None:
    null = np.array([0.1, 0.2, 0.3, 0.4])
    assert p_values(np.array([0.05, 0.3, 0.9]), null).tolist() == [1.0, 0.6, 0.2]


def test_an_encoder_without_weights_costs_this_metric_alone(tmp_path: Path) -> None:
    found = small_records("blur", "fd,memorization", "none", tmp_path, "-o", "metric.lookup=texture,uni")
    assert found["blur", "fd"]["status"] == "ok"
    absent = found["blur", "memorization"]
    assert absent["status"] == "skipped" and "uni is gated" in absent["reason"]


def test_a_memorizer_is_caught_in_a_run(tmp_path: Path) -> None:
    """`copy-train` shows training patches alone, `real` patches of slides that were not trained on."""
    found = small_records("copy-train", "memorization", "real", tmp_path)
    assert {key: record["value"] for key, record in found.items()} == {
        ("copy-train", "memorized"): 1,
        ("copy-train", "memorized-over-real"): 1,
        ("real", "memorized"): 0,
        ("real", "memorized-over-real"): 0,
    }
