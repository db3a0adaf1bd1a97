"""The Inception network of the first Fréchet distances, ported from TensorFlow by torch-fidelity, with its own resize."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

from bench.runtime import torchvision_shim
from metrics.encoders.kinds import Kind
from metrics.encoders.row import Row

if TYPE_CHECKING:
    from torch import Tensor, nn


def _build(row: Row) -> nn.Module:
    """torch-fidelity's network. Its constructor would download weights, or unpickle a file: it gets an empty file."""
    torchvision_shim.ready()
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unfilled(FeatureExtractorInceptionV3):
        built = False

        def load_state_dict(self, *tensors: Any, **options: Any) -> Any:
            return super().load_state_dict(*tensors, **options) if self.built else None

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    network: Any = Unfilled(row.name, [row.build["layer"]], empty)
    network.built = True
    return cast("nn.Module", network)


def _features(row: Row, network: Any, pixels: Tensor) -> Tensor:
    import torch

    found: Tensor = network(((pixels + 1) * 127.5).round().to(torch.uint8))[0]
    return found


KIND = Kind(_build, _features)
