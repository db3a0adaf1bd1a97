"""Layouts of nuclei: encoding and decoding, the diffusion's files, options and refusals, the controls, and what ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts.layouts import layouts
from bench.errors import MissingError, UsageError
from bench.histology.nuclei import UNLABELLED
from bench.provenance.digests import digest_of
from bench.types import Conditions, ImageSet, LayoutGenerator, ShipsWeights, image_seeds, silent
from generators.diffusion import shipped
from generators.layout_controls import CopyMasks, RandomDiscs
from generators.mask_diffusion import instance_encoding
from generators.mask_diffusion.adapter import NasdmMasks
from generators.mask_diffusion.config import PAPER
from tasks.datasets.phantom.dataset import PhantomCam16, PhantomLizard

SHORT = {"steps": 3, "sample_steps": 3}
CLASSES = ("background", "one", "two")
SHIPPED = shipped.SHIPPED / "phantom-lizard"


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return PhantomLizard(train_slides=3, per_slide=4).split("train")


@pytest.fixture(scope="module")
def fitted(train: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> NasdmMasks:
    return fit(train, tmp_path_factory.mktemp("work"))


def fit(train: ImageSet, work: Path, **options: object) -> NasdmMasks:
    made = NasdmMasks(**{**SHORT, **options})  # type: ignore[arg-type]
    work.mkdir(exist_ok=True)
    made.fit(train, 0, silent, work)
    return made


def sample(by: LayoutGenerator, asked: Conditions, run_seed: int = 0) -> Conditions:
    return by.sample(asked, image_seeds(run_seed, asked.ids))


def same(one: Conditions, other: Conditions) -> bool:
    columns = ("masks", "instances", "types")
    return all(np.array_equal(getattr(one, column), getattr(other, column)) for column in columns)


def discs(*centres: tuple[int, int, int], radius: float = 3.3, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A layout (1, size, size) of discs at (y, x) of a type, each pixel belonging to the nearest."""
    y, x = np.mgrid[:size, :size]
    distance = np.stack([np.hypot(y - row, x - column) for row, column, _ in centres])
    instances = np.where(distance.min(axis=0) <= radius, distance.argmin(axis=0) + 1, 0).astype(np.int32)
    types = np.array([0, *(kind for _, _, kind in centres)], dtype=np.uint8)
    return types[instances][None], instances[None]


def pieces(instances: np.ndarray) -> set[frozenset[int]]:
    """The nuclei of one patch as sets of pixels, whatever their numbers."""
    return {frozenset(np.flatnonzero(instances == number)) for number in np.unique(instances) if number}


@pytest.mark.parametrize("kinds", [(1, 1), (1, 2)])
def test_touching_nuclei_come_back_apart(kinds: tuple[int, int]) -> None:
    masks, instances = discs((15, 12, kinds[0]), (15, 17, kinds[1]), (5, 28, 2))
    assert (np.diff(instances[0, 15, 7:23]) != 0).sum() == 3, "the two touch, with no gap between them"
    read_masks, read_instances = instance_encoding.decode(instance_encoding.encode(masks, instances, 3))
    assert np.array_equal(read_masks, masks)
    assert pieces(read_instances[0]) == pieces(instances[0]) and len(pieces(instances[0])) == 3


def test_decoding_is_robust_to_noise(train: ImageSet) -> None:
    masks, instances = train.conditions.masks, train.conditions.instances
    assert masks is not None and instances is not None
    clean = instance_encoding.encode(masks, instances, 7)
    noise = np.random.default_rng(0).normal(0, 0.2, clean.shape).astype(np.float32)
    read_masks, read_instances = instance_encoding.decode(clean + noise)
    assert np.mean(read_masks == masks) > 0.999
    found = sum(len(pieces(a) & pieces(b)) for a, b in zip(instances, read_instances, strict=True))
    assert found > 0.95 * sum(len(pieces(a)) for a in instances)


def test_channels_have_their_documented_values() -> None:
    masks, instances = discs((10, 10, 2), radius=2.5)
    one = instance_encoding.encode(masks, instances * 7, 3)[0]
    assert one.shape == (5, 32, 32) and one.dtype == np.float32
    assert one[:3, 10, 10].tolist() == [-1, -1, 1] and one[:3, 0, 0].tolist() == [1, -1, -1]
    assert one[3:, 9, 12] * instance_encoding.REACH == pytest.approx([1, -2]), "the middle lies one below and two to the left"
    assert not one[3:, instances[0] == 0].any()


