"""Visual prompts: where crops come from, where they go, and every option of the rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.errors import UsageError
from bench.pipeline import prompts
from bench.pipeline.prompts import PromptRule
from bench.types import GREY, ImageSet
from tasks.datasets.phantom.dataset import PhantomCam16


@pytest.fixture(scope="module")
def patches() -> ImageSet:
    return PhantomCam16(train_slides=4, per_slide=6).split("train")


def attached(patches: ImageSet, **rule: object) -> ImageSet:
    return prompts.attach(patches, PromptRule(**rule))  # type: ignore[arg-type]


def crops(made: ImageSet):
    """(patch, class, donor row, box, pixels) of every crop."""
    conditions = made.conditions
    row = {name: i for i, name in enumerate(conditions.ids.tolist())}
    for i, c in np.argwhere(conditions.prompts.sources != ""):
        y0, x0, y1, x1 = conditions.prompts.boxes[i, c]
        yield i, c, row[conditions.prompts.sources[i, c]], (y0, x0, y1, x1), conditions.prompts.canvases[i, c, y0:y1, x0:x1]


def found_in(pixels: np.ndarray, image: np.ndarray) -> bool:
    side = pixels.shape[0]
    views = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(0, 1))
    return bool((views.transpose(0, 1, 3, 4, 2) == pixels).all(axis=(2, 3, 4)).any())


@pytest.mark.parametrize("prompt_source", ["self", "slide", "cohort"])
def test_every_crop_lies_in_its_region_and_is_cut_from_its_donor(patches: ImageSet, prompt_source: str) -> None:
    made = attached(patches, prompt_source=prompt_source)
    conditions = made.conditions
    count = 0
    for i, c, donor, (y0, x0, y1, x1), pixels in crops(made):
        count += 1
        assert y1 - y0 == x1 - x0
        assert (conditions.masks[i, y0:y1, x0:x1] == c).all()
        assert found_in(pixels, made.images[donor])
        if prompt_source == "self":
            assert donor == i
            assert (pixels == made.images[i, y0:y1, x0:x1]).all()
        elif prompt_source == "slide":
            assert donor != i and conditions.groups[donor] == conditions.groups[i]
        else:
            assert conditions.groups[donor] != conditions.groups[i]
    assert count > 40


def test_canvas_is_grey_outside_the_box(patches: ImageSet) -> None:
    made = attached(patches)
    for i, c, _, (y0, x0, y1, x1), _ in crops(made):
        outside = made.conditions.prompts.canvases[i, c].copy()
        outside[y0:y1, x0:x1] = GREY
        assert (outside == GREY).all()


def test_self_takes_the_largest_window_within_bounds(patches: ImageSet) -> None:
    for i, c, _, (y0, _, y1, _), _ in crops(attached(patches, prompt_source="self", largest=1.0)):
        region = patches.conditions.masks[i] == c
        assert len(prompts.windows(region, y1 - y0))
        assert not len(prompts.windows(region, y1 - y0 + 1))


@pytest.mark.parametrize(
    "option",
    [{"smallest": 0.3}, {"largest": 0.2}, {"rotate": True}, {"flip": True}, {"stain_jitter": 0.3}, {"prompt_seed": 1}],
)
def test_every_option_changes_the_crops_and_the_key(patches: ImageSet, option: dict[str, object]) -> None:
    plain, changed = attached(patches), attached(patches, **option)
    assert not np.array_equal(plain.conditions.prompts.canvases, changed.conditions.prompts.canvases)
    assert plain.key != changed.key
    assert PromptRule().label() == "slide" and "=" in PromptRule(**option).label()  # type: ignore[arg-type]


def test_bounds_hold(patches: ImageSet) -> None:
    sides = {y1 - y0 for _, _, _, (y0, _, y1, _), _ in crops(attached(patches, smallest=0.25, largest=0.375))}
    assert min(sides) >= 16 and max(sides) <= 24


def test_same_patches_in_another_order_get_the_same_crops(patches: ImageSet) -> None:
    one = attached(patches, prompt_source="self")
    order = np.random.default_rng(0).permutation(len(patches))
    other = attached(patches[order], prompt_source="self")
    assert np.array_equal(one.conditions.prompts.canvases[order], other.conditions.prompts.canvases)


def without_window(patches: ImageSet) -> ImageSet:
    """The first patch with stripes of class 1 that no window fits in."""
    masks = patches.conditions.masks.copy()
    masks[0] = 0
    masks[0, ::8] = 1
    return replace(patches, conditions=replace(patches.conditions, masks=masks))


def test_class_without_window_gets_no_crop_and_is_counted(patches: ImageSet) -> None:
    made = attached(without_window(patches))
    assert made.conditions.prompts.sources[0, 1] == ""
    assert (made.conditions.prompts.canvases[0, 1] == GREY).all()
    assert prompts.report(made.conditions).missing >= 1
    assert prompts.report(made.conditions).whole == 0


def test_fallback_of_the_paper_pastes_the_whole_region_on_self(patches: ImageSet) -> None:
    striped = without_window(patches)
    made = attached(striped, prompt_source="self", fallback="paper")
    region = striped.conditions.masks[0] == 1
    assert (made.conditions.prompts.canvases[0, 1][region] == striped.images[0][region]).all()
    text = prompts.report(made.conditions)
    assert text.missing == 0 and text.whole >= 1


def test_fallback_of_the_paper_exists_on_self_only() -> None:
    with pytest.raises(UsageError, match="--prompt-source self"):
        PromptRule(prompt_source="slide", fallback="paper")


def test_coverage_is_the_share_of_pixels_under_crops(patches: ImageSet) -> None:
    made = attached(patches)
    area = sum((y1 - y0) * (x1 - x0) for _, _, _, (y0, x0, y1, x1), _ in crops(made))
    assert prompts.report(made.conditions).coverage == pytest.approx(area / (len(made) * 64 * 64), abs=1e-3)


def test_one_patch_a_slide_has_no_donor_on_slide(patches: ImageSet) -> None:
    alone = patches[np.arange(0, len(patches), 6)]
    text = prompts.report(attached(alone).conditions)
    assert text.missing == text.wanted == 8


@pytest.mark.parametrize("bounds", [(0.0, 0.5), (0.6, 0.5), (0.2, 1.5)])
def test_impossible_bounds_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="smallest <= largest"):
        PromptRule(smallest=bounds[0], largest=bounds[1])


@pytest.mark.parametrize("jitter", [float("nan"), float("inf"), -0.1])
def test_a_stain_jitter_that_is_no_standard_deviation_is_refused(jitter: float) -> None:
    with pytest.raises(UsageError, match="stain_jitter is a standard deviation, 0 or more and finite"):
        PromptRule(stain_jitter=jitter)
