"""The interface of loaders: how to build the networks of one library, load their weights, and compute features."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.encoders.loaders.checkpoints import Tensors
from metrics.encoders.row import Pooling, Row

if TYPE_CHECKING:
    from torch import Tensor, nn

MODULES = {
    "timm": "metrics.encoders.loaders.timm_loader",
    "open_clip": "metrics.encoders.loaders.open_clip_loader",
    "transformers": "metrics.encoders.loaders.transformers_loader",
    "torch-fidelity": "metrics.encoders.loaders.inception_loader",
}
"""Modules with a `KIND`. A network of our own has its module in metrics/encoders/networks/, under its encoder's name."""


def _state(network: nn.Module) -> Mapping[str, Tensor]:
    return network.state_dict()


def _fill(row: Row, network: nn.Module, tensors: Tensors) -> nn.Module:
    network.load_state_dict({**network.state_dict(), **tensors})  # names were compared: absent ones are not learned
    return network


def _as_written(row: Row, file: Path) -> Row:
    return row


@dataclass(frozen=True)
class Kind:
    """The functions of one loader. Networks are built with random weights on torch's current device."""

    build: Callable[[Row], nn.Module]
    features: Callable[[Row, nn.Module, Tensor], Tensor]
    """(n, dim) from (n, 3, side, side), normalised; or, where the row's filter is `tensorflow`, from pixels in [-1, 1]."""
    names: Callable[[nn.Module], Mapping[str, Tensor]] = _state
    """The tensors of a network under their published names."""
    fill: Callable[[Row, nn.Module, Tensors], nn.Module] = _fill
    """The network with published tensors in it."""
    configured: Callable[[Row, Path], Row] = _as_written
    """The row, corrected by a configuration file beside the weights."""
    tokens: Callable[[Row, nn.Module, Tensor], Tensor] | None = None
    """(n, d, rows, columns) from the same input as `features`; None where the networks of a loader have no grid of tokens."""


def kind(row: Row) -> Kind:
    """The kind of a row."""
    own = f"metrics.encoders.networks.{row.name}"
    found: Kind = importlib.import_module(MODULES.get(row.loader, own)).KIND
    return found


def grid(tokens: Tensor, prefix: int, rows: int, columns: int) -> Tensor:
    """(n, d, rows, columns) from tokens (n, prefix + rows * columns, d), without class token and registers in front."""
    return tokens[:, prefix:].unflatten(1, (rows, columns)).permute(0, 3, 1, 2)


def pool(tokens: Tensor, pooling: Pooling, prefix: int) -> Tensor:
    """(n, d) or (n, 2 d) from tokens (n, prefix + patches, d), whose first is the class token."""
    import torch

    if pooling == "cls+mean":
        return torch.cat([tokens[:, 0], tokens[:, prefix:].mean(1)], dim=1)
    return tokens[:, 0]
