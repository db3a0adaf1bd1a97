"""Latent diffusion: the published sizes, the three conditionings, files, options, and being killed in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.errors import MissingError, UsageError
from bench.pipeline import prompts
from bench.types import GREY, ImageSet, image_seeds, silent
from generators.diffusion.shipped import SHIPPED
from generators.diffusion.weight_files import save_network, to_images
from generators.latent_diffusion.adapter import LdmEmbed, LdmPrompt, LdmSemantic, _Ldm
from generators.latent_diffusion.config import PAPER, TINY
from tasks.datasets.phantom.dataset import PhantomCam16

VARIANTS = [LdmSemantic, LdmPrompt, LdmEmbed]
SHORT = {"steps": 4, "stage_steps": 4, "sample_steps": 3}


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return prompts.attach(PhantomCam16(train_slides=4, per_slide=4).split("train"), prompts.PromptRule())


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path_factory.getbasetemp() / "home"))


def fitted(variant: type[_Ldm], train: ImageSet, work: Path, **options: object) -> _Ldm:
    made = variant(**{**SHORT, **options})  # type: ignore[arg-type]
    work.mkdir(exist_ok=True)
    made.fit(train, 0, silent, work)
    return made


def generate(made: _Ldm, patches: ImageSet, run_seed: int = 0) -> np.ndarray:
    return made.generate(patches.conditions, image_seeds(run_seed, patches.conditions.ids))


def test_paper_preset_has_the_published_sizes() -> None:
    import torch

    from generators.latent_diffusion.model import Denoiser, _stage_shape
    from generators.latent_diffusion.networks import FirstStage

    with torch.device("meta"):
        denoiser = Denoiser(PAPER, "prompt", 2, 0, 2)
        stage = FirstStage(_stage_shape(PAPER))
        latent = stage.encode(torch.empty(1, 3, 256, 256))
    assert tuple(latent.shape) == (1, 3, 64, 64)
    assert tuple(denoiser.cond_stage_model.channel_mapper.weight.shape) == (3, 8, 1, 1)
    assert sum(p.numel() for p in denoiser.model.parameters()) == pytest.approx(215.2e6, rel=1e-3)
    assert sum(p.numel() for p in stage.parameters()) == pytest.approx(55.3e6, rel=1e-2)
    attention = [name for name, _ in denoiser.model.named_modules() if name.endswith("to_q")]
    assert attention and all(name.startswith("mid_block") for name in attention)


def test_paper_schedule_is_the_published_one() -> None:
    from generators.diffusion.training import Schedule

    betas = Schedule(PAPER.beta_start, PAPER.beta_end, PAPER.prediction, PAPER.zero_snr).ddim().betas.numpy()
    expected = np.linspace(0.0015**0.5, 0.0205**0.5, 1000) ** 2
    assert np.allclose(betas, expected, rtol=1e-5)
    assert (PAPER.sampler, PAPER.sample_steps, PAPER.eta, PAPER.loss) == ("ddim", 200, 1.0, "l1")


def test_two_halvings_are_four_by_four_means() -> None:
    import torch

    from generators.latent_diffusion.networks import shrink

    values = torch.rand(2, 3, 64, 64)
    assert torch.allclose(shrink(values, 2), torch.nn.functional.avg_pool2d(values, 4), atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_and_loaded_generates_the_same_bytes(variant: type[_Ldm], train: ImageSet, tmp_path: Path) -> None:
    made = fitted(variant, train, tmp_path / "work")
    made.save(tmp_path / "saved")
    again = variant(**SHORT)  # type: ignore[arg-type]
    again.load(tmp_path / "saved")
    assert np.array_equal(generate(made, train[:5]), generate(again, train[:5]))


def test_conditions_move_only_the_variants_that_see_them(train: ImageSet, tmp_path: Path) -> None:
    assert train.conditions.prompts is not None and train.conditions.masks is not None
    canvases = train.conditions.prompts.canvases
    dark = replace(train.conditions.prompts, canvases=np.where(canvases == GREY, GREY, 20).astype(np.uint8))
    other_crops = replace(train, conditions=replace(train.conditions, prompts=dark))
    other_map = replace(train, conditions=replace(train.conditions, masks=1 - train.conditions.masks))
    for variant in VARIANTS:
        made = fitted(variant, train, tmp_path / variant.__name__)
        plain = generate(made, train[:3])
        assert not np.array_equal(plain, generate(made, other_map[:3])), variant
        assert np.array_equal(plain, generate(made, other_crops[:3])) == (variant is LdmSemantic), variant


@pytest.mark.parametrize(
    "option",
    [
        {"steps": 5},
        {"stage_steps": 5},
        {"batch": 8},
        {"precision": "bf16"},
        {"sampler": "dpm"},
        {"sample_steps": 4},
        {"eta": 1.0},
    ],
)
def test_every_option_changes_the_image(train: ImageSet, tmp_path: Path, option: dict[str, object]) -> None:
    plain = generate(fitted(LdmPrompt, train, tmp_path / "plain", sampler="ddim"), train[:2])
    changed = generate(fitted(LdmPrompt, train, tmp_path / "changed", **{"sampler": "ddim", **option}), train[:2])
    assert not np.array_equal(plain, changed)


@pytest.mark.parametrize("sampling", [{"sampler": "ddim", "eta": 1.0}, {"sampler": "ddim", "eta": 0.5}, {"sampler": "dpm"}])
def test_every_sampler_ends_in_tissue_colours(sampling: dict[str, object]) -> None:
    """Shipped weights generate near the colours of a real patch whatever the sampler: eta = 1 once gave NaN, so black."""
    test = prompts.attach(PhantomCam16(test_slides=2, per_slide=4).split("test"), prompts.PromptRule())
    made = LdmPrompt(**{"sample_steps": 20, **sampling})  # type: ignore[arg-type]
    made.load(SHIPPED / "phantom-cam16")
    generated = generate(made, test)
    assert np.abs(generated.mean(axis=(1, 2)) - test.images.mean(axis=(1, 2))).mean() < 30
    assert generated.std(axis=(1, 2)).mean() > 15


def test_encoder_of_embed_changes_image_training_config_and_card(train: ImageSet, tmp_path: Path) -> None:
    plain = fitted(LdmEmbed, train, tmp_path / "plain")
    other = fitted(LdmEmbed, train, tmp_path / "other", encoder="texture")
    assert not np.array_equal(generate(plain, train[:2]), generate(other, train[:2]))
    assert plain.training_config() != other.training_config()
    assert other.card.conditioned_by == ("texture",)


def test_preset_is_part_of_training_config_and_key() -> None:
    assert LdmPrompt().training_config() != LdmPrompt(preset="paper").training_config()
    assert LdmPrompt().training_config() == LdmPrompt(steps=TINY.steps, sample_steps=7).training_config()
    assert registry.describe(LdmPrompt()) != registry.describe(LdmPrompt(sample_steps=7))


def test_variants_share_one_first_stage(train: ImageSet, tmp_path: Path) -> None:
    for variant in VARIANTS:
        fitted(variant, train, tmp_path / variant.__name__).save(tmp_path / "saved")
    files = sorted(f.name for f in (tmp_path / "saved").glob("*.safetensors"))
    assert files == ["first_stage.safetensors", *sorted(f"{v.card.name}.safetensors" for v in VARIANTS)]


@pytest.mark.parametrize("options", [{"steps": 0}, {"sample_steps": -1}, {"eta": 2.0}, {"preset": "papr"}])
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        LdmPrompt(**options)  # type: ignore[arg-type]


def test_sides_that_do_not_fit_are_refused(train: ImageSet) -> None:
    with pytest.raises(UsageError, match="multiples of 16 px, not 40"):
        LdmPrompt().generate(replace(train.conditions, size=40), np.zeros(16, dtype=np.uint64))


def test_generating_without_weights_and_loading_from_nowhere_are_refused(train: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights yet"):
        generate(LdmPrompt(), train)
    with pytest.raises(MissingError, match="bench fit"):
        LdmPrompt().load(tmp_path)


def test_weights_of_another_class_count_and_of_another_preset_are_refused(train: ImageSet, tmp_path: Path) -> None:
    made = fitted(LdmPrompt, train, tmp_path / "work")
    three = replace(train.conditions, classes=("a", "b", "c"))
    with pytest.raises(UsageError, match="2 classes; these conditions have 3"):
        made.generate(three, np.zeros(16, dtype=np.uint64))
    made.save(tmp_path / "saved")
    held = json.loads((tmp_path / "saved" / "ldm-prompt.json").read_text())
    (tmp_path / "saved" / "ldm-prompt.json").write_text(json.dumps({**held, "classes": 3}))
    with pytest.raises(MissingError, match="does not fit this preset"):
        LdmPrompt().load(tmp_path / "saved")


_FIT = """
import sys
from pathlib import Path
from functools import partial
from bench.pipeline import prompts
from generators.diffusion.training import TrainingConfig
from generators.latent_diffusion import model
from generators.latent_diffusion.adapter import LdmPrompt
from tasks.datasets.phantom.dataset import PhantomCam16
model.TrainingConfig = partial(TrainingConfig, checkpoint_every=3)
train = prompts.attach(PhantomCam16(train_slides=2, per_slide=4).split("train"), prompts.PromptRule())
made = LdmPrompt(steps=9, stage_steps=2, sample_steps=2)
work = Path(sys.argv[1]); work.mkdir(exist_ok=True)
def progress(done, total, what):
    if what == "fit prompt": print(done, flush=True)
    if what == "fit prompt" and done == int(sys.argv[3]):
        import os, signal; os.kill(os.getpid(), signal.SIGKILL)
