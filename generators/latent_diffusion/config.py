"""Sizes of the latent diffusion, every number with its reason. No torch: read by `bench info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Preset:
    size: int
    """Side of the patches it is made for, pixels; the networks take any multiple of `multiple`."""
    multiple: int
    # first stage
    stage_kind: Literal["vq", "dc"]
    stage_channels: tuple[int, ...]
    stage_layers: tuple[int, ...]
    latent_channels: int
    codebook: int
    stage_steps: int
    stage_batch: int
    stage_rate: float
    # denoiser
    channels: tuple[int, ...]
    layers: int
    head: int
    attention: tuple[bool, ...]
    groups: int
    condition_channels: int
    # noise
    beta_start: float
    beta_end: float
    prediction: Literal["epsilon", "v_prediction"]
    zero_snr: bool
    loss: Literal["l1", "l2"]
    normalise: bool
    """Bring latents to zero mean and unit variance; the published scale factor is 1."""
    # training
    steps: int
    batch: int
    learning_rate: float
    warmup: int
    decay: bool
    ema: float
    views: int
    """Turned, mirrored and restained copies of each training patch; 1 is the patch itself alone, as published."""
    stain: float
    # sampling
    sampler: Literal["ddim", "dpm"]
    sample_steps: int
    eta: float


PAPER = Preset(
    # CompVis VQ-f4 (ldm/models/first_stage_models/vq-f4): 256 px -> 64 x 64 x 3, 8192 codes
    size=256,
    multiple=32,
    stage_kind="vq",
    stage_channels=(128, 256, 512),
    stage_layers=(2, 2, 2),
    latent_channels=3,
    codebook=8192,
    stage_steps=100_000,
    stage_batch=8,
    stage_rate=3.6e-5,
    # semantic_synthesis256 with 128 x [1, 4, 8]: attention_resolutions name no level, so the middle block alone has it
    channels=(128, 512, 1024),
    layers=2,
    head=128,
    attention=(False, False, False),
    groups=32,
    condition_channels=3,
    beta_start=0.0015,
    beta_end=0.0205,
    prediction="epsilon",
    zero_snr=False,
    loss="l1",
    normalise=False,
    # 1e-6 x 4 GPUs x 12; the public code names no end of training
    steps=500_000,
    batch=48,
    learning_rate=4.8e-5,
    warmup=10_000,
    decay=False,
    ema=0.9999,
    views=1,
    stain=0.0,
    sampler="ddim",
    sample_steps=200,
    eta=1.0,
)

TINY = Preset(
    # minutes on two cores; 64 px -> 16 x 16 x 8, wide enough a latent for nuclei of 7 px to keep their edges
    size=64,
    multiple=16,
    stage_kind="dc",
    stage_channels=(32, 64, 64),
    stage_layers=(0, 1, 2),
    latent_channels=8,
    codebook=0,
    stage_steps=2500,
    stage_batch=16,
    stage_rate=2e-3,
    channels=(48, 64, 80),
    layers=1,
    head=16,
    attention=(False, True, True),
    groups=16,
    condition_channels=12,
    beta_start=0.00085,
    beta_end=0.012,
    prediction="v_prediction",
    zero_snr=True,
    loss="l2",
    normalise=True,
    steps=12_000,
    batch=32,
    learning_rate=8e-4,
    warmup=200,
    decay=True,
    ema=0.999,
    views=16,
    stain=0.2,
    sampler="dpm",  # 12 steps of the second-order solver look like 25 of DDIM
    sample_steps=12,
    eta=0.0,
)

PRESETS = {"tiny": TINY, "paper": PAPER}
