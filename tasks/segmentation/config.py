"""Sizes and training of the segmentation models, every number with its reason. No torch: read by `bench info`."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """One DeepLabV3+ and how it is trained."""

    encoder: str
    """One of segmentation_models_pytorch that can be dilated; those of timm are written tu-NAME."""
    channels: int
    """Width of the decoder."""
    rates: tuple[int, ...]
    """Three dilations of the spatial pyramid, in cells of the last map: beyond the patch there is only padding to see."""
    steps: int
    """Training steps, the same for every training mix."""
    batch: int
    """Patches of one training step."""
    learning_rate: float
    """Maximum of the schedule."""
    patches: int
    """Training conditions that are generated and trained on; 0 for all."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.learning_rate <= 0 or self.patches < 0:
            raise UsageError(  # batch: a patch alone has no batch statistics
                "segmentation takes steps >= 1, batch >= 2, learning_rate > 0 and patches >= 0, "
                f"not {self.steps}, {self.batch}, {self.learning_rate} and {self.patches}."
            )
        if self.channels < 1:
            raise UsageError(f"channels is a count of at least 1, not {self.channels}.")
        if len(self.rates) != 3:
            raise UsageError(f"the spatial pyramid has three rates, not {len(self.rates)}.")


TINY = SegmentationConfig(
    # measured on phantom-cam16 at 64 px, on a CPU, from scratch, one run each. Of seven small encoders timm's ResNet of 0.4M
    # parameters reached an IoU of 0.8 soonest: ResNet-18 takes four times as long a step, MobileNets and LCNet learn too
    # slowly in so few. Output stride 8 costs a third more time for 0.001 to 0.003 IoU. Twice the 800 patches gained 0.01.
    encoder="tu-test_resnet",
    channels=64,
    rates=(1, 2, 3),
    steps=300,
    batch=16,
    learning_rate=1e-2,
    patches=800,
)

PAPER = SegmentationConfig(
    # the usual DeepLabV3+ at output stride 16, with the pyramid of Chen and others; steps and rate are not tuned
    encoder="resnet50",
    channels=256,
    rates=(6, 12, 18),
    steps=10_000,
    batch=16,
    learning_rate=5e-4,
    patches=0,
)

PRESETS = {"tiny": TINY, "paper": PAPER}
