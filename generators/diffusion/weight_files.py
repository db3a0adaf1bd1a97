"""Weights to and from safetensors, images to and from tensors, for every generator with a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.errors import MissingError
from bench.files.regular import is_there
from bench.files.tensor_files import read_tensors
from bench.types import Images

Network = TypeVar("Network", bound=nn.Module)


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, h, w, 3) -> float (n, 3, h, w) in [-1, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(tensor: Tensor) -> Images:
    """float (n, 3, h, w), clipped to [-1, 1] -> uint8 (n, h, w, 3). Raises FloatingPointError as `check_finite` does."""
    # clip before the conversion: uint8 wraps around
    pixels = ((check_finite(tensor).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def check_finite(tensor: Tensor) -> Tensor:
    """The samples, float (n, ...); raises FloatingPointError on NaN and infinity, which a cast to integers would hide."""
    wrong = int((~tensor.isfinite()).flatten(1).any(dim=1).sum())
    if wrong:
        raise FloatingPointError(
            f"the network gave NaN or infinite values for {wrong} of {len(tensor)} samples: its weights are damaged, its "
            "training diverged, or the precision is too low. Fit again, with precision=fp32 or another number of steps."
        )
    return tensor


def round_to_fp16(network: Network) -> Network:
    """The network with weights rounded to half precision, so that what is saved is what was measured."""
    for values in (*network.parameters(), *network.buffers()):
        if values.is_floating_point():
            values.data = values.data.half().float()
    return network.eval()


def save_network(network: nn.Module, path: Path) -> None:
    """Writes the weights, in half precision. Raises FloatingPointError and writes nothing if they are not
    finite: weights of a training that diverged are not kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: (values.half() if values.is_floating_point() else values).contiguous()
        for name, values in network.state_dict().items()
    }
    if wrong := [name for name, values in state.items() if values.is_floating_point() and not values.isfinite().all()]:
        raise FloatingPointError(
            f"{path.name}: {len(wrong)} of {len(state)} tensors hold NaN or infinite values, {wrong[0]} among them: training "
            "diverged, or they are too large for half precision. Fit again, with precision=fp32 or another number of steps."
        )
    save_file(state, path)


def load_network(network: nn.Module, path: Path) -> None:
    """Reads what `save_network` wrote; raises MissingError where the file is absent, damaged or does not fit the network."""
    if not is_there(path):
        raise MissingError(f"no weights at {path}.")
    load_tensors(network, read_tensors(path), path, "Fit again: bench fit.")


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, advice: str) -> None:
    """Puts tensors of `path` into the network; raises MissingError, which ends with `advice`, where names or shapes differ."""
    state = {name: values.float() if values.is_floating_point() else values for name, values in tensors.items()}
    wanted = {name: tuple(values.shape) for name, values in network.state_dict().items()}
    found = {name: tuple(values.shape) for name, values in state.items()}
    if wanted != found:
        wrong = sorted(set(wanted.items()) ^ set(found.items()))[:3]
        raise MissingError(f"{path} does not fit this preset; the first differences are {wrong}. {advice}")
    network.load_state_dict(state)
    network.eval()
