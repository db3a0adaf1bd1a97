"""The torch part of the layout diffusion: training on layouts and sampling."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.runtime.precision import device, full_float32
from bench.types import Conditions, ImageSet, Progress
from generators.diffusion.augmentation import view
from generators.diffusion.batches import BatchShare
from generators.diffusion.checks import Notes
from generators.diffusion.training import Sampler, Schedule, TrainingConfig, micro_batches, noisy, train
from generators.diffusion.weight_files import load_network, round_to_fp16, save_network
from generators.mask_diffusion.config import MaskDiffusionConfig
from generators.mask_diffusion.instance_encoding import decode, encode, types_present
from generators.mask_diffusion.networks import MaskUNet

MICRO_BATCH = 16
HEAVIEST = 5.0
"""Largest weight of an error of the clean encoding; 1 in pure noise."""


class MaskDiffusion:
    """A network for layouts of `classes` classes, of which class 0 is no nucleus, in patches of `size` px."""

    def __init__(self, config: MaskDiffusionConfig, classes: int, size: int) -> None:
        self.config = config
        self.classes = classes
        self.size = size
        self.class_weights = torch.ones(classes + 2)
        self.usual = torch.zeros(classes - 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = MaskUNet(
                classes + 2,
                classes - 1,
                config.unshuffle,
                config.channels,
                config.layers,
                config.attention,
                config.head,
                config.groups,
            )
        self.schedule = Schedule(config.beta_start, config.beta_end, config.prediction, config.zero_snr, config.betas)

    def fit(self, layouts: Conditions, seed: int, progress: Progress, work: Path) -> None:
        """Trains on the layouts in all eight orientations, each with its types as condition."""
        assert layouts.masks is not None
        asked = torch.from_numpy(types_present(layouts.masks, layouts.classes)).float()
        self.class_weights, self.usual = _class_weights(layouts.masks, self.classes), asked.mean(dim=0)
        schedule = self.schedule.ddim()
        weights = self._weights(schedule.alphas_cumprod)

        def loss(network: nn.Module, rng: np.random.Generator, share: BatchShare) -> Tensor:
            rows, own = rng.integers(0, len(layouts), self.config.batch), share.rows(self.config.batch)
            where = next(network.parameters()).device
            state, steps, target = noisy(schedule, self._turn(layouts[rows], rng, own).to(where), rng, share)
            error = (network(state, steps, asked[rows[own]].to(where)).float() - target).square().mean(dim=(1, 2, 3))
            return (error * weights.to(where)[steps]).mean()

        chosen = self.config
        training_config = TrainingConfig(
            chosen.steps,
            chosen.learning_rate,
            chosen.warmup,
            chosen.decay,
            chosen.ema,
            chosen.precision,
            weight_decay=chosen.weight_decay,
        )
        train(self.network, loss, training_config, seed, progress, work, "fit layouts")
        self.network = round_to_fp16(self.network.cpu())

    def _weights(self, kept: Tensor) -> Tensor:
        """The weight of an error at each step; `kept` is the share of the clean encoding's variance at the step.

        An error of the clean encoding divided by the variance of the noise is an error of the velocity (Salimans and Ho 2022).
        The weight is cut, because the last steps hardly matter: decoding is robust to noise.
        """
        if self.config.prediction == "epsilon":
            return torch.ones_like(kept)
        return (1 / (1 - kept)).clamp(max=HEAVIEST)

    def _turn(self, layouts: Conditions, rng: np.random.Generator, rows: slice) -> Tensor:
        """Encoding of these rows of the layouts, each under a random symmetry of the square."""
        unseen = np.zeros((len(layouts), 1, 1, 3), dtype=np.uint8)  # `view` needs patches; images are not used here
        turned = view(ImageSet("", unseen, layouts), rng, stain=0.0, rows=rows).conditions
        assert turned.masks is not None and turned.instances is not None
        return torch.from_numpy(encode(turned.masks, turned.instances, self.classes)) * self.class_weights[:, None, None]

    @full_float32()
    def sample(self, asked: NDArray[np.bool_], seeds: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Type maps uint8 and instance maps int32, (n, size, size) each, for the wanted types bool (n, types).

        Guidance extrapolates from the prediction for the mean multi-hot of the training set to that for the wanted types.
        Classifier-free guidance uses a dropped condition instead; here no condition needs to be dropped in training.
        """
        config, where = self.config, device()
        self.network.to(where).eval()
        sampler = Sampler(config.sampler, config.sample_steps, config.eta)
        masks = np.zeros((len(asked), self.size, self.size), dtype=np.uint8)
        instances = np.zeros(masks.shape, dtype=np.int32)
        for rows, count in micro_batches(len(asked), MICRO_BATCH):
            wanted = torch.from_numpy(asked[rows]).float().to(where)

            def predict(state: Tensor, step: Tensor, wanted: Tensor = wanted) -> Tensor:
                predicted = self.network(state, step, wanted)
                if config.guidance == 1:
                    return predicted
                usual = self.network(state, step, self.usual.to(where).expand_as(wanted))
                return usual + config.guidance * (predicted - usual)

            encoding = sampler.walk(self.schedule, predict, (self.classes + 2, self.size, self.size), seeds[rows], where)
            scaled = encoding[:count].cpu() / self.class_weights[:, None, None]
            masks[rows[:count]], instances[rows[:count]] = decode(scaled.numpy())
        return masks, instances

    def save(self, folder: Path, name: str) -> None:
        """In half precision without loss, since training ends with rounding to it."""
        save_network(self.network, folder / f"{name}.safetensors")
        learned = {"class_weights": self.class_weights.tolist(), "usual": self.usual.tolist()}
        held = {"classes": self.classes, "size": self.size, **learned}
        (folder / f"{name}.json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")

    def load(self, folder: Path, name: str, notes: Notes) -> None:
        load_network(self.network, folder / f"{name}.safetensors")
        self.class_weights = torch.tensor(notes.numbers("class_weights", self.classes + 2))
        self.usual = torch.tensor(notes.numbers("usual", self.classes - 1))


def _class_weights(masks: NDArray[np.uint8], classes: int) -> Tensor:
    """float (k + 2,): factor of each channel, 1 for the commonest type and more for rarer ones.

    Errors of a rare type are rare and small, so that it is learned last and resolved last in sampling. The factor is the
    fourth root of the ratio of pixels: 3 for a type with a hundredth of the pixels of the commonest one.
    """
    pixels = np.bincount(masks.ravel(), minlength=256)[1:classes].astype(np.float64)
    rarity = np.divide(pixels.max(), pixels, out=np.ones_like(pixels), where=pixels > 0)
    return torch.from_numpy(np.concatenate([[1.0], rarity**0.25, [1.0, 1.0]])).float()
