"""The image side of CONCH (Lu et al. 2024): a ViT whose tokens one learned query pools by attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bench.runtime import torchvision_shim
from metrics.encoders.kinds import Kind
from metrics.encoders.row import Row


class Visual(nn.Module):
    """(n, 3, side, side) -> (n, dim), before the projection to the space shared with text."""

    def __init__(self, architecture: str, side: int, heads: int, dim: int) -> None:
        super().__init__()
        import timm
        from open_clip.transformer import AttentionalPooler

        self.trunk: Any = timm.create_model(architecture, pretrained=False, num_classes=0, img_size=side)
        self.attn_pool_contrast = AttentionalPooler(dim, self.trunk.num_features, n_head=heads, n_queries=1)
        self.ln_contrast = nn.LayerNorm(dim)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.trunk.forward_features(pixels)
        pooled: Tensor = self.ln_contrast(self.attn_pool_contrast(tokens)[:, 0])
        return pooled


def _build(row: Row) -> nn.Module:
    torchvision_shim.ready()
    return nn.ModuleDict({"visual": Visual(row.build["architecture"], row.side, row.build["heads"], row.dim)})


def _features(row: Row, network: nn.Module, pixels: Tensor) -> Tensor:
    features: Tensor = network.get_submodule("visual")(pixels)
    return features


KIND = Kind(_build, _features)
