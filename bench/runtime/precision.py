"""Device and precision of networks, set here only. torch is imported when it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def device() -> str:
    """`cuda` where there is a GPU, `cpu` elsewhere."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def full_float32() -> Iterator[None]:
    """Full float32: TF32 off and deterministic convolutions, independent of the caller's settings.

    Reduced precision can change a rank. The previous settings are restored at the end.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    flags: Any = torch.backends.cudnn.flags
    try:
        with flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def inference() -> Iterator[None]:
    """Full float32 without gradients and without autocast."""
    import torch

    with full_float32(), torch.inference_mode(), torch.autocast(device(), enabled=False):
        yield
