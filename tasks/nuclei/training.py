"""How a HoVer-Net is trained: targets, losses, schedules, selection of the checkpoint. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from monai.transforms.post.array import SobelGradients
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bench.errors import UsageError
from bench.histology.class_scores import segmentation_counts, shown_iou
from bench.histology.nuclei import UNLABELLED
from bench.types import Images, Progress
from tasks.nuclei.hovernet import HoVerNet, Maps
from tasks.training import Budget, augment, batches, one_cycle, pick, tensor

Masks = NDArray[np.uint8]
Instances = NDArray[np.int32]
Schedule = torch.optim.lr_scheduler.LRScheduler
SMOOTH = 1e-3


@dataclass(frozen=True)
class Annotated:
    """Images with their nuclei: uint8 (n, h, w, 3), the type at each pixel (n, h, w), and the nucleus at each pixel."""

    images: Images
    masks: Masks
    instances: Instances


@dataclass(frozen=True)
class TrainingSettings:
    """Budget, evaluations and phases of a training."""

    budget: Budget
    evaluations: int
    """Number of evaluations on the validation patches, evenly spaced over training."""
    phases: bool
    """The paper's two phases of equal length, each with Adam at a rate that falls to a tenth halfway. Otherwise one cycle
    of AdamW."""


def train(
    net: HoVerNet,
    training: list[Annotated],
    validation: Annotated,
    settings: TrainingSettings,
    frozen: bool,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Leaves in `net` the weights that had the best mean IoU of the classes on validation. `frozen`: the encoder keeps its
    weights during the first of two phases."""
    budget = settings.budget
    evaluations = {math.ceil(budget.steps * part / settings.evaluations) for part in range(1, settings.evaluations + 1)}
    columns = [(part.images, part.masks, part.instances) for part in training]
    rows = batches(sum(len(part.images) for part in training), budget, rng)
    best, kept = -1.0, {}
    for step, (optimizer, schedule) in enumerate(_steps(net, settings, frozen), 1):
        loss = _loss(net, *augment(pick(columns, rows[step - 1]), rng))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        progress(step, budget.steps, "train nuclei")
        if step in evaluations:
            if not torch.isfinite(loss):
                raise UsageError(f"training diverged by step {step} of {budget.steps}: give a smaller learning_rate.")
            reached = _validate(net, validation, budget.batch)
            if reached > best:
                best, kept = reached, {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(kept)


def predict(net: HoVerNet, images: Images, batch: int) -> Iterator[Maps]:
    """What the network says of the patches, batch by batch."""
    net.eval()
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            yield net(tensor(net, images[start : start + batch]))


def predict_types(logits: Tensor) -> Tensor:
    """The most probable type at each pixel, 1..k-1, from type logits (n, k, h, w): background is excluded."""
    return logits[:, 1:].argmax(dim=1) + 1


def offsets(instances: Instances) -> NDArray[np.float32]:
    """float32 (n, 2, h, w): horizontal and vertical distance of each pixel to the centre of mass of its nucleus, divided by
    the largest on that side, so in [-1, 1]; 0 outside nuclei (Graham and others 2019). As MONAI's `ComputeHoVerMaps`, for
    many patches at once. Nuclei may touch: a nucleus is what has one number."""
    patch, y, x = np.nonzero(instances)
    _, owner = np.unique(patch * (int(instances.max(initial=0)) + 1) + instances[instances != 0], return_inverse=True)
    maps = np.zeros((len(instances), 2, *instances.shape[1:]), np.float32)
    for axis, place in enumerate((x, y)):
        distance = place - (np.bincount(owner, place) / np.bincount(owner))[owner]
        side = (distance > 0).astype(np.int64)
        largest = np.zeros((2, owner.max(initial=-1) + 1))
        np.maximum.at(largest, (side, owner), np.abs(distance))
        maps[patch, axis, y, x] = distance / np.maximum(largest[side, owner], 1e-6)
    return maps


def hovernet_loss(found: Maps, masks: Tensor, instances: Tensor, wanted: Tensor) -> Tensor:
    """The loss of MONAI's `HoVerNetLoss` with its usual weights, over the labelled pixels alone.

    Cross-entropy and Dice of nucleus against background and of the types; of the offsets, twice the mean squared error and
    that of their gradients inside nuclei. `masks` and `instances` are (n, h, w), `wanted` offsets (n, 2, h, w).
    Unlabelled pixels count in no sum, and what the network says there reaches no gradient.
    """
    labelled = masks != UNLABELLED
    inside = (instances > 0) & labelled
    pixels = labelled.sum().clamp(min=1)
    guess = torch.where(labelled[:, None], found.offsets, wanted)
    flat = (guess - wanted).square().sum() / (2 * pixels)
    slope = ((_slopes(guess) - _slopes(wanted)).square() * inside[:, None]).sum() / (2 * inside.sum() + 1e-8)
    nucleus = _overlap_loss(found.nucleus, inside.long(), labelled)
    return nucleus + _overlap_loss(found.types, masks.long(), labelled) + 2 * flat + slope


def _overlap_loss(logits: Tensor, truth: Tensor, labelled: Tensor) -> Tensor:
    """Mean cross-entropy plus the sum of the classes' Dice losses, both over all labelled pixels of the batch."""
    chosen, classes = logits.permute(0, 2, 3, 1)[labelled], truth[labelled]
    if not len(classes):
        return logits.sum() * 0
    dice = DiceLoss(softmax=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH, reduction="sum", batch=True)
    shares = functional.one_hot(classes, logits.shape[1]).to(chosen.dtype)
    return functional.cross_entropy(chosen, classes) + dice(chosen.T[None], shares.T[None])


def _slopes(maps: Tensor) -> Tensor:
    """The horizontal slope of the first channel and the vertical slope of the second, by a Sobel filter 5 px wide."""
    sobel = [SobelGradients(kernel_size=5, spatial_axes=axis) for axis in (1, 0)]
    return torch.stack([along(maps[:, channel]) for channel, along in enumerate(sobel)], dim=1)


def _loss(net: HoVerNet, images: Images, masks: Masks, instances: Instances) -> Tensor:
    net.train()
    batch = tensor(net, images)
    parts = (torch.from_numpy(part).to(batch.device) for part in (masks, instances, offsets(instances)))
    return hovernet_loss(net(batch), *parts)


def _validate(net: HoVerNet, validation: Annotated, batch: int) -> float:
    """Mean IoU of the classes that the patches show, from the pixels alone: nuclei are not told apart for it."""
    counts, start = [], 0
    for found in predict(net, validation.images, batch):
        inside = found.nucleus.argmax(dim=1)
        classes = (predict_types(found.types) * inside).to(torch.uint8).cpu().numpy()
        counts.append(segmentation_counts(classes, validation.masks[start : start + len(classes)], found.types.shape[1]))
        start += len(classes)
    return shown_iou(np.concatenate(counts))


def _steps(net: HoVerNet, settings: TrainingSettings, frozen: bool) -> Iterator[tuple[torch.optim.Optimizer, Schedule]]:
    """The optimizer and the schedule of each step."""
    steps, rate = settings.budget.steps, settings.budget.learning_rate
    if not settings.phases:
        pair = one_cycle(net, settings.budget)
        yield from (pair for _ in range(steps))
        return
    for length, still in ((steps - steps // 2, frozen), (steps // 2, False)):
        for module in net.encoder():
            module.requires_grad_(not still)
        adam = torch.optim.Adam((p for p in net.parameters() if p.requires_grad), lr=rate)
        falling = torch.optim.lr_scheduler.StepLR(adam, math.ceil(length / 2))
        yield from ((adam, falling) for _ in range(length))
