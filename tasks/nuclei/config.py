"""Sizes and training of the model of nuclei, every number with its reason. No torch: read by `bench info`."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import UsageError

RESNET50 = (64, (3, 4, 6, 3))
"""Features and layers of the encoder that weights of a ResNet-50 fit."""


@dataclass(frozen=True, kw_only=True)
class NucleiConfig:
    """One HoVer-Net and how it is trained."""

    features: int
    """Inner channels of the first stage of the encoder; each further stage has twice as many."""
    layers: tuple[int, ...]
    """Units of each of the four stages of the encoder."""
    dense: tuple[int, ...]
    """Units of the two dense blocks of each decoder."""
    steps: int
    """Training steps, the same for every training mix."""
    batch: int
    """Patches of one training step."""
    learning_rate: float
    """Maximum of the schedule."""
    looks: int
    """Number of evaluations on the validation patches, evenly spaced over training."""
    phases: bool
    """The paper's two phases of equal length, each with Adam at a rate that falls to a tenth halfway. Otherwise one cycle of
    AdamW."""
    patches: int
    """Training conditions that are generated and trained on; 0 for all."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.learning_rate <= 0 or self.patches < 0:
            raise UsageError(  # batch: a patch alone has no batch statistics
                "lizard-nuclei takes steps >= 1, batch >= 2, learning_rate > 0 and patches >= 0, "
                f"not {self.steps}, {self.batch}, {self.learning_rate} and {self.patches}."
            )
        if self.features < 1:
            raise UsageError(f"features is a count of at least 1, not {self.features}.")
        if 64 in [4 * self.features * 2**stage for stage in range(4)]:  # MONAI's blocks would not halve what they are given
            raise UsageError(f"no stage of a HoVer-Net may have 64 channels, as features={self.features} gives.")
        if len(self.layers) != 4 or len(self.dense) != 2 or self.looks < 1:
            raise UsageError("a HoVer-Net takes four numbers of layers, two of dense units and at least one evaluation.")


TINY = NucleiConfig(
    # measured on phantom-lizard at 64 px, on one core, from scratch, one run each. A tenth of the paper's width and one unit a
    # stage take 0.3 s a step; twice the width takes twice as long. Of the rates 5e-3 and 1e-2 the second was better throughout
    features=6,
    layers=(1, 1, 1, 1),
    dense=(2, 1),
    steps=160,
    batch=16,
    learning_rate=1e-2,
    looks=4,
    phases=False,
    patches=800,
)

PAPER = NucleiConfig(
    # 100 epochs of the paper's largest real training mix, 8,639 patches, evaluated every second epoch; its rates. A training
    # mix of fewer patches gets as many steps. Nothing here is tuned
    features=64,
    layers=(3, 4, 6, 3),
    dense=(8, 4),
    steps=54_000,
    batch=16,
    learning_rate=1e-4,
    looks=50,
    phases=True,
    patches=0,
)

PRESETS = {"tiny": TINY, "paper": PAPER}
