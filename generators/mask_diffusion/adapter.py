"""`nasdm-masks`: synthetic layouts of nuclei by diffusion, conditioned on the types to show (NASDM++'s mask generator).

This file has options, files and keys; `config.py` every number; `instance_encoding.py` the representation of touching nuclei,
which the paper does not publish; `model.py` training and sampling; `networks.py` the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.nuclei import UNLABELLED
from bench.messages import needed
from bench.presets import configure
from bench.types import Card, Conditions, ImageSet, Progress
from generators.diffusion import checks
from generators.diffusion.batches import check_batches
from generators.diffusion.shipped import find_shipped
from generators.mask_diffusion.config import PRESETS, SAMPLING, MaskDiffusionConfig
from generators.mask_diffusion.instance_encoding import types_present

if TYPE_CHECKING:
    from generators.mask_diffusion.model import MaskDiffusion

COVERED = 0.5
"""Least annotated share of a training patch."""


class NasdmMasks:
    """Diffusion over type maps and offsets to the middles of nuclei, conditioned on a multi-hot vector of the wanted types.

    It samples layouts of the size that it was trained on.
    """

    presets: Mapping[str, MaskDiffusionConfig] = PRESETS
    card = Card(
        "nasdm-masks",
        "1",
        "Layouts of nuclei by diffusion, conditioned on the types to show (NASDM++'s mask generator).",
        licence="Apache-2.0",
        source="NASDM++ (follow-up of Shrivastava and Fletcher 2023, arXiv 2303.11477): the multi-hot added to the step's "
        "embedding is the paper's; instance encoding, loss and decoding, which it does not publish, are ours",
        cost="O(n) passes of its network, times the sampling steps",
        needs=("masks", "instances"),
        notes="Conditioned on types, not on numbers and places. Trained on patches of which at least half is annotated; "
        "the rest counts as background.",
    )

    def __init__(self, preset: str = "tiny", **values: Any) -> None:
        """`values`: fields of `MaskDiffusionConfig` in place of those of the preset."""
        self.config = configure(self.card.name, self.presets, preset, values)
        self._model: MaskDiffusion | None = None

    @classmethod
    def trial(cls) -> Self:
        """An instance that trains in seconds, for `bench check`."""
        return cls(steps=4, sample_steps=3)

    def effort(self) -> str:
        """What training takes."""
        return f"{self.config.steps} steps of the layout diffusion"

    def check_devices(self, devices: int) -> None:
        """Raises UsageError where a batch cannot be split evenly over so many devices."""
        check_batches(devices, batch=self.config.batch)

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains on the layouts of the training patches; images are not used."""
        from generators.mask_diffusion.model import MaskDiffusion

        layouts = self._select_training_rows(train.conditions)
        model = MaskDiffusion(self.config, len(layouts.classes), layouts.size)
        model.fit(layouts, seed, progress, work)
        self._model = model

    def sample(self, asked: Conditions, seeds: NDArray[np.uint64]) -> Conditions:
        """A layout for each row of `asked`. Of its masks, only the types that they show are used.

        Masks (and types, the same array) hold 0 for background and 1..k-1 for types, instances number the nuclei of a
        patch from 1. Row i depends on the types of row i and seed i alone.
        """
        masks = needed(self.card.name, "masks", asked.masks)
        model = checks.require_model(self.card, self._model)
        self._check_conditions(model, asked)
        sampled, instances = model.sample(types_present(masks, asked.classes), seeds)
        return conditions_of(asked, sampled, instances)

    def save(self, folder: Path) -> None:
        """Writes `nasdm-masks.safetensors` and `nasdm-masks.json`."""
        checks.require_model(self.card, self._model, "save").save(folder, self.card.name)

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; raises MissingError where a file is absent or does not fit the config."""
        from generators.mask_diffusion.model import MaskDiffusion

        notes = checks.read_notes(self.card, folder)
        model = MaskDiffusion(self.config, notes.classes(least=2), notes.count("size", 1, checks.LARGEST_SIDE))
        model.load(folder, self.card.name, notes)
        self._model = model

    def shipped(self, train_key: str) -> Path | None:
        """The folder of weights inside the package that were fitted on this training set with these options, if any."""
        return find_shipped(self.card.name, self.training_config(), train_key)

    def training_config(self) -> dict[str, Any]:
        """What decides the weights apart from data and seed."""
        config = {name: value for name, value in asdict(self.config).items() if name not in SAMPLING}
        return {"name": self.card.name, "version": self.card.version, "config": config}

    def _select_training_rows(self, layouts: Conditions) -> Conditions:
        """The rows that are annotated enough. Raises UsageError on layouts without nuclei."""
        masks = needed(self.card.name, "masks", layouts.masks)
        instances = needed(self.card.name, "instances", layouts.instances)
        checks.check_conditions(self.card, self.config.multiple, layouts)
        if len(layouts.classes) < 2 or not (instances > 0).any():
            raise UsageError(
                f"{self.card.name} needs layouts with nuclei of at least one type; these have the classes "
                f"{', '.join(layouts.classes)} and {int((instances > 0).any(axis=(1, 2)).sum())} of {len(layouts)} patches "
                "show a nucleus. Choose a dataset of nuclei: bench list datasets."
            )
        covered = (masks != UNLABELLED).mean(axis=(1, 2)) >= COVERED
        if not covered.any():
            raise UsageError(f"{self.card.name}: annotation covers less than half of each of the {len(layouts)} patches.")
        return layouts[covered]

    def _check_conditions(self, model: MaskDiffusion, asked: Conditions) -> None:
        if (len(asked.classes), asked.size) != (model.classes, model.size):
            raise UsageError(
                f"{self.card.name} was fitted on {model.classes} classes in patches of {model.size} px; these conditions have "
                f"{len(asked.classes)} ({', '.join(asked.classes)}) in {asked.size} px. Fit it on this dataset: --fit."
            )


def conditions_of(asked: Conditions, masks: NDArray[np.uint8], instances: NDArray[np.int32]) -> Conditions:
    """The rows of `asked` with these layouts, and no other column."""
    return Conditions(asked.ids, asked.groups, asked.classes, asked.size, asked.mpp, masks, instances, types=masks)
