"""A small network that was trained to segment nuclei and tissues of the phantom.

Trained on phantom slides of its own, with moderate changes of stain, it encodes structure: nuclei, their type, size, density
and sharpness. On phantom test patches a shuffle of pixels within 4 x 4 blocks moves it by 109 times the
distance between disjoint halves of the slides, a blur of one pixel by 6, but a stain shift by 0.16 only; a linear map of its
features explains 0.92 of the variance of a patch's share of tumour, and 0.85 of its share of lymphocytes, on other slides.

    python -m metrics.encoders.builtin.phantom_cnn --out DIR [--steps N] [--seed S]

trains it again, on one core in about two minutes, and writes weights.safetensors and manifest.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import CorruptError, MissingError
from bench.files import json_files
from bench.files.tensor_files import read_tensors
from bench.types import Card, Features, Images, ImageSet
from metrics.encoders.batches import check_images, freeze, run_batches, run_token_batches

if TYPE_CHECKING:
    from torch import Tensor, nn

Labels = NDArray[np.int64]

SHIPPED = Path(__file__).parent / "weights" / "phantom-cnn"
SMALLEST = 32
WIDTH = 64
TYPES, TISSUES = 7, 2
"""Nucleus types, 0 = none, and tissue classes of `phantom-cam16`."""
DATASET: dict[str, Any] = {"seed": 1, "train_slides": 150, "validation_slides": 20, "per_slide": 8}
"""Options of the `phantom-cam16` that it is trained on. The default seed is 0, which gives other slides."""
BATCH, RATE, DECAY = 32, 3e-3, 0.05
STAIN = 0.1
"""Standard deviation of the logarithm of the factor on each colour's optical density in training."""


class PhantomCnn:
    """64-d: means over the patch of the last layer's channels, whose cells of 4 x 4 px distinguish nuclei and tissues."""

    card = Card(
        "phantom-cnn",
        "1",
        "A small network trained to find nuclei and tissues in the phantom.",
        licence="Apache-2.0",
        source="this package, metrics/encoders/builtin/phantom_cnn.py",
        trained_on=("phantom-cam16",),
        notes="Sensitive to structure, hardly to colour. Trained on the phantom only: on other images its distances are "
        "meaningless.",
    )

    @property
    def dim(self) -> int:
        return WIDTH

    @cached_property
    def digest(self) -> str:
        """sha256 of the shipped weights; raises CorruptError where they are not those of the manifest."""
        return _sha256(_weights())

    def encode(self, images: Images) -> Features:
        """float32 (n, 64) of patches of at least 32 px, seen at their own size."""
        return run_batches(self._forward, check_images(self.card.name, images, SMALLEST), self.dim)

    def encode_tokens(self, images: Images) -> NDArray[np.float32]:
        """float32 (n, ceil(h / 4), ceil(w / 4), 64): the last channels, whose cells are of 4 x 4 px; each sees 41 px."""
        return run_token_batches(self._network, check_images(self.card.name, images, SMALLEST))

    def _forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self._network(pixels)
        return maps.mean((2, 3))

    @cached_property
    def _network(self) -> nn.Module:
        network = trunk()
        network.load_state_dict(read_tensors(_weights()))
        return freeze(network)


