"""Nuclei-aware semantic diffusion: tissue generated from a map of typed nuclei and the edges between them.

Shrivastava and Fletcher, MICCAI 2023 (NASDM), and its successor with synthetic masks. This file holds options, files and
keys; `networks/sdm_unet.py` the network, `semantic_diffusion.py` loss, fitting and generated set, `layouts.py` the masks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.jobs.store import key_of
from bench.provenance.digests import digest_of
from bench.types import Card, Conditions, Images, ImageSet, Progress
from generators.diffusion import checks
from generators.diffusion.shipped import shipped
from generators.nasdm.config import PRESETS, NasdmPreset

if TYPE_CHECKING:
    from generators.nasdm.model import SemanticDiffusion

SAMPLING = ("sampler", "sample_steps", "eta", "guidance")
"""Settings that change samples but not weights."""
UNSTATED_WEIGHT_DECAY = 0.01


class Nasdm:
    """Diffusion in pixels on one-hot classes and instance edges. Counts of 0 and values of none are the preset's own.

    `checkpoint` is a plain state dict as the published family saves it (`ema_0.9999_NNNNNN.pt` of SDM, NASDM or DiffMix):
    nothing is fitted then, the network takes the size that the file has, and its numbers are kept in full.
    """

    card = Card(
        "nasdm",
        "1",
        "Semantic diffusion on typed nuclei and their edges, with dropped conditions and guidance (NASDM).",
        source="Shrivastava and Fletcher 2023, arXiv 2303.11477; network of Wang and others 2022, arXiv 2207.00050",
        needs=("masks", "instances"),
        notes="The preset `tiny` jackknife replicates pixels 4 x 4 and samples in 10 steps of a second-order solver; `paper` walks 1000.",
    )

    def __init__(
        self,
        preset: Literal["tiny", "paper"] = "tiny",
        steps: int = 0,
        tuning_steps: int = 0,
        batch: int = 0,
        drop: float | None = None,
        ema: float | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
        sampler: Literal["preset", "ddpm", "ddim", "dpm"] = "preset",
        sample_steps: int = 0,
        eta: float | None = None,
        guidance: float | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        if min(steps, tuning_steps, batch, sample_steps) < 0:
            raise UsageError("steps, tuning_steps, batch and sample_steps are counts, not negative; 0 is the preset's own.")
        for name, value, most in (("drop", drop, 1), ("ema", ema, 1), ("eta", eta, 1), ("guidance", guidance, np.inf)):
            if value is not None and not 0 <= value <= most:
                raise UsageError(f"{name} lies in [0, {most:g}], not {value}.")
        self.preset = preset
        self.steps = steps
        self.tuning_steps = tuning_steps
        self.batch = batch
        self.drop = drop
        self.ema = ema
        self.precision = precision
        self.sampler = sampler
        self.sample_steps = sample_steps
        self.eta = eta
        self.guidance = guidance
        self.checkpoint = None if checkpoint is None else Path(checkpoint).expanduser()
        self._model: SemanticDiffusion | None = None

    @classmethod
    def trial(cls) -> Self:
        """An instance that fits in seconds, for `bench check`."""
        return cls(steps=3, tuning_steps=2, sample_steps=3)

    @cached_property
    def settings(self) -> NasdmPreset:
        """The preset with this instance's own numbers put in, and the sizes of the checkpoint where one is given."""
        base = PRESETS[self.preset]
        if self.checkpoint is not None:
            from generators.diffusion.checkpoints import sized

            base = sized(base, self.checkpoint)
        return replace(
            base,
            steps=self.steps or base.steps,
            tuning_steps=self.tuning_steps or base.tuning_steps,
            batch=self.batch or base.batch,
            drop=base.drop if self.drop is None else self.drop,
            ema=base.ema if self.ema is None else self.ema,
            sampler=base.sampler if self.sampler == "preset" else self.sampler,
            sample_steps=self.sample_steps or base.sample_steps,
            eta=base.eta if self.eta is None else self.eta,
            guidance=base.guidance if self.guidance is None else self.guidance,
        )

    def effort(self) -> str:
        """What a fit takes, said before it begins."""
        if self.checkpoint is not None:
            return f"nothing: the network is read from {self.checkpoint}"
        return f"{self.settings.steps} steps and {self.settings.tuning_steps} more with dropped conditions"

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Fits on real patches, or takes over the checkpoint."""
        from generators.nasdm.model import SemanticDiffusion

        self._accept(train.conditions)
        model = SemanticDiffusion(self.settings, len(train.conditions.classes))
        if self.checkpoint is not None:
            from generators.diffusion.checkpoints import adopt

            adopt(model, self.checkpoint)
        else:
            model.fit(train, self.precision, seed, progress, work)
        self._model = model

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3), generated in batches of fixed size."""
        self._accept(conditions)
        model = checks.ready(self.card, self._model)
        checks.same_classes(self.card, model.classes, conditions)
        return model.generate(conditions, seeds, self.settings)

    def save(self, folder: Path) -> None:
        """Writes `nasdm.safetensors`, in half precision unless it came from a checkpoint, and `nasdm.json`."""
        from generators.diffusion.weight_files import save_network

        model = checks.ready(self.card, self._model, "save")
        save_network(model.network, folder / f"{self.card.name}.safetensors", exact=self.checkpoint is not None)
        (folder / f"{self.card.name}.json").write_text(json.dumps({"classes": model.classes}) + "\n")

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; raises MissingError where a file is absent or does not fit the preset."""
        from generators.diffusion.weight_files import load_network
        from generators.nasdm.model import SemanticDiffusion

        model = SemanticDiffusion(self.settings, checks.notes(self.card, folder)["classes"])
        load_network(model.network, folder / f"{self.card.name}.safetensors")
        self._model = model

    def shipped(self, train_key: str) -> Path | None:
        """The folder of weights inside the package that were fitted on this training set with these options, if any."""
        return shipped(self.card.name, self.training_config(), train_key)

    def training_config(self) -> dict[str, Any]:
        """What decides the weights apart from data and seed, in plain numbers: a preset that changes makes other weights."""
        settings = {name: value for name, value in self._keyed().items() if name not in SAMPLING}
        source = {} if self.checkpoint is None else {"checkpoint": digest_of(self.checkpoint)}
        return {
            "name": self.card.name,
            "version": self.card.version,
            "precision": self.precision,
            "settings": settings,
            **source,
        }

    @property
    def digest(self) -> str:
        """The preset behind the options and the bytes of a checkpoint, so that either, changed, generates under another key."""
        return key_of({**self.training_config(), "sampling": self._keyed()})

    def _keyed(self) -> dict[str, Any]:
        """The settings as keys hold them. Weights that ship were keyed before presets stated their weight decay, which was
        that of torch for all: it is left out where it is that still."""
        settings = asdict(self.settings)
        return {name: value for name, value in settings.items() if (name, value) != ("weight_decay", UNSTATED_WEIGHT_DECAY)}

    def _accept(self, conditions: Conditions) -> None:
        checks.suits(self.card, self.preset, self.settings.multiple, conditions)
