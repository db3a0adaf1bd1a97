"""What the configs of all diffusion families share: training, moving average and sampling. No torch: read by `bench info`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The fields that every diffusion family has."""

    head: int
    """Channels of an attention head."""
    groups: int
    """Groups of the group normalisation."""
    steps: int
    """Training steps."""
    batch: int
    """Patches of one training step."""
    learning_rate: float
    warmup: int
    """Training steps in which the learning rate rises."""
    decay: bool
    """Cosine decay of the learning rate after the warm-up."""
    ema: float
    """Decay of the moving average of the weights; the average is saved."""
    sample_steps: int
    """Steps of the sampler."""
    eta: float
    """Share of fresh noise in each step of DDIM: 0 is deterministic, 1 is ancestral."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of training."""

    def __post_init__(self) -> None:
        check_counts(head=self.head, groups=self.groups, steps=self.steps, batch=self.batch, sample_steps=self.sample_steps)
        check_not_negative(learning_rate=self.learning_rate, warmup=self.warmup)
        check_shares(ema=self.ema, eta=self.eta)


def check_counts(**counts: int | tuple[int, ...]) -> None:
    """Raises UsageError if one of these options is below 1."""
    for name, value in counts.items():
        if min(value) < 1 if isinstance(value, tuple) else value < 1:
            raise UsageError(f"{name} is a count of at least 1, not {value}.")


def check_not_negative(**values: float | tuple[int, ...]) -> None:
    """Raises UsageError if one of these options is below 0."""
    for name, value in values.items():
        if min(value, default=0) < 0 if isinstance(value, tuple) else value < 0:
            raise UsageError(f"{name} is 0 or more, not {value}.")


def check_shares(**shares: float) -> None:
    """Raises UsageError if one of these options is not in [0, 1]."""
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise UsageError(f"{name} is a share in [0, 1], not {value}.")


def check_guidance(guidance: float) -> None:
    """Raises UsageError if a scale of guidance is negative or not finite."""
    if not 0 <= guidance < math.inf:
        raise UsageError(f"guidance is a factor of at least 0, not {guidance}; 1 is none.")
