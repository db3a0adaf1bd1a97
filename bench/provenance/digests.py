"""Digests of files, arrays and patches."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.files.regular import open_regular


def digest_of(path: Path) -> str:
    """sha256 of a file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_array(values: np.ndarray[Any, Any]) -> str:
    """sha256 of type, shape and bytes of an array."""
    held = np.ascontiguousarray(values)
    return hashlib.sha256(f"{held.dtype.str} {held.shape}\n".encode() + held.tobytes()).hexdigest()


def digest_of_patch(image: np.ndarray[Any, Any]) -> str:
    """sha256 of the bytes of one uint8 (h, w, 3), row by row."""
    return hashlib.sha256(np.ascontiguousarray(image, dtype=np.uint8).data).hexdigest()


def root_digest(digests: Mapping[str, str]) -> str:
    """sha256 over one line `id digest` for each patch, in order: one digest that stands for all."""
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in digests.items()).encode()).hexdigest()
