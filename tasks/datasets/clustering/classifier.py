"""A vision transformer (Dosovitskiy and others 2021; timm) that learns the cluster of a cell from its pixels.

With it the cells of a large set of slides need no pass through the encoder. How often it is right, how far its confidences can
be trusted and what it saves are measured on cells of units (patients, cases or slides) that it was not trained on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.runtime import torchvision_shim
from bench.runtime.precision import device, inference
from bench.types import Encoder, Progress, Strings
from tasks.datasets.folder_splits import by_hash
from tasks.training import Budget, augment, batches, one_cycle, reproducible, tensor

if TYPE_CHECKING:
    import torch

BATCH = 64
HELD_OUT = 0.2
"""Share of the units that are held out, two at least: one half sets the temperature, the other one is measured."""
BINS = 15
"""Of the expected calibration error (Guo and others 2017)."""
_TIMED = 256
"""Cells on which the costs are measured."""


@dataclass(frozen=True)
class ClassifierRule:
    """How it is trained."""

    network: str = "vit_small_patch16_224"
    """Name in timm; its input has the size of a cell's window."""
    steps: int = 2000
    learning_rate: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.learning_rate < 1:
            raise UsageError(
                f"a classifier is trained for 1 step or more, with a learning rate in (0, 1); asked for {self.steps} and "
                f"{self.learning_rate:g}."
            )


@dataclass(frozen=True)
class Cells:
    """Cells with their clusters."""

    images: NDArray[np.uint8]
    """uint8 (n, window, window, 3)."""
    labels: NDArray[np.int64]
    """int64 (n,)."""
    units: Strings
    """str (n,): the patient, case or slide of each."""

    def of(self, units: set[str]) -> Cells:
        rows = np.flatnonzero(np.isin(self.units, sorted(units)))
        return Cells(self.images[rows], self.labels[rows], self.units[rows])


def build(rule: ClassifierRule, window: int, clusters: int) -> torch.nn.Module:
    """The network on the device. UsageError where timm has none of that name, or it does not take windows of this size."""
    torchvision_shim.ready()
    import timm
    from torch import nn

    try:
        net: nn.Module = timm.create_model(
            rule.network, pretrained=False, num_classes=clusters, img_size=window, dynamic_img_pad=True
        )
    except Exception as error:  # only the name is the user's choice, and it can fail in many ways
        raise UsageError(
            f"timm makes no classifier {rule.network!r} of windows of {window} pixels: {error}. It is a vision transformer of "
            "timm, such as vit_small_patch16_224."
        ) from error
    return net.to(device())


def train(cells: Cells, clusters: int, rule: ClassifierRule, progress: Progress) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The trained network, and its temperature and what was measured, as JSON. MissingError with fewer than four units."""
    import torch

    held_out = _held_out(cells.units)
    training = cells.of(set(cells.units.tolist()) - held_out[0] - held_out[1])
    with reproducible(rule.seed):
        net = build(rule, cells.images.shape[1], clusters)
        budget = Budget(rule.steps, BATCH, rule.learning_rate)
        optimizer, schedule = one_cycle(net, budget)
        rng = np.random.default_rng(rule.seed)
        for step, rows in enumerate(batches(len(training.images), budget, rng), 1):
            net.train()
            (images,) = augment([training.images[rows]], rng)
            target = torch.from_numpy(training.labels[rows]).to(device())
            loss = torch.nn.functional.cross_entropy(net(tensor(net, images)), target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            progress(step, rule.steps, "train the classifier")
        if not torch.isfinite(loss):
            raise UsageError(f"training diverged by step {rule.steps}: give a smaller --classifier-rate.")
    tuning, test = (cells.of(units) for units in held_out)
    temperature = find_temperature(logits(net, tuning.images), tuning.labels)
    found = logits(net, test.images)
    report = {
        "temperature": temperature,
        "trained_on": len(training.images),
        "measured_on": len(test.images),
        "measured_units": len(held_out[1]),
        "accuracy": float((found.argmax(axis=1) == test.labels).mean()),
        "most_frequent": float((test.labels == np.bincount(training.labels).argmax()).mean()),
        "calibration_error": calibration_error(found, test.labels),
        "calibration_error_at_temperature": calibration_error(found / temperature, test.labels),
    }
    return net, report


def logits(net: torch.nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """float64 (n, clusters)."""
    net.eval()
    with inference():
        parts = [net(tensor(net, images[at : at + BATCH])).double().cpu().numpy() for at in range(0, len(images), BATCH)]
    return np.concatenate(parts)


def find_temperature(found: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """What logits are divided by so that their likelihood is greatest (Guo and others 2017), in [0.05, 20]."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(found / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))


def calibration_error(found: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Expected calibration error, in [0, 1]: confidence less accuracy in `BINS` equal intervals of confidence, weighted."""
    from scipy.special import softmax

    chances = softmax(found, axis=1)
    confidence, right = chances.max(axis=1), chances.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def measure_costs(net: torch.nn.Module, encoder: Encoder, images: NDArray[np.uint8]) -> dict[str, float]:
    """Milliseconds a cell of the network and of the encoder, on the same cells, after one pass that is not counted."""
    images = images[:_TIMED]

    def milliseconds(run: Any) -> float:
        run(images[:BATCH])
        begun = time.perf_counter()
        run(images)
        return 1000 * (time.perf_counter() - begun) / len(images)

    network = milliseconds(lambda rows: logits(net, rows))
    encoded = milliseconds(lambda rows: np.asarray(encoder.encode(rows)))
    return {"milliseconds": network, "encoder_milliseconds": encoded, "cost_of_encoder": network / encoded}


def _held_out(units: Strings) -> tuple[set[str], set[str]]:
    known = sorted(set(units.tolist()))
    if len(known) < 4:
        raise MissingError(
            f"a classifier needs cells of four patients, cases or slides at least: two train, two are held out. There are "
            f"{len(known)}. Give more slides, or --label-by encoder."
        )
    count = max(1, round(HELD_OUT * len(known) / 2))
    ordered = by_hash(known, 0)
    return set(ordered[:count]), set(ordered[count : 2 * count])
