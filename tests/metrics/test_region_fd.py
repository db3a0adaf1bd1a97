"""Distances of regions: what lies in which region, and constructions of which the order is known."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.contracts import check_metric
from bench.errors import UsageError
from bench.histology.stain import restain
from bench.measurements.distributions import FeaturePair
from bench.registry import describe, load
from bench.statistics import Estimate
from bench.types import Card, Conditions, Encoder, Features, Images, ImageSet
from metrics.faithfulness.regions import RegionFrechet, cover, find_regions, mask_image
from tasks.datasets.phantom.dataset import PhantomCam16
from tests.metrics.copies import small_records

METRIC = RegionFrechet()
RARE = "region-fd:rare"


class MeanColour:
    """An encoder without tokens."""

    card = Card("mean-colour", "1", "Mean of red, green and blue.")
    dim = 3

    def encode(self, images: Images) -> Features:
        return np.asarray(images, np.float32).mean(axis=(1, 2))


class PixelTokens(MeanColour):
    """The same with the mean colour of each cell of 4 x 4 px as its token."""

    def encode_tokens(self, images: Images) -> NDArray[np.float32]:
        n, height, width, _ = images.shape
        return np.asarray(images, np.float32).reshape(n, height // 4, 4, width // 4, 4, 3).mean(axis=(2, 4))


def patch(mask: NDArray[np.uint8], image: Images | None = None, mpp: float = 1.0, classes: int = 2) -> ImageSet:
    """A set of one patch."""
    image = np.zeros((1, *mask.shape, 3), np.uint8) if image is None else image
    names = tuple(f"class {c}" for c in range(classes))
    conditions = Conditions(np.array(["a"]), np.array(["s"]), names, len(mask), mpp, masks=mask[None])
    return ImageSet("one", image, conditions)


def two_sides(size: int = 16) -> tuple[NDArray[np.uint8], Images]:
    """Class 0 on the left, in the colour 40, and class 1 on the right, in 200."""
    mask = np.zeros((size, size), np.uint8)
    mask[:, size // 2 :] = 1
    image = np.where(mask == 0, 40, 200).astype(np.uint8)[None, ..., None].repeat(3, axis=3)
    return mask, image


@pytest.mark.parametrize("encoder", [MeanColour(), PixelTokens()])
def test_a_region_has_the_features_of_its_own_pixels(encoder: Encoder) -> None:
    mask, image = two_sides()
    found = RegionFrechet(band=8).describe_regions(encoder, patch(mask, image))
    assert found.dtype == np.float32 and found.shape == (1, 3, 3)
    assert found[0, :, 0].tolist() == [40, 200, 120]  # the band has as much of both


def test_tokens_count_by_the_share_of_their_cell_that_the_region_covers() -> None:
    mask, image = two_sides()
    mask[:, 6:8] = 255  # cells of columns 4 to 7: half of class 0, half of nothing
    image[:, :, 4:8] = 100
    found = RegionFrechet(band=0).describe_regions(PixelTokens(), patch(mask, image))
    assert found[0, :, 0] == pytest.approx([(40 * 1 + 100 * 0.5) / 1.5, 200])
    masked = RegionFrechet(band=0, pooling="images").describe_regions(PixelTokens(), patch(mask, image))
    assert masked[0, :, 0] == pytest.approx([(40 * 4 + 100 * 2) / 6, 200], abs=0.6)  # the fill is a whole number


def test_cells_that_are_no_whole_number_of_pixels_share_them_out() -> None:
    region = np.zeros((1, 1, 5, 5), bool)
    region[..., :2] = True
    shares = cover(region, 2, 2)
    assert shares[0, 0].ravel().tolist() == pytest.approx([0.8, 0.0] * 2)  # 2 of the 2.5 columns of the left cell
    assert cover(region, 10, 10).sum() / 100 == pytest.approx(region.mean())


def test_nothing_of_other_regions_is_shown() -> None:
    mask, image = two_sides()
    shown = mask_image(image[0], mask == 1)
    assert (shown == 200).all()


def test_what_is_not_annotated_belongs_to_no_region_and_makes_no_border() -> None:
    mask = np.zeros((12, 12), np.uint8)
    mask[:, 4:8] = 255
    mask[:, 8:] = 1
    regions = find_regions(mask[None], 2, band=4)[0]
    assert not regions[:, mask == 255].any() and not regions[2].any()
    mask[:, 4:8] = 0
    band = find_regions(mask[None], 2, band=4)[0, 2]
    assert band[0].tolist() == [False] * 6 + [True] * 4 + [False] * 2  # 2 px on either side
    assert not find_regions(np.full((1, 12, 12), 1, np.uint8), 2, band=4)[0, 2].any()


def test_the_band_is_in_microns_and_small_regions_are_left_out() -> None:
    mask, image = two_sides(32)
    wide = RegionFrechet(band=8, smallest=0.3).describe_regions(MeanColour(), patch(mask, image, mpp=0.5))
    narrow = RegionFrechet(band=8, smallest=0.3).describe_regions(MeanColour(), patch(mask, image, mpp=2.0))
    assert not np.isnan(wide).any() and np.isnan(narrow[0, 2]).all() and not np.isnan(narrow[0, :2]).any()
    assert np.isnan(RegionFrechet(band=8, smallest=0.6).describe_regions(MeanColour(), patch(mask, image))).all()


@cache
def plain() -> ImageSet:
    """Test patches of 84 slides of four laboratories."""
    phantom = PhantomCam16(train_slides=4, validation_slides=4, test_slides=84, per_slide=6)
    return phantom.split("test")


@cache
def sides() -> tuple[ImageSet, ImageSet, ImageSet]:
    """Training patches, real test patches and other real patches, of different slides of the same laboratories.

    Every second patch shows a third class, `rare`, in a square of 8 % of it, where tissue has more hematoxylin.
    """
    images, masks = np.asarray(plain().images).copy(), np.asarray(plain().conditions.masks).copy()
    stained = restain(images, np.array([1.8, 1.0, 1.0]))
    for i in range(0, len(images), 2):
        y, x = np.random.default_rng(i).integers(0, 46, 2)
        place = i, slice(y, y + 18), slice(x, x + 18)
        images[place], masks[place] = stained[place], 2
    conditions = replace(plain().conditions, masks=masks, classes=(*plain().conditions.classes, "rare"))
    every = ImageSet("rare", images, conditions)
    part = np.unique(conditions.groups, return_inverse=True)[1] // 4 % 3
    return every[np.flatnonzero(part == 0)], every[np.flatnonzero(part == 1)], every[np.flatnonzero(part == 2)]


def without_rare(patches: ImageSet) -> ImageSet:
    """What a generator shows that has dropped the class: the tissue around it."""
    row = {name: i for i, name in enumerate(plain().conditions.ids.tolist())}
    return replace(patches, images=plain().images[[row[name] for name in patches.conditions.ids.tolist()]])


Described = tuple[NDArray[np.float32], Features]


def described(patches: ImageSet, encoder: str, metric: RegionFrechet = METRIC) -> Described:
    """Features of regions, and of whole patches."""
    used: Any = load("encoders", encoder)
    return metric.describe_regions(used, patches), used.encode(np.asarray(patches.images))


@cache
def references(encoder: str) -> tuple[Described, Described]:
    """Of training and of real test patches."""
    train, real, _ = sides()
    return described(train, encoder), described(real, encoder)


def distances(generated: ImageSet, encoder: str) -> dict[str, Estimate]:
    """Measure -> its estimate, and `whole` for that of whole patches."""
    (of_train, whole_train), (of_real, whole_real) = references(encoder)
    of_generated, whole = described(generated, encoder)
    groups_real, groups = sides()[1].conditions.groups, generated.conditions.groups
    rows_train = of_train[~np.isnan(of_train[..., 0])]
    found = {}
    for i, measure in enumerate(METRIC.measures(generated.conditions.classes)):
        rows, others = (np.flatnonzero(~np.isnan(side[:, i, 0])) for side in (of_real, of_generated))
        sets = of_real[rows, i], of_generated[others, i], rows_train, groups_real[rows], groups[others]
        found[measure] = FeaturePair(METRIC.region_distance, *sets, 0).compare().estimate
    pair = FeaturePair(METRIC.region_distance, whole_real, whole, whole_train, groups_real, groups, 0)
    return {**found, "whole": pair.compare().estimate}


def reach(found: Estimate) -> float:
    """The value and three standard errors, which a refused extrapolation has too."""
    assert found.error is not None
    return found.value + 3 * found.error


@pytest.mark.parametrize("encoder", ["random-conv", "texture"])  # with tokens, and by masked images
def test_a_dropped_class_is_seen_in_its_region_and_hardly_in_whole_patches(encoder: str) -> None:
    _, real, other = sides()
    kept, dropped = distances(other, encoder), distances(without_rare(real), encoder)
    assert dropped[RARE].low is not None and dropped[RARE].low > 3 * max(reach(kept[RARE]), 0)
    assert dropped["whole"].value < min(0.1 * dropped[RARE].value, reach(kept["whole"]))  # other real slides are as far
    for measure in ("region-fd:normal", "region-fd:tumour"):
        assert dropped[measure].value < 0.1 * dropped[RARE].value


def test_other_real_slides_are_at_0_within_the_interval_and_damage_is_ordered() -> None:
    _, real, other = sides()
    images = np.asarray(real.images)
    blurred = replace(real, images=np.stack([gaussian_filter(image, (2, 2, 0)) for image in images]))
    noise = replace(real, images=np.random.default_rng(0).integers(0, 256, images.shape).astype(np.uint8))
    found = [distances(part, "phantom-cnn") for part in (other, blurred, noise)]
    for measure in METRIC.measures(real.conditions.classes):
        near, far, farthest = (one[measure] for one in found)
        assert near.low is not None and near.high is not None and near.low < 0 < near.high
        assert far.low is not None and far.high is not None and farthest.low is not None
        assert near.high < far.low < far.high < farthest.low


def test_options_change_the_number_and_the_description() -> None:
    patches = sides()[1][np.arange(30)]
    before = described(patches, "random-conv")[0]
    for options in ({"band": 6.0}, {"smallest": 0.2}, {"pooling": "images"}):
        metric: RegionFrechet = load("metrics", "region-fd", **options)
        assert describe(metric) != describe(METRIC)
        after = described(patches, "random-conv", metric)[0]
        assert after.shape != before.shape or not np.array_equal(after, before, equal_nan=True)
    other: RegionFrechet = load("metrics", "region-fd", distance="fd")
    assert describe(other) != describe(METRIC) and other.region_distance.card.name == "fd"
    assert RegionFrechet(band=0).measures(("a",)) == ("region-fd:a",)


def test_refusals() -> None:
    mask, image = two_sides()
    with pytest.raises(UsageError, match="resolution of these patches is not known.*band=0"):
        METRIC.describe_regions(MeanColour(), patch(mask, image, mpp=math.nan))
    bare = patch(mask, image)
    with pytest.raises(UsageError, match="masks"):
        METRIC.describe_regions(MeanColour(), replace(bare, conditions=replace(bare.conditions, masks=None)))
    for option, value in (("band", -1.0), ("smallest", 0.0), ("distance", "kid"), ("pooling", "both")):
        with pytest.raises(UsageError, match=option):
            load("metrics", "region-fd", **{option: str(value)})
    assert not [
        one for one in check_metric(lambda **options: load("metrics", "region-fd", **options)) if one.status == "failed"
    ]


def test_a_run_measures_every_region_for_every_encoder_and_names_rare_ones(tmp_path: Path) -> None:
    words = ("-o", "metric.distance=fd", "-o", "metric.smallest=0.45", "-o", "generator.dropped=tumour", "-o", "metric.band=4")
    found = small_records("drop-class", "region-fd", "none", tmp_path, *words)
    normal, tumour, border = (found["drop-class", f"region-fd{name}"] for name in (":normal", ":tumour", "-border"))
    assert all(record["encoder"] == "stain" and record["direction"] == "lower" for record in found.values())
    assert normal["value"] < 1e-9 and tumour["value"] > 0.01  # by `stain`, which is shown nothing but the region
    shown = tumour["described"]["region"]
    assert 12 < shown["n"] == shown["n_real"] < 30 == tumour["n"] and shown["groups"] == 6
    assert border["status"] == "skipped" and border["reason"].startswith("underpowered: ")
    assert "(0 real patches of 0 slides and 0 generated ones show border)" in border["reason"]
