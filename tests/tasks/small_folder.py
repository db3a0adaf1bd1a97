"""Small data folders that the tests of the `folder` dataset write and break."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]


def photo(height: int = 64, width: int = 64, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def halves(height: int = 64, width: int = 64, left: int = 0, right: int = 1, share: float = 0.5) -> Bytes:
    """A class map whose every row starts with `share` of one class."""
    mask = np.full((height, width), right, np.uint8)
    mask[:, : round(share * width)] = left
    return mask


def write(folder: Path, pictures: dict[str, tuple[Bytes, Bytes]], columns: str = "id", rows: str = "") -> Path:
    """A data folder of PNG files; `rows` defaults to the ids alone."""
    for part in ("images", "region"):
        (folder / part).mkdir(parents=True)
    for name, (image, mask) in pictures.items():
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "region" / f"{name}.png")
    (folder / "index.csv").write_text(f"{columns}\n{rows or chr(10).join(pictures)}\n")
    return folder


def many(folder: Path, count: int, column: str = "source") -> Path:
    """Two images of each of `count` sources."""
    names = [f"s{s}-{i}" for s in range(count) for i in range(2)]
    table = "\n".join(f"{name},{name.partition('-')[0]}" for name in names)
    return write(folder, {name: (photo(8, 8), halves(8, 8)) for name in names}, f"id,{column}", table)


def five(folder: Path) -> Path:
    """Five images of 64 px, each its own source: left half class 0, right half class 1."""
    return write(folder, {f"p{i}": (photo(seed=i), halves()) for i in range(5)})
