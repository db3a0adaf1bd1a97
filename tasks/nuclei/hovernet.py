"""HoVer-Net (Graham and others 2019), from MONAI's blocks, for patches of any side that is a multiple of 8.

MONAI's own class takes patches of 256 or 270 px and one width alone, and where its decoders pad, they leave out the two
finer skip connections: it adds them only where there is something to trim. Here the padded decoders add all three, as the
branch of the published code for Lizard's challenge does, and the width is a choice. Modules have MONAI's names, so a state
dict of `monai.networks.nets.HoVerNet(decoder_padding=True)` loads into the published shape. Imports torch.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from monai.apps.pathology.transforms.post.array import (
    GenerateDistanceMap,
    GenerateInstanceBorder,
    GenerateWatershedMarkers,
    GenerateWatershedMask,
    Watershed,
)
from monai.networks.nets.hovernet import _DecoderBlock, _ResidualBlock
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench.errors import MissingError
from bench.files.tensor_files import read_tensors
from bench.histology.nuclei import renumber

STEM = 64
"""Channels of the first convolution: a residual block of MONAI's that is given 64 channels keeps the resolution."""

PROCESSED_MPP = 0.25
"""Resolution at which nuclei are told apart: that of the published code, whose filters are given in its pixels."""
SOBEL = 21
"""Side of the filter that finds borders between nuclei, as in the published code."""


class Maps(NamedTuple):
    """What the network says of n patches, each float32 (n, c, h, w)."""

    nucleus: Tensor
    """Logits of background and nucleus."""
    offsets: Tensor
    """Horizontal and vertical distance to the centre of the nucleus, in about [-1, 1]."""
    types: Tensor
    """Logits of the classes, background first."""


class HoVerNet(nn.Module):
    """Three decoders on one encoder, a pre-activated ResNet.

    `features` are the inner channels of its first stage: each stage has twice those of the one before, and four times as
    many outside. `layers` are the units of each stage, `dense` those of the two blocks of each decoder. The defaults are
    those of the paper.
    """

    def __init__(
        self,
        classes: int,
        features: int = 64,
        layers: tuple[int, ...] = (3, 4, 6, 3),
        dense: tuple[int, ...] = (8, 4),
    ) -> None:
        super().__init__()
        inner = [features * 2**stage for stage in range(4)]
        widths = [STEM, *(4 * width for width in inner)]
        if STEM in widths[1:]:
            raise ValueError(f"no stage may have {STEM} channels, as MONAI's blocks would not halve what they are given.")
        self.conv0 = _stack(conv=_conv(3, STEM, 7), bn=nn.BatchNorm2d(STEM), relu=nn.ReLU(inplace=True))
        stages = (_ResidualBlock(*sizes) for sizes in zip(layers, inner, widths[:-1], widths[1:], strict=True))
        self.res_blocks = _stack(**{f"d{stage}": block for stage, block in enumerate(stages)})
        self.bottleneck = _stack(conv_bottleneck=_conv(widths[4], widths[3], 1))
        self.nucleus_prediction = _Decoder(2, widths[3], dense)
        self.horizontal_vertical = _Decoder(2, widths[3], dense)
        self.type_prediction = _Decoder(classes, widths[3], dense)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Maps:
        """From float32 (n, 3, h, w), sides multiples of 8."""
        found = self.conv0(images)
        maps = []
        for stage in self.res_blocks:
            found = stage(found)
            maps.append(found)
        maps[-1] = self.bottleneck(maps[-1])
        return Maps(self.nucleus_prediction(maps), self.horizontal_vertical(maps), self.type_prediction(maps))

    def encoder(self) -> tuple[nn.Module, nn.Module]:
        """What the three decoders share."""
        return self.conv0, self.res_blocks

    def load_encoder(self, weights: Path) -> None:
        """Takes the weights of a ResNet-50 as torchvision names them; its classifier is left out.

        Here a unit normalises what it is given and there what it gives, so a norm belongs to the unit after; that of the
        last unit of a stage has no place, and the norm of the shortcut serves the end of the stage (as MONAI does).
        """
        given = read_tensors(weights)
        renamed = {new: values for name, values in given.items() if (new := _rename(name))}
        own = self.state_dict()
        wanted = {name for name in own if name.startswith(("conv0.", "res_blocks."))}
        fitting = {name for name in wanted & set(renamed) if own[name].shape == renamed[name].shape}
        if wanted != fitting:
            raise MissingError(
                f"{weights} is not a ResNet-50 with torchvision's names: {len(wanted - fitting)} of {len(wanted)} arrays are "
                f"missing or of another shape, such as {min(wanted - fitting)}."
            )
        self.load_state_dict({name: renamed[name] for name in wanted}, strict=False)


