"""Crops of prompts in generated patches: how much was pasted is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import UsageError
from bench.pipeline.prompts import PromptRule, attach
from bench.types import Images, ImageSet, silent
from benchmarks.copies import recompressed, stained_anew, turned
from metrics.copying.prompts import CopiedFraction
from tests.metrics.copies import NEAR, small_records, splits

METRIC = CopiedFraction()
WAYS = {name: way for name, way in NEAR.items() if name not in ("3 px shift", "all of these")}
"""A pasted crop is elsewhere anyway; one that is moved inside its frame loses a part."""
WAYS["all of the others"] = lambda images: recompressed(turned(stained_anew(images)))


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return splits(12, 2, 8)[0]


@pytest.fixture(scope="module")
def test() -> ImageSet:
    """Real patches with crops of other patches of their slides."""
    return attach(splits(12, 2, 8)[2], PromptRule("slide"))


@pytest.fixture(scope="module")
def learned(train: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    METRIC.learn(train, train, 0, silent, folder)
    return folder


def fraction(patches: ImageSet, learned: Path) -> float:
    tally = METRIC.agree(patches, learned)
    return tally.measures["copied-fraction"](dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True)))


def pasted(patches: ImageSet, change: Callable[[Images], Images] = lambda crop: crop) -> ImageSet:
    """Noise with each crop, changed, at another place than on the canvas."""
    images, prompts = np.array(patches.images), patches.conditions.prompts
    assert prompts is not None
    for image, canvases, boxes, sources in zip(images, prompts.canvases, prompts.boxes, prompts.sources, strict=True):
        image[:] = np.random.default_rng(0).integers(0, 256, image.shape)
        place = 0
        for canvas, (y0, x0, y1, x1) in zip(canvases[sources != ""], boxes[sources != ""].tolist(), strict=True):
            crop = change(canvas[y0:y1, x0:x1][None])[0]
            part = crop[:, : 64 - place]
            image[: part.shape[0], place : place + part.shape[1]] = part
            place += part.shape[1]
    return replace(patches, images=images)


def largest_crop_only(patches: ImageSet) -> ImageSet:
    """Prompts with their largest crop alone, so that it fits the patch beside nothing."""
    prompts = patches.conditions.prompts
    assert prompts is not None
    areas = (prompts.boxes[..., 2] - prompts.boxes[..., 0]) * (prompts.boxes[..., 3] - prompts.boxes[..., 1])
    others = np.arange(areas.shape[1]) != areas.argmax(axis=1)[:, None]
    sources = np.where(others, "", prompts.sources)
    return replace(patches, conditions=replace(patches.conditions, prompts=replace(prompts, sources=sources)))


def test_real_patches_hardly_repeat_crops_of_other_patches(test: ImageSet, learned: Path) -> None:
    assert fraction(test, learned) < 0.02


def test_real_patches_hold_crops_that_were_cut_from_them(test: ImageSet, learned: Path) -> None:
    own = attach(replace(test, conditions=replace(test.conditions, prompts=None)), PromptRule("self"))
    assert fraction(own, learned) > 0.98


@pytest.mark.parametrize("way", WAYS)
def test_pasted_crops_are_found(test: ImageSet, learned: Path, way: str) -> None:
    assert fraction(pasted(largest_crop_only(test), change=WAYS[way]), learned) > 0.8


def test_crops_count_by_their_pixels(test: ImageSet, learned: Path) -> None:
    """Every second patch shows its crop, the others show noise."""
    alone = largest_crop_only(test)
    images = np.array(pasted(alone).images)
    images[1::2] = np.random.default_rng(1).integers(0, 256, images[1::2].shape)
    shown = METRIC.agree(alone, learned).counts[:, 0]
    assert fraction(replace(alone, images=images), learned) == pytest.approx(shown[::2].sum() / shown.sum(), abs=0.05)


def test_each_patch_counts_for_itself(test: ImageSet, learned: Path) -> None:
    rows = [0, 3, 5]
    whole = METRIC.agree(test[rows], learned).counts
    assert np.array_equal(np.concatenate([METRIC.agree(test[[row]], learned).counts for row in rows]), whole)


def test_patches_without_a_crop_that_could_be_found(test: ImageSet, learned: Path) -> None:
    bare = replace(test[:3], conditions=test[:3].conditions)
    prompts = bare.conditions.prompts
    assert prompts is not None
    none = replace(prompts, sources=np.full_like(prompts.sources, ""))
    tally = METRIC.agree(replace(bare, conditions=replace(bare.conditions, prompts=none)), learned)
    assert tally.undefined == {"copied-fraction": "no prompt shows a crop with detail of 16 px or more"}


def test_refusals(train: ImageSet, learned: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prompts"):
        METRIC.agree(train, learned)
    with pytest.raises(UsageError, match="no two that share no pixel"):
        METRIC.learn(train[:1], train, 0, silent, tmp_path)


def test_a_table_in_which_pasting_is_seen_and_what_gets_no_prompt_says_so(tmp_path: Path) -> None:
    found = small_records("crop-paste", "copied-fraction", "real", tmp_path)
    own = found["crop-paste", "copied-fraction"]
    assert 0.9 < own["low"] <= own["value"] <= 1 and own["direction"] == "lower"
    assert found["crop-paste", "copied-fraction-over-real"]["value"] > 0.9
    absent = found["real", "copied-fraction"]
    assert absent["status"] == "skipped" and "real is shown no prompts" in absent["reason"]
