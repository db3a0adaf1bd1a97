"""Regions that look like their prompts, or do not: by which measure is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import UsageError
from bench.histology.stain import restain
from bench.pipeline.prompts import PromptRule, attach
from bench.registry import describe, load
from bench.types import Images, ImageSet, silent
from generators.controls import CropPaste
from metrics.faithfulness.prompts import PromptFaithfulness
from tests.metrics.copies import small_records, splits

ALL, COLOUR, STRUCTURE = "prompt-auc", "prompt-auc-colour", "prompt-auc-structure"
METRIC = PromptFaithfulness()


@pytest.fixture(scope="module")
def sets() -> tuple[ImageSet, ImageSet]:
    train, _, test = splits(12, 2, 8)
    return train, test


@pytest.fixture(scope="module")
def learned(sets: tuple[ImageSet, ImageSet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    METRIC.learn(sets[0], sets[1], 0, silent, folder)
    return folder


@pytest.fixture(scope="module")
def prompted(sets: tuple[ImageSet, ImageSet]) -> ImageSet:
    return attach(sets[1], PromptRule("slide"))


def measured(patches: ImageSet, learned: Path, metric: PromptFaithfulness = METRIC) -> dict[str, float]:
    tally = metric.agree(patches, learned)
    sums = dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True))
    return {name: measure(sums) for name, measure in tally.measures.items()}


def shown(patches: ImageSet, images: Images) -> ImageSet:
    return replace(patches, images=images)


def test_a_pasted_prompt_decides(prompted: ImageSet, learned: Path) -> None:
    pasted = CropPaste().generate(prompted.conditions, np.zeros(len(prompted), np.uint64))
    assert measured(shown(prompted, pasted), learned) == {ALL: 1, COLOUR: 1, STRUCTURE: 1}


def test_tissue_of_the_slide_is_nearer_and_that_of_other_slides_is_not(
    sets: tuple[ImageSet, ImageSet], prompted: ImageSet, learned: Path
) -> None:
    same, other = measured(prompted, learned), measured(attach(sets[1], PromptRule("cohort")), learned)
    assert all(same[name] > 0.65 for name in (ALL, COLOUR, STRUCTURE)) and same[COLOUR] > 0.8
    assert all(other[name] < same[name] - 0.1 for name in (ALL, COLOUR, STRUCTURE))
    assert 0.3 < other[COLOUR] < 0.7


def test_a_stain_shift_is_seen_by_colour_and_not_by_structure(prompted: ImageSet, learned: Path) -> None:
    before = measured(prompted, learned)
    after = measured(shown(prompted, restain(np.asarray(prompted.images), np.array([1.4, 0.8, 1.2]))), learned)
    assert after[COLOUR] < before[COLOUR] - 0.2 and abs(after[STRUCTURE] - before[STRUCTURE]) < 0.05


def test_lost_structure_is_seen_by_structure_and_hardly_by_colour(prompted: ImageSet, learned: Path) -> None:
    pasted = CropPaste().generate(prompted.conditions, np.zeros(len(prompted), np.uint64))
    shuffled = pasted.reshape(len(pasted), 16, 4, 16, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(len(pasted), 256, 16, 3)
    shuffled = np.random.default_rng(0).permuted(shuffled, axis=2)  # pixels within blocks of 4 x 4
    whole = shuffled.reshape(len(pasted), 16, 16, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(pasted.shape)
    found = measured(shown(prompted, whole), learned)
    assert found[COLOUR] > 0.8 > found[STRUCTURE]


def test_each_patch_counts_for_itself_and_no_prompt_no_number(prompted: ImageSet, learned: Path) -> None:
    rows = [0, 3, 5]
    whole = METRIC.agree(prompted[rows], learned).counts
    assert np.array_equal(np.concatenate([METRIC.agree(prompted[[row]], learned).counts for row in rows]), whole)
    prompts = prompted.conditions.prompts
    assert prompts is not None
    none = replace(prompts, sources=np.full_like(prompts.sources, ""))
    tally = METRIC.agree(replace(prompted, conditions=replace(prompted.conditions, prompts=none)), learned)
    assert set(tally.undefined) == {ALL, COLOUR, STRUCTURE}


def test_options_change_the_number_and_the_description(prompted: ImageSet, learned: Path, tmp_path: Path) -> None:
    plain, few = measured(prompted, learned), measured(prompted, learned, PromptFaithfulness(others=2))
    assert few[ALL] != plain[ALL] and few[ALL] == pytest.approx(plain[ALL], abs=0.1)
    other = PromptFaithfulness(seen_by="random-conv")
    other.learn(prompted, prompted, 0, silent, tmp_path)
    assert measured(prompted, tmp_path, other)[ALL] != plain[ALL]
    described = describe(load("metrics", "prompt-faithfulness"))
    for options in ({"seen_by": "random-conv"}, {"others": 2}):
        assert describe(load("metrics", "prompt-faithfulness", **options)) != described


def test_refusals(sets: tuple[ImageSet, ImageSet], learned: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prompts"):
        METRIC.agree(sets[1], learned)
    with pytest.raises(UsageError, match="others"):
        load("metrics", "prompt-faithfulness", others=0)
    masks = np.full_like(np.asarray(sets[0].conditions.masks), 255)
    bare = replace(sets[0], conditions=replace(sets[0].conditions, masks=masks))
    with pytest.raises(UsageError, match="0 of 120 have a window"):
        METRIC.learn(bare, bare, 0, silent, tmp_path)


def test_a_run_measures_what_was_copied_beside_it(tmp_path: Path) -> None:
    found = small_records("crop-paste", "prompt-faithfulness", "none", tmp_path)
    assert found["crop-paste", ALL]["value"] == 1 and found["crop-paste", "copied-fraction"]["value"] > 0.9
    assert found["crop-paste", f"{STRUCTURE}-over-real"]["low"] > 0.05
