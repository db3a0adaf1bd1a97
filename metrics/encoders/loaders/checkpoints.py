"""Files of weights: found or downloaded, read without running code from them, and compared with their network."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DamagedError, MissingError
from bench.messages import describe_error
from metrics.encoders.row import Row

if TYPE_CHECKING:
    from torch import Tensor

Tensors = dict[str, "Tensor"]

SUFFIXES = (".safetensors", ".pth", ".bin")
WRAPPERS = ("state_dict", "model")
"""Names under which training scripts put the tensors of a network."""
PREFIXES = ("module.", "backbone.")
"""Prefixes that training scripts put before the names of tensors."""
SHOWN = 3
"""Largest number of differences that an error names."""


def find_local(row: Row, weights: Path | None) -> Path | None:
    """The file in `weights` (a file, or a folder with weights of several encoders), or that of an earlier download."""
    if weights is not None and weights.is_file():
        return weights
    if weights is not None and not weights.is_dir():
        raise MissingError(f"{row.name}: there is no {weights}: -o weights takes a file, or a folder.")
    for place in _places(row, weights):
        if place.is_file():
            return place
    return row.origin.cached()


def locate(row: Row, weights: Path | None) -> Path:
    """The local file, or a downloaded one."""
    return find_local(row, weights) or row.origin.fetch(row.name)


def _places(row: Row, folder: Path | None) -> list[Path]:
    """NAME.safetensors, NAME.pth, NAME.bin, and the publisher's own file names in a folder NAME."""
    if folder is None:
        return []
    own = [folder / row.name / Path(file).name for file in (*row.origin.files, *row.origin.aliases)]
    return [*(folder / f"{row.name}{suffix}" for suffix in SUFFIXES), *own]


def read(name: str, file: Path) -> Tensors:
    """The tensors of a file, on the CPU. No code in it is run."""
    from safetensors.torch import load_file

    return _read(name, file, load_file if file.suffix == ".safetensors" else _torch_file)


def outline(name: str, file: Path) -> Tensors:
    """Names and shapes of the tensors of a file, on the meta device: quick, whatever its size."""
    return _read(name, file, _safetensors_header if file.suffix == ".safetensors" else _torch_outline)


def differences(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Differences between tensors and those of a network: missing names, surplus names, and shapes."""
    missing = [f"{name} is missing" for name in wanted if name not in found]
    surplus = [f"{name} is left over" for name in found if name not in wanted]
    shapes = [
        f"{name} is {_shape(found[name])}, not {_shape(tensor)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    return [*missing, *surplus, *shapes]


def select_tensors(row: Row, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors of a checkpoint that the encoder needs."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(row.reads) and not name.endswith(row.ignores)}


def check(row: Row, file: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raises DamagedError, with the first differences, if names or shapes are not the published ones."""
    faults = differences(select_tensors(row, wanted), select_tensors(row, found))
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DamagedError(f"{row.name}: the weights in {file} are not this network's: {'; '.join(faults[:SHOWN])}{more}.")


def _read(name: str, file: Path, how: Callable[[Path], Any]) -> Tensors:
    from safetensors import SafetensorError

    try:
        content = how(file)
    except (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError) as error:
        raise DamagedError(
            f"{name}: {file} is damaged or holds more than tensors, and code from weights is never run. "
            f"Fetch it again, or save its state_dict as safetensors. ({describe_error(error)})"
        ) from error
    for wrapper in WRAPPERS:
        content = content.get(wrapper, content) if isinstance(content, dict) else {}
    return {_plain(key): value for key, value in content.items() if hasattr(value, "shape")}


def _torch_file(file: Path) -> Any:
    import torch

    return torch.load(file, map_location="cpu", weights_only=True)


def _torch_outline(file: Path) -> Any:
    import torch

    return torch.load(file, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(file))


def _safetensors_header(file: Path) -> Tensors:
    import torch
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return {name: torch.empty(opened.get_slice(name).get_shape(), device="meta") for name in opened.keys()}


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
