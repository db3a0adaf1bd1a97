"""A small network that has learned to read the phantom: which nucleus and which tissue lies where.

Trained on slides set apart from every split of the embedded data sets, so that it judges structure: nuclei, their type,
size and crowding. Moderate changes of stain were part of its training; it is less moved by colour than by structure, but
not blind to it.

    python -m metrics.encoders.phantom_cnn --out DIR [--steps N] [--seed S]
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
from bench.types import Card, Features, Images, ImageSet
from metrics.encoders.batches import checked, settled, through

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALLEST = 32
WIDTH = 64
TYPES, TISSUES = 7, 2
"""Nucleus types with 0 = none, and tissue classes, of `phantom-cam16`."""
SHIPPED = Path(__file__).parent / "weights" / "phantom-cnn"
DATASET: dict[str, Any] = {"seed": 1, "train_slides": 150, "validation_slides": 20, "per_slide": 8}
"""Options of the `phantom-cam16` it learns from; the data sets that generators are fitted on have other seeds."""
STEPS, BATCH, RATE = 400, 32, 3e-3


class PhantomCnn:
    card = Card("phantom-cnn", "1", "")

    @property
    def dim(self) -> int:
        return WIDTH

    @cached_property
    def digest(self) -> str:
        return _sha256(SHIPPED / "weights.safetensors")

    def encode(self, images: Images) -> Features:
        return through(self._network, _mean, checked(self.card.name, images, SMALLEST), self.dim)

    @cached_property
    def _network(self) -> nn.Module:
        from safetensors.torch import load_file
        network = trunk()
        network.load_state_dict(load_file(SHIPPED / "weights.safetensors"))
        return settled(network)


def trunk() -> nn.Module:
    """Eight convolutions; float32 (n, 3, h, w) in [-1, 1] -> (n, 64, h / 4, w / 4)."""
    from torch import nn

    plan = ((3, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), *[(64, 64, 1)] * 4)
    layers: list[nn.Module] = []
    for narrow, wide, stride in plan:
        layers += [nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
    return nn.Sequential(*layers)


def _mean(maps: Tensor) -> Tensor:
    return maps.mean((2, 3))


def train(steps: int, seed: int, data: ImageSet) -> nn.Module:
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = nn.Sequential(trunk(), nn.Conv2d(WIDTH, TYPES + TISSUES, 1))
    opt = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, RATE, total_steps=steps, pct_start=0.2)
    types, masks = data.conditions.types, data.conditions.masks
    freq = np.bincount(types.ravel(), minlength=TYPES) / types.size
    weights = torch.tensor(1 / np.sqrt(np.maximum(freq, 1e-3)), dtype=torch.float32)
    order = np.concatenate([rng.permutation(len(data)) for _ in range(steps * BATCH // len(data) + 1)])
    import time; t0=time.time()
    for step in range(steps):
        rows = order[step * BATCH : (step + 1) * BATCH]
        x, y, z = augment(data.images[rows], types[rows], masks[rows], rng)
        out = network(torch.from_numpy(x))
        loss = cross_entropy(out[:, :TYPES], torch.from_numpy(y), weights) + cross_entropy(out[:, TYPES:], torch.from_numpy(z))
        opt.zero_grad(); loss.backward(); opt.step(); sched.step()
        if step % 50 == 49: print(step+1, float(loss), time.time()-t0, flush=True)
    return network.eval()


STAIN=0.15
def augment(images, types, masks, rng):
    n = len(images)
    density = -np.log(np.maximum(images, 1) / 255).astype(np.float32)
    gain = np.exp(rng.normal(0, STAIN, (n, 1, 1, 3))).astype(np.float32)
    shift = rng.normal(0, STAIN/5, (n, 1, 1, 3)).astype(np.float32)
    light = np.clip(np.exp(-(density * gain + shift)), 0, 1)
    x = (2 * light - 1).transpose(0, 3, 1, 2)
    y, z = types[:, 2::4, 2::4].astype(np.int64), masks[:, 2::4, 2::4].astype(np.int64)
    k = int(rng.integers(4)); flip = rng.integers(2)
    def turn(a):
        a = np.rot90(a, k, (-2, -1))
        return np.ascontiguousarray(a[..., ::-1] if flip else a)
    return turn(x), turn(y), turn(z)
