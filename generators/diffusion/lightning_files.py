"""Checkpoints that hold more than tensors, as PyTorch Lightning writes them, read without running code from them.

Beside its `state_dict` such a file pickles callbacks, hyper-parameters and objects of the authors' own classes, which
`weights_only=True` refuses as a whole. Here the pickle is read by an unpickler that knows tensors, their storages and plain
containers. Every other class or function is replaced by `Inert`, which takes any arguments and state and does nothing with
them, so that no name in the file leads to code.
"""

from __future__ import annotations

import pickle
import types
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import DamagedError
from bench.files.regular import open_regular
from bench.files.tensor_files import ADVICE, check_tensors, read_tensors

ZIP = b"PK\x03\x04"
_TENSOR_PARTS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,  # type: ignore[attr-defined]
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,  # type: ignore[attr-defined]
}
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_DEEPEST = 20
"""Dictionaries inside dictionaries that are looked through for tensors."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds."""

    tensors: dict[str, Tensor]
    """Name -> tensor on the CPU: those of the state dict, or all if there is no dictionary of a known name."""
    dropped: tuple[str, ...] = ()
    """What else lay beside the state dict, by key: the plain value or its type."""
    replaced: tuple[str, ...] = ()
    """Full names of classes and functions that were not looked up, in order of their first use."""


class Inert:
    """Stands for an object of a class that is not looked up. Takes every construction and state, and keeps none."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, value: Any) -> None: ...
    def extend(self, values: Any) -> None: ...
    def add(self, value: Any) -> None: ...


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a checkpoint: safetensors, a plain torch file, or one of Lightning.

    Raises MissingError where there is no file, and DamagedError where it is none of tensors, is cut, compressed, a TorchScript
    archive, or of the format that torch wrote before version 1.6.
    """
    with open_regular(path, "checkpoint") as file:
        beginning = file.read(512)
    if path.suffix == ".safetensors" or not beginning.startswith(ZIP):
        return Checkpoint(read_tensors(path, wrappers=_WRAPPERS))
    _check_archive(path)
    held, replaced = _unpickle(path)
    tensors, dropped = _state_dict(held, path)
    return Checkpoint(tensors, dropped, replaced)


def _check_archive(path: Path) -> None:
    """An uncompressed archive of one pickle and its storages: compressed ones may expand to more than the memory, and those of
    TorchScript hold code."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:
        raise DamagedError(f"{path} is cut short or damaged: fetch it again.") from error
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in names or any(name.endswith(".py") for name in names):
        raise DamagedError(f"{path} is a TorchScript archive, which holds code, and {ADVICE}")
    if "data.pkl" not in names:
        raise DamagedError(f"{path} is an archive without data.pkl, and no checkpoint of torch. Fetch it again.")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
        raise DamagedError(f"{path} is a compressed or damaged archive: fetch it again, or save it anew.")


def _unpickle(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The content, and the names of what `Inert` stands for."""
    replaced: dict[str, None] = {}

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) in _TENSOR_PARTS:
                return _TENSOR_PARTS[module, name]
            if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
                return found
            replaced[f"{module}.{name}"] = None
            return type("Inert", (Inert,), {})

    module = types.ModuleType("inert_pickle")
    vars(module).update(Unpickler=Unpickler, UnpicklingError=pickle.UnpicklingError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # torch resolves storages, whose bytes it maps; every other name goes through `find_class` above
            held = torch.load(path, map_location="cpu", weights_only=False, pickle_module=module, mmap=True)
    except Exception as error:  # a damaged pickle raises whatever its instructions raise
        raise DamagedError(
            f"{path} is damaged or holds more than tensors and plain containers, and {ADVICE} ({type(error).__name__})"
        ) from error
    return held, tuple(replaced)


def _state_dict(held: Any, path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors by name, and what lies beside them."""
    if not isinstance(held, Mapping):
        raise DamagedError(f"{path} holds {type(held).__name__} and no dictionary of tensors.")
    found = next((name for name in _WRAPPERS if isinstance(held.get(name), Mapping)), "")
    beside = [key for key in held if key != found] if found else []
    tensors = dict(_tensors(held[found] if found else held))
    if not tensors:
        raise DamagedError(
            f"{path} holds no tensor by name; it has {', '.join(map(str, list(held)[:8])) or 'nothing'}. {ADVICE}"
        )
    check_tensors(tensors, path)
    return tensors, tuple(f"{key!s:.60}: {_shown(held[key])}" for key in beside)


def _tensors(held: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Names with dots, as of modules, for dictionaries inside dictionaries."""
    for name, value in held.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value.detach()
        elif isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _tensors(value, f"{prefix}{name}.", depth + 1)


def _shown(value: Any) -> str:
    if isinstance(value, bool | int | float | str) or value is None:
        return f"{value!r:.80}"
    if isinstance(value, Mapping | list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return "an object" if isinstance(value, Inert) else type(value).__name__
