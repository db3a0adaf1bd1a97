"""Tissue segmentation: a DeepLabV3+ (Chen and others 2018) trained on a training mix of patches, scored on real test patches.

Every training mix gets the same number of steps on batches of the same size, whatever its number of patches, and two training
mixes of one seed start from the same weights. The checkpoint is chosen on validation patches; test patches are looked at once.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError, did_you_mean
from bench.histology.training_mixes import TRAINING_MIXES
from bench.runtime import torchvision_shim
from bench.runtime.precision import device
from bench.types import Card, Direction, ImageSet, Progress, Tally, TrainingMix
from tasks.segmentation.scores import segmentation_columns, segmentation_tally
from tasks.training import Budget, Labelled, count, labelled, reproducible, train

if TYPE_CHECKING:
    import torch

VERSION = "1"
STRIDE = 16
"""Pixels under one cell of the encoder's last map, in each direction; patch sides are multiples of it."""


@dataclass(frozen=True)
class TrainingConfig:
    """What a preset stands for."""

    encoder: str
    channels: int
    """Width of the decoder."""
    rates: tuple[int, int, int]
    """Dilations of the spatial pyramid, in cells of the last map: beyond the patch there is only padding to see."""
    budget: Budget
    patches: int
    """Training conditions that the harness generates and serves, 0 for all."""


# tiny: measured on phantom-cam16 at 64 px, on a CPU, from scratch, one run each. Of seven small encoders timm's ResNet of
# 0.4M parameters reached an IoU of 0.8 soonest: ResNet-18 takes four times as long a step, MobileNets and LCNet learn too
# slowly in so few. Output stride 8 costs a third more time for 0.001 to 0.003 IoU. Twice the 800 patches gained 0.01.
# paper: the usual DeepLabV3+ at output stride 16, with the pyramid of Chen and others; steps and rate are not tuned.
TRAINING_CONFIGS = {
    "tiny": TrainingConfig("tu-test_resnet", 64, (1, 2, 3), Budget(steps=300, batch=16, learning_rate=1e-2), patches=800),
    "paper": TrainingConfig("resnet50", 256, (6, 12, 18), Budget(steps=10_000, batch=16, learning_rate=5e-4), patches=0),
}


class _Segmentation:
    """What the segmentation tasks share. Options left at None take the value of the preset."""

    card: Card
    embedded: str
    direction: Direction = "higher"
    readers: tuple[str, ...] = ("folder",)
    mixes: tuple[TrainingMix, ...] = TRAINING_MIXES

    def __init__(
        self,
        preset: Literal["tiny", "paper"] = "tiny",
        steps: int | None = None,
        batch: int | None = None,
        encoder: str | None = None,
        learning_rate: float | None = None,
        patches: int | None = None,
    ) -> None:
        training_config = TRAINING_CONFIGS[preset]
        self.preset = preset
        self.steps = training_config.budget.steps if steps is None else steps
        self.batch = training_config.budget.batch if batch is None else batch
        self.encoder = training_config.encoder if encoder is None else encoder
        self.learning_rate = training_config.budget.learning_rate if learning_rate is None else learning_rate
        self.patches = training_config.patches if patches is None else patches
        if self.steps < 1 or self.batch < 2 or self.learning_rate <= 0 or self.patches < 0:
            raise UsageError(  # batch: a patch alone has no batch statistics
                f"{self.card.name} takes steps >= 1, batch >= 2, learning_rate > 0 and patches >= 0, "
                f"not {self.steps}, {self.batch}, {self.learning_rate} and {self.patches}."
            )

    def score(self, mix: list[ImageSet], validation: ImageSet, test: ImageSet, seed: int, progress: Progress) -> Tally:
        """Trains on the training mix, keeps the checkpoint with the best mean IoU on validation, and counts on test.

        Patches have one size, a multiple of 16 px; counts and measures are those of `tasks.segmentation.scores`. The same
        training mix, seed, device and number of threads give the same counts. Torch's own random numbers and settings are left
        as they were.
        """
        classes = test.conditions.classes
        training = [labelled(part, f"{self.card.name}, training mix", test, STRIDE) for part in mix]
        chosen_on = labelled(validation, f"{self.card.name}, validation", test, STRIDE)
        scored_on = labelled(test, f"{self.card.name}, test", test, STRIDE)
        self._check_classes(training, classes)
        budget = Budget(self.steps, self.batch, self.learning_rate)
        with reproducible(seed):
            net = self._network(len(classes)).to(device())
            train(net, training, chosen_on, budget, np.random.default_rng(seed), progress)
            return self.tally(count(net, scored_on, self.batch), classes)

    def measures(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """The measures of a test set that shows every class."""
        return tuple(self.tally(np.ones((1, len(segmentation_columns(classes)))), classes).measures)

    def tally(self, counts: NDArray[np.float64], classes: tuple[str, ...]) -> Tally:
        """The tally that `score` gave, rebuilt from its stored counts."""
        return segmentation_tally(counts, classes)

    def _check_classes(self, training: list[Labelled], classes: tuple[str, ...]) -> None:
        if len(classes) < 2:
            raise UsageError(f"{self.card.name} tells classes apart, and these patches have one: {', '.join(classes)}.")
        pixels = sum((part.pixels for part in training), np.zeros(len(classes), np.int64))
        absent = [name for name, found in zip(classes, pixels.tolist(), strict=True) if not found]
        if absent:
            raise MissingError(
                f"{self.card.name} cannot learn {', '.join(absent)} from this training mix: no pixel of it in "
                f"{sum(len(part.images) for part in training)} patches. Give patches of every class, or merge classes."
            )

    def _network(self, classes: int) -> torch.nn.Module:
        torchvision_shim.ready()
        import segmentation_models_pytorch as smp
        import torch

        training_config = TRAINING_CONFIGS[self.preset]
        try:
            net = smp.DeepLabV3Plus(
                self.encoder,
                encoder_weights=None,  # nothing to download, and no tissue that the weights have seen before
                encoder_output_stride=STRIDE,
                decoder_channels=training_config.channels,
                decoder_atrous_rates=training_config.rates,
                classes=classes,
            )
        except Exception as error:  # the encoder alone is the user's choice, and it can be unfit in many ways
            raise UsageError(
                f"{self.card.name}: encoder {self.encoder!r} does not make a DeepLabV3+ ({textwrap.shorten(str(error), 80)})."
                f"{did_you_mean(self.encoder, smp.encoders.get_encoder_names())} "
                "It takes those of segmentation_models_pytorch that can be dilated, and timm's written tu-NAME."
            ) from error
        # a fifth faster on a CPU than the usual order of axes
        return net.to(memory_format=torch.channels_last)  # type: ignore[no-any-return]


class Cam16Segmentation(_Segmentation):
    """Normal lymph node and tumour."""

    card = Card(
        "cam16-seg",
        VERSION,
        "Lymph node: DeepLabV3+ trained on a training mix of patches tells tumour from normal tissue on real test patches.",
        source="Chen and others 2018 (DeepLabV3+), built with segmentation_models_pytorch",
        needs=("masks",),
    )
    embedded = "phantom-cam16"


class PandaSegmentation(_Segmentation):
    """Prostate biopsies: background, stroma, benign epithelium, cancer."""

    card = Card(
        "panda-seg",
        VERSION,
        "Prostate: DeepLabV3+ trained on a training mix of patches segments stroma, benign and cancer on real test patches.",
        source="Chen and others 2018 (DeepLabV3+), built with segmentation_models_pytorch",
        needs=("masks",),
    )
    embedded = "phantom-panda"
