"""Tissue segmentation: a DeepLabV3+ (Chen and others 2018) trained on a training mix of patches, scored on real test patches.

Every training mix gets the same number of steps on batches of the same size, whatever its number of patches, and two training
mixes of one seed start from the same weights. The checkpoint is selected on validation patches; test patches are used once.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError, did_you_mean
from bench.histology.class_scores import segmentation_columns, segmentation_tally
from bench.histology.training_mixes import TRAINING_MIXES
from bench.presets import configure
from bench.runtime import torchvision_shim
from bench.runtime.precision import device
from bench.types import Card, DataClasses, Direction, Images, ImageSet, Progress, Tally, TrainingMix
from tasks.segmentation.classes import MERGED_PROSTATE, NODE, PROSTATE, check_any, check_clusters, check_named
from tasks.segmentation.config import PRESETS, SegmentationConfig
from tasks.segmentation.references import REFERENCES, learn_references, read_maps
from tasks.training import Budget, Labelled, check_labelled, count, reproducible, train

if TYPE_CHECKING:
    import torch

VERSION = "1"
STRIDE = 16
"""Pixels under one cell of the encoder's last map, in each direction; patch sides are multiples of it."""


class _Segmentation:
    """What the segmentation tasks share."""

    card: Card
    presets: Mapping[str, SegmentationConfig] = PRESETS
    embedded: str
    direction: Direction = "higher"
    readers: tuple[str, ...] = ("prepared", "folder")
    mixes: tuple[TrainingMix, ...] = TRAINING_MIXES
    metrics: tuple[str, ...] = ("map-faithfulness",)
    experiments = Path(__file__).parents[1] / "experiments" / "segmentation"
    """Folder of their experiments."""
    references: tuple[str, ...] = tuple(reference.name for reference in REFERENCES)

    def __init__(self, preset: str = "tiny", **values: Any) -> None:
        """`values`: fields of `SegmentationConfig` in place of those of the preset."""
        self.config = configure(self.card.name, self.presets, preset, values)

    @classmethod
    def trial(cls) -> Self:
        """A task that trains for two steps, for `bench check`."""
        return cls(steps=2)

    @property
    def patches(self) -> int:
        """How many patches downstream models learn from; 0 for all."""
        return self.config.patches

    def score(self, mix: list[ImageSet], validation: ImageSet, test: ImageSet, seed: int, progress: Progress) -> Tally:
        """Trains on the training mix, keeps the checkpoint with the best mean IoU on validation, and counts on test.

        Patches have one size, a multiple of 16 px. Counts and measures are those of `bench.histology.class_scores`. The same
        training mix, seed, device and number of threads give the same counts. The state of torch's global random number
        generator and its settings are restored.
        """
        classes = test.conditions.classes
        training = [check_labelled(part, f"{self.card.name}, training mix", test, STRIDE) for part in mix]
        chosen_on = check_labelled(validation, f"{self.card.name}, validation", test, STRIDE)
        scored_on = check_labelled(test, f"{self.card.name}, test", test, STRIDE)
        self._check_classes(training, classes)
        budget = Budget(self.config.steps, self.config.batch, self.config.learning_rate)
        with reproducible(seed):
            net = self._network(len(classes)).to(device())
            train(net, training, chosen_on, budget, np.random.default_rng(seed), progress)
            return self.tally(count(net, scored_on, self.config.batch), classes)

    def learn_references(self, training: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains the reference segmenters, each with the budget of a downstream model, and writes them into `folder`."""
        learn_references(self.config, self.card.name, training, validation, seed, progress, folder)

    def read_maps(self, folder: Path, images: Images) -> NDArray[np.uint8]:
        """uint8 (references, n, h, w): the class of each pixel by each network that `learn_references` wrote."""
        return read_maps(self.config, self.card.name, folder, images)

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

        try:
            net = smp.DeepLabV3Plus(
                self.config.encoder,
                encoder_weights=None,  # no download, and no weights that have seen other tissue
                encoder_output_stride=STRIDE,
                decoder_channels=self.config.channels,
                decoder_atrous_rates=self.config.rates,
                classes=classes,
            )
        except Exception as error:  # only the encoder is the user's choice, and it can fail in many ways
            raise UsageError(
                f"{self.card.name}: encoder {self.config.encoder!r} does not make a DeepLabV3+ "
                f"({textwrap.shorten(str(error), 80)})."
                f"{did_you_mean(self.config.encoder, smp.encoders.get_encoder_names())} "
                "It takes those of segmentation_models_pytorch that can be dilated, and timm's written tu-NAME."
            ) from error
        # a fifth faster on a CPU than the default order of axes
        return net.to(memory_format=torch.channels_last)  # type: ignore[no-any-return]


class Cam16Segmentation(_Segmentation):
    """Normal lymph node and tumour."""

    card = Card(
        "cam16-seg",
        VERSION,
        "Lymph node: DeepLabV3+ trained on a training mix of patches tells tumour from normal tissue on real test patches.",
        licence="Apache-2.0",
        source="Chen and others 2018 (DeepLabV3+), built with segmentation_models_pytorch",
        needs=("masks",),
    )
    embedded = "phantom-cam16"

    def check_classes(self, found: DataClasses) -> str:
        """Normal and tumour."""
        return check_named(self.card.name, (NODE,), found)


class PandaSegmentation(_Segmentation):
    """Prostate biopsies: background, stroma, benign epithelium, cancer; or, as in the public code of HeteroTissue-Diffuse,
    background, stroma and all epithelium."""

    card = Card(
        "panda-seg",
        VERSION,
        "Prostate: DeepLabV3+ trained on a training mix of patches segments stroma, benign and cancer on real test patches.",
        licence="Apache-2.0",
        source="Chen and others 2018 (DeepLabV3+), built with segmentation_models_pytorch",
        needs=("masks",),
    )
    embedded = "phantom-panda"

    def check_classes(self, found: DataClasses) -> str:
        """Background, stroma, benign and cancer, or the last two merged."""
        return check_named(self.card.name, (PROSTATE, MERGED_PROSTATE), found)


class TcgaSegmentation(_Segmentation):
    """The clusters of a pseudo-map, `cluster-0`, `cluster-1`, ...: maps of slides that nobody has annotated."""

    card = Card(
        "tcga-seg",
        VERSION,
        "Pseudo-maps: DeepLabV3+ trained on a training mix of patches segments clusters of tissue on real test patches.",
        licence="Apache-2.0",
        source="Chen and others 2018 (DeepLabV3+), built with segmentation_models_pytorch; pseudo-maps as in "
        "HeteroTissue-Diffuse (Alfasly and others 2025)",
        needs=("masks",),
        notes="Clusters are made from features of an encoder, which is then no independent measure. Every class must occur "
        "in a training mix: few patches of many clusters can be generated and measured, but not scored.",
    )
    embedded = "phantom-tcga"

    def check_classes(self, found: DataClasses) -> str:
        """Clusters, at least two."""
        return check_clusters(self.card.name, found)


class RegionSegmentation(_Segmentation):
    """Regions of any classes, at least two. Its numbers are those of a data set, whose name is in each of its tables."""

    card = Card(
        "region-seg",
        VERSION,
        "Any tissue: DeepLabV3+ trained on a training mix of patches segments the classes of your data on real test patches.",
        licence="Apache-2.0",
        source="Chen and others 2018 (DeepLabV3+), built with segmentation_models_pytorch",
        needs=("masks",),
        notes="Give --data or --dataset. Without one it runs on phantom-panda, which shows that it works.",
    )
    embedded = "phantom-panda"

    def check_classes(self, found: DataClasses) -> str:
        """Any classes, at least two."""
        return check_any(self.card.name, found)
