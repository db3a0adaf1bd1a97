"""CTransPath (Wang et al. 2022): a Swin-T that begins with convolutions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from bench.runtime import torchvision_shim
from metrics.encoders.kinds import Kind
from metrics.encoders.loaders.checkpoints import Tensors
from metrics.encoders.row import Row


class ConvStem(nn.Module):
    """(n, 3, h, w) -> (n, h / 4, w / 4, width): two strided convolutions, one of 1 x 1, and a layer norm.

    Takes the arguments of timm's PatchEmbed, which it replaces.
    """

    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, norm_layer: Any, **_: Any) -> None:
        super().__init__()
        self.grid_size = (img_size // patch_size, img_size // patch_size)
        narrow, wide = embed_dim // 8, embed_dim // 4
        layers: list[nn.Module] = []
        for before, after in ((in_chans, narrow), (narrow, wide)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.proj = nn.Sequential(*layers, nn.Conv2d(wide, embed_dim, 1))
        self.norm = norm_layer(embed_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.proj(pixels).permute(0, 2, 3, 1))
        return maps


def _build(row: Row) -> nn.Module:
    torchvision_shim.ready()
    import timm

    network: nn.Module = timm.create_model(
        row.build["architecture"], pretrained=False, num_classes=0, embed_layer=ConvStem, img_size=row.side
    )
    return network


def _features(row: Row, network: nn.Module, pixels: Tensor) -> Tensor:
    features: Tensor = network(pixels)
    return features


def _names(network: nn.Module) -> Mapping[str, Tensor]:
    return {_published_name(name): tensor for name, tensor in network.state_dict().items()}


def _fill(row: Row, network: nn.Module, tensors: Tensors) -> nn.Module:
    state = network.state_dict()
    network.load_state_dict({name: tensors.get(_published_name(name), tensor) for name, tensor in state.items()})
    return network


def _published_name(name: str) -> str:
    """Checkpoints have patch merging at the end of a stage, timm at the beginning of the next one."""
    return re.sub(r"^layers\.(\d)\.downsample", lambda stage: f"layers.{int(stage[1]) - 1}.downsample", name)


KIND = Kind(_build, _features, _names, _fill)
