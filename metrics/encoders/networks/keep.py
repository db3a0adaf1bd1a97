"""The image side of KEEP (Zhou et al. 2024): a ViT whose class token two linear layers bring to the space shared with text."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bench.runtime import torchvision_shim
from metrics.encoders.kinds import Kind
from metrics.encoders.row import Row


def _build(row: Row) -> nn.Module:
    torchvision_shim.ready()
    import timm

    visual: Any = timm.create_model(row.build["architecture"], pretrained=False, num_classes=0, init_values=1e-5)
    head = nn.Sequential(nn.Linear(visual.num_features, row.dim), nn.GELU(), nn.Linear(row.dim, row.dim))
    return nn.ModuleDict({"visual": visual, "visual_head": head})


def _features(row: Row, network: nn.Module, pixels: Tensor) -> Tensor:
    projected: Tensor = network.get_submodule("visual_head")(network.get_submodule("visual")(pixels))
    return nn.functional.normalize(projected, dim=-1)


KIND = Kind(_build, _features)
