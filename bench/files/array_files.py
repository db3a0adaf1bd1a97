"""Arrays from outside, in NumPy's format: memory-mapped, never unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError
from bench.files.regular import check_regular


def open_npy(path: Path, what: str = "array") -> NDArray[Any]:
    """The memory-mapped array of a `.npy` file.

    Raises MissingError where there is none, and DamagedError on any other file: text, objects (which are pickled), archives, a
    header that is damaged or states more than the file holds.
    """
    check_regular(path, what)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # the header is parsed as Python: what a damaged one raises cannot be listed
        raise DamagedError(f"cannot read {path}: it is damaged, or no array ({_brief(error)}). Copy it again.") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise DamagedError(f"cannot read {path}: it is an archive of arrays and not one array. Copy it again.")
    return found


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
