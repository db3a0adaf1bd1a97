"""Nuclei: a HoVer-Net (Graham and others 2019) trained on a training mix of patches, scored on real test patches.

Every training mix gets the same number of steps on batches of the same size, whatever its number of patches, and two training
mixes of one seed start from the same weights. The checkpoint is selected on validation patches; test patches are used once.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.files.regular import is_there
from bench.histology.nuclei import UNLABELLED, USUAL_MPP, majority
from bench.histology.training_mixes import TRAINING_MIXES
from bench.messages import listed_names, needed
from bench.presets import configure
from bench.provenance.digests import digest_of
from bench.runtime.precision import device, inference
from bench.types import Card, Direction, Images, ImageSet, Progress, Tally, TrainingMix
from tasks.nuclei.config import PRESETS, RESNET50, NucleiConfig
from tasks.nuclei.scores import nuclei_columns, nuclei_counts, nuclei_tally
from tasks.training import Budget, check_labelled, reproducible

if TYPE_CHECKING:
    from tasks.nuclei.hovernet import HoVerNet
    from tasks.nuclei.training import Annotated

VERSION = "2"
STRIDE = 8
"""Pixels under one cell of the coarsest map, in each direction; patch sides are multiples of it."""
WEIGHTS, NOTES = "hovernet.safetensors", "hovernet.json"


class LizardNuclei:
    """Nuclei of the colon, found, outlined and typed."""

    presets: Mapping[str, NucleiConfig] = PRESETS
    card = Card(
        "lizard-nuclei",
        VERSION,
        "Colon: HoVer-Net trained on a training mix of patches finds, outlines and types nuclei on real test patches.",
        licence="Apache-2.0",
        source="Graham and others 2019 (HoVer-Net), built with MONAI",
        needs=("masks", "instances"),
        notes="A type that a training mix does not show is not learned, and scores 0 or about that.",
    )
    embedded = "phantom-lizard"
    direction: Direction = "higher"
    readers: tuple[str, ...] = ("lizard", "conic", "nuclei-folder")
    mixes: tuple[TrainingMix, ...] = TRAINING_MIXES
    pool = "R2"
    """The split of the dataset that training mixes are made of, where it has it: a generator must not have been trained on
    what it is compared with."""
    metrics: tuple[str, ...] = ("nuclei-faithfulness",)
    """Metrics of this task, measured in addition to the default ones."""
    experiments = Path(__file__).parents[1] / "experiments" / "lizard-nuclei"
    """Folder of its experiments."""

    def __init__(self, preset: str = "tiny", encoder_weights: Path | None = None, **values: Any) -> None:
        """`values`: fields of `NucleiConfig` in place of those of the preset. `encoder_weights`: a ResNet-50 with the names of
        torchvision's, as a plain state dict, for the sizes of the preset `paper`. Its first phase then leaves the encoder as
        it is. Without these weights both phases train the whole network."""
        self.config = configure(self.card.name, self.presets, preset, values)
        self.encoder_weights = encoder_weights
        self.digest = "" if encoder_weights is None else self._digest(encoder_weights)

    @classmethod
    def trial(cls) -> Self:
        """A task that trains for two steps, for `bench check`."""
        return cls(steps=2)

    @property
    def patches(self) -> int:
        """How many patches downstream models learn from; 0 for all."""
        return self.config.patches

    def score(self, mix: list[ImageSet], validation: ImageSet, test: ImageSet, seed: int, progress: Progress) -> Tally:
        """Learns from the training mix and counts on test; counts and measures are those of `tasks.nuclei.scores`.

        The same training mix, seed, device and number of threads give the same counts. Torch's own random numbers and settings
        are left as they were.
        """
        self._check_annotated(test, "test", test)
        self._check_annotated(validation, "validation", test)
        with tempfile.TemporaryDirectory() as folder:
            self.learn(mix, validation, seed, progress, Path(folder))
            instances, types = self.segment(Path(folder), test.images)
        return self.tally(nuclei_counts(instances, types, test.conditions), test.conditions.classes)

    def measures(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """The measures of a test set that shows every class."""
        return tuple(self.tally(np.ones((1, len(nuclei_columns(classes)))), classes).measures)

    def tally(self, counts: NDArray[np.float64], classes: tuple[str, ...]) -> Tally:
        """The tally that `score` gave, rebuilt from its stored counts."""
        return nuclei_tally(counts, classes)

    def learn(self, mix: list[ImageSet], validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains on the sets of `mix` and writes the network, and notes on what it is, into `folder`, which must exist.

        Patches have one size, a multiple of 8 px, and one list of classes, background first. The checkpoint with the best
        mean IoU of the classes on validation is kept.
        """
        from safetensors.torch import save_file

        from tasks.nuclei.training import TrainingSettings, train

        config, classes = self.config, validation.conditions.classes
        chosen_on = self._check_annotated(validation, "validation", validation)
        training = [self._check_annotated(part, "training mix", validation) for part in mix]
        if not training:
            raise MissingError(f"{self.card.name}, training mix: there are no patches. Give more data, or other splits.")
        settings = TrainingSettings(Budget(config.steps, config.batch, config.learning_rate), config.looks, config.phases)
        sizes = {"features": config.features, "layers": config.layers, "dense": config.dense}
        with reproducible(seed):
            net = self._network(sizes, len(classes)).to(device())
            if self.encoder_weights is not None:
                net.load_encoder(self.encoder_weights)
            frozen = self.encoder_weights is not None
            train(net, training, chosen_on, settings, frozen, np.random.default_rng(seed), progress)
        save_file({name: values.contiguous().cpu() for name, values in net.state_dict().items()}, folder / WEIGHTS)
        mpp = validation.conditions.mpp
        notes = {"network": sizes, "classes": classes, "mpp": USUAL_MPP if math.isnan(mpp) else mpp}
        (folder / NOTES).write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")

    def segment(self, folder: Path, images: Images) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """What the network that `learn` wrote calls: nuclei int32 (n, h, w), numbered 1..m in each patch, and the type at
        each pixel, uint8 (n, h, w), the same all over a nucleus and 0 outside.

        The type of a nucleus is the one that is the most probable at most of its pixels, background excluded.
        """
        from tasks.nuclei.hovernet import separate
        from tasks.nuclei.training import predict, predict_types

        net, mpp = self._read(folder)
        if any(side % STRIDE for side in images.shape[1:3]):
            raise UsageError(
                f"{self.card.name} takes patches whose sides are multiples of {STRIDE} px; found {images.shape[1:3]}."
            )
        instances = np.zeros(images.shape[:3], np.int32)
        types = np.zeros(images.shape[:3], np.uint8)
        with inference():
            batches = predict(net, images, self.config.batch)
            found = (patch for maps in batches for patch in zip(*(part.cpu() for part in maps), strict=True))
            for i, (nucleus, offsets, logits) in enumerate(found):
                instances[i] = separate(nucleus, offsets, mpp)
                kinds = majority(instances[i], predict_types(logits[None])[0].numpy().astype(np.uint8))
                types[i] = np.concatenate([[0], kinds])[instances[i]]
        return instances, types

    def _check_annotated(self, patches: ImageSet, part: str, beside: ImageSet) -> Annotated:
        """The maps of a set. Raises UsageError or MissingError if they cannot be used with the patches of another set."""
        from tasks.nuclei.training import Annotated

        who, given = f"{self.card.name}, {part}", patches.conditions
        if len(given.classes) < 2:
            raise UsageError(f"{who}: nuclei need a class beside the background; found {', '.join(given.classes)}.")
        masks = check_labelled(patches, who, beside, STRIDE).masks
        instances = needed(who, "instances", given.instances)
        if instances.shape != masks.shape:
            raise UsageError(f"{who}: maps of types and of instances differ in shape, {masks.shape} and {instances.shape}.")
        nucleus = [(mask > 0) & (mask != UNLABELLED) for mask in masks]
        unlike = [i for i, inside in enumerate(nucleus) if ((instances[i] != 0) != inside).any()]
        if unlike:
            raise UsageError(
                f"{who}: a pixel has a type where and only where it has an instance; {len(unlike)} of {len(masks)} patches "
                f"differ: {listed_names(given.ids[unlike].tolist(), 3)}. Correct their maps, or leave them out."
            )
        if not any(inside.any() for inside in nucleus):
            raise MissingError(f"{who}: no nucleus in {len(masks)} patches. Give more data, or other splits.")
        return Annotated(patches.images, masks, instances)

    def _network(self, sizes: Mapping[str, Any], classes: int) -> HoVerNet:
        import torch

        from tasks.nuclei.hovernet import HoVerNet

        # twice as fast on a CPU as the usual order of axes
        return HoVerNet(classes, **sizes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _read(self, folder: Path) -> tuple[HoVerNet, float]:
        """The network of a folder on its device, and the resolution that it learned at."""
        from safetensors.torch import load_file

        try:
            notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
            net = self._network(notes["network"], len(notes["classes"]))
            net.load_state_dict(load_file(folder / WEIGHTS))
        except FileNotFoundError as error:
            raise MissingError(
                f"{self.card.name}: no trained network, {error.filename} is missing. Train one: learn."
            ) from error
        return net.to(device()).eval(), notes["mpp"]

    def _digest(self, weights: Path) -> str:
        sizes = self.config.features, self.config.layers
        if sizes != RESNET50:
            raise UsageError(
                f"{self.card.name}: encoder_weights fit the preset 'paper', whose encoder is a ResNet-50, not {sizes}."
            )
        if not is_there(weights):
            raise MissingError(f"{self.card.name}: no encoder weights at {weights}. Give a state dict of a ResNet-50.")
        return digest_of(weights)
