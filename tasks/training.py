"""Training on class maps and counting: batches, augmentation, loss, selection of the checkpoint, counts on test patches.

Nothing here depends on a task or an architecture. The number of steps does not depend on the number of patches. All random
numbers come from the generator that is passed in, or from torch inside `reproducible`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.histology.class_scores import IGNORED, class_pixels, segmentation_counts, shown_iou
from bench.histology.stain import restain
from bench.messages import needed
from bench.runtime.precision import device, full_float32
from bench.types import Images, ImageSet, Progress

if TYPE_CHECKING:
    import torch

Masks = NDArray[np.uint8]

EVALUATIONS = 4
"""Number of evaluations on the validation patches, evenly spaced over training."""
WEIGHT_DECAY = 1e-2
WARM_UP = 0.2
"""Share of the steps in which the learning rate rises (one cycle, Smith and Topin 2019)."""


@dataclass(frozen=True)
class Budget:
    """The training budget, the same for every training mix."""

    steps: int
    batch: int
    learning_rate: float
    """Maximum of the schedule."""


@dataclass(frozen=True)
class Labelled:
    """Images with class maps that fit each other and the task."""

    images: Images
    masks: Masks
    pixels: NDArray[np.int64]
    """Labelled pixels of each class, int64 (k,)."""


def check_labelled(patches: ImageSet, who: str, test: ImageSet, multiple: int) -> Labelled:
    """The images and masks of a set. Raises UsageError or MissingError if they cannot be used with these test patches."""
    if not len(patches):
        raise MissingError(f"{who}: there are no patches. Give more data, or other splits.")
    masks, classes = needed(who, "masks", patches.conditions.masks), patches.conditions.classes
    if classes != test.conditions.classes:
        raise UsageError(f"{who}: the classes are {classes}, those of the test patches {test.conditions.classes}.")
    shapes = {patches.images.shape[1:3], masks.shape[1:], test.images.shape[1:3]}
    if len(shapes) > 1 or any(side % multiple for side in masks.shape[1:]):
        found = " and ".join(f"{h} x {w}" for h, w in sorted(shapes))
        raise UsageError(
            f"{who}: images, masks and test patches need one size, a multiple of {multiple} px; found {found}. "
            "Ask the dataset for another size."
        )
    pixels = class_pixels(masks, len(classes), who)
    if not pixels.any():
        raise MissingError(f"{who}: no pixel is labelled.")
    return Labelled(patches.images, masks, pixels)


def train(
    net: torch.nn.Module,
    training: list[Labelled],
    validation: Labelled,
    budget: Budget,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """AdamW with one cycle; leaves in `net` the weights that had the best IoU on validation."""
    import torch

    optimizer, schedule = one_cycle(net, budget)
    evaluations = {math.ceil(budget.steps * part / EVALUATIONS) for part in range(1, EVALUATIONS + 1)}
    best, kept = -1.0, {}
    columns = [(part.images, part.masks) for part in training]
    for step, rows in enumerate(batches(sum(len(part.images) for part in training), budget, rng), 1):
        images, masks = augment(pick(columns, rows), rng)
        loss = _loss(net, images, masks)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        progress(step, budget.steps, "train segmentation")
        if step in evaluations:
            if not torch.isfinite(loss):
                raise UsageError(f"training diverged by step {step} of {budget.steps}: give a smaller learning_rate.")
            reached = shown_iou(count(net, validation, budget.batch))
            if reached > best:
                best, kept = reached, {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(kept)


def one_cycle(net: torch.nn.Module, budget: Budget) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW, and the schedule of its learning rate."""
    import torch

    rate, steps = budget.learning_rate, budget.steps
    rise = WARM_UP if WARM_UP * steps != 1 else WARM_UP / 2  # torch divides by the steps of the rise less one
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=rise)


def count(net: torch.nn.Module, patches: Labelled, batch: int) -> NDArray[np.float64]:
    """The counts of `segmentation_counts` for every patch."""
    import torch

    net.eval()
    counts = []
    with torch.inference_mode():
        for start in range(0, len(patches.images), batch):
            part = slice(start, start + batch)
            predicted = net(tensor(net, patches.images[part])).argmax(dim=1).to(torch.uint8).cpu().numpy()
            counts.append(segmentation_counts(predicted, patches.masks[part], len(patches.pixels)))
    return np.concatenate(counts)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seeds torch, disables TF32 and other inexact kernels, and restores everything at the end."""
    import torch

    on_gpu = device() == "cuda"
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if on_gpu else []), full_float32():
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.manual_seed(seed)
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def batches(n: int, budget: Budget, rng: np.random.Generator) -> NDArray[np.int64]:
    """int64 (steps, batch): one shuffling of the n patches after the other, so that all are seen equally often."""
    wanted = budget.steps * budget.batch
    stream = np.concatenate([rng.permutation(n) for _ in range(math.ceil(wanted / n))])
    return stream[:wanted].reshape(budget.steps, budget.batch)


def pick(training: Sequence[tuple[NDArray[Any], ...]], rows: NDArray[np.int64]) -> list[NDArray[Any]]:
    """The rows of sets of several columns, each column indexed as if the sets were concatenated."""
    starts = np.cumsum([0, *(len(columns[0]) for columns in training)])
    owners = np.searchsorted(starts, rows, side="right") - 1
    places = list(zip([training[owner] for owner in owners], (rows - starts[owners]).tolist(), strict=True))
    return [np.stack([columns[i][row] for columns, row in places]) for i in range(len(training[0]))]


def augment(columns: list[NDArray[Any]], rng: np.random.Generator) -> list[NDArray[Any]]:
    """Images (the first column) and their maps, each patch in one of its eight orientations; the optical density of the images
    is scaled as a whole (light) and by colour (stain)."""
    turns = rng.integers(8, size=len(columns[0])).tolist()
    factors = rng.uniform(0.85, 1.15, (len(turns), 1, 1, 1)) * rng.uniform(0.9, 1.1, (len(turns), 1, 1, 3))
    images, *maps = (np.stack([_turn(patch, k) for patch, k in zip(column, turns, strict=True)]) for column in columns)
    return [restain(images, factors), *maps]


def _turn(array: NDArray[Any], k: int) -> NDArray[Any]:
    turned = np.rot90(array, k % 4)
    return turned[:, ::-1] if k >= 4 else turned


def _loss(net: torch.nn.Module, images: Images, masks: Masks) -> torch.Tensor:
    """Mean cross-entropy over the labelled pixels of a batch; 0 where it has none."""
    import torch

    net.train()
    logits = net(tensor(net, images)).permute(0, 2, 3, 1).flatten(0, 2)  # as rows: deterministic on a GPU, unlike maps
    truth = torch.from_numpy(masks).to(logits.device).long().flatten()
    total = torch.nn.functional.cross_entropy(logits, truth, ignore_index=IGNORED, reduction="sum")
    return total / (truth != IGNORED).sum().clamp(min=1)


def tensor(net: torch.nn.Module, images: Images) -> torch.Tensor:
    """float32 (n, 3, h, w) on the device of the network, about zero mean and unit spread for stained tissue."""
    import torch

    device = next(net.parameters()).device
    return (torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).float() / 255 - 0.7) / 0.2
