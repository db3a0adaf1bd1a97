"""Checkpoints of CompVis latent diffusion: names and shapes, outputs of the public network, files that are refused, a run.

`semantic_synthesis256.txt` lists every tensor of the development code's prompt model with its shape.
`semantic_synthesis256_outputs.npz` holds what the public networks give at a quarter of the widths with the weights of `values`
for the inputs of `test_outputs_are_those_of_the_public_networks`.
"""

from __future__ import annotations

import json
import os
import pickle
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import registry
from bench.errors import DamagedError, MissingError, UsageError
from bench.pipeline import prompts
from bench.types import ImageSet, image_seeds
from generators.diffusion.lightning_files import read_checkpoint
from generators.latent_diffusion.adapter import LdmEmbed, LdmPrompt, LdmSemantic
from generators.latent_diffusion.config import PAPER
from generators.latent_diffusion.model import Denoiser, LatentDiffusion, _stage_shape
from generators.latent_diffusion.networks import FirstStage
from generators.latent_diffusion.published import MAPPER, read_published, translate_denoiser, translate_first_stage
from tasks.datasets.phantom.dataset import PhantomCam16
from tests.small_run import SMALL, bench

HERE = Path(__file__).parent
LISTED = {
    name: tuple(map(int, shape.split("x")))
    for name, shape in (line.split() for line in (HERE / "semantic_synthesis256.txt").read_text().splitlines())
}
SMALLER = {name: tuple(side // 4 if side >= 128 else side for side in shape) for name, shape in LISTED.items()}
BETAS = torch.linspace(0.0015**0.5, 0.0205**0.5, 1000, dtype=torch.float64) ** 2


@cache
def values(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The same numbers for a name on every machine, of a scale that keeps activations near 1."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) > 1:
        return torch.from_numpy(drawn / np.float32(np.sqrt(np.prod(shape[1:]))))
    return torch.from_numpy(np.float32(name.endswith("weight")) + np.float32(0.1) * drawn)


class Callback:
    """An object of a stranger's class, as Lightning pickles them beside the weights."""

    def __init__(self) -> None:
        self.best = 0.25


class Hostile:
    """Runs a command where its pickle is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def state_dict(channels: int = 8, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    state = {name: values(name, shape) for name, shape in SMALLER.items()}
    state |= {
        f"model_ema.diffusion_model{name.removeprefix('model.diffusion_model.').replace('.', '')}": tensor * 0.5
        for name, tensor in state.items()
        if name.startswith("model.")
    }
    state |= {"first_stage_model.loss.logvar": torch.zeros(1), "betas": BETAS, MAPPER: values(MAPPER, (3, channels, 1, 1))}
    return state | more


def save(path: Path, state: dict[str, torch.Tensor], **beside: Any) -> Path:
    held = {"epoch": 14, "global_step": 35000, "pytorch-lightning_version": "1.4.2", "state_dict": state, **beside}
    torch.save(held, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "epoch=000014.ckpt"
    return save(path, state_dict(), callbacks={Callback: {"best": Callback()}}, hyper_parameters=Callback())


@pytest.fixture(scope="module")
def patches() -> ImageSet:
    return prompts.attach(PhantomCam16(train_slides=1, per_slide=2).split("train"), prompts.PromptRule())


def generate(generator: Any, patches: ImageSet) -> np.ndarray[Any, Any]:
    return generator.generate(patches.conditions, image_seeds(0, patches.conditions.ids))


def test_every_tensor_of_the_published_model_has_its_place() -> None:
    with torch.device("meta"):
        denoiser, stage = Denoiser(PAPER, "prompt", 2, 0, 2), FirstStage(_stage_shape(PAPER))
    empty = {name: torch.empty(shape, device="meta") for name, shape in LISTED.items()}
    own = {name.removeprefix("model.diffusion_model."): value for name, value in empty.items() if name.startswith("model.")}
    found = {f"model.{name}": tuple(value.shape) for name, value in translate_denoiser(own, PAPER).items()}
    assert found | {MAPPER: LISTED[MAPPER]} == {name: tuple(value.shape) for name, value in denoiser.state_dict().items()}
    own = {name.removeprefix("first_stage_model."): value for name, value in empty.items() if name.startswith("first_stage")}
    found = {f"model.{name}": tuple(value.shape) for name, value in translate_first_stage(own, 3).items()}
    assert found == {name: tuple(value.shape) for name, value in stage.state_dict().items()}


def test_outputs_are_those_of_the_public_networks(checkpoint: Path) -> None:
    published = read_published(checkpoint)
    model = LatentDiffusion(published.config, "prompt", 2, "")
    model.load_published(published, "raw", checkpoint)
    expected = np.load(HERE / "semantic_synthesis256_outputs.npz")
    noisy, images, latents = (
        torch.from_numpy(drawn.astype(np.float32))
        for drawn in (
            np.random.default_rng(0).standard_normal((2, 6, 8, 8)),
            np.random.default_rng(1).uniform(-1, 1, (1, 3, 16, 16)),
            np.random.default_rng(2).standard_normal((1, 3, 4, 4)),
        )
    )
    with torch.no_grad():
        found = {
            "denoised": model.denoiser.model(noisy, torch.tensor([5, 700])).sample,
            "latents": model.stage.encode(images),
            "decoded": model.stage.decode(latents),
        }
    for name, value in found.items():
        assert np.abs(value.numpy() - expected[name]).max() < 1e-4, name


def test_the_config_is_read_from_the_shapes(checkpoint: Path) -> None:
    config = LdmPrompt(checkpoint=checkpoint).config
    assert (config.channels, config.layers, config.stage_channels, config.codebook) == ((32, 128, 256), 2, (32, 64, 128), 2048)
    assert (config.sampler, config.sample_steps, config.eta, config.stage_kind) == ("ddim", 200, 1.0, "vq")
    assert LdmPrompt(checkpoint=checkpoint, sample_steps=7).config.sample_steps == 7
    with pytest.raises(UsageError, match="the checkpoint decides channels"):
        LdmPrompt(checkpoint=checkpoint, channels=(32,))


def test_a_first_stage_without_codebook_is_of_gaussian_latents(tmp_path: Path) -> None:
    state = state_dict(scale_factor=torch.tensor(0.25))
    del state["first_stage_model.quantize.embedding.weight"]
    for name in ("encoder.conv_out", "quant_conv"):
        for kind in ("weight", "bias"):
            full = f"first_stage_model.{name}.{kind}"
            shape = (6, *SMALLER[full][1:])
            shape = (6, 6, 1, 1) if full == "first_stage_model.quant_conv.weight" else shape
            state[full] = values(full, shape)
    published = read_published(save(tmp_path / "kl.ckpt", state))
    assert published.config.stage_kind == "kl"
    model = LatentDiffusion(published.config, "prompt", 2, "")
    model.load_published(published, "raw", tmp_path / "kl.ckpt")
    assert model.stage.encode(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 4, 4)
    assert model.deviation.tolist() == [4.0, 4.0, 4.0], "latents were multiplied by a quarter"


@pytest.mark.parametrize("variant", [LdmSemantic, LdmPrompt])
def test_images_follow_the_file_and_its_averages(variant: Any, tmp_path: Path, patches: ImageSet) -> None:
    channels = {LdmSemantic: 2, LdmPrompt: 8}[variant]
    path = save(tmp_path / "a.ckpt", state_dict(channels))
    raw = generate(variant(checkpoint=path, sample_steps=2), patches)
    assert np.array_equal(raw, generate(variant(checkpoint=path, sample_steps=2), patches))
    assert not np.array_equal(raw, generate(variant(checkpoint=path, sample_steps=2, checkpoint_weights="ema"), patches))
    other = save(tmp_path / "b.ckpt", state_dict(channels, **{MAPPER: values("other", (3, channels, 1, 1))}))
    assert not np.array_equal(raw, generate(variant(checkpoint=other, sample_steps=2), patches))


def test_the_digest_of_the_file_stands_for_it_in_keys(checkpoint: Path, tmp_path: Path) -> None:
    described = registry.describe(LdmPrompt(checkpoint=checkpoint))
    moved = tmp_path / "moved.ckpt"
    moved.write_bytes(checkpoint.read_bytes())
    assert registry.describe(LdmPrompt(checkpoint=moved)) == described
    assert registry.describe(LdmPrompt(checkpoint=moved, checkpoint_weights="ema")) != described
    assert not {"digest", "checkpoint"} & {*registry.describe(LdmPrompt()), *registry.describe(LdmPrompt())["options"]}


@pytest.mark.parametrize(
    "variant, channels, options, message",
    [
        (LdmPrompt, 2, {}, "maps 2 channels.*ldm-semantic"),
        (LdmPrompt, 9, {}, "crops=without-background"),
        (LdmPrompt, 8, {"crops": "without-background"}, "crops=every-class"),
        (LdmSemantic, 3, {}, "fitted with 3 classes; these conditions have 2.*--class-map"),
    ],
)
def test_other_conditions_than_the_network_has_are_refused(
    variant: Any, channels: int, options: dict[str, Any], message: str, tmp_path: Path, patches: ImageSet
) -> None:
    path = save(tmp_path / "a.ckpt", state_dict(channels))
    with pytest.raises(UsageError, match=message):
        generate(variant(checkpoint=path, sample_steps=2, **options), patches)


def test_nine_channels_are_three_classes_without_the_crop_of_class_0(tmp_path: Path) -> None:
    path = save(tmp_path / "panda.ckpt", state_dict(9))
    assert LdmPrompt(checkpoint=path, crops="without-background").count_classes(9) == 3
    assert LdmPrompt(checkpoint=path).count_classes(8) == 2


def test_the_embedding_arm_has_no_known_format(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="neither encoder nor injection"):
        LdmEmbed(checkpoint=checkpoint)


def test_what_is_no_such_checkpoint_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    state = state_dict()
    cases: list[tuple[dict[str, torch.Tensor], type[Exception], str]] = [
        ({"fc.weight": torch.zeros(3)}, MissingError, "no tensor named model.diffusion_model"),
        ({n: v for n, v in state.items() if "input_blocks.1.0.out_layers" not in n}, MissingError, "no complete checkpoint"),
        ({n: v for n, v in state.items() if "middle_block" not in n}, MissingError, "does not fit"),
        (state | {"betas": BETAS.flip(0)}, UsageError, "another noise schedule"),
        (
            state | {"model.diffusion_model.input_blocks.1.1.qkv.weight": torch.zeros(96, 32, 1)},
            UsageError,
            "attention outside",
        ),
    ]
    for held, kind, message in cases:
        made = LdmPrompt(checkpoint=save(tmp_path / "a.ckpt", held), sample_steps=2)
        with pytest.raises(kind, match=message):
            made._load_checkpoint()
    without = {name: value for name, value in state.items() if not name.startswith("model_ema.")}
    with pytest.raises(MissingError, match="checkpoint_weights=raw"):
        LdmPrompt(checkpoint=save(tmp_path / "a.ckpt", without), checkpoint_weights="ema")._load_checkpoint()
    with pytest.raises(MissingError, match=r"absent\.ckpt"):
        LdmPrompt(checkpoint=tmp_path / "absent.ckpt")._load_checkpoint()
    whole = checkpoint.read_bytes()
    for size in (0, 3, 1000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.ckpt").write_bytes(whole[:size])
        with pytest.raises((DamagedError, MissingError), match=r"cut\.ckpt"):
            LdmPrompt(checkpoint=tmp_path / "cut.ckpt")._load_checkpoint()


def test_hostile_pickles_run_nothing(tmp_path: Path) -> None:
    target = tmp_path / "written"
    with pytest.raises(FileExistsError):  # the pickle does what it says where it is loaded as any other
        pickle.loads(pickle.dumps(Hostile(tmp_path)))
    found = read_checkpoint(
        save(tmp_path / "a.ckpt", {"w": torch.ones(2)}, callbacks=[Hostile(target)], hyper=Hostile(target))
    )
    assert list(found.tensors) == ["w"] and found.replaced == ("posix.mkdir",) and not target.exists()
    torch.save({"state_dict": Hostile(target)}, tmp_path / "b.ckpt")
    with pytest.raises(DamagedError, match="no tensor by name"):
        read_checkpoint(tmp_path / "b.ckpt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(tmp_path / "c.ckpt"))
    with pytest.raises(DamagedError, match="TorchScript"):
        read_checkpoint(tmp_path / "c.ckpt")
    torch.save(
        {"state_dict": {"w": torch.ones(2)}, "x": Hostile(target)}, tmp_path / "d.ckpt", _use_new_zipfile_serialization=False
    )
    with pytest.raises(DamagedError, match=r"d\.ckpt"):
        read_checkpoint(tmp_path / "d.ckpt")
    assert not target.exists()


def test_the_command_writes_safetensors_and_what_it_left_out(checkpoint: Path, tmp_path: Path) -> None:
    done = bench("convert-checkpoint", checkpoint, "--out", tmp_path / "out", "--json", home=tmp_path)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert (
        report["not_kept"][:2] == ["epoch: 14", "global_step: 35000"]
        and report["not_kept"][-1] == "hyper_parameters: an object"
    )
    assert any(name.endswith("test_published.Callback") for name in report["classes_not_looked_up"])
    converted = tmp_path / "out" / "checkpoint.safetensors"
    held, whole = read_checkpoint(converted).tensors, read_checkpoint(checkpoint).tensors
    assert held.keys() == whole.keys() and all(torch.equal(held[name], whole[name]) for name in held)
    assert bench("convert-checkpoint", checkpoint, "--out", tmp_path / "out", home=tmp_path).exit_code == 2


def test_a_run_uses_the_file_and_trains_nothing(checkpoint: Path, tmp_path: Path) -> None:
    words = ["-g", "ldm-prompt", "-t", "cam16-seg", "-o", f"generator.checkpoint={checkpoint}", "--seeds", "0"]
    measured = ["--no-downstream", "--controls", "none", "-e", "stain", "-m", "fd", "-o", "sample_steps=2", *SMALL]
    done = bench("run", *words, *measured, "--out", tmp_path / "run", home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    (written,) = (tmp_path / "run").rglob("results.jsonl")
    records = [json.loads(line) for line in written.read_text().splitlines()]
    (fd,) = [record for record in records if record["generator"] == "ldm-prompt" and record["measure"] == "fd"]
    assert fd["status"] == "ok" and fd["fit"]["origin"] == "given"
    assert not list((tmp_path / "home").glob("weights/*"))
    shown = bench("leaderboard", "cam16-seg", "--results", tmp_path / "run", home=tmp_path / "home")
    assert "ldm-prompt" in shown.stdout
    refused = bench("run", *words, *measured, "--fit", "--out", tmp_path / "again", home=tmp_path / "home")
    assert refused.exit_code == 4 and "leave out --fit" in refused.stdout + refused.stderr
    refused = bench("fit", *words[:6], *SMALL, home=tmp_path / "home")
    assert refused.exit_code == 2 and "leave out the checkpoint" in refused.stderr
