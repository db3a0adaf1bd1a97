"""Nuclei-aware diffusion: what it is shown, its loss, guidance, checkpoints, and that each option changes something."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.contracts import check_generator
from bench.errors import DamagedError, MissingError, UsageError
from bench.registry import load
from bench.types import Conditions, ImageSet, image_seeds, silent
from generators.diffusion.batches import BatchShare
from generators.diffusion.shipped import SHIPPED
from generators.nasdm.adapter import Nasdm
from generators.nasdm.config import PAPER
from generators.nasdm.model import SCHEDULE, HybridLoss, PixelUnshuffled, SemanticDiffusion, edges, maps_of
from generators.nasdm.networks import SdmShape, SdmUNet
from generators.nasdm.published import describe_fit
from tasks.datasets.phantom.dataset import PhantomLizard

TRIAL: dict[str, Any] = {"steps": 3, "tuning_steps": 2, "sample_steps": 3}


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return PhantomLizard(train_slides=2, per_slide=8).split("train")


@pytest.fixture(scope="module")
def fitted(train: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Nasdm:
    generator = Nasdm(**TRIAL)
    generator.fit(train, 0, silent, tmp_path_factory.mktemp("work"))
    return generator


def generated(generator: Nasdm, conditions: Conditions, seed: int = 0) -> np.ndarray[Any, Any]:
    return generator.generate(conditions, image_seeds(seed, conditions.ids))


def test_it_keeps_the_contract_of_generators() -> None:
    assert [o for o in check_generator(lambda **o: load("generators", "nasdm", **o), "nasdm") if o.status == "failed"] == []


def test_edges_are_marked_on_both_sides_of_a_border_and_between_touching_nuclei() -> None:
    instances = np.zeros((1, 4, 6), np.int32)
    instances[0, 1:3, 1:3], instances[0, 1:3, 3:5] = 4, 9
    expected = np.array([[0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0]], bool)
    assert np.array_equal(edges(instances)[0], expected)
    assert not edges(np.full((1, 4, 4), 3, np.int32)).any()


def test_the_condition_is_one_hot_with_edges_and_nothing_where_nobody_annotated(train: ImageSet) -> None:
    conditions = train.conditions[:2]
    masks = np.array(conditions.masks)
    masks[0, :8] = 255
    maps = maps_of(Conditions(**{**vars(conditions), "masks": masks}))
    assert maps.shape == (2, len(conditions.classes) + 1, 64, 64)
    assert torch.equal(maps[:, :-1].sum(dim=1), torch.from_numpy((masks != 255).astype(np.float32)))
    assert torch.equal(maps[1, :-1].argmax(dim=0), torch.from_numpy(masks[1].astype(np.int64)))


def hybrid() -> HybridLoss:
    scheduler = SCHEDULE.ddim()
    return HybridLoss(scheduler.alphas_cumprod, scheduler.betas)


def noised(step: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, (2, 3, 8, 8), generator=source).float() / 127.5 - 1
    noise, steps = torch.randn(clean.shape, generator=source), torch.full((2,), step)
    return clean, SCHEDULE.ddim().add_noise(clean, noise, steps), steps, noise


@pytest.mark.parametrize("step", [1, 40, 999])
def test_the_bound_is_the_divergence_of_two_normal_densities(step: int) -> None:
    clean, state, steps, noise = noised(step)
    predicted, share = noise + 0.3, torch.full_like(noise, 0.4)
    betas = SCHEDULE.ddim().betas.double()
    kept = (1 - betas).cumprod(0)
    before, now, beta = kept[step - 1], kept[step], betas[step]
    least = beta * (1 - before) / (1 - now)
    guessed = (state.double() - (1 - now).sqrt() * predicted.double()) / now.sqrt()

    def mean(clean_: Tensor) -> Tensor:
        return (before.sqrt() * beta * clean_ + (1 - beta).sqrt() * (1 - before) * state.double()) / (1 - now)

    spread = torch.exp(0.7 * beta.log() + 0.3 * least.log()).sqrt()
    true = torch.distributions.Normal(mean(clean.double()), least.sqrt())
    text = torch.distributions.Normal(mean(guessed), spread)
    expected = torch.distributions.kl_divergence(true, text) / math.log(2)
    found = hybrid().bound(clean, state, steps, predicted, share)
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=1e-6)


def test_at_the_first_step_the_bound_is_the_likelihood_of_eight_bit_values() -> None:
    clean, state, steps, noise = noised(0)
    found = hybrid().bound(clean, state, steps, noise, torch.zeros_like(noise))
    assert (found >= 0).all()  # probabilities are at most 1
    worse = hybrid().bound(clean, state, steps, noise + 2, torch.zeros_like(noise))
    assert worse.mean() > found.mean()


def test_the_bound_moves_variances_and_the_squared_error_moves_the_noise() -> None:
    clean, state, steps, noise = noised(30)
    predicted = (noise + 0.1).requires_grad_()
    share = torch.zeros_like(noise).requires_grad_()
    hybrid()(clean, state, steps, noise, (predicted, share)).mean().backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None and share.grad is not None
    torch.testing.assert_close(predicted.grad, torch.full_like(noise, 0.2 / noise.numel()))
    assert (share.grad != 0).any()


@pytest.mark.parametrize(("step", "weight"), [(999, 1.0), (300, 1.0), (200, 1.9099), (10, 5.0)])
def test_errors_of_the_clean_image_weigh_by_a_cut_signal_to_noise_ratio(step: int, weight: float) -> None:
    clean, state, steps, noise = noised(step)
    kept = SCHEDULE.ddim().alphas_cumprod[step]
    guessed = clean + 0.01
    predicted = (state - kept.sqrt() * guessed) / (1 - kept).sqrt()
    capped = HybridLoss(hybrid().kept, hybrid().betas, snr_cap=5.0)
    bound = hybrid().bound(clean, state, steps, predicted, torch.zeros_like(noise))
    ratio = kept / (1 - kept)
    found = capped(clean, state, steps, noise, (predicted, torch.zeros_like(noise)))
    found = found - (weight / ratio).clamp_max(1) * bound
    assert float(found.mean()) == pytest.approx(weight * 0.01**2, rel=2e-2)


def test_a_network_that_says_the_clean_image_says_the_noise_with_it() -> None:
    unshuffled = PixelUnshuffled(SdmShape(12, 32, 32, (1,), 1, (), head=32, groups=8), 2, "sample")
    clean, state, steps, noise = noised(400)

    class Known(nn.Module):
        def forward(self, images: Tensor, steps: Tensor, maps: Tensor) -> Tensor:
            text = torch.nn.functional.pixel_unshuffle(clean, 2)
            return torch.cat([text, text * 0], dim=1)

    unshuffled.net = Known()  # type: ignore[assignment]
    found, share = unshuffled(state, steps, torch.zeros(2, 8, 8, 8))
    torch.testing.assert_close(found, noise, atol=1e-5, rtol=1e-5)
    assert not share.any()


def test_pixel_unshuffle_keeps_every_pixel_at_its_place() -> None:
    unshuffled = PixelUnshuffled(SdmShape(12, 32, 32, (1,), 1, (), head=32, groups=8), 2)

    class Same(nn.Module):
        def forward(self, images: Tensor, steps: Tensor, maps: Tensor) -> Tensor:
            return torch.cat([images, images + 1], dim=1)

    unshuffled.net = Same()  # type: ignore[assignment]
    images = torch.randn(2, 3, 8, 8)
    noise, share = unshuffled(images, torch.zeros(2, dtype=torch.long), torch.zeros(2, 8, 8, 8))
    assert torch.equal(noise, images) and torch.equal(share, images + 1)


def test_pixels_that_nobody_annotated_teach_nothing(train: ImageSet) -> None:
    rows = np.arange(8)
    masks, images = np.array(train.conditions.masks[rows]), np.array(train.images[rows])  # type: ignore[index]
    masks[:, :, :32] = 255

    def weights(left: int) -> dict[str, Tensor]:
        shown = images.copy()
        shown[:, :, :32] = left
        part = ImageSet(train.key, shown, Conditions(**{**vars(train.conditions[rows]), "masks": masks}))
        model = SemanticDiffusion(Nasdm().config, 7)
        network = model.network
        loss = model._loss(part, 0.0)(network, np.random.default_rng(0), BatchShare())
        loss.backward()  # type: ignore[no-untyped-call]
        return {"out": network.net.out[2].weight.grad.clone()}

    # the last layer of a fresh network is zero, so that its gradient sees targets and weights of pixels alone
    unlike = weights(255)["out"] - weights(0)["out"]
    full = weights(255)["out"].abs().max()
    assert unlike.abs().max() <= full  # what is seen through the encoder may differ, what is asked for may not
    masks[:] = 255
    assert weights(255)["out"].abs().max() == 0


class Echo(nn.Module):
    """Says the mean of the map it is shown, so that guidance can be worked out by hand."""

    def forward(self, images: Tensor, steps: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        level = maps.mean(dim=(1, 2, 3))[:, None, None, None]
        return images * 0 + level + 1, images * 0 + level


@pytest.mark.parametrize(("guidance", "expected"), [(1.0, 1.5), (1.5, 1.75), (3.0, 2.5)])
def test_guidance_moves_away_from_the_empty_map_and_leaves_the_variance(guidance: float, expected: float) -> None:
    model = SemanticDiffusion(Nasdm().config, 7)
    model.network = Echo()  # type: ignore[assignment]
    maps = torch.full((2, 8, 8, 8), 0.5)
    noise, share = model._guide(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.long), maps, guidance)
    assert torch.allclose(noise, torch.tensor(expected)) and torch.allclose(share, torch.tensor(0.5))


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 4},
        {"tuning_steps": 3},
        {"batch": 4},
        {"drop": 1.0},
        {"ema": 0.5},
        {"precision": "bf16"},
        {"sampler": "ddim"},
        {"sampler": "ddpm"},
        {"sample_steps": 4},
        {"sampler": "ddim", "eta": 1.0},
        {"guidance": 4.0},
    ],
    ids=str,
)
def test_every_option_changes_what_is_generated(
    options: dict[str, Any], train: ImageSet, fitted: Nasdm, tmp_path: Path
) -> None:
    other = Nasdm(**{**TRIAL, **options})
    assert registry.describe(other) != registry.describe(fitted)
    other.fit(train, 0, silent, tmp_path)
    conditions = train.conditions[:2]
    assert not np.array_equal(generated(other, conditions), generated(fitted, conditions))


def test_the_paper_preset_has_the_published_weight_decay_and_shipped_weights_are_still_found() -> None:
    """The public script's AdamW has none; torch's own 0.01 was used without being stated."""
    assert Nasdm(preset="paper").config.weight_decay == 0.0
    manifest = next(SHIPPED.glob("*/nasdm.manifest.json"))
    folder = Nasdm().shipped(json.loads(manifest.read_text())["train_key"])
    assert folder == manifest.parent
    assert Nasdm(preset="paper").training_config()["config"]["weight_decay"] == 0.0, (
        "weights of another decay have another key"
    )


def test_sampling_options_need_no_new_weights() -> None:
    base = Nasdm(**TRIAL).training_config()
    assert Nasdm(**{**TRIAL, "sampler": "ddim", "guidance": 3.0, "eta": 0.5}).training_config() == base
    assert Nasdm(**{**TRIAL, "drop": 0.5}).training_config() != base


def test_an_interrupted_fit_ends_with_the_same_weights(train: ImageSet, fitted: Nasdm, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int, what: str) -> None:
        if what.startswith("tune"):
            raise Stopped

    again = Nasdm(**TRIAL)
    with pytest.raises(Stopped):
        again.fit(train, 0, stop, tmp_path)
    seen: list[str] = []
    again.fit(train, 0, lambda done, total, what: seen.append(what), tmp_path)
    assert seen and all(what.startswith("tune") for what in seen)  # the first stage is not fitted again
    conditions = train.conditions[:2]
    assert np.array_equal(generated(again, conditions), generated(fitted, conditions))


def test_refusals_name_what_is_wrong(train: ImageSet, fitted: Nasdm, tmp_path: Path) -> None:
    conditions = train.conditions[:1]
    with pytest.raises(UsageError, match="no weights yet"):
        generated(Nasdm(), conditions)
    with pytest.raises(UsageError, match="7 classes.*have 2"):
        generated(fitted, Conditions(**{**vars(conditions), "classes": ("background", "nucleus")}))
    with pytest.raises(UsageError, match="multiples of 8"):
        generated(fitted, Conditions(**{**vars(conditions), "size": 60}))
    with pytest.raises(UsageError, match="guidance is a factor"):
        Nasdm(guidance=-1)
    with pytest.raises(UsageError, match="steps is a count of at least 1"):
        Nasdm(steps=-1)
    with pytest.raises(MissingError, match="nasdm.json"):
        Nasdm().load(tmp_path)
    with pytest.raises(UsageError, match="fit it first"):
        Nasdm().save(tmp_path)


PUBLIC = SdmShape(3, 8, 64, (1, 2), 1, (1,))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    state = SdmUNet(PUBLIC).state_dict()
    state = {name: torch.randn_like(values) * 0.02 for name, values in state.items()}
    torch.save(state, tmp_path / "ema_0.9999_100000.pt")
    return tmp_path / "ema_0.9999_100000.pt"


@pytest.mark.slow
def test_a_checkpoint_generates_with_the_numbers_of_its_own_network(checkpoint: Path, train: ImageSet, tmp_path: Path) -> None:
    generator = Nasdm(checkpoint=checkpoint, sample_steps=2)
    conditions = train.conditions[:2]
    wrapped = tmp_path / "wrapped.pt"
    torch.save({"epoch": 3, "state_dict": torch.load(checkpoint, weights_only=True)}, wrapped)
    again = Nasdm(checkpoint=wrapped, sample_steps=2)
    assert np.array_equal(generated(again, conditions), generated(generator, conditions))
    public = SdmUNet(PUBLIC)
    public.load_state_dict(torch.load(checkpoint, weights_only=True))
    assert again._model is not None
    noisy, maps = torch.randn(1, 3, 64, 64), maps_of(conditions[:1])
    with torch.no_grad():
        noise, share = again._model.network.eval()(noisy, torch.tensor([7]), maps)
        assert torch.equal(torch.cat([noise, share], dim=1), public.eval()(noisy, torch.tensor([7]), maps))


def test_a_checkpoint_is_part_of_every_key(checkpoint: Path) -> None:
    first = Nasdm(checkpoint=checkpoint)
    before = registry.describe(first)
    assert str(checkpoint) not in str(before), "the digest stands for the file"
    torch.save({name: v + 1 for name, v in torch.load(checkpoint, weights_only=True).items()}, checkpoint)
    assert registry.describe(Nasdm(checkpoint=checkpoint)) != before


def test_a_checkpoint_tells_which_preset_it_is(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no preset: 64 channels x (1, 2)" in describe_fit(checkpoint)
    like = {**asdict(PAPER), "width": 64, "multipliers": (1, 2), "blocks": 1, "attended": (1,)}
    monkeypatch.setattr("generators.nasdm.published.PRESETS", {"small": type(PAPER)(**like)})
    assert describe_fit(checkpoint) == "preset small"


def test_checkpoints_that_do_not_fit_are_refused(checkpoint: Path, train: ImageSet, tmp_path: Path) -> None:
    conditions = Conditions(**{**vars(train.conditions), "classes": ("background", "nucleus")})
    with pytest.raises(UsageError, match="8 label channels.*have 2 classes"):
        generated(Nasdm(checkpoint=checkpoint), conditions)
    with pytest.raises(MissingError, match="no checkpoint"):
        generated(Nasdm(checkpoint=tmp_path / "absent.pt"), train.conditions)
    cut = tmp_path / "cut.pt"
    cut.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(DamagedError, match=r"cut\.pt"):
        generated(Nasdm(checkpoint=cut), train.conditions)
    with torch.no_grad():
        fixed = SdmUNet(SdmShape(3, 8, 64, (1, 2), 1, (1,), learned_variance=False))
    torch.save(fixed.state_dict(), cut)
    with pytest.raises(UsageError, match="variances"):
        generated(Nasdm(checkpoint=cut), train.conditions)


@pytest.mark.parametrize("steps", [10, 250, 1000])
def test_samplers_ask_for_steps_that_the_network_was_fitted_on(steps: int) -> None:
    for scheduler in (SCHEDULE.ddim(steps), SCHEDULE.ddpm(), SCHEDULE.dpm()):
        scheduler.set_timesteps(steps)
        assert int(scheduler.timesteps.min()) >= 0 and int(scheduler.timesteps.max()) <= 999
