"""Nuclei-aware semantic diffusion: tissue from a map of typed nuclei and the edges between them.

Shrivastava and Fletcher, MICCAI 2023 (NASDM). This file holds options, files and keys; `config.py` every number, `model.py`
loss, training and sampling, `networks.py` the network. Synthetic masks are those of `generators/mask_diffusion`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.presets import configure
from bench.provenance.digests import digest_of
from bench.types import Card, Conditions, Images, ImageSet, Progress
from generators.diffusion import checks
from generators.diffusion.batches import check_batches
from generators.diffusion.shipped import find_shipped
from generators.nasdm.config import PRESETS, SAMPLING, NasdmConfig

if TYPE_CHECKING:
    from generators.nasdm.model import SemanticDiffusion


class Nasdm:
    """Diffusion in pixels on one-hot classes and instance edges.

    `checkpoint` is a plain state dict as the published family saves it (`ema_0.9999_NNNNNN.pt` of SDM, NASDM or DiffMix):
    then nothing is trained, the network has the sizes of the file, and the weights are kept in full precision.
    """

    presets: Mapping[str, NasdmConfig] = PRESETS
    card = Card(
        "nasdm",
        "1",
        "Semantic diffusion on typed nuclei and their edges, with dropped conditions and guidance (NASDM).",
        licence="Apache-2.0",
        source="Shrivastava and Fletcher 2023, arXiv 2303.11477; network of Wang and others 2022, arXiv 2207.00050",
        needs=("masks", "instances"),
        notes="The preset `tiny` unshuffles pixels 4 x 4 and samples in 8 steps of a second-order solver; `paper` takes 1000.",
    )

    def __init__(self, preset: str = "tiny", checkpoint: Path | None = None, **values: Any) -> None:
        """`values`: fields of `NasdmConfig` in place of those of the preset. A checkpoint decides the sizes of the network."""
        self.config = configure(self.card.name, self.presets, preset, values)
        self.checkpoint = None if checkpoint is None else Path(checkpoint).expanduser()
        self._model: SemanticDiffusion | None = None

    @classmethod
    def trial(cls) -> Self:
        """An instance that trains in seconds, for `bench check`."""
        return cls(steps=3, tuning_steps=2, sample_steps=3)

    @property
    def checkpoint_options(self) -> tuple[str, ...]:
        """Options that `digest` stands for."""
        return () if self.checkpoint is None else ("checkpoint",)

    @cached_property
    def network_config(self) -> NasdmConfig:
        """The config, with the sizes of the checkpoint where one is given."""
        if self.checkpoint is None:
            return self.config
        from generators.nasdm.published import take_sizes

        return take_sizes(self.config, self.checkpoint)

    def effort(self) -> str:
        """What training takes."""
        return f"{self.network_config.steps} steps and {self.network_config.tuning_steps} more with dropped conditions"

    def check_devices(self, devices: int) -> None:
        """Raises UsageError where a batch cannot be split evenly over so many devices."""
        check_batches(devices, batch=self.config.batch)

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains on real patches."""
        from generators.nasdm.model import SemanticDiffusion

        self._check_conditions(train.conditions)
        model = SemanticDiffusion(self.network_config, len(train.conditions.classes))
        model.fit(train, seed, progress, work)
        self._model = model

    def _load_checkpoint(self, classes: int) -> SemanticDiffusion:
        from generators.nasdm.model import SemanticDiffusion
        from generators.nasdm.published import load_checkpoint

        assert self.checkpoint is not None
        model = SemanticDiffusion(self.network_config, classes)
        load_checkpoint(model, self.checkpoint)
        return model

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3), generated in batches of fixed size."""
        self._check_conditions(conditions)
        if self._model is None and self.checkpoint is not None:
            self._model = self._load_checkpoint(len(conditions.classes))
        model = checks.require_model(self.card, self._model)
        checks.check_classes(self.card, model.classes, conditions)
        return model.generate(conditions, seeds)

    def save(self, folder: Path) -> None:
        """Writes `nasdm.safetensors`, in half precision, and `nasdm.json`."""
        from generators.diffusion.weight_files import save_network

        model = checks.require_model(self.card, self._model, "save")
        save_network(model.network, folder / f"{self.card.name}.safetensors")
        (folder / f"{self.card.name}.json").write_text(json.dumps({"classes": model.classes}) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; raises MissingError where a file is absent or does not fit the config."""
        from generators.diffusion.weight_files import load_network
        from generators.nasdm.model import SemanticDiffusion

        model = SemanticDiffusion(self.network_config, checks.read_notes(self.card, folder).classes())
        load_network(model.network, folder / f"{self.card.name}.safetensors")
        self._model = model

    def shipped(self, train_key: str) -> Path | None:
        """The folder of weights inside the package that were fitted on this training set with these options, if any."""
        return find_shipped(self.card.name, self.training_config(), train_key)

    def training_config(self) -> dict[str, Any]:
        """What decides the weights apart from data and seed."""
        config = {name: value for name, value in asdict(self.network_config).items() if name not in SAMPLING}
        return {"name": self.card.name, "version": self.card.version, "config": config}

    @cached_property
    def digest(self) -> str:
        """sha256 of the checkpoint; empty where there is none."""
        return "" if self.checkpoint is None else digest_of(self.checkpoint)

    def _check_conditions(self, conditions: Conditions) -> None:
        checks.check_conditions(self.card, self.network_config.multiple, conditions)
