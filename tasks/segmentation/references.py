"""Reference segmenters: networks trained on real slides only, which read class maps off any image.

They differ in architecture and seed, so that what they agree on is no habit of one of them. Patches of any size pass: they are
extended by reflection to a multiple of `STRIDE`, and the predictions are cut.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.class_scores import IGNORED
from bench.runtime import torchvision_shim
from bench.runtime.precision import device
from bench.types import Images, ImageSet, Progress
from tasks.segmentation.config import SegmentationConfig
from tasks.training import Budget, Labelled, check_labelled, reproducible, tensor, train

if TYPE_CHECKING:
    import torch

STRIDE = 32
"""Pixels under one cell of the coarsest map of the encoders, in each direction."""
NOTES = "segmenters.json"


@dataclass(frozen=True)
class Reference:
    """An architecture of segmentation_models_pytorch, with the arguments that depend on the width of the decoder."""

    name: str
    architecture: str
    seed: int

    def arguments(self, config: SegmentationConfig) -> dict[str, Any]:
        """Of the architecture, besides the encoder and the classes."""
        if self.architecture == "DeepLabV3Plus":
            return {
                "encoder_output_stride": 16,
                "decoder_channels": config.channels,
                "decoder_atrous_rates": config.rates,
            }
        if self.architecture == "FPN":
            return {"decoder_pyramid_channels": config.channels, "decoder_segmentation_channels": config.channels // 2}
        return {}


REFERENCES = (
    Reference("deeplabv3plus", "DeepLabV3Plus", 0),
    Reference("fpn", "FPN", 1),
    Reference("linknet", "Linknet", 2),
)
"""DeepLabV3+ (Chen and others 2018), FPN (Kirillov and others 2019) and LinkNet (Chaurasia and Culurciello 2017): a spatial
pyramid, a pyramid of features that are added, and one whose encoder and decoder mirror each other."""


def learn_references(
    config: SegmentationConfig, who: str, training: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path
) -> None:
    """Trains each of `REFERENCES` and writes it into `folder`. The checkpoint with the best mean IoU on validation is kept.

    UsageError or MissingError where the patches cannot be used.
    """
    from safetensors.torch import save_file

    classes = validation.conditions.classes
    sets = [
        check_labelled(part, f"{who}, {name}", validation, 1)
        for name, part in (("train", training), ("validation", validation))
    ]
    learned, chosen_on = (_padded(part) for part in sets)
    budget = Budget(config.steps, config.batch, config.learning_rate)
    for number, reference in enumerate(REFERENCES):
        drawn = seed + reference.seed
        with reproducible(drawn):
            net = _network(reference, config, who, len(classes)).to(device())
            train(net, [learned], chosen_on, budget, np.random.default_rng(drawn), _part(progress, number))
        state = {name: values.contiguous().cpu() for name, values in net.state_dict().items()}
        save_file(state, folder / f"{reference.name}.safetensors")
    (folder / NOTES).write_text(json.dumps({"classes": list(classes)}) + "\n", encoding="utf-8")


def read_maps(config: SegmentationConfig, who: str, folder: Path, images: Images) -> NDArray[np.uint8]:
    """uint8 (segmenters, n, h, w): the class of each pixel by each network that `learn_references` wrote into `folder`."""
    import torch
    from safetensors.torch import load_file

    classes = len(json.loads((folder / NOTES).read_text(encoding="utf-8"))["classes"])
    height, width = images.shape[1:3]
    padded = _reflected(images)
    found = np.zeros((len(REFERENCES), *images.shape[:3]), np.uint8)
    for number, reference in enumerate(REFERENCES):
        net = _network(reference, config, who, classes)
        net.load_state_dict(load_file(folder / f"{reference.name}.safetensors"))
        net.to(device()).eval()
        with reproducible(0), torch.inference_mode():
            for start in range(0, len(images), config.batch):
                part = slice(start, start + config.batch)
                predicted = net(tensor(net, padded[part])).argmax(dim=1).to(torch.uint8).cpu().numpy()
                found[number, part] = predicted[:, :height, :width]
    return found


def _network(reference: Reference, config: SegmentationConfig, who: str, classes: int) -> torch.nn.Module:
    torchvision_shim.ready()
    import segmentation_models_pytorch as smp
    import torch

    make = getattr(smp, reference.architecture)
    try:
        net = make(config.encoder, encoder_weights=None, classes=classes, **reference.arguments(config))
    except Exception as error:  # only the encoder is the user's choice, and it can fail in many ways
        raise UsageError(f"{who}: encoder {config.encoder!r} makes no {reference.architecture} ({error}).") from error
    return net.to(memory_format=torch.channels_last)  # type: ignore[no-any-return]


def _part(progress: Progress, number: int) -> Progress:
    """Progress of one network as that of all."""
    return lambda done, of, what: progress(number * of + done, len(REFERENCES) * of, what)


def _padded(patches: Labelled) -> Labelled:
    """Patches whose sides are multiples of `STRIDE`; what was added is not labelled."""
    down, right = (-side % STRIDE for side in patches.masks.shape[1:])
    masks = np.pad(patches.masks, ((0, 0), (0, down), (0, right)), constant_values=IGNORED)
    return replace(patches, images=_reflected(patches.images), masks=masks)


def _reflected(images: Images) -> Images:
    down, right = (-side % STRIDE for side in images.shape[1:3])
    if not down and not right:
        return images
    return np.pad(images, ((0, 0), (0, down), (0, right), (0, 0)), mode="symmetric")