def test_uncovered_and_empty_are_background() -> None:
    masks, instances = discs((10, 10, 1))
    masks[instances == 0] = UNLABELLED
    assert np.array_equal(instance_encoding.encode(masks, instances, 3), instance_encoding.encode(*discs((10, 10, 1)), 3))
    nothing = np.zeros((2, 16, 16), np.uint8)
    for array in instance_encoding.decode(instance_encoding.encode(nothing, nothing.astype(np.int32), 3)):
        assert array.shape == (2, 16, 16) and not array.any()


def test_types_present_ignores_what_is_not_covered() -> None:
    masks = np.array([[[0, 1]], [[2, 255]], [[0, 0]]], dtype=np.uint8)
    assert instance_encoding.types_present(masks, CLASSES).tolist() == [[True, False], [False, True], [False, False]]


def test_wanted_types_move_the_layout_and_nothing_else_of_the_row(fitted: NasdmMasks, train: ImageSet) -> None:
    asked = train.conditions[:4]
    assert asked.masks is not None
    hidden = replace(asked, masks=asked.masks[:, ::-1], instances=None, types=None)
    assert same(sample(fitted, asked), sample(fitted, hidden))
    other = replace(asked, masks=np.where(asked.masks == 2, 0, asked.masks))
    assert not same(sample(fitted, asked), sample(fitted, other))
    assert not same(sample(fitted, asked), sample(fitted, asked, run_seed=1))


def test_a_row_is_the_same_in_any_company(fitted: NasdmMasks, train: ImageSet) -> None:
    together = sample(fitted, train.conditions)
    for rows in ([7], [3, 1], list(range(11, -1, -1))):
        assert same(sample(fitted, train.conditions[rows]), together[rows])