made.fit(train, 0, progress, work)
made.save(Path(sys.argv[2]))
"""


def test_killed_fit_goes_on_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    def run(name: str, kill_at: int) -> list[str]:
        words = [sys.executable, "-c", _FIT, str(tmp_path / f"{name}-work"), str(tmp_path / f"{name}-saved"), str(kill_at)]
        return subprocess.run(words, capture_output=True, text=True).stdout.split()

    assert run("plain", -1)[-1] == "9"
    assert run("killed", 5)[-1] == "5"
    assert run("killed", -1)[0] == "4", "it goes on after the checkpoint at step 3"
    one, other = (tmp_path / f"{name}-saved" / "ldm-prompt.safetensors" for name in ("plain", "killed"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e6])
def test_weights_that_are_not_finite_are_not_written(value: float, tmp_path: Path) -> None:
    """1e6 is infinite in half precision."""
    network = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(network.bias, value)
    with pytest.raises(FloatingPointError, match=r"w\.safetensors: 1 of 2 tensors hold NaN or infinite values, bias"):
        save_network(network, tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_images_that_are_not_finite_are_refused(value: float) -> None:
    images = torch.zeros(3, 3, 4, 4)
    images[1, 2, 3, 3] = value
    with pytest.raises(FloatingPointError, match="for 1 of 3 samples"):
        to_images(images)
    assert (to_images(images[[0, 2]]) == 128).all()
