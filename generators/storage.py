"""Weights to and from safetensors, images to and from tensors: what every generator with a network does the same way."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.errors import MissingError
from bench.types import Images

Network = TypeVar("Network", bound=nn.Module)


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, h, w, 3) -> float (n, 3, h, w) in [-1, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(tensor: Tensor) -> Images:
    """float (n, 3, h, w) in [-1, 1], cut to it -> uint8 (n, h, w, 3)."""
    # clip before the conversion: uint8 wraps around
    pixels = ((tensor.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def halved(network: Network) -> Network:
    """The network with weights rounded to half precision, so that what is saved is what was measured."""
    for values in (*network.parameters(), *network.buffers()):
        if values.is_floating_point():
            values.data = values.data.half().float()
    return network.eval()


def save_network(network: nn.Module, path: Path, exact: bool = False) -> None:
    """Writes the weights, in half precision unless they are to be kept `exact`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: (values.half() if values.is_floating_point() and not exact else values).contiguous()
        for name, values in network.state_dict().items()
    }
    save_file(state, path)


def load_network(network: nn.Module, path: Path) -> None:
    """Reads what `save_network` wrote; raises MissingError where the file is absent or does not fit the network."""
    if not path.is_file():
        raise MissingError(f"no weights at {path}.")
    state = {n: v.float() if v.is_floating_point() else v for n, v in load_file(path).items()}
    wanted = {name: tuple(values.shape) for name, values in network.state_dict().items()}
    found = {name: tuple(values.shape) for name, values in state.items()}
    if wanted != found:
        wrong = sorted(set(wanted.items()) ^ set(found.items()))[:3]
        raise MissingError(f"{path} does not fit this preset; the first differences are {wrong}. Fit again: bench fit.")
    network.load_state_dict(state)
    network.eval()
