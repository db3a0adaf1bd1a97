"""The torch part of the latent diffusion: inputs of the networks, training and sampling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import registry
from bench.files.paths import delete
from bench.runtime.precision import device, full_float32
from bench.types import GREY, Conditions, Images, ImageSet, Progress
from generators.diffusion.augmentation import view
from generators.diffusion.batches import BatchShare
from generators.diffusion.checks import Notes
from generators.diffusion.training import Sampler, Schedule, TrainingConfig, micro_batches, noisy, train
from generators.diffusion.weight_files import load_network, load_tensors, round_to_fp16, save_network, to_images, to_tensor
from generators.latent_diffusion.config import STAGE_FILE, FirstStageConfig, LatentDiffusionConfig
from generators.latent_diffusion.networks import (
    DenoiserShape,
    FirstStage,
    FirstStageShape,
    RegionVectors,
    SpatialRescaler,
    build_denoiser,
    shrink,
)
from generators.latent_diffusion.published import Average, Published

Kind = Literal["semantic", "prompt", "embed"]
MICRO_BATCH = 16
VECTOR_CHANNELS = 12


class Denoiser(nn.Module):
    """The U-Net with its condition: `forward(noisy_latent, step, shown)`; `shown` has the maps and, for `embed`, vectors."""

    def __init__(self, config: LatentDiffusionConfig, kind: Kind, classes: int, vector_dim: int, cropped: int) -> None:
        super().__init__()
        channels = {"semantic": classes, "prompt": classes + 3 * cropped, "embed": classes + VECTOR_CHANNELS}[kind]
        self.vectors = RegionVectors(vector_dim, VECTOR_CHANNELS) if kind == "embed" else None
        self.cond_stage_model = SpatialRescaler(channels, config.condition_channels)
        shape = DenoiserShape(
            config.channels, config.layers, config.head, config.attention, config.groups, config.condition_channels
        )
        self.model = build_denoiser(shape, config.latent_channels)

    def forward(self, noisy_latent: Tensor, step: Tensor, shown: dict[str, Tensor]) -> Tensor:
        condition = shown["maps"]
        if self.vectors is not None:
            placed = self.vectors(shown["maps"], shown["vectors"], shown["present"])
            condition = torch.cat([condition, placed], dim=1)
        condition = self.cond_stage_model(condition)
        return self.model(torch.cat([noisy_latent, condition], dim=1), step).sample


class LatentDiffusion:
    """First stage, denoiser and the scale of the latents, and the conversion of `Conditions` to tensors."""

    def __init__(self, config: LatentDiffusionConfig, kind: Kind, classes: int, encoder: str, first_crop: int = 0) -> None:
        """`first_crop`: of the kind `prompt`, the first class whose crop is shown."""
        self.config = config
        self.first_crop = first_crop
        self.kind = kind
        self.classes = classes
        self.encoder = registry.load("encoders", encoder) if encoder else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stage = FirstStage(_stage_shape(config))
            dim = self.encoder.dim if self.encoder else 0
            self.denoiser = Denoiser(config, kind, classes, dim, classes - first_crop)
        self.mean = torch.zeros(config.latent_channels)
        self.deviation = torch.ones(config.latent_channels)
        self.schedule = Schedule(config.beta_start, config.beta_end, config.prediction, config.zero_snr, ends_clean=False)

    def fit(self, patches: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains the denoiser on latents of views of the patches; the first stage stays as it is."""
        config = self.config
        latents, shown = self._training_tensors(patches, seed, progress)
        if config.normalise:
            self.mean, self.deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
        latents = (latents - self.mean[:, None, None]) / self.deviation[:, None, None]
        if self.denoiser.vectors is not None:
            has = shown["present"] > 0
            self.denoiser.vectors.mean.copy_(shown["vectors"][has].mean(dim=0))
            self.denoiser.vectors.deviation.copy_(shown["vectors"][has].std(dim=0).clamp_min(1e-6))
        schedule = self.schedule.ddim()

        def loss(network: nn.Module, rng: np.random.Generator, share: BatchShare) -> Tensor:
            rows = torch.from_numpy(rng.integers(0, len(latents), config.batch))[share.rows(config.batch)]
            where = next(network.parameters()).device
            state, steps, target = noisy(schedule, latents[rows].to(where), rng, share)
            predicted = network(state, steps, {name: values[rows].to(where) for name, values in shown.items()})
            error = predicted.float() - target
            return error.abs().mean() if config.loss == "l1" else error.square().mean()

        training_config = TrainingConfig(
            config.steps, config.learning_rate, config.warmup, config.decay, config.ema, config.precision
        )
        train(self.denoiser, loss, training_config, seed, progress, work, f"fit {self.kind}")
        self.denoiser = round_to_fp16(self.denoiser.cpu())

    def _training_tensors(self, patches: ImageSet, seed: int, progress: Progress) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents (views * n, c, h, w) and conditions of the patches and their augmented views."""
        latents: list[Tensor] = []
        shown: list[dict[str, Tensor]] = []
        self.stage.to(device())
        for number in range(self.config.views):
            rng = np.random.default_rng([seed, number])
            seen = view(patches, rng, self.config.stain) if number else patches
            for first in range(0, len(seen), 64):
                rows = slice(first, first + 64)
                with torch.no_grad():
                    latents.append(self.stage.encode(to_tensor(seen.images[rows]).to(device())).cpu())
                shown.append(self._shown(seen.conditions[rows]))
            progress(number + 1, self.config.views, "encode")
        return torch.cat(latents), {name: torch.cat([part[name] for part in shown]) for name in shown[0]}

    def _shown(self, conditions: Conditions) -> dict[str, Tensor]:
        """The input of the denoiser, at latent size."""
        assert conditions.masks is not None
        halvings = len(self.config.stage_channels) - 1
        values = torch.arange(self.classes)[None, :, None, None]
        maps = shrink((torch.from_numpy(np.array(conditions.masks))[:, None] == values).float(), halvings)
        if self.kind == "semantic":
            return {"maps": maps}
        assert conditions.prompts is not None
        if self.kind == "embed":
            vectors, present = self._vectors(conditions)
            return {"maps": maps, "vectors": vectors, "present": present}
        # the order of the published code: each class's map, then its crop
        channels: list[Tensor] = []
        for c in range(self.classes):
            channels.append(maps[:, c : c + 1])
            if c >= self.first_crop:
                channels.append(shrink(_canvas(conditions.prompts.canvases[:, c]), halvings))
        return {"maps": torch.cat(channels, dim=1)}

    def _vectors(self, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Embeddings (n, k, d) of the crops, each enlarged to the size of a patch, and which of them exist (n, k)."""
        assert self.encoder is not None and conditions.prompts is not None
        boxes = conditions.prompts.boxes
        vectors = torch.zeros(len(conditions), self.classes, self.encoder.dim)
        present = torch.from_numpy((boxes[..., 2] > boxes[..., 0]).astype(np.float32))
        places = present.nonzero().tolist()
        if places:
            crops = [_enlarge(conditions.prompts.canvases[i, c], boxes[i, c], conditions.size) for i, c in places]
            found = torch.from_numpy(self.encoder.encode(np.stack(crops)))
            for (i, c), vector in zip(places, found, strict=True):
                vectors[i, c] = vector
        return vectors, present

    @full_float32()
    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3)."""
        config = self.config
        where = device()
        self.stage.to(where).eval()
        self.denoiser.to(where).eval()
        side = conditions.size // 2 ** (len(config.stage_channels) - 1)
        sampler = Sampler(config.sampler, config.sample_steps, config.eta)
        generated = np.empty((len(conditions), conditions.size, conditions.size, 3), dtype=np.uint8)
        for rows, count in micro_batches(len(conditions), MICRO_BATCH):
            shown = {name: values.to(where) for name, values in self._shown(conditions[rows]).items()}

            def predict(state: Tensor, step: Tensor, shown: dict[str, Tensor] = shown) -> Tensor:
                return self.denoiser(state, step, shown)

            latents = sampler.walk(self.schedule, predict, (config.latent_channels, side, side), seeds[rows], where)
            generated[rows[:count]] = self._decode(latents)[:count]
        return generated

    @torch.no_grad()
    def _decode(self, latents: Tensor) -> Images:
        scale, shift = self.deviation.to(latents.device), self.mean.to(latents.device)
        images = self.stage.decode(latents * scale[:, None, None] + shift[:, None, None])
        return to_images(images)

    def load_first_stage(self, path: Path) -> None:
        load_network(self.stage, path)

    def save(self, folder: Path, name: str) -> None:
        """In half precision without loss, since training ends with rounding to it."""
        save_network(self.stage, folder / STAGE_FILE)
        save_network(self.denoiser, folder / f"{name}.safetensors")
        held = {"classes": self.classes, "mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        (folder / f"{name}.json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")

    def load(self, folder: Path, name: str, notes: Notes) -> None:
        channels = self.config.latent_channels
        self.mean, self.deviation = (torch.tensor(notes.numbers(one, channels)) for one in ("mean", "deviation"))
        load_network(self.stage, folder / STAGE_FILE)
        load_network(self.denoiser, folder / f"{name}.safetensors")

    def load_published(self, published: Published, average: Average, path: Path) -> None:
        """Takes the weights of a published checkpoint, whose config this model was built with. Raises MissingError where its
        tensors are not those of such networks."""
        advice = "It is of another kind of network, which is not built in."
        load_tensors(self.stage, published.first_stage(), path, advice)
        load_tensors(self.denoiser, published.denoiser(average), path, advice)
        self.deviation = torch.full_like(self.deviation, 1 / published.scale)


def fit_first_stage(config: FirstStageConfig, images: Images, seed: int, progress: Progress, work: Path) -> None:
    """Trains the autoencoder on restained views of the patches and writes `first_stage.safetensors` into `work`.

    The loss is L1 on pixels and on their horizontal and vertical differences, which keeps the edges of nuclei, plus a
    small penalty on the latents.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stage = FirstStage(_stage_shape(config))

    def loss(network: nn.Module, rng: np.random.Generator, share: BatchShare) -> Tensor:
        rows, own = np.sort(rng.integers(0, len(images), config.stage_batch)), share.rows(config.stage_batch)
        plain = ImageSet("", np.asarray(images[rows]), _no_conditions(len(rows)))
        seen = view(plain, rng, config.stain, rows=own) if config.views > 1 else plain[own]
        real = to_tensor(seen.images).to(next(network.parameters()).device)
        rebuilt, penalty = network(real)
        across, down = (torch.diff(rebuilt - real, dim=axis).abs().mean() for axis in (2, 3))
        return (rebuilt - real).abs().mean() + 0.5 * (across + down) + 1e-4 * penalty

    training_config = TrainingConfig(config.stage_steps, config.stage_rate, 50, True, 0.995, config.precision)
    train(stage, loss, training_config, seed, progress, work, "fit first stage")
    delete(work / STAGE_FILE)
    save_network(round_to_fp16(stage.cpu()), work / STAGE_FILE)
    for checkpoint in work.glob("step-*"):  # no part of the result
        delete(checkpoint)


def _stage_shape(config: FirstStageConfig) -> FirstStageShape:
    return FirstStageShape(
        config.stage_kind, config.stage_channels, config.stage_layers, config.latent_channels, config.codebook
    )


def _no_conditions(n: int) -> Conditions:
    return Conditions(np.arange(n).astype(str), np.zeros(n, dtype=str), (), 0, float("nan"))


def _canvas(canvases: NDArray[np.uint8]) -> Tensor:
    """The same for canvases, whose grey becomes exactly 0."""
    shown = (canvases != GREY).any(axis=-1)
    return to_tensor(canvases) * torch.from_numpy(shown)[:, None]


def _enlarge(canvas: NDArray[np.uint8], box: NDArray[np.int32], side: int) -> NDArray[np.uint8]:
    from PIL import Image

    y0, x0, y1, x1 = box.tolist()
    crop = Image.fromarray(canvas[y0:y1, x0:x1])
    return np.asarray(crop.resize((side, side), Image.Resampling.BICUBIC))
