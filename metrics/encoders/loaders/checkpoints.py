"""Files of weights: found or downloaded, read without running code from them, and compared with their network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DamagedError, MissingError
from bench.files.regular import check_regular, describe_fault, is_folder, is_there
from bench.files.tensor_files import read_tensors
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
    if weights is not None and not describe_fault(weights):
        return weights
    if weights is not None and not is_folder(weights):
        fault = f" ({weights} {describe_fault(weights)})" if is_there(weights) else ""
        raise MissingError(f"{row.name}: there is no {weights}: -o weights takes a file, or a folder{fault}.")
    for place in _places(row, weights):
        if is_there(place):
            check_regular(place, f"weights of {row.name}")
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
    return _read(name, file, only_shapes=False)


def outline(name: str, file: Path) -> Tensors:
    """Names and shapes of the tensors of a file, on the meta device: quick, whatever its size."""
    return _read(name, file, only_shapes=True)


def differences(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Differences between tensors and those of a network: missing names, surplus names, shapes, and whole numbers."""
    missing = [f"{name} is missing" for name in wanted if name not in found]
    surplus = [f"{name} is left over" for name in found if name not in wanted]
    shapes = [
        f"{name} is {_shape(found[name])}, not {_shape(tensor)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    kinds = [
        f"{name} is of type {found[name].dtype}, not of floating point"
        for name, tensor in wanted.items()
        if name in found and tensor.is_floating_point() and not found[name].is_floating_point()
    ]
    return [*missing, *surplus, *shapes, *kinds]


def select_tensors(row: Row, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors of a checkpoint that the encoder needs."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(row.reads) and not name.endswith(row.ignores)}


def check(row: Row, file: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raises DamagedError, with the first differences, if names or shapes are not the published ones."""
    faults = differences(select_tensors(row, wanted), select_tensors(row, found))
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DamagedError(f"{row.name}: the weights in {file} are not this network's: {'; '.join(faults[:SHOWN])}{more}.")


def _read(name: str, file: Path, only_shapes: bool) -> Tensors:
    try:
        found = read_tensors(file, WRAPPERS, only_shapes)
    except MissingError as error:
        raise type(error)(f"{name}: {error}") from error
    return {_plain(key): value for key, value in found.items()}


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
