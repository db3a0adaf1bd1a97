"""The torch part of nuclei-aware diffusion: inputs of the network, hybrid loss, guidance, training and sampling."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench.files.paths import make_folder
from bench.messages import needed
from bench.runtime.precision import device, full_float32
from bench.types import Conditions, Images, ImageSet, Progress
from generators.diffusion.augmentation import ALL, MIRROR, view
from generators.diffusion.batches import BatchShare
from generators.diffusion.training import Loss, Sampler, Schedule, TrainingConfig, micro_batches, noisy, train
from generators.diffusion.training_state import keep_finished, take_finished
from generators.diffusion.weight_files import round_to_fp16, to_images, to_tensor
from generators.nasdm.config import NasdmConfig
from generators.nasdm.networks import SdmShape, SdmUNet

COLOURS = 3
MICRO_BATCH = 16
SCHEDULE = Schedule(1e-4, 0.02, "epsilon", betas="linear", clip=True)
"""Ho and others 2020, as in guided-diffusion: 1000 steps of 8-bit colours in [-1, 1]."""


class PixelUnshuffled(nn.Module):
    """The network on images whose squares of `unshuffle` x `unshuffle` pixels are stacked into channels; with 1 as it is."""

    def __init__(self, shape: SdmShape, unshuffle: int, prediction: Literal["epsilon", "sample"] = "epsilon") -> None:
        super().__init__()
        self.unshuffle = unshuffle
        self.prediction = prediction
        self.net = SdmUNet(shape)
        self.kept = SCHEDULE.ddim().alphas_cumprod  # no buffer: buffers are rounded to half precision with the weights

    def forward(self, images: Tensor, steps: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted noise and share of the largest log variance, both of the shape of the images."""
        predicted = self.net(
            functional.pixel_unshuffle(images, self.unshuffle), steps, functional.pixel_unshuffle(maps, self.unshuffle)
        )
        first, share = (functional.pixel_shuffle(half, self.unshuffle) for half in predicted.chunk(2, dim=1))
        if self.prediction == "epsilon":
            return first, share
        kept = self.kept.to(images.device)[steps][:, None, None, None]
        return (images - kept.sqrt() * first) / (1 - kept).sqrt(), share


def shape(config: NasdmConfig, classes: int) -> SdmShape:
    """The network for conditions of this many classes, background among them."""
    return SdmShape(
        colours=COLOURS * config.unshuffle**2,
        labels=(classes + 1) * config.unshuffle**2,
        width=config.width,
        multipliers=config.multipliers,
        blocks=config.blocks,
        attended=config.attended,
        head=config.head,
        groups=config.groups,
        hidden=config.hidden,
    )


def edges(instances: NDArray[np.int32]) -> NDArray[np.bool_]:
    """bool (n, h, w): pixels with a neighbour above, below, left or right that belongs to another instance or to none."""
    edge = np.zeros(instances.shape, dtype=bool)
    for near, far in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        differs = instances[near] != instances[far]
        edge[near] |= differs
        edge[far] |= differs
    return edge


def maps_of(conditions: Conditions) -> Tensor:
    """float (n, classes + 1, h, w): one-hot classes, then edges of instances. Pixels that are not annotated are 0 in all
    channels."""
    masks = needed("nasdm", "masks", conditions.masks)
    instances = needed("nasdm", "instances", conditions.instances)
    classes = np.arange(len(conditions.classes), dtype=np.uint8)[:, None, None]
    channels = np.concatenate([np.asarray(masks)[:, None] == classes, edges(np.asarray(instances))[:, None]], axis=1)
    return torch.from_numpy(channels.astype(np.float32))


@dataclass(frozen=True)
class HybridLoss:
    """Squared error of the noise plus, for the variances alone, the variational bound (Nichol and Dhariwal 2021).

    The bound of a step is in bits per colour value and has the weight 1000 / 1000, which over the sum of 1000 steps is the
    paper's lambda of 0.001. Its mean is detached, so that only the variances get its gradient.
    """

    kept: Tensor
    """float32 (1000,): product of 1 - beta up to each step."""
    betas: Tensor
    snr_cap: float = 0.0
    """With 0, every error of the noise has the same weight. Otherwise errors of the clean image are weighted by the
    signal-to-noise ratio of their step, clipped to [1, cap], and the bound of a step has at most the weight of its error."""

    def __call__(self, clean: Tensor, state: Tensor, steps: Tensor, noise: Tensor, output: tuple[Tensor, Tensor]) -> Tensor:
        """float (n, 3, h, w): the loss of every colour value."""
        predicted, share = output[0].float(), output[1].float()
        error = (predicted - noise).square()
        bound = self.bound(clean, state, steps, predicted.detach(), share)
        if not self.snr_cap:
            return error + bound
        kept = self.kept.to(clean.device)[steps][:, None, None, None]
        ratio = kept / (1 - kept)
        weight = ratio.clamp(1, self.snr_cap) / ratio
        # with a bad estimate of the clean image, the bound would dominate at the beginning of training
        return weight * error + weight.clamp_max(1) * bound

    def bound(self, clean: Tensor, state: Tensor, steps: Tensor, predicted: Tensor, share: Tensor) -> Tensor:
        """Bits of each colour value: the divergence from the true posterior, at step 0 the likelihood of the 8-bit value."""
        kept, betas = self.kept.to(clean.device), self.betas.to(clean.device)
        before = functional.pad(kept[:-1], (1, 0), value=1.0)
        posterior = betas * (1 - before) / (1 - kept)
        least = torch.cat([posterior[1:2], posterior[1:]]).log()  # at step 0 the posterior has no variance
        from_clean, from_state = betas * before.sqrt() / (1 - kept), (1 - before) * (1 - betas).sqrt() / (1 - kept)

        def at(values: Tensor) -> Tensor:
            return values[steps][:, None, None, None]

        guessed = (state - at((1 - kept).sqrt()) * predicted) / at(kept.sqrt())
        true_mean = at(from_clean) * clean + at(from_state) * state
        mean = at(from_clean) * guessed + at(from_state) * state
        part = (share + 1) / 2
        log_variance = part * at(betas.log()) + (1 - part) * at(least)
        divergence = 0.5 * (
            log_variance - at(least) - 1 + (at(least) - log_variance).exp() + (true_mean - mean).square() / log_variance.exp()
        )
        first = (steps == 0)[:, None, None, None]
        return torch.where(first, -_log_likelihood(clean, mean, log_variance), divergence) / math.log(2)