def trunk() -> nn.Module:
    """Eight convolutions: float32 (n, 3, h, w) in [-1, 1] -> (n, 64, h / 4, w / 4), >= 0."""
    from torch import nn

    config = ((3, 16, 1), (16, 32, 2), (32, 32, 1), (32, WIDTH, 2), *[(WIDTH, WIDTH, 1)] * 4)
    layers: list[nn.Module] = []
    for narrow, wide, stride in config:
        layers += [nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
    return nn.Sequential(*layers)


def train(data: ImageSet, steps: int, seed: int) -> nn.Module:
    """The trunk and a linear reader of types and tissues, fitted by cross-entropy on the maps of `data`."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = nn.Sequential(trunk(), nn.Conv2d(WIDTH, TYPES + TISSUES, 1)).train()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.2)
    types, tissues = labels(data)
    rarity = _rarity(types)
    for step in range(steps):
        rows = rng.choice(len(data), BATCH, replace=False)
        maps = network(torch.from_numpy(_restain(data.images[rows], rng)))
        loss = _loss(maps, types[rows], tissues[rows], rarity)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            sys.stderr.write(f"step {step + 1} of {steps}: loss {loss.item():.3f}\n")
    return network.eval()


def labels(data: ImageSet) -> tuple[Labels, Labels]:
    """int64 (n, h / 4, w / 4) each: nucleus type and tissue class in the middle of each cell of 4 x 4 px."""
    types, masks = data.conditions.types, data.conditions.masks
    if types is None or masks is None:
        raise MissingError(f"training needs the columns types and masks, found {sorted(data.conditions.columns())}.")
    return types[:, 2::4, 2::4].astype(np.int64), masks[:, 2::4, 2::4].astype(np.int64)


def accuracy(network: nn.Module, data: ImageSet) -> dict[str, float]:
    """Share of correctly classified cells, and the share that the commonest label would get."""
    import torch

    with torch.inference_mode():
        maps = torch.cat([network(torch.from_numpy(_signal(data.images[i : i + 1]))) for i in range(len(data))])
    found = {}
    for name, truth, scores in zip(("type", "tissue"), labels(data), torch.split(maps, [TYPES, TISSUES], dim=1), strict=True):
        found[f"{name}_accuracy"] = float((scores.argmax(1).numpy() == truth).mean())
        found[f"{name}_commonest"] = float(np.bincount(truth.ravel()).max() / truth.size)
    return found


def save(network: nn.Module, folder: Path, manifest: dict[str, Any]) -> None:
    """The trunk in half precision, and the manifest with its digest."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = network[0].state_dict().items()  # type: ignore[index]
    weights = folder / "weights.safetensors"
    save_file({name: value.half() if value.is_floating_point() else value for name, value in state}, weights)
    text = json.dumps({**manifest, "sha256": _sha256(weights)}, indent=2)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Trains and writes the weights that `SHIPPED` holds."""
    parser = argparse.ArgumentParser(prog="python -m metrics.encoders.builtin.phantom_cnn", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights.safetensors and manifest.json")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    if asked.steps < 10:
        parser.error("--steps takes at least 10: the learning rate rises and falls within them")
    import torch

    torch.set_num_threads(1)  # sums of several threads differ from run to run
    dataset = registry.load("datasets", "phantom-cam16", **DATASET)
    fitted, heldout = dataset.split("train"), dataset.split("validation")
    network = train(fitted, asked.steps, asked.seed)
    manifest = {
        "name": PhantomCnn.card.name,
        "version": PhantomCnn.card.version,
        "command": f"python -m metrics.encoders.builtin.phantom_cnn --out DIR --steps {asked.steps} --seed {asked.seed}",
        "steps": asked.steps,
        "seed": asked.seed,
        "dataset": {**registry.describe(dataset), "train": fitted.key, "validation": heldout.key},
        "heldout": accuracy(network, heldout),
        "versions": {name: version(name) for name in ("numpy", "scipy", "torch")},
    }
    save(network, asked.out, manifest)


def _loss(maps: Tensor, types: Labels, tissues: Labels, rarity: NDArray[np.float32]) -> Tensor:
    import torch
    from torch.nn.functional import cross_entropy

    of_types = cross_entropy(maps[:, :TYPES], torch.from_numpy(types), torch.from_numpy(rarity))
    return of_types + cross_entropy(maps[:, TYPES:], torch.from_numpy(tissues))


def _rarity(types: Labels) -> NDArray[np.float32]:
    """float32 (TYPES,): weight of each type, the inverse root of its share, so that rare types count and none dominates."""
    share = np.bincount(types.ravel(), minlength=TYPES) / types.size
    return (1 / np.sqrt(np.maximum(share, 1e-3))).astype(np.float32)


def _signal(images: Images) -> NDArray[np.float32]:
    """float32 (n, 3, h, w) in [-1, 1]."""
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    return np.asarray(pixels / 127.5 - 1, dtype=np.float32)


def _restain(images: Images, rng: np.random.Generator) -> NDArray[np.float32]:
    """The signal of the images with small random changes of stain."""
    factor = np.exp(rng.normal(0, STAIN, (len(images), 3, 1, 1))).astype(np.float32)
    return np.asarray(2 * ((_signal(images) + 1) / 2) ** factor - 1, dtype=np.float32)


def _weights() -> Path:
    found = SHIPPED / "weights.safetensors"
    if not found.is_file():
        raise MissingError(
            f"phantom-cnn ships its weights, but {found} is missing: install histobench again, or make them with "
            f"python -m metrics.encoders.builtin.phantom_cnn --out {SHIPPED}"
        )
    try:
        stated = json_files.read_object(SHIPPED / "manifest.json")["sha256"]
        if not isinstance(stated, str):
            raise KeyError("sha256")
    except (MissingError, KeyError) as error:
        raise CorruptError(
            f"phantom-cnn: {SHIPPED / 'manifest.json'} does not state the sha256 of the weights: install histobench again."
        ) from error
    if (digest := _sha256(found)) != stated:
        raise CorruptError(
            f"phantom-cnn: {found} is damaged: its sha256 begins with {digest[:12]}, that of the shipped file with "
            f"{stated[:12]}. Install histobench again."
        )
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
