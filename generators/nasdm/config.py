"""Sizes of the nuclei-aware diffusion, every number with its reason. No torch: read by `bench info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NasdmPreset:
    size: int
    """Side of the patches it is made for, pixels; it takes any multiple of `multiple`."""
    unshuffle: int
    """Side of the squares of pixels that are stacked into channels before the network sees them; 1 as published."""
    # network: see networks/sdm_unet.py
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attended: tuple[int, ...]
    head: int
    groups: int
    hidden: int
    prediction: Literal["epsilon", "sample"]
    """What the network says: the noise, as published, or the clean image, from which the noise follows."""
    # training: first without dropped conditions, then tuned with them
    steps: int
    learning_rate: float
    tuning_steps: int
    tuning_rate: float
    drop: float
    """Share of training patches whose whole condition is zero while tuning."""
    snr_cap: float
    """Errors of the clean image weigh by the signal-to-noise ratio of the step, cut to 1 (Salimans and Ho 2022) and to this
    (Hang and others 2023); 0: errors of the noise, all alike."""
    batch: int
    warmup: int
    decay: bool
    weight_decay: float
    """Of AdamW."""
    ema: float
    views: Literal["mirrored", "turned and restained"]
    stain: float
    # sampling
    sampler: Literal["ddpm", "ddim", "dpm"]
    sample_steps: int
    eta: float
    guidance: float

    @property
    def multiple(self) -> int:
        return self.unshuffle * 2 ** (len(self.multipliers) - 1)


PAPER = NasdmPreset(
    # 128 px, 256 channels, attention on maps of 32, 16 and 8 px: 500.5 M parameters with six types
    size=128,
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

TINY = NasdmPreset(
    # half an hour of one core; pixels folded 4 x 4, so that the network sees 64 px as 16 x 16 places
    size=64,
    unshuffle=4,
    width=48,
    multipliers=(1, 2),
    blocks=1,
    attended=(1,),
    head=48,
    groups=16,
    hidden=32,
    # noise fills all 48 channels of a folded place and no narrow network can say it; images lie on little of them
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
