"""Sizes and training of the nuclei-aware diffusion, every number with its reason. No torch: read by `bench info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from generators.diffusion.config import DiffusionConfig, check_counts, check_guidance, check_not_negative, check_shares

SAMPLING = ("sampler", "sample_steps", "eta", "guidance")
"""Fields that change images but not weights."""


@dataclass(frozen=True, kw_only=True)
class NasdmConfig(DiffusionConfig):
    """One nuclei-aware diffusion: network, training and sampling. `steps` and `learning_rate` are those of the first stage,
    with whole conditions."""

    unshuffle: int
    """Side of the squares of pixels that are stacked into channels before the network sees them; 1 as published."""
    width: int
    """Channels of the first level."""
    multipliers: tuple[int, ...]
    """Width of each level in multiples of `width`; each after the first halves the resolution."""
    blocks: int
    """Residual blocks of each level."""
    attended: tuple[int, ...]
    """Levels with attention, counted from 0."""
    hidden: int
    """Channels between a map and the scale and shift that it gives (SPADE)."""
    prediction: Literal["epsilon", "sample"]
    """What the network predicts: the noise, as published, or the clean image, from which the noise is computed."""
    tuning_steps: int
    """Training steps of the second stage, with some conditions dropped."""
    tuning_rate: float
    """Learning rate of the second stage."""
    drop: float
    """Share of training patches whose condition is set to zero in the second stage."""
    snr_cap: float
    """Errors of the clean image are weighted by the signal-to-noise ratio of the step, clipped to at least 1 (Salimans and Ho
    2022) and at most this value (Hang and others 2023). With 0, errors of the noise are weighted equally."""
    weight_decay: float
    """Weight decay of AdamW."""
    views: Literal["mirrored", "turned and restained"]
    """Augmentation of training patches."""
    stain: float
    """Standard deviation of the log factors on optical density in restained patches."""
    sampler: Literal["ddpm", "ddim", "dpm"]
    guidance: float
    """Scale of classifier-free guidance; 1 is none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(
            tuning_steps=self.tuning_steps,
            unshuffle=self.unshuffle,
            width=self.width,
            multipliers=self.multipliers,
            blocks=self.blocks,
            hidden=self.hidden,
        )
        check_not_negative(
            attended=self.attended,
            tuning_rate=self.tuning_rate,
            snr_cap=self.snr_cap,
            weight_decay=self.weight_decay,
            stain=self.stain,
        )
        check_shares(drop=self.drop)
        check_guidance(self.guidance)

    @property
    def multiple(self) -> int:
        """Sides of patches are multiples of this, in pixels."""
        return int(self.unshuffle * 2 ** (len(self.multipliers) - 1))


PAPER = NasdmConfig(
    # 128 px, 256 channels, attention on maps of 32, 16 and 8 px: 500.5 M parameters with six types
    unshuffle=1,
    width=256,
    multipliers=(1, 1, 2, 3, 4),
    blocks=2,
    attended=(2, 3, 4),
    head=64,
    groups=32,
    hidden=128,
    prediction="epsilon",
    snr_cap=0.0,
    # the public script resumes its second stage from step 70,000 to 100,000 of the first and ends at 150,000 to 200,000
    steps=100_000,
    learning_rate=1e-4,
    tuning_steps=50_000,
    tuning_rate=2e-5,
    drop=0.2,
    batch=160,
    warmup=200,
    decay=False,
    weight_decay=0.0,
    ema=0.9999,  # of the code; the paper's text says 0.999
    views="mirrored",
    stain=0.0,
    sampler="ddpm",
    sample_steps=1000,
    eta=1.0,
    guidance=1.5,
)

TINY = NasdmConfig(
    # half an hour of one core; pixels unshuffled 4 x 4, so that the network sees 64 px as 16 x 16 places
    unshuffle=4,
    width=48,
    multipliers=(1, 2),
    blocks=1,
    attended=(1,),
    head=48,
    groups=16,
    hidden=32,
    # noise fills all 48 channels of an unshuffled pixel, which a narrow network cannot represent; images vary in few of them
    prediction="sample",
    snr_cap=5.0,
    steps=3_600,
    learning_rate=1e-3,
    tuning_steps=400,
    tuning_rate=2e-4,
    drop=0.2,
    batch=16,
    warmup=200,
    decay=True,
    weight_decay=0.01,
    ema=0.999,
    views="turned and restained",
    stain=0.2,
    sampler="dpm",
    # measured on 320 validation patches: 10 steps without guidance kept more nuclei than with 1.5 (F1 .65 against .59) and
    # came nearer to real ones in texture and structure, at half the cost; 8 steps lie between 7 and 10, which hardly differ
    sample_steps=8,
    eta=0.0,
    guidance=1.0,
)

PRESETS = {"tiny": TINY, "paper": PAPER}
