"""Sizes and training of the layout diffusion, every number with its reason. No torch: read by `bench info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from generators.diffusion.config import DiffusionConfig, check_counts, check_guidance, check_not_negative

SAMPLING = ("sampler", "sample_steps", "eta", "guidance")
"""Fields that change layouts but not weights."""


@dataclass(frozen=True, kw_only=True)
class MaskDiffusionConfig(DiffusionConfig):
    """One layout diffusion: network, noise, training and sampling. `batch` counts layouts."""

    unshuffle: int
    """Side of the squares of pixels that are stacked into channels before the network sees them; 1 for none."""
    channels: tuple[int, ...]
    """Width of each level of the network; each after the first halves the resolution."""
    layers: int
    """Residual blocks of each level."""
    attention: tuple[bool, ...]
    """Whether each level has attention."""
    beta_start: float
    """Variance of the noise in the first of 1000 steps."""
    beta_end: float
    """Variance of the noise in the last step."""
    betas: Literal["scaled_linear", "linear"]
    """What increases linearly: the root of beta (`scaled_linear`), or beta."""
    prediction: Literal["epsilon", "sample"]
    """What the network predicts: the noise or the clean layout."""
    zero_snr: bool
    """Rescale the schedule so that the last step is pure noise (Lin and others 2024)."""
    weight_decay: float
    sampler: Literal["ddim", "dpm"]
    guidance: float
    """Scale of guidance: the prediction for the requested types, extrapolated from the unconditional one; 1 is none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(unshuffle=self.unshuffle, channels=self.channels, layers=self.layers)
        check_not_negative(beta_start=self.beta_start, beta_end=self.beta_end, weight_decay=self.weight_decay)
        check_guidance(self.guidance)

    @property
    def multiple(self) -> int:
        """Sides of patches are multiples of this, in pixels."""
        return int(self.unshuffle * 2 ** (len(self.channels) - 1))


PAPER = MaskDiffusionConfig(
    # the paper gives its mask generator no sizes of its own: those of its image model, on the library's U-Net
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

TINY = MaskDiffusionConfig(
    # a quarter of an hour on one core; pixels unshuffled 4 x 4, so that 64 px cost what 16 px do
    unshuffle=4,
    channels=(64, 96),
    layers=1,
    attention=(False, True),
    head=16,
    groups=16,
    # more noise than for latents: neighbouring pixels of a layout are equal, so that layouts stay visible in it
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
    guidance=2.0,  # with 1 the rarest type occurs in one of fourteen patches that request it, with 2 in three of four
)

PRESETS = {"tiny": TINY, "paper": PAPER}
