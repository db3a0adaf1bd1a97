"""Sizes and training of the latent diffusion, every number with its reason. No torch: read by `bench info`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from generators.diffusion.config import DiffusionConfig, check_counts, check_not_negative

STAGE_FILE = "first_stage.safetensors"
STAGE_VERSION = "1"
"""Changes with the code that trains the first stage, wherever that makes other weights."""
SAMPLING = ("sampler", "sample_steps", "eta")
"""Fields that change images but not weights."""


@dataclass(frozen=True, kw_only=True)
class FirstStageConfig:
    """Everything that decides the first stage but images and seed."""

    stage_kind: Literal["vq", "kl", "dc"]
    """A VQ autoencoder as published, one with Gaussian latents, or a deep-compression autoencoder; both without a codebook."""
    stage_channels: tuple[int, ...]
    """Width of each level; each after the first halves the resolution."""
    stage_layers: tuple[int, ...]
    """Residual blocks of each level."""
    latent_channels: int
    codebook: int
    """Codes of the VQ autoencoder; 0 for none."""
    stage_steps: int
    stage_batch: int
    """Patches of one training step."""
    stage_rate: float
    """Learning rate."""
    views: int
    """Rotated, mirrored and restained views of each training patch; with 1 only the patch itself, as published."""
    stain: float
    """Standard deviation of the log factors on optical density in restained views."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of training, for the first stage and the denoiser."""


@dataclass(frozen=True, kw_only=True)
class LatentDiffusionConfig(FirstStageConfig, DiffusionConfig):
    """One latent diffusion: first stage, denoiser, training and sampling. `steps` and `batch` are those of the denoiser."""

    channels: tuple[int, ...]
    """Width of each level of the denoiser; each after the first halves the resolution."""
    layers: int
    """Residual blocks of each level."""
    attention: tuple[bool, ...]
    """Whether each level has attention."""
    condition_channels: int
    """Channels that the condition is mapped to before the denoiser sees it."""
    beta_start: float
    """Variance of the noise in the first of 1000 steps."""
    beta_end: float
    """Variance of the noise in the last step."""
    prediction: Literal["epsilon", "v_prediction"]
    """What the denoiser predicts: the noise or the velocity."""
    zero_snr: bool
    """Rescale the schedule so that the last step is pure noise (Lin and others 2024)."""
    loss: Literal["l1", "l2"]
    normalise: bool
    """Bring latents to zero mean and unit variance; the published scale factor is 1."""
    sampler: Literal["ddim", "dpm"]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(
            stage_steps=self.stage_steps,
            stage_batch=self.stage_batch,
            views=self.views,
            latent_channels=self.latent_channels,
            condition_channels=self.condition_channels,
            stage_channels=self.stage_channels,
            channels=self.channels,
            layers=self.layers,
        )
        check_not_negative(
            stage_layers=self.stage_layers,
            codebook=self.codebook,
            stage_rate=self.stage_rate,
            stain=self.stain,
            beta_start=self.beta_start,
            beta_end=self.beta_end,
        )

    @property
    def multiple(self) -> int:
        """Sides of patches are multiples of this, in pixels, since every level halves the side."""
        return int(2 ** (len(self.stage_channels) + len(self.channels) - 2))

    def first_stage(self) -> FirstStageConfig:
        """The part that decides the first stage."""
        return FirstStageConfig(**{f.name: getattr(self, f.name) for f in fields(FirstStageConfig)})


PAPER = LatentDiffusionConfig(
    # CompVis VQ-f4 (ldm/models/first_stage_models/vq-f4): 256 px -> 64 x 64 x 3, 8192 codes
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

TINY = LatentDiffusionConfig(
    # minutes on two cores; 64 px -> 16 x 16 x 8, wide enough a latent for nuclei of 7 px to keep their edges
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