class _Decoder(nn.Module):
    """Two dense blocks and a head; each is given the upsampled map plus the encoder's map of that resolution."""

    def __init__(self, channels: int, width: int, dense: tuple[int, ...]) -> None:
        super().__init__()
        blocks = {f"decoderblock{i}": _dense(width // i, units) for i, units in enumerate(dense, 1)}
        self.decoder_blocks = _stack(**blocks)
        head = width // 16
        last = _stack(bn=nn.BatchNorm2d(head), relu=nn.ReLU(inplace=True), conv=nn.Conv2d(head, channels, 1))
        self.output_features = _stack(decoderblock3=_stack(conva=_conv(width // 4, head, 3)), decoderblock4=last)

    def forward(self, maps: list[Tensor]) -> Tensor:
        found = maps[-1]
        stages = (*self.decoder_blocks, self.output_features)
        for stage, skipped in zip(stages, maps[-2::-1], strict=True):
            found = stage(functional.interpolate(found, scale_factor=2, mode="bilinear", align_corners=True) + skipped)
        return found


def _rename(name: str) -> str:
    """The name here of an array of torchvision's ResNet, or an empty string where there is no place for it."""
    first = {"conv1": "conv0.conv", "bn1": "conv0.bn"}
    module, _, array = name.rpartition(".")
    if module in first:
        return f"{first[module]}.{array}"
    if not (found := re.fullmatch(r"layer(\d)\.(\d)\.(.+)", module)):
        return ""
    stage, unit, part = f"res_blocks.d{int(found[1]) - 1}", int(found[2]), found[3]
    units = f"{stage}.layers.denselayer"
    places = {
        "bn1": f"{units}_{unit}.layers.conv1/bn",
        "bn2": f"{units}_{unit}.layers.conv2/bn",
        "bn3": f"{units}_{unit + 1}.layers.preact/bn",
        "downsample.0": f"{stage}.shortcut",
        "downsample.1": f"{stage}.bna_block.bn",
    }
    return f"{places.get(part, f'{units}_{unit}.layers.{part}')}.{array}"


def _dense(width: int, units: int) -> nn.Module:
    """A dense block that halves the channels: a quarter of them, and as many again from its units."""
    growth = width // 4 // units
    return _DecoderBlock(units, 4 * growth, width, growth, same_padding=True)


def _conv(incoming: int, outgoing: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(incoming, outgoing, kernel, padding=kernel // 2, bias=False)


def _stack(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


def separate(nucleus: Tensor, offsets: Tensor, mpp: float) -> NDArray[np.int32]:
    """int32 (h, w): nuclei numbered 1..m, from nucleus logits and offsets, both float32 (2, h, w) on the CPU.

    MONAI's post-processing, which is that of the paper: a watershed within the pixels predicted as nucleus, from markers where
    the offsets show no border; what has no marker is dropped. It runs at about `PROCESSED_MPP`, up to four times finer than
    the patch, as the published code for Lizard does: its filters would swallow the small nuclei of a coarser map.
    """
    zoom = min(max(round(mpp / PROCESSED_MPP), 1), 4)
    logits, steps = (functional.interpolate(maps[None], scale_factor=zoom, mode="bilinear")[0] for maps in (nucleus, offsets))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI calls scikit-image by names that will go
        # the more probable of two classes, written as a threshold: six times as fast as MONAI's argmax over them
        inside = GenerateWatershedMask(activation="sigmoid", threshold=0.5)(logits[1:] - logits[:1])
        if not inside.any() or any(float(channel.max()) == float(channel.min()) for channel in steps):
            return np.zeros(nucleus.shape[1:], np.int32)  # MONAI cannot scale what is flat
        border = GenerateInstanceBorder(SOBEL)(inside, steps)
        markers = GenerateWatershedMarkers()(inside, border)
        found = Watershed()(GenerateDistanceMap()(inside, border), inside, markers)
    return renumber(np.asarray(found)[0, zoom // 2 :: zoom, zoom // 2 :: zoom])
