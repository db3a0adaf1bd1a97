"""Device and precision of networks, set here only. torch is imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def in_fixed_batches(function: Callable[..., NDArray[Any]], *rows: Any, size: int) -> NDArray[Any]:
    """`function(*parts)` for the rows of all arguments, in batches of exactly `size` rows, joined.

    A library chooses how it sums by the size of a batch, so that an image of a network may differ by rounding between a batch
    of 64 and one of 7. Here every batch has one size: the last is filled with repetitions of its last row, and what comes of
    these is dropped. `rows`: arrays, conditions or other sets of patches, all with n rows, at least one of them. With
    `size=1` nothing of another row can enter; larger batches are faster, and `bench check` says whether they are exact.

        return in_fixed_batches(self._generate, conditions, seeds, size=8)

    `function` returns an array with a row for each row of its arguments. ValueError if `size` is below 1 or there is no row.
    """
    n = len(rows[0])
    if size < 1 or n < 1:
        raise ValueError(f"in_fixed_batches takes a size and a number of rows of at least 1, not {size} and {n}.")
    made = []
    for start in range(0, n, size):
        chosen = np.minimum(np.arange(start, start + size), n - 1)
        made.append(function(*(part[chosen] for part in rows))[: n - start])
    return np.concatenate(made)
