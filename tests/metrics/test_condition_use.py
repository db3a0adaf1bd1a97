"""Slopes of images whose answer to an altered condition is known: drawn from it, from another one, or from none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.errors import UsageError
from bench.pipeline.prompts import PromptRule, attach
from bench.registry import load
from bench.types import Card, Conditions, ImageSet, image_seeds
from metrics.faithfulness import use
from metrics.faithfulness.maps import MapFaithfulness
from metrics.faithfulness.use import ConditionUse

READER = '''
"""Reads classes off the red pixels, and the number of a nucleus off the green ones."""
import numpy as np
from bench.types import Card

class Reader:
    card = Card("reader", "1", "Reads pixels.")
    references = ("right",)
    def learn_references(self, training, validation, seed, progress, folder): ...
    def read_maps(self, folder, images):
        return images[None, ..., 0]
    def learn(self, mix, validation, seed, progress, folder): ...
    def segment(self, folder, images):
        return images[..., 1].astype(np.int32), images[..., 0]
'''
CLASSES = ("background", "lymphocyte", "epithelial")


@pytest.fixture
def metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConditionUse:
    (tmp_path / "reader.py").write_text(READER)
    made, file = ConditionUse(), f"{tmp_path / 'reader.py'}:Reader"
    made._maps = MapFaithfulness(segmenter=file)
    made._nuclei = use.NucleiFaithfulness(segmenter=file)
    return made


def regions(n: int = 6) -> Conditions:
    """Maps of two classes, whose border is at another column in each patch; two patches of each slide."""
    masks = np.zeros((n, 16, 16), np.uint8)
    for i in range(n):
        masks[i, :, 4 + i :] = 1
    ids = np.array([f"p{i}" for i in range(n)])
    return Conditions(ids, np.array([f"s{i // 2}" for i in range(n)]), ("normal", "tumour"), 16, 0.5, masks=masks)


def nuclei() -> Conditions:
    """Four nuclei in each patch, three of one type and one of another."""
    conditions = regions(4)
    instances = np.zeros((4, 16, 16), np.int32)
    for number, (y, x) in enumerate([(1, 1), (1, 9), (9, 1), (9, 9)], start=1):
        instances[:, y : y + 4, x : x + 4] = number
    types = np.select([instances == 4, instances > 0], [2, 1], 0).astype(np.uint8)
    return replace(conditions, masks=types, types=types, instances=instances, classes=CLASSES)


def drawn(conditions: Conditions) -> ImageSet:
    """Images that show their conditions as the reader reads them."""
    assert conditions.masks is not None
    numbers = conditions.masks * 0 if conditions.instances is None else conditions.instances.astype(np.uint8)
    return ImageSet("k", np.stack([conditions.masks, numbers, numbers], axis=-1), conditions)


def slope(metric: ConditionUse, sweep: str, made: list[ImageSet]) -> float:
    asked, answered = metric.respond(sweep, made, Path()).sum(axis=0)
    return float(answered / asked)


def levels(metric: ConditionUse, sweep: str, conditions: Conditions) -> list[Conditions]:
    return [metric.alter(sweep, level, conditions) for level in metric.levels(sweep)]


@pytest.mark.parametrize("sweep", ["use-shuffle", "use-swap", "use-share"])
def test_images_drawn_from_their_map_have_a_slope_of_1_and_others_of_0(metric: ConditionUse, sweep: str) -> None:
    conditions = regions()
    altered = levels(metric, sweep, conditions)
    assert slope(metric, sweep, [drawn(one) for one in altered]) == pytest.approx(1)
    same = drawn(conditions).images
    assert slope(metric, sweep, [ImageSet("k", same, one) for one in altered]) == 0
    half = [
        replace(drawn(one), images=np.where(np.arange(6)[:, None, None, None] < 3, drawn(one).images, same)) for one in altered
    ]
    assert 0.2 < slope(metric, sweep, half) < 0.8, "half of the patches follow"


def test_types_of_nuclei_are_swapped_and_read_by_the_segmenter_of_nuclei(metric: ConditionUse) -> None:
    asked = levels(metric, "use-swap", nuclei())
    assert asked[1].masks is not None and asked[1].types is not None and asked[0].masks is not None
    assert (asked[1].masks[asked[0].masks == 1] == 2).all() and (asked[1].masks[asked[0].masks == 2] == 1).all()
    assert np.array_equal(asked[1].masks, asked[1].types) and np.array_equal(asked[0].masks == 0, asked[1].masks == 0)
    assert metric.reader("use-swap", asked[0]) == ("nuclei-faithfulness", {})
    assert slope(metric, "use-swap", [drawn(one) for one in asked]) == pytest.approx(1)


def test_fewer_nuclei_are_found_where_fewer_are_asked_for(metric: ConditionUse) -> None:
    quarter, half, full = levels(metric, "use-nuclei", nuclei())
    counts = [[use.count(patch) for patch in one.instances] for one in (quarter, half, full) if one.instances is not None]
    assert counts == [[1] * 4, [2] * 4, [4] * 4]
    assert ((quarter.instances == 0) | (half.instances == full.instances)).all(), "those of a smaller share are in a larger"
    assert quarter.masks is not None and ((quarter.masks > 0) == (quarter.instances > 0)).all()
    assert slope(metric, "use-nuclei", [drawn(one) for one in (quarter, half, full)]) == pytest.approx(1)
    assert slope(metric, "use-nuclei", [replace(drawn(full), conditions=one) for one in (quarter, half, full)]) == 0


def with_prompts() -> ImageSet:
    patches = load("datasets", "phantom-cam16", train_slides=3, per_slide=2).split("train")
    return attach(patches, PromptRule("slide"))


def test_pasted_crops_have_the_stain_of_their_prompts_and_training_patches_have_not(metric: ConditionUse) -> None:
    conditions = with_prompts().conditions
    altered = levels(metric, "use-stain", conditions)
    seeds = image_seeds(0, conditions.ids)
    pasted = [ImageSet("k", load("generators", "crop-paste").generate(one, seeds), one) for one in altered]
    assert slope(metric, "use-stain", pasted) == pytest.approx(1, abs=0.1)
    assert slope(metric, "use-stain", [replace(pasted[0], conditions=one) for one in altered]) == 0
    canvas = altered[0].prompts.canvases  # type: ignore[union-attr]
    assert (canvas[conditions.prompts.canvases == 128] == 128).mean() > 0.99, "canvases stay grey"  # type: ignore[union-attr]


def test_more_of_a_class_is_read_with_more_guidance(metric: ConditionUse) -> None:
    asked = regions()
    right = drawn(asked)
    wrong = replace(right, images=np.zeros_like(right.images))
    partly = replace(right, images=np.where(np.arange(16)[:, None, None] < 8, right.images, 0))
    shares = [1.0, 0.75, 0.5]
    found = metric.respond("use-guidance", [right, partly, wrong], Path())
    expected = np.polyfit(metric.levels("use-guidance"), shares, 1)[0]
    assert found[:, 1].sum() / found[:, 0].sum() == pytest.approx(expected) and expected < 0


def test_the_slope_has_an_intercept_for_each_patch() -> None:
    rng = np.random.default_rng(0)
    x, offset = rng.uniform(size=(4, 5)), rng.uniform(0, 100, size=5)
    sums = use.cross_sums(x, 0.6 * x + offset).sum(axis=0)
    assert sums[1] / sums[0] == pytest.approx(0.6)


def test_pixels_that_nobody_annotated_do_not_count(metric: ConditionUse) -> None:
    conditions = regions()
    assert conditions.masks is not None
    conditions.masks[:, 12:] = 255
    for sweep in ("use-shuffle", "use-swap", "use-share"):
        asked = levels(metric, sweep, conditions)
        assert all((one.masks[:, 12:] == 255).all() for one in asked if one.masks is not None)
        images = [drawn(one) for one in asked]
        for one in images:
            one.images[:, 12:] = 0
        assert slope(metric, sweep, images) == pytest.approx(1), sweep


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_region_grows_from_its_border_to_the_share_that_is_asked_for(share: float) -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[8:12, 8:12] = 2
    mask[:, 15:] = 1
    found = use.grow_to(mask, share)
    assert (
        (found == 2).mean() == pytest.approx(share) and (found[9:11, 9:11] == 2).all() and set(np.unique(found)) <= {0, 1, 2}
    )
    back = use.grow_to(found, 16 / 400)
    assert (back == 2).sum() == 16 and (back == 1).any(), "what it leaves gets the class beside it"
    assert np.array_equal(use.grow_to(np.ones((4, 4), np.uint8), share), np.ones((4, 4))), "a map of one class stays"


def test_a_shuffled_condition_is_that_of_another_slide() -> None:
    conditions = regions()
    found = use.shuffle(conditions)
    assert conditions.masks is not None and found.masks is not None
    assert np.array_equal(found.ids, conditions.ids) and np.array_equal(found.groups, conditions.groups)
    givers = [next(j for j in range(6) if np.array_equal(conditions.masks[j], mask)) for mask in found.masks]
    assert all(conditions.groups[i] != conditions.groups[j] for i, j in enumerate(givers))


def takes(*needs: str) -> SimpleNamespace:
    return SimpleNamespace(card=Card("some", "1", "A generator.", needs=needs))


@pytest.mark.parametrize(
    ("sweep", "needs", "reason"),
    [
        ("use-share", ("prompts",), "takes none"),
        ("use-stain", ("masks",), "is shown none"),
        ("use-nuclei", ("masks",), "takes none"),
        ("use-guidance", ("masks",), "has no option guidance"),
        ("use-share", ("masks",), ""),
        ("use-shuffle", (), ""),
        ("use-nuclei", (), "takes none"),
    ],
)
def test_a_generator_is_not_asked_for_what_it_does_not_take(sweep: str, needs: tuple[str, ...], reason: str) -> None:
    found = ConditionUse().refusal(sweep, takes(*needs), regions())
    assert reason in found and bool(found) == bool(reason)


def test_nuclei_and_guidance_are_asked_of_a_generator_that_has_them() -> None:
    metric, generator = ConditionUse(), load("generators", "nasdm")
    for sweep in ("use-shuffle", "use-swap", "use-nuclei", "use-guidance"):
        assert not metric.refusal(sweep, generator, nuclei())
    assert "use-nuclei alters these" in metric.refusal("use-share", generator, nuclei())


def test_options_choose_sweeps_and_segmenters() -> None:
    assert list(ConditionUse(only="share, stain").sweeps) == ["use-share", "use-stain"]
    with pytest.raises(UsageError, match="no sweep 'shape'.*It has: shuffle"):
        ConditionUse(only="shape")
    with pytest.raises(UsageError, match="patches"):
        ConditionUse(patches=0)
    assert ConditionUse(segmenter_steps=7).reader("use-share", regions()) == ("map-faithfulness", {"segmenter_steps": 7})
    assert ConditionUse(steps=7).reader("use-nuclei", nuclei()) == ("nuclei-faithfulness", {"steps": 7})
    assert ConditionUse().reader("use-stain", regions()) is None