def test_saved_and_loaded_samples_the_same(fitted: NasdmMasks, train: ImageSet, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    again = NasdmMasks(**SHORT)  # type: ignore[arg-type]
    again.load(tmp_path)
    assert same(sample(fitted, train.conditions[:3]), sample(again, train.conditions[:3]))
    with pytest.raises(MissingError, match="no weights of nasdm-masks"):
        again.load(tmp_path / "nowhere")
    described = tmp_path / "nasdm-masks.json"
    described.write_text(json.dumps({**json.loads(described.read_text()), "classes": 3}))
    with pytest.raises(MissingError, match="does not fit this preset"):
        again.load(tmp_path)


@pytest.mark.parametrize(
    "option",
    [
        {"steps": 4},
        {"batch": 8},
        {"precision": "bf16"},
        {"sampler": "ddim"},
        {"sample_steps": 4},
        {"sampler": "ddim", "eta": 1.0},
        {"guidance": 1.0},
    ],
)
def test_every_option_changes_the_layout(
    fitted: NasdmMasks, train: ImageSet, tmp_path: Path, option: dict[str, object]
) -> None:
    plain = fit(train, tmp_path / "plain", sampler="ddim") if "eta" in option else fitted
    assert not same(sample(plain, train.conditions[:3]), sample(fit(train, tmp_path, **option), train.conditions[:3]))


def test_paper_preset_is_sized_like_the_image_model() -> None:
    import torch

    from generators.mask_diffusion.model import MaskDiffusion

    with torch.device("meta"):
        network = MaskDiffusion(PAPER, 7, 128).network
        sampled = network(torch.empty(1, 9, 128, 128), torch.zeros(1), torch.empty(1, 6))
    assert tuple(sampled.shape) == (1, 9, 128, 128)
    assert tuple(network.asked.weight.shape) == (4 * 256, 6)
    assert (PAPER.betas, PAPER.beta_start, PAPER.beta_end, PAPER.learning_rate) == ("linear", 1e-4, 0.02, 1e-4)


def test_what_cannot_be_learned_from_is_refused(train: ImageSet, tmp_path: Path) -> None:
    conditions = train.conditions
    assert conditions.masks is not None and conditions.instances is not None
    for changed, complaint in (
        (replace(conditions, instances=None), "needs conditions with instances"),
        (replace(conditions, masks=None), "needs conditions with masks"),
        (replace(conditions, instances=np.zeros_like(conditions.instances)), "nuclei of at least one type"),
        (replace(conditions, classes=("background",)), "nuclei of at least one type"),
        (replace(conditions, size=60), "multiples of 8 px"),
        (replace(conditions, masks=np.full_like(conditions.masks, 255)), "covers less than half"),
    ):
        with pytest.raises(UsageError, match=complaint):
            NasdmMasks(**SHORT).fit(replace(train, conditions=changed), 0, silent, tmp_path)  # type: ignore[arg-type]


def test_patches_that_are_hardly_covered_are_not_learned_from(train: ImageSet, fitted: NasdmMasks, tmp_path: Path) -> None:
    assert train.conditions.masks is not None
    masks = np.concatenate([train.conditions.masks, np.full_like(train.conditions.masks, 255)])
    twice = replace(train.conditions[list(range(12)) * 2], masks=masks)
    assert same(sample(fit(replace(train, conditions=twice), tmp_path), twice[:2]), sample(fitted, train.conditions[:2]))


def test_what_cannot_be_sampled_is_refused(fitted: NasdmMasks, train: ImageSet) -> None:
    with pytest.raises(UsageError, match="no weights yet"):
        sample(NasdmMasks(), train.conditions)
    with pytest.raises(UsageError, match="needs conditions with masks"):
        sample(fitted, replace(train.conditions, masks=None))
    with pytest.raises(UsageError, match="was fitted on 7 classes in patches of 64 px; these conditions have 3"):
        sample(fitted, layouts(64).conditions)
    with pytest.raises(UsageError, match="nothing to save"):
        NasdmMasks().save(Path())
    for wrong in ({"steps": -1}, {"eta": 1.5}, {"guidance": -1.0}):
        with pytest.raises(UsageError):
            NasdmMasks(**wrong)  # type: ignore[arg-type]


def test_copies_are_training_layouts_of_the_asked_types(train: ImageSet, tmp_path: Path) -> None:
    made = CopyMasks()
    with pytest.raises(UsageError, match="has no layouts"):
        sample(made, train.conditions)
    made.fit(train, 0, silent, tmp_path)
    sampled, real = sample(made, train.conditions), train.conditions
    assert sampled.masks is not None and real.masks is not None
    wanted, shown = (instance_encoding.types_present(side, real.classes) for side in (real.masks, sampled.masks))
    assert np.array_equal(wanted, shown), "each asked set of types is shown by a training layout"
    assert all(any(np.array_equal(mask, known) for known in real.masks) for mask in sampled.masks)
    with pytest.raises(UsageError, match="has layouts of"):
        sample(made, replace(real, size=32))
    with pytest.raises(MissingError, match="no layouts at"):
        CopyMasks().load(tmp_path)


def test_discs_show_the_asked_types_alone(train: ImageSet) -> None:
    real = train.conditions
    sampled = sample(RandomDiscs(nuclei=24), real)
    assert sampled.masks is not None and real.masks is not None
    wanted, shown = (instance_encoding.types_present(side, real.classes) for side in (real.masks, sampled.masks))
    assert not (shown & ~wanted).any() and (shown & wanted).sum() > 0.9 * wanted.sum()
    assert not same(sampled, sample(RandomDiscs(nuclei=5), real))
    nothing = sample(RandomDiscs(), replace(real, masks=np.zeros_like(real.masks)))
    assert nothing.masks is not None and not nothing.masks.any()
    with pytest.raises(UsageError, match="at least 1"):
        RandomDiscs(nuclei=0)


def test_the_names_are_registered() -> None:
    assert {"nasdm-masks", "copy-masks", "random-discs"} <= set(registry.names("layout_generators"))
    assert isinstance(registry.load("layout_generators", "nasdm-masks", steps="5"), LayoutGenerator)


def test_shipped_weights_agree_with_their_manifest_and_are_found() -> None:
    held = json.loads((SHIPPED / "nasdm-masks.manifest.json").read_text())
    made, key = NasdmMasks(), PhantomLizard().key("train")
    assert held["training_config"] == json.loads(json.dumps(made.training_config())) and held["train_key"] == key
    assert held["files"] == {name: digest_of(SHIPPED / name) for name in ("nasdm-masks.json", "nasdm-masks.safetensors")}
    assert isinstance(made, ShipsWeights) and made.shipped(key) == SHIPPED
    assert NasdmMasks(sample_steps=5).shipped(key) == SHIPPED, "sampling options do not change weights"
    assert NasdmMasks(steps=7).shipped(key) is None and made.shipped(PhantomCam16().key("train")) is None
    assert sum((SHIPPED / name).stat().st_size for name in held["files"]) < 6e6
