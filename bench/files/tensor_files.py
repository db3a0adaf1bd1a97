"""The door for weights from files: safetensors, and files of torch read without running code from them.

Whatever else a file may be (empty, text, a page of a web site, cut, damaged, compressed, a pickle of other objects) is a
DamagedError that names the file and says what to do. Messages of torch are not quoted: some advise to read the file with
`weights_only=False`, which runs whatever code it holds.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DamagedError
from bench.files.regular import open_regular

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Tensors = dict[str, "Tensor"]

ADVICE = "code from weights is never run. Fetch it again, or save its state_dict as safetensors."
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
BEGINNINGS = {
    b"version https://git-lfs": "it is a pointer of Git LFS and not the file: fetch it with git lfs pull",
    b"<": "it is a page of a web site or XML",
    b"\x89HDF": "it is HDF5",
    b"\x1f\x8b": "it is compressed",
}
SHOWN = 60


def read_tensors(path: Path, wrappers: tuple[str, ...] = (), only_shapes: bool = False) -> Tensors:
    """Name -> tensor, on the CPU; with `only_shapes` on the meta device, which is quick whatever the size of the file.

    With `wrappers`, the tensors may lie under one of these names, and what else lies beside them is left out. Raises
    MissingError where there is no file, and DamagedError where it is none of tensors alone.
    """
    try:
        held = _load(path, only_shapes)
    except _Fault as fault:
        raise DamagedError(f"{path} is damaged or holds more than tensors, and {ADVICE} ({fault})") from fault
    for wrapper in wrappers:
        held = held.get(wrapper, held) if isinstance(held, Mapping) else held
    if fault_text := _find_fault(held, bool(wrappers)):
        raise DamagedError(f"{path} is no plain state dict of tensors: {fault_text}. Save the state_dict as safetensors.")
    return {name: value for name, value in held.items() if _is_tensor(value)}


def check_tensors(held: Mapping[str, Any], path: Path) -> None:
    """Raises DamagedError unless all are dense tensors of real numbers that store what they show."""
    if fault := _find_fault(held, may_hold_more=False):
        raise DamagedError(f"{path} is no plain state dict of tensors: {fault}. Save the state_dict as safetensors.")


class _Fault(Exception):
    """What is wrong with a file, in a few words of ours."""


def _load(path: Path, only_shapes: bool) -> Any:
    with open_regular(path, "weights") as file:
        size, beginning = os.fstat(file.fileno()).st_size, file.read(512)
    if not size:
        raise _Fault("it is empty")
    if path.suffix == ".safetensors" or beginning[8:9] == b"{":
        return _load_safetensors(path, only_shapes)
    if beginning.startswith(ZIP):
        _check_archive(path, size)
    elif not beginning.startswith(PICKLE):
        raise _Fault(_describe(beginning))
    return _load_torch(path, only_shapes, beginning.startswith(ZIP))


def _load_safetensors(path: Path, only_shapes: bool) -> Any:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    try:
        if not only_shapes:
            return load_file(path)
        with safe_open(path, "pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}
            return {
                name: torch.empty(found.get_shape(), dtype=_kind_of(found.get_dtype()), device="meta")
                for name, found in slices.items()
            }
    except Exception as error:  # also of types that are not exported
        raise _Fault(f"no file of safetensors: {' '.join(str(error).split())[:200]}") from error


def _kind_of(dtype: str) -> torch.dtype:
    """A dtype of the kind of a dtype of safetensors: `BF16` is one of floating point."""
    import torch

    return torch.float32 if dtype.removeprefix("B").startswith("F") else torch.complex64 if dtype[0] == "C" else torch.int8


def _load_torch(path: Path, only_shapes: bool, is_archive: bool) -> Any:
    import warnings

    import torch

    place = "meta" if only_shapes else "cpu"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=place, weights_only=True, mmap=only_shapes and is_archive)
    except Exception as error:  # a damaged pickle raises whatever the objects in it raise
        raise _Fault(f"torch cannot read it as tensors: {type(error).__name__}") from error


def _check_archive(path: Path, size: int) -> None:
    """Torch writes its archives without compression: a compressed one may expand to more than the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:
        raise _Fault("its archive is cut short or damaged") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
        raise _Fault("its archive is compressed or damaged")


def _describe(beginning: bytes) -> str:
    known = next((text for start, text in BEGINNINGS.items() if beginning.lstrip().startswith(start)), "")
    is_text = not beginning.translate(None, bytes([*range(32, 127), 9, 10, 13]))
    return known or ("it is text" if is_text else "it begins like no file of weights")


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _find_fault(held: Any, may_hold_more: bool) -> str:
    if not isinstance(held, Mapping):
        return f"it holds {type(held).__name__}"
    if not any(map(_is_tensor, held.values())):
        return "it holds no tensor by name"
    for name, value in held.items():
        if not _is_tensor(value):
            if may_hold_more:
                continue
            return f"it holds {type(value).__name__} under {str(name)[:SHOWN]!r}"
        if not isinstance(name, str):
            return f"it names a tensor by {type(name).__name__}"
        if fault := _find_tensor_fault(value):
            return f"{name[:SHOWN]!r} {fault}"
    return ""


def _find_tensor_fault(tensor: Tensor) -> str:
    import torch

    if tensor.is_quantized:
        return "is quantised"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "is sparse or nested"
    if tensor.is_complex():
        return "is complex"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "repeats its numbers without storing them"
    return ""
