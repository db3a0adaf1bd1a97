"""Distances of nuclei and regions that are drawn, so that what differs is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.contracts import check_metric
from bench.errors import MissingError, UsageError
from bench.histology.stain import from_optical_density
from bench.registry import load
from bench.statistics import Estimate, group_bootstrap
from bench.types import Conditions, ImageSet, silent
from metrics.faithfulness.maps import MapFaithfulness
from metrics.faithfulness.nuclei import NucleiFaithfulness
from metrics.morphometry.classical import find_nuclei
from metrics.morphometry.metric import Morphometry
from metrics.morphometry.objects import NUCLEI, Quantity, cliffs_delta, measure_nuclei, measure_regions, wasserstein

SIZE, MPP, SLIDES, PER_SLIDE = 128, 0.5, 6, 2
HEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])
READER = '''
"""Reads numbers of nuclei off the red pixels."""
import numpy as np
from bench.types import Card

class Reader:
    card = Card("reader", "1", "Reads pixels.", licence="MIT")
    references = ("one", "two")
    def learn(self, mix, validation, seed, progress, folder):
        (folder / "learned.txt").write_text("nuclei")
    def learn_references(self, training, validation, seed, progress, folder):
        (folder / "learned.txt").write_text("maps")
    def segment(self, folder, images):
        return images[..., 0].astype(np.int32), images[..., 0]
    def read_maps(self, folder, images):
        return np.stack([images[..., 0], images[..., 0]])
'''


def tissue(n: int, radius: float = 5.0, count: int = 12, long: float = 1.0, seed: int = 0) -> ImageSet:
    """Patches of ellipses of hematoxylin on eosin: half axes `radius` px times and through the root of `long`, on a jittered
    grid, with the slide in the names."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    images, maps = [], []
    for _ in range(n):
        instances = np.zeros((SIZE, SIZE), np.int32)
        for number, cell in enumerate(rng.permutation(16)[:count], start=1):
            cy, cx = (np.array(divmod(int(cell), 4)) + 0.5) * SIZE / 4 + rng.uniform(-4, 4, 2)
            a, b = radius * np.sqrt(long), radius / np.sqrt(long)
            instances[((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 <= 1] = number
        density = 0.15 * EOSIN + (0.05 + 1.0 * (instances > 0))[..., None] * HEMATOXYLIN + rng.normal(0, 0.01, (SIZE, SIZE, 1))
        images.append(from_optical_density(np.maximum(density, 0).astype(np.float32)))
        maps.append(instances)
    instances, ids = np.stack(maps), np.array([f"p{i}" for i in range(n)])
    masks = (instances > 0).astype(np.uint8)
    slides = np.array([f"s{i // PER_SLIDE}" for i in range(n)])
    conditions = Conditions(ids, slides, ("background", "nucleus"), SIZE, MPP, masks=masks, instances=instances, types=masks)
    return ImageSet("k", np.stack(images), conditions)


def compared(made: ImageSet, real: ImageSet, metric: Morphometry | None = None, folder: Path = Path()) -> dict[str, Estimate]:
    metric = metric or Morphometry(readers="classical")
    both = metric.compare_tallies(metric.agree(made, folder), metric.agree(real, folder), real.conditions.groups)
    return group_bootstrap(both, real.conditions.groups, seed=0, resamples=100)


@pytest.fixture(scope="module")
def real() -> ImageSet:
    return tissue(SLIDES * PER_SLIDE)


def test_the_classical_reader_finds_drawn_nuclei(real: ImageSet) -> None:
    for image, true in zip(real.images[:3], np.asarray(real.conditions.instances)[:3], strict=True):
        found = find_nuclei(image, MPP)
        assert found.max() > 0 and len(np.unique(found)) == len(np.unique(true))
        assert ((found > 0) & (true > 0)).sum() / ((found > 0) | (true > 0)).sum() > 0.8


def test_touching_nuclei_are_separated() -> None:
    y, x = np.mgrid[:64, :64]
    pair = ((y - 32) ** 2 + (x - 24) ** 2 <= 64) | ((y - 32) ** 2 + (x - 39) ** 2 <= 64)
    density = 0.15 * EOSIN + (0.05 + 1.0 * pair)[..., None] * HEMATOXYLIN
    assert len(np.unique(find_nuclei(from_optical_density(density.astype(np.float32)), MPP))) == 3


def test_patches_without_nuclei_have_none() -> None:
    for image in (np.full((64, 64, 3), 255), np.full((64, 64, 3), 200)):
        assert not find_nuclei(image.astype(np.uint8), MPP).any()
    ground = 0.3 * EOSIN + np.random.default_rng(0).normal(0, 0.004, (64, 64, 1)) * HEMATOXYLIN
    assert not find_nuclei(from_optical_density(np.maximum(ground, 0).astype(np.float32)), MPP).any()


def test_the_same_patches_have_no_distance(real: ImageSet) -> None:
    found = compared(real, real)
    assert {one.value for one in found.values()} == {0.0} and len(found) == 2 * len(NUCLEI)


def test_dilated_nuclei_are_larger_by_the_factor(real: ImageSet) -> None:
    """Radii times 1.2: areas times 1.44, of 78.5 px at 0.25 square microns; nothing else."""
    found = compared(tissue(SLIDES * PER_SLIDE, radius=6.0), real)
    area = found["nucleus-area"]
    assert area.value == pytest.approx(0.44 * np.pi * 25 * MPP**2, rel=0.15) and area.low is not None and area.low > 0
    effect = found["nucleus-area-effect"]
    assert effect.value > 0.9 and effect.low is not None and effect.low > 0.8
    assert found["nucleus-density"].value == 0 and abs(found["nucleus-density-effect"].value) == 0
    assert found["nucleus-distance"].value < 0.3
    assert compared(tissue(SLIDES * PER_SLIDE, radius=4.5), real)["nucleus-area-effect"].value < -0.8


def test_fewer_nuclei_are_less_dense_and_farther_apart(real: ImageSet) -> None:
    found = compared(tissue(SLIDES * PER_SLIDE, count=6), real)
    per_patch = 1 / (SIZE * MPP / 1000) ** 2
    assert found["nucleus-density"].value == pytest.approx(6 * per_patch, rel=0.1)
    assert found["nucleus-density-effect"].value == pytest.approx(-1, abs=0.05)
    assert found["nucleus-distance-effect"].value > 0.2 and found["nucleus-area"].value < 1


def test_longer_nuclei_are_more_eccentric(real: ImageSet) -> None:
    found = compared(tissue(SLIDES * PER_SLIDE, long=2.0), real)
    assert found["nucleus-eccentricity-effect"].value > 0.9 and found["nucleus-eccentricity"].value > 0.4
    assert found["nucleus-area"].value < 2


def test_values_are_in_microns(real: ImageSet) -> None:
    instances = np.asarray(real.conditions.instances[0])
    annotated = np.ones(instances.shape, bool)
    fine, coarse = (measure_nuclei(instances, annotated, mpp) for mpp in (0.25, 0.5))
    assert np.allclose(coarse["area"], 4 * fine["area"]) and np.allclose(coarse["distance"], 2 * fine["distance"])
    assert np.allclose(coarse["density"] * 4, fine["density"]) and np.allclose(coarse["eccentricity"], fine["eccentricity"])
    assert coarse["area"].mean() == pytest.approx(np.pi * 25 * MPP**2, rel=0.05)


def test_what_patches_cut_or_nobody_annotated_is_left_out() -> None:
    instances = np.zeros((64, 64), np.int32)
    for number, (y, x) in enumerate([(0, 20), (20, 20), (40, 20), (58, 40), (20, 50)], start=1):
        instances[y : y + 8, x : x + 8] = number
    annotated = np.ones(instances.shape, bool)
    annotated[:, 48:] = False
    found = measure_nuclei(instances, annotated, 1.0)
    assert len(found["area"]) == 2 and (found["area"] == 64).all()
    assert found["density"] == pytest.approx([3 / (64 * 48 * 1e-6)]), "the one at the lower edge is not counted"
    nothing = measure_nuclei(instances * 0, annotated, 1.0)
    assert nothing["density"].tolist() == [0.0] and not len(nothing["area"]) and not len(nothing["distance"])
    assert not len(measure_nuclei(instances, annotated & False, 1.0)["density"])


def test_every_slide_has_the_same_weight() -> None:
    """One slide with three times the nuclei of the other, and larger ones: the pooled distance is that of the mean slide."""
    metric = Morphometry(readers="classical")
    columns = metric.tally(np.zeros((0, sum(quantity.bins for quantity in NUCLEI)))).columns
    made, real = np.zeros((4, len(columns))), np.zeros((4, len(columns)))
    made[:, 10], real[:2, 10], real[2:, 20] = 1, 1, 3
    slides = np.array(["a", "a", "b", "b"])
    both = metric.compare_tallies(metric.tally(made), metric.tally(real), slides)
    found = group_bootstrap(both, slides, seed=0, resamples=50)
    edges = NUCLEI[0].edges
    assert found["nucleus-area-effect"].value == pytest.approx(-0.5)
    assert found["nucleus-area"].value == pytest.approx((edges[20:22].mean() - edges[10:12].mean()) / 2, rel=1e-6)


def test_without_nuclei_or_slides_there_is_no_number_or_no_interval(real: ImageSet) -> None:
    blank = replace(real, images=np.full_like(real.images, 245))
    found = compared(blank, real)
    assert np.isnan(found["nucleus-area"].value)
    assert found["nucleus-area"].reason == "no generated test patch shows nuclei whose area can be measured"
    assert found["nucleus-density-effect"].value == -1, "none is a density"
    one = replace(real.conditions, groups=np.full(len(real), "s"))
    alone = compared(tissue(len(real), radius=6.0), replace(real, conditions=one))["nucleus-area"]
    assert alone.value > 0 and alone.low is None and "1 slide" in alone.reason


def test_without_a_resolution_it_says_so(real: ImageSet) -> None:
    unknown = replace(real, conditions=replace(real.conditions, mpp=float("nan")))
    with pytest.raises(MissingError, match="resolution of these patches is not known"):
        Morphometry(readers="classical").agree(unknown, Path())


@pytest.fixture
def reading(tmp_path: Path) -> Morphometry:
    (tmp_path / "reader.py").write_text(READER)
    metric, file = Morphometry(readers="network,regions"), f"{tmp_path / 'reader.py'}:Reader"
    metric._maps, metric._nuclei = MapFaithfulness(segmenter=file), NucleiFaithfulness(segmenter=file)
    return metric


def test_the_network_reads_data_of_nuclei(reading: Morphometry, real: ImageSet, tmp_path: Path) -> None:
    drawn, larger = (
        replace(one, images=np.repeat(np.asarray(one.conditions.instances, np.uint8)[..., None], 3, axis=-1))
        for one in (real, tissue(len(real), radius=6.0))
    )
    reading.learn(drawn, drawn, 0, silent, tmp_path)
    assert (tmp_path / "learned.txt").read_text() == "nuclei" and reading.reader(real.conditions) == (
        "nuclei-faithfulness",
        {},
    )
    found = compared(larger, drawn, reading, tmp_path)
    assert found["nucleus-area-by-network"].value == pytest.approx(0.44 * np.pi * 25 * MPP**2, rel=0.1)
    assert found["nucleus-area-effect-by-network"].value > 0.9
    region = found["region-diameter"]
    assert np.isnan(region.value) and region.reason.startswith("missing") and "class maps of regions" in region.reason


def test_regions_are_read_off_data_of_tissue(reading: Morphometry, tmp_path: Path) -> None:
    n = SLIDES * PER_SLIDE
    masks = np.zeros((n, SIZE, SIZE), np.uint8)
    masks[:, 40:80, 40:80] = 1
    ids = np.array([f"p{i}" for i in range(n)])
    slides = np.array([f"s{i // PER_SLIDE}" for i in range(n)])
    asked = Conditions(ids, slides, ("normal", "tumour"), SIZE, MPP, masks=masks)
    larger = np.zeros_like(masks)
    larger[:, 30:90, 30:90] = 1
    made, real = (ImageSet("k", np.repeat(one[..., None], 3, axis=-1), asked) for one in (larger, masks))
    reading.learn(real, real, 0, silent, tmp_path)
    assert (tmp_path / "learned.txt").read_text() == "maps" and reading.reader(asked) == ("map-faithfulness", {})
    found = compared(made, real, reading, tmp_path)
    inner = 2 * (60 - 40) / np.sqrt(np.pi) * MPP  # the outer region shrinks
    outer = 2 * (np.sqrt(SIZE**2 - 40**2) - np.sqrt(SIZE**2 - 60**2)) / np.sqrt(np.pi) * MPP
    assert found["region-diameter"].value == pytest.approx((inner + outer) / 2, rel=0.1)
    assert found["region-compactness"].value < 0.1, "a square stays a square"
    assert np.isnan(found["nucleus-area-by-network"].value)


def test_shapes_of_regions() -> None:
    y, x = np.mgrid[:100, :100]
    disc = ((y - 50) ** 2 + (x - 50) ** 2 <= 30**2).astype(np.uint8)
    found = measure_regions(disc, 2.0)
    assert found["diameter"].max() == pytest.approx(2 * np.sqrt(10_000 - np.pi * 900) / np.sqrt(np.pi) * 2, rel=0.02)
    assert found["diameter"].min() == pytest.approx(120, rel=0.02) and found["compactness"].max() > 0.9
    specks = np.where((y < 3) & (x < 3), 1, 0).astype(np.uint8)
    assert len(measure_regions(specks, 1.0)["diameter"]) == 1, "a speck is left out"


def test_distances_of_histograms_are_those_of_values() -> None:
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(0)
    a, b = rng.gamma(4, 20, 1000), rng.gamma(4, 25, 800)
    area = NUCLEI[0]
    assert wasserstein(area.count(a), area.count(b), area.edges) == pytest.approx(wasserstein_distance(a, b), rel=0.03)
    delta = np.mean(np.sign(a[:, None] - b[None]))
    assert cliffs_delta(area.count(a), area.count(b)) == pytest.approx(delta, abs=0.02)
    beyond = Quantity("x", "", 10.0, 5).count(np.array([3.0, 99.0]))
    assert beyond.tolist() == [0, 1, 0, 0, 1]


def test_options_choose_readers_and_trainings() -> None:
    assert set(Morphometry(readers="regions").directions.values()) == {"lower", "none"}
    assert len(Morphometry().directions) == 2 * (2 * len(NUCLEI) + 2)
    asked = tissue(1).conditions
    assert Morphometry(readers="classical").reader(asked) is None
    assert Morphometry(steps=7).reader(asked) == ("nuclei-faithfulness", {"steps": 7})
    regions = replace(asked, instances=None, types=None)
    assert Morphometry(segmenter_steps=9).reader(regions) == ("map-faithfulness", {"segmenter_steps": 9})
    assert Morphometry(steps=7).digest != Morphometry().digest != Morphometry(segmenter_steps=9).digest
    with pytest.raises(UsageError, match="no reader 'clasical'.*classical"):
        Morphometry(readers="clasical")
    with pytest.raises(UsageError, match="readers names none"):
        Morphometry(readers=" ,")
    with pytest.raises(UsageError, match="steps"):
        Morphometry(steps=0)


def test_the_contract() -> None:
    outcomes = check_metric(lambda **options: load("metrics", "morphometry", **{"readers": "classical", **options}), size=32)
    assert not [outcome for outcome in outcomes if outcome.status == "failed"]
