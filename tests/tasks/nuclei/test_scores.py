"""Scores of nuclei: closed forms, identity, what is absent or unlabelled, and the definitions written out plainly beside."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.statistics import group_bootstrap
from bench.types import Conditions, Tally
from tasks.nuclei.scores import nuclei_columns, nuclei_counts, nuclei_tally

CLASSES = ("background", "round", "long")
SIZE = 24
Maps = tuple[NDArray[np.int32], NDArray[np.uint8]]
Box = tuple[int, int, int, int, int]


def patches(*given: list[Box]) -> Maps:
    """Instances and types of patches that hold rectangles y0, y1, x0, x1 of a type; later ones cover earlier ones."""
    instances = np.zeros((len(given), SIZE, SIZE), np.int32)
    types = np.zeros(instances.shape, np.uint8)
    for patch, boxes in enumerate(given):
        for number, (y0, y1, x0, x1, kind) in enumerate(boxes, 1):
            instances[patch, y0:y1, x0:x1], types[patch, y0:y1, x0:x1] = number, kind
    return instances, types


def truth(maps: Maps, mpp: float = 1.0, classes: tuple[str, ...] = CLASSES) -> Conditions:
    names = np.array([f"p{i}" for i in range(len(maps[0]))])
    return Conditions(names, names, classes, SIZE, mpp, masks=maps[1], instances=maps[0])


def tally(predicted: Maps, true: Conditions) -> Tally:
    return nuclei_tally(nuclei_counts(*predicted, true), true.classes)


def values(made: Tally) -> dict[str, float]:
    sums = dict(zip(made.columns, made.counts.sum(axis=0).tolist(), strict=True))
    return {name: float(measure(sums)) for name, measure in made.measures.items()}


def scattered(seed: int, count: int = 4) -> Maps:
    """Patches full of overlapping rectangles of both types."""
    rng = np.random.default_rng(seed)
    boxes = [[(y, y + h, x, x + w, k) for y, x, h, w, k in rng.integers((0, 0, 3, 3, 1), (18, 18, 8, 8, 3), (7, 5)).tolist()]
             for _ in range(count)]  # fmt: skip
    return patches(*boxes)


TRUE = scattered(1)
SMALL: Box = (2, 6, 2, 6, 1)
FAR: Box = (14, 18, 2, 10, 2)


def test_perfect_is_one_everywhere() -> None:
    found = values(tally(TRUE, truth(TRUE)))
    assert set(found.values()) == {1.0}, found


def test_nothing_found_is_nought() -> None:
    nothing = patches([], [], [], [])
    found = values(tally(nothing, truth(TRUE)))
    for name in ("dice-binary", *INSTANCES, "pq-conic", "mpq+", "f1-detection", "f1", "dice:round"):
        assert found[name] == 0, name
    assert 0 < found["dice"] < 1 / 3 and found["r2"] < 0, "background alone is right; no count is"


def test_worked_by_hand() -> None:
    """One of two nuclei found, one row too low, and predicted by the wrong type; 24 x 24 pixels."""
    true, predicted = patches([SMALL, FAR]), patches([(3, 7, 2, 6, 2)])
    found = values(tally(predicted, truth(true)))
    assert found["dice-binary"] == 2 * 12 / (16 + 32 + 16)
    assert found["aji"] == found["aji+"] == 12 / (20 + 32)
    assert found["dq"] == found["dq-pooled"] == 2 / 3 and found["sq"] == found["sq-pooled"] == 12 / 20
    assert found["pq"] == pytest.approx(0.4) == found["pq-pooled"]
    assert found["mpq+"] == found["pq+:round"] == found["f1"] == 0
    assert found["f1-detection"] == 2 / 3
    background = 576 - 48 - 4
    dice = [2 * background / (528 + 560), 0, 0]
    assert found["dice"] == pytest.approx(np.mean(dice)) == found["dice-pooled"]
    assert found["iou-pooled"] == pytest.approx(np.mean([d / (2 - d) for d in dice])) == found["miou"]


def test_type_f1_counts_each_kind_of_mistake_with_its_weight() -> None:
    """Round: one right, one predicted long (both weighted 2), one missed and one in excess (weighted 1)."""
    boxes: list[Box] = [(0, 3, 0, 3, 1), (0, 3, 8, 11, 1), (0, 3, 16, 19, 1)]
    true, predicted = patches(boxes), patches([boxes[0], (0, 3, 8, 11, 2), (12, 15, 12, 15, 1)])
    found = values(tally(predicted, truth(true)))
    assert found["f1:round"] == 2 / (2 + 2 * 1 + 1 + 1)
    assert math.isnan(found["f1:long"]) and math.isnan(found["f1"])
    assert found["f1-detection"] == 2 * 2 / (2 * 2 + 1 + 1)


def test_averaging_by_patch_and_pooling_differ() -> None:
    """A patch with one nucleus found and one with four missed."""
    four: list[Box] = [(y, y + 3, x, x + 3, 1) for y, x in itertools.product((0, 12), (0, 12))]
    true, predicted = patches([SMALL], four), patches([SMALL], [])
    found = values(tally(predicted, truth(true)))
    assert found["pq"] == found["aji"] == 0.5 and found["pq-pooled"] == 2 / (1 + 5)
    assert found["dice-binary"] == 2 * 16 / (16 + 36 + 16)


def test_channels_of_a_patch_are_those_shown_or_called() -> None:
    true, predicted = patches([SMALL], []), patches([SMALL], [SMALL])
    background = 2 * (576 - 16) / (576 + 560)
    assert values(tally(predicted, truth(true)))["dice"] == pytest.approx((1 + (background + 0) / 2) / 2)


BY_PATCH = ("aji", "aji+", "pq", "dq", "sq")
INSTANCES = (*BY_PATCH, *(f"{name}-pooled" for name in BY_PATCH))


def test_false_nuclei_in_empty_patches_lower_every_measure_of_instances() -> None:
    """One right nucleus, and 180 false ones of as many pixels in five empty patches."""
    grid: list[Box] = [(y, y + 2, x, x + 2, 1) for y, x in itertools.product(range(0, 24, 4), range(0, 24, 4))]
    true, predicted = patches([(0, 2, 0, 2, 1)], *[[]] * 5), patches([(0, 2, 0, 2, 1)], *[grid] * 5)
    found = values(tally(predicted, truth(true)))
    assert {name: found[name] for name in BY_PATCH} == pytest.approx(dict.fromkeys(BY_PATCH, 1 / 6))
    assert found["pq-conic"] == pytest.approx(1 / 6)
    assert found["pq-pooled"] == pytest.approx(2 / 182) and found["sq-pooled"] == 1
    assert found["aji-pooled"] == found["aji+-pooled"] == pytest.approx(4 / (181 * 4))


def test_patches_that_are_rightly_empty_are_no_part_of_means_over_patches_with_nuclei() -> None:
    both = values(tally(patches([SMALL], []), truth(patches([SMALL], []))))
    assert {both[name] for name in (*INSTANCES, "dice")} == {1.0}
    assert both["pq-conic"] == 0.5, "CoNIC's script counts 0 for every patch without true nuclei"


def test_jaccard_pools_pixels_where_patches_are_of_unequal_weight() -> None:
    """A patch with one nucleus of 16 px found and one with four of 9 px missed."""
    four: list[Box] = [(y, y + 3, x, x + 3, 1) for y, x in itertools.product((0, 12), (0, 12))]
    found = values(tally(patches([SMALL], []), truth(patches([SMALL], four))))
    assert found["aji"] == found["aji+"] == 0.5
    assert found["aji-pooled"] == found["aji+-pooled"] == pytest.approx(16 / (16 + 36))


def test_a_type_that_no_patch_shows_has_no_value() -> None:
    true = patches([SMALL], [])
    for predicted in (true, patches([SMALL], [FAR])):
        found = values(tally(predicted, truth(true)))
        absent = {"dice:long", "iou:long", "pq+:long", "f1:long", "r2:long"}
        means = {"dice-pooled", "iou-pooled", "mpq+", "f1", "r2"}
        assert {name for name, value in found.items() if math.isnan(value)} == absent | means
        present = {f"{name}-present": 1.0 for name in means}
        assert {name for name in found if name.endswith("-present")} == set(present)
        assert present == {name: found[name] for name in present} or predicted is not true
    nowhere = values(tally(patches([]), truth(patches([]))))
    assert nowhere["dice"] == 1 and all(math.isnan(nowhere[name]) for name in (*INSTANCES, "pq-conic", "f1-detection"))
    false = values(tally(patches([SMALL]), truth(patches([]))))
    assert all(math.isnan(false[name]) for name in (*INSTANCES, "pq-conic")), "no true nucleus anywhere"


def half_annotated(maps: Maps) -> Conditions:
    """The maps as truth whose right half nobody annotated."""
    masks, instances = maps[1].copy(), maps[0].copy()
    masks[:, :, 12:], instances[:, :, 12:] = 255, 0
    return truth((instances, masks))


def test_means_that_lack_a_type_name_it_and_have_a_partner_over_the_others() -> None:
    true = [[SMALL], [], [SMALL, (12, 16, 12, 16, 1)], [], [], []]
    predicted = [[SMALL], [FAR], [SMALL], [], [], []]
    made = tally(patches(*predicted), truth(patches(*true)))
    found = group_bootstrap(made, np.array(list("abcdef")), seed=0, resamples=50)
    for name, part in (("dice-pooled", "dice"), ("iou-pooled", "iou"), ("mpq+", "pq+"), ("f1", "f1")):
        assert found[name].reason == f"no patch shows long: the mean over the other classes is {name}-present"
        assert found[f"{part}:long"].reason == "no patch shows long"
        parts = [found[f"{part}:{c}"].value for c in CLASSES if f"{part}:{c}" in found and c != "long"]
        assert found[f"{name}-present"].value == pytest.approx(np.mean(parts))
    assert found["r2"].reason == "all patches hold equally many long: the mean over the other classes is r2-present"
    assert found["r2-present"].value == found["r2:round"].value and made.bounds["r2-present"] == (None, 1.0)
    nothing = tally(patches([], []), truth(patches([], [])))
    empty = group_bootstrap(nothing, np.array(["a", "b"]), seed=0, resamples=5)
    assert empty["pq-pooled"].reason == empty["f1-detection"].reason == "no patch shows a nucleus"
    assert empty["mpq+"].reason == "no patch shows round, long" and "mpq+-present" not in empty


def test_unlabelled_pixels_are_on_neither_side() -> None:
    cut = half_annotated(TRUE)
    assert cut.masks is not None and cut.instances is not None
    within: list[Box] = [(0, 5, 3, 9, 1), (8, 14, 2, 11, 2)]  # apart from nuclei on the border, what lies beyond is not seen
    predicted, beyond = patches(*[within] * 4), scattered(3)
    far = [np.where(np.arange(SIZE) < 12, predicted[column], beyond[column] + 100 * (column == 0)) for column in (0, 1)]
    assert (nuclei_counts(*predicted, cut) == nuclei_counts(far[0], far[1], cut)).all()
    assert set(values(tally(TRUE, cut)).values()) == {1.0}, "the visible parts of nuclei on the border are partners"
    nobody = replace(cut, masks=np.full_like(cut.masks, 255), instances=np.zeros_like(cut.instances))
    assert not nuclei_counts(*predicted, nobody).any()


SIX: list[Box] = [(y, y + 4, x, x + 4, 1 + (y > 8)) for y, x in itertools.product((1, 9, 17), (1, 6))]


@pytest.mark.parametrize("sliver", [1, 2])
def test_called_nuclei_that_lie_mostly_in_unannotated_pixels_are_ignored(sliver: int) -> None:
    """Six perfect nuclei, and three centred in the half that nobody annotated, of which one or two columns are left."""
    beyond: list[Box] = [(y, y + 5, 12 - sliver, 18, 1) for y in (0, 8, 16)]
    perfect = values(tally(patches(SIX + beyond, SIX[1:4]), half_annotated(patches(SIX, SIX[1:4]))))
    assert set(perfect.values()) == {1.0}, perfect


def test_called_nuclei_half_of_which_is_annotated_count() -> None:
    for right, quality in ((15, 6 / 6.5), (16, 6 / 6.5), (17, 1.0)):  # 4 of 7, 4 of 8 and 4 of 9 columns are annotated
        found = values(tally(patches([*SIX, (21, 24, 8, right, 2)]), half_annotated(patches(SIX))))
        assert found["pq-pooled"] == pytest.approx(quality), right


def test_a_called_nucleus_mostly_unannotated_is_found_where_the_rest_of_it_is_a_true_one() -> None:
    whole: Box = (1, 6, 10, 20, 1)
    found = values(tally(patches([whole]), half_annotated(patches([whole]))))
    assert found["pq-pooled"] == found["f1:round"] == found["dice:round"] == 1
    missed = values(tally(patches([(1, 6, 11, 21, 1)]), half_annotated(patches([(0, 10, 8, 20, 1)]))))
    assert missed["pq-pooled"] == missed["dice:round"] == 0, "no partner: neither right nor wrong"


def test_numbers_and_order_of_nuclei_mean_nothing() -> None:
    predicted = scattered(2)
    renumbered = np.where(predicted[0] > 0, 1000 - 7 * predicted[0], 0).astype(np.int32)
    once, again = nuclei_counts(*predicted, truth(TRUE)), nuclei_counts(renumbered, predicted[1], truth(TRUE))
    assert once == pytest.approx(again, abs=1e-12)
    back = [3, 1, 0, 2]
    swapped = nuclei_counts(predicted[0][back], predicted[1][back], truth((TRUE[0][back], TRUE[1][back])))
    assert (swapped == once[back]).all()


def test_the_farther_the_worse() -> None:
    def shifted(pixels: int) -> dict[str, float]:
        boxes = [(y0, y1, x0 + pixels, x1 + pixels, kind) for y0, y1, x0, x1, kind in (SMALL, FAR)]
        return values(tally(patches(boxes), truth(patches([SMALL, FAR]))))

    for name in ("dice", "miou", "dice-binary", "aji", "aji+", "pq", "sq", "mpq+"):
        fall = [shifted(pixels)[name] for pixels in (0, 1, 2)]
        assert fall[0] == 1 and fall == sorted(fall, reverse=True) and fall[0] > fall[1], name
    assert [shifted(pixels)["f1-detection"] for pixels in (0, 3, 4)] == [1, 1, 0], "3 microns at 1 micron per pixel"


def test_resolution_decides_what_is_near() -> None:
    true, predicted = patches([SMALL]), patches([(2, 6, 7, 11, 1)])
    found = [values(tally(predicted, truth(true, mpp)))["f1-detection"] for mpp in (0.5, 1.0, math.nan)]
    assert found == [1, 0, 1], "five pixels are 2.5 or 5 microns; unknown is taken for 0.5 microns per pixel"


@pytest.mark.parametrize("seed", range(4))
def test_the_definitions_written_out_plainly_give_the_same(seed: int) -> None:
    true, predicted = scattered(seed, 3), scattered(seed + 50, 3)
    if seed == 3:  # something right as well
        predicted[0][:2], predicted[1][:2] = true[0][:2], true[1][:2]
    found = values(tally(predicted, truth(true)))
    for name, value in plainly(true, predicted).items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def nuclei_of(maps: Maps, patch: int) -> list[tuple[frozenset[int], int]]:
    instances, types = (part[patch].ravel() for part in maps)
    pixels = [frozenset(np.flatnonzero(instances == number).tolist()) for number in np.unique(instances[instances > 0])]
    return [(here, int(types[min(here)])) for here in pixels]


def plainly(true: Maps, predicted: Maps) -> dict[str, float]:
    """Some measures from sets of pixels, as the papers define them."""
    rows = [(nuclei_of(true, patch), nuclei_of(predicted, patch)) for patch in range(len(true[0]))]
    made = {
        "pq": np.mean([quality([(t, c)]) for t, c in rows]),
        "pq-pooled": quality(rows),
        "aji": np.mean([jaccard(t, c) for t, c in rows]),
        "dice-binary": 2 * ((true[0] > 0) & (predicted[0] > 0)).sum() / ((true[0] > 0).sum() + (predicted[0] > 0).sum()),
    }
    for kind, name in enumerate(CLASSES[1:], 1):
        ours = [tuple([n for n in side if n[1] == kind] for side in row) for row in rows]
        made[f"pq+:{name}"] = quality(ours)
        y, found = (np.array([len(row[side]) for row in ours]) for side in (0, 1))
        made[f"r2:{name}"] = 1 - ((y - found) ** 2).sum() / ((y - y.mean()) ** 2).sum() if y.std() else math.nan
    defined = {name: float(value) for name, value in made.items() if not math.isnan(value)}
    assert len(defined) > 5
    return defined


def quality(rows: list[tuple]) -> float:  # type: ignore[type-arg]
    """Panoptic quality: sum of the IoU of matched nuclei over half the nuclei of both sides."""
    ious = [len(a & b) / len(a | b) for t, c in rows for (a, _), (b, _) in itertools.product(t, c)]
    return sum(iou for iou in ious if iou > 0.5) / (sum(len(t) + len(c) for t, c in rows) / 2)


def jaccard(true: list[tuple[frozenset[int], int]], predicted: list[tuple[frozenset[int], int]]) -> float:
    """Algorithm 1 of Kumar and others 2017."""
    common = joint = 0
    used: set[frozenset[int]] = set()
    for a, _ in true:
        best = max((b for b, _ in predicted), key=lambda b, a=a: len(a & b) / len(a | b))  # type: ignore[misc]
        if a & best:
            common, joint = common + len(a & best), joint + len(a | best)
            used.add(best)
        else:
            joint += len(a)
    return common / (joint + sum(len(b) for b, _ in predicted if b not in used))


def test_pooled_dice_and_iou_and_quality_keep_their_identities() -> None:
    found = values(tally(scattered(2), truth(TRUE)))
    for name in ("-binary", *(f":{name}" for name in CLASSES)):
        assert found[f"dice{name}"] == pytest.approx(2 * found[f"iou{name}"] / (1 + found[f"iou{name}"]))
    assert found["pq-pooled"] == pytest.approx(found["dq-pooled"] * found["sq-pooled"])


def test_counts_add_up_and_intervals_resample_slides() -> None:
    true, predicted = scattered(1, 12), scattered(1, 12)
    predicted[1][predicted[1] > 0] = 1
    whole = nuclei_counts(*predicted, truth(true))
    halves = [nuclei_counts(predicted[0][part], predicted[1][part], truth(true)[part]) for part in (slice(5), slice(5, None))]
    assert (np.concatenate(halves) == whole).all() and whole.shape == (12, len(nuclei_columns(CLASSES)))
    made = tally(predicted, truth(true))
    estimates = group_bootstrap(made, np.array([f"s{i % 6}" for i in range(12)]), seed=0, resamples=50)
    assert estimates["pq"].low == estimates["pq"].high == 1
    low, high = estimates["f1:round"].low, estimates["f1:round"].high
    assert low is not None and high is not None and 0 < low < estimates["f1:round"].value < high < 1


def test_counting_agrees_with_its_bounds() -> None:
    made = tally(patches([], [], [], []), truth(TRUE))
    for name, value in values(made).items():
        least, most = made.bounds.get(name, (0.0, 1.0))
        assert (least is None or value >= least) and (most is None or value <= most), name


def conditions_without() -> Iterator[tuple[str, Callable[[], Conditions]]]:
    yield "masks", lambda: replace(truth(TRUE), masks=None)
    yield "instances", lambda: replace(truth(TRUE), instances=None)


@pytest.mark.parametrize(("column", "make"), conditions_without(), ids=lambda case: case if isinstance(case, str) else "")
def test_maps_that_are_missing_are_named(column: str, make: Callable[[], Conditions]) -> None:
    with pytest.raises(UsageError, match=f"needs conditions with {column}"):
        nuclei_counts(*TRUE, make())
