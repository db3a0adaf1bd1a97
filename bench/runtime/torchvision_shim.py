"""Lets torchvision import beside a torch build that cannot load its compiled extension.

PyPI's torchvision wheel links CUDA's torch libraries. Beside a CPU-only torch, importing it fails with "operator
torchvision::nms does not exist", and takes timm, segmentation-models-pytorch, open_clip and torch-fidelity with it.
Declaring the two operator schemas is enough for transforms and models; `torchvision.io` and compiled operators stay away.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from pathlib import Path
from typing import Any

_declared: list[Any] = []  # torch drops a library's schemas when the object dies


def ready() -> None:
    """Call before the first import of torchvision or of a package that imports it. Does nothing where all is well."""
    if "torchvision" in sys.modules or _declared:
        return
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _BeforeTorchvision)]
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _extension_loads(Path(spec.origin).parent):
        return
    import torch

    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _declared.append(library)


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing; calls `ready` when torchvision is imported for the first time."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == "torchvision":
            ready()


def ready_on_import() -> None:
    """From here on `ready` is called by itself before torchvision is first imported: code of plug-ins from outside imports it,
    directly or through timm, without knowing of this module. Imports neither torch nor torchvision."""
    if "torchvision" not in sys.modules and not any(isinstance(finder, _BeforeTorchvision) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeTorchvision())


def _extension_loads(package: Path) -> bool:
    import torch

    for extension in [*package.glob("_C*.so"), *package.glob("_C*.pyd")]:
        try:
            torch.ops.load_library(str(extension))  # type: ignore[no-untyped-call]
        except OSError:
            return False
        return True
    return False


def is_active() -> bool:
    """Whether the schemas had to be declared."""
    return bool(_declared)
