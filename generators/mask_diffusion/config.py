"""Sizes of the layout diffusion, every number with its reason. No torch: read by `bench info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MaskPreset:
    size: int
    """Side of the patches it is made for, pixels; it takes any multiple of `multiple`."""
    unshuffle: int
    """Side of the squares of pixels that are stacked into channels before the network sees them; 1 for none."""
    # network: see networks/mask_unet.py
    channels: tuple[int, ...]
    layers: int
    attention: tuple[bool, ...]
    head: int
    groups: int
    # noise
    beta_start: float
    beta_end: float
    betas: Literal["scaled_linear", "linear"]
    prediction: Literal["epsilon", "sample"]
    zero_snr: bool
    # training
    steps: int
    batch: int
    learning_rate: float
    warmup: int
    decay: bool
    ema: float
    weight_decay: float
    # sampling
    sampler: Literal["ddim", "dpm"]
    sample_steps: int
    eta: float
    guidance: float
    """How far a layout goes from what is usual to what is asked for: 1 is what the network says."""

    @property
    def multiple(self) -> int:
        return int(self.unshuffle * 2 ** (len(self.channels) - 1))


PAPER = MaskPreset(
    # the paper gives its mask generator no sizes of its own: those of its image model, on the library's U-Net
    size=128,
    unshuffle=1,
    channels=(256, 256, 512, 768, 1024),
    layers=2,
    attention=(False, False, True, True, True),
    head=64,
    groups=32,
    # schedule, optimiser and rates as stated for both models; the hybrid loss learns variances, which ancestral
    # sampling in hundreds of steps hardly needs: they are fixed here
    beta_start=0.0001,
    beta_end=0.02,
    betas="linear",
    prediction="epsilon",
    zero_snr=False,
    steps=100_000,
    batch=160,
    learning_rate=1e-4,
    warmup=200,
    decay=False,
    ema=0.999,
    weight_decay=0.0,
    sampler="ddim",
    sample_steps=500,
    eta=1.0,
    guidance=1.0,
)

TINY = MaskPreset(
    # a quarter of an hour on one core; pixels folded 4 x 4, so that 64 px cost what 16 px do
    size=64,
    unshuffle=4,
    channels=(64, 96),
    layers=1,
    attention=(False, True),
    head=16,
    groups=16,
    # more noise than for latents: neighbouring pixels of a layout say the same, so that layouts outlast much of it
    beta_start=0.0015,
    beta_end=0.03,
    betas="scaled_linear",
    prediction="sample",
    zero_snr=True,
    steps=3000,
    batch=16,
    learning_rate=1e-3,
    warmup=100,
    decay=True,
    ema=0.999,
    weight_decay=0.01,
    sampler="dpm",
    sample_steps=12,
    eta=0.0,
    guidance=2.0,  # 1 shows the rarest type to one in fourteen patches that ask for it, 2 to three in four
)

PRESETS = {"tiny": TINY, "paper": PAPER}
