"""How much of an encoder's time is its network: features of patches on disk against bare forward passes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry
from bench.runtime import torchvision_shim
from metrics.encoders.batches import BATCH

SIDE, SEEN = 64, 224
EIGHT = (
    "texture",
    "random-conv",
    "phantom-cnn",
    "stain",
    "timm:resnet10t",
    "timm:resnet14t",
    "timm:resnet18",
    "timm:resnet26t",
)
"""Four that need no download, and four sizes of one architecture with random weights."""


def end_to_end(network: str, patches: int) -> tuple[float, float]:
    """Seconds for the features of `patches` patches of 64 px from a memory-mapped file, and for the passes alone.

    The network has random weights, on which its time does not depend. The bare passes get tensors in memory, resized and
    normalised, in batches of the same size.
    """
    import torch

    from bench.runtime.precision import inference

    with tempfile.TemporaryDirectory() as folder:
        images = stored(Path(folder), patches)
        encoder = registry.load("encoders", f"timm:{network}", weights=str(random_weights(network, Path(folder))))
        encoder.encode(images[:BATCH])
        start = time.perf_counter()
        encoder.encode(images)
        ours = time.perf_counter() - start
    with inference():
        batch = torch.randn(BATCH, 3, SEEN, SEEN)
        encoder._network(batch)
        start = time.perf_counter()
        for _ in range(-(-patches // BATCH)):
            encoder._network(batch)
        return ours, time.perf_counter() - start


def eight_together(patches: int) -> tuple[float, float]:
    """Seconds for eight encoders over the same patches in one process, and in eight."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stored(folder, patches)
        for encoder in EIGHT:
            if encoder.startswith("timm:"):
                random_weights(encoder.removeprefix("timm:"), folder)
        together = process(folder, EIGHT)
        return together, sum(process(folder, (encoder,)) for encoder in EIGHT)


def process(folder: Path, encoders: tuple[str, ...]) -> float:
    line = f"from benchmarks.encoding import encode; encode({str(folder)!r}, {encoders!r})"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", line], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def encode(folder: str, encoders: tuple[str, ...]) -> None:
    """Computes features of the stored patches without keeping them."""
    images = np.load(Path(folder) / "images.npy", mmap_mode="r")
    for name in encoders:
        _, _, network = name.partition(":")
        options: dict[str, Any] = {"weights": str(Path(folder) / f"{network}.safetensors")} if network else {}
        registry.load("encoders", name, **options).encode(images)


def stored(folder: Path, patches: int) -> Any:
    images = np.random.default_rng(0).integers(0, 256, (patches, SIDE, SIDE, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    return np.load(folder / "images.npy", mmap_mode="r")


def random_weights(network: str, folder: Path) -> Path:
    torchvision_shim.ready()
    import timm
    from safetensors.torch import save_file

    file = folder / f"{network}.safetensors"
    save_file(timm.create_model(network).state_dict(), file)
    return file