def _log_likelihood(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log probability of 8-bit values under a normal density: of the bin of 2 / 255 about each, open at the ends."""
    slope = torch.exp(-0.5 * log_variance)

    def below(edge: Tensor) -> Tensor:
        return torch.special.ndtr((edge - mean) * slope)

    upper = torch.where(values > 0.999, torch.ones_like(values), below(values + 1 / 255))
    lower = torch.where(values < -0.999, torch.zeros_like(values), below(values - 1 / 255))
    return (upper - lower).clamp_min(1e-12).log()


class SemanticDiffusion:
    """Network and schedule, and generation from `Conditions`."""

    def __init__(self, config: NasdmConfig, classes: int) -> None:
        self.config = config
        self.classes = classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = PixelUnshuffled(shape(config, classes), config.unshuffle, config.prediction)

    def fit(self, patches: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Stage one on whole conditions, stage two at a smaller rate with some of them dropped, each resumable."""
        config = self.config
        first = TrainingConfig(
            config.steps,
            config.learning_rate,
            config.warmup,
            config.decay,
            config.ema,
            config.precision,
            weight_decay=config.weight_decay,
        )
        second = replace(first, steps=config.tuning_steps, learning_rate=config.tuning_rate, warmup=0)
        stages = (("fit", first, 0.0), ("tune", second, config.drop))
        for number, (what, training_config, drop) in enumerate(stages):
            done, folder = work / f"{what}-finished", work / what
            run = {"what": what, "seed": seed + number, "config": asdict(training_config), "drop": drop}
            if not take_finished(self.network, done, run):
                make_folder(folder)
                train(
                    self.network, self._loss(patches, drop), training_config, seed + number, progress, folder, f"{what} nasdm"
                )
                keep_finished(self.network, done, run)
        self.network = round_to_fp16(self.network.cpu())

    def _loss(self, patches: ImageSet, drop: float) -> Loss:
        config, scheduler = self.config, SCHEDULE.ddim()
        hybrid = HybridLoss(scheduler.alphas_cumprod, scheduler.betas, config.snr_cap)
        symmetries, stain = (MIRROR, 0.0) if config.views == "mirrored" else (ALL, config.stain)

        def loss(network: nn.Module, rng: np.random.Generator, share: BatchShare) -> Tensor:
            rows, own = rng.integers(0, len(patches), config.batch), share.rows(config.batch)
            batch = patches[np.sort(rows)]
            seen = view(batch, rng, stain, symmetries, own)
            where = next(network.parameters()).device
            clean, maps = to_tensor(seen.images).to(where), maps_of(seen.conditions).to(where)
            covered = maps[:, :-1].sum(dim=1, keepdim=True)
            kept = torch.from_numpy(rng.random(len(rows))[own] >= drop).to(where)
            state, steps, noise = noisy(scheduler, clean, rng, share)
            predicted = network(state, steps, maps * kept[:, None, None, None])
            total = (hybrid(clean, state, steps, noise, predicted) * covered).sum()
            # over the covered pixels of the whole batch, since shares are covered to different parts
            pixels = (needed("nasdm", "masks", batch.conditions.masks) < len(batch.conditions.classes)).sum()
            return share.ranks * total / torch.tensor(float(pixels * COLOURS), device=where).clamp_min(1)

        return loss

    @full_float32()
    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3)."""
        config, where = self.config, device()
        self.network.to(where).eval()
        sampler = Sampler(config.sampler, config.sample_steps, config.eta)
        generated = np.empty((len(conditions), conditions.size, conditions.size, 3), dtype=np.uint8)
        for rows, count in micro_batches(len(conditions), MICRO_BATCH):
            maps = maps_of(conditions[rows]).to(where)

            def predict(state: Tensor, step: Tensor, maps: Tensor = maps) -> Tensor:
                noise, share = self._guide(state, step.expand(len(state)), maps, config.guidance)
                return torch.cat([noise, share], dim=1) if config.sampler == "ddpm" else noise

            side = conditions.size
            images = sampler.walk(SCHEDULE, predict, (COLOURS, side, side), seeds[rows], where)
            generated[rows[:count]] = to_images(images)[:count]
        return generated

    def _guide(self, state: Tensor, steps: Tensor, maps: Tensor, guidance: float) -> tuple[Tensor, Tensor]:
        """Guided noise e(0) + s (e(y) - e(0)), where 0 is the all-zero map; the variance is that of the map."""
        if guidance <= 1:
            noise, share = self.network(state, steps, maps)
            return noise, share
        both = self.network(torch.cat([state, state]), torch.cat([steps, steps]), torch.cat([maps, torch.zeros_like(maps)]))
        (noise, blind), (share, _) = both[0].chunk(2), both[1].chunk(2)
        return blind + guidance * (noise - blind), share
