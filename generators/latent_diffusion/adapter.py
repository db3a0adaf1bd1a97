"""Latent diffusion conditioned on a class map and, in two of three variants, on the appearance of tissue.

    ldm-semantic   the class map alone
    ldm-prompt     the map and one raw tissue crop per class (HeteroTissue-Diffuse, Alfasly et al. 2025)
    ldm-embed      the map and an encoder's embedding of each crop, placed over the region of its class

The variants share network, config and first stage, and differ only in `kind`: what the denoiser is conditioned on. This file
has options, files and keys, `config.py` every number, `model.py` training and sampling, `networks.py` the networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.files.paths import make_folder
from bench.presets import configure
from bench.provenance.digests import digest_of
from bench.runtime.sealed import write_sealed
from bench.types import Card, Conditions, Images, ImageSet, Progress
from generators.diffusion import checks
from generators.diffusion.batches import check_batches
from generators.diffusion.shipped import find_shipped
from generators.latent_diffusion.config import PRESETS, SAMPLING, STAGE_FILE, STAGE_VERSION, LatentDiffusionConfig

if TYPE_CHECKING:
    from generators.latent_diffusion.model import LatentDiffusion
    from generators.latent_diffusion.published import Published

PAPER_SOURCE = "Alfasly et al., HeteroTissue-Diffuse, NeurIPS 2025, arXiv 2509.17847; shapes of its public development code"


class _Ldm:
    """What the three variants share."""

    card: Card
    presets: Mapping[str, LatentDiffusionConfig] = PRESETS
    kind: Literal["semantic", "prompt", "embed"]
    """What the denoiser is conditioned on."""
    checkpoint_options = ("checkpoint", "checkpoint_weights")

    def __init__(
        self,
        preset: str = "tiny",
        checkpoint: Path | None = None,
        checkpoint_weights: Literal["raw", "ema"] = "raw",
        **values: Any,
    ) -> None:
        """`values`: fields of `LatentDiffusionConfig` in place of those of the preset. `checkpoint`: a published file of
        weights, which decides all fields but those of sampling. `checkpoint_weights`: those of training, as the public code
        samples with, or their moving average."""
        self.checkpoint = checkpoint
        self.checkpoint_weights = checkpoint_weights
        self._given = values
        self._published: Published | None = None
        if checkpoint is None:
            self._config = configure(self.card.name, self.presets, preset, values)
        elif wrong := [name for name in values if name not in SAMPLING]:
            raise UsageError(
                f"{self.card.name}: the checkpoint decides {', '.join(wrong)}. Options beside it are {', '.join(SAMPLING)}."
            )
        self._model: LatentDiffusion | None = None
        self._stage: Path | None = None

    @property
    def config(self) -> LatentDiffusionConfig:
        """Of the preset and the options; with a checkpoint, of its tensors. Raises MissingError, DamagedError or UsageError
        where that is no checkpoint of this variant."""
        if self.checkpoint is None:
            return self._config
        return replace(self._read_published().config, **self._given)

    @cached_property
    def digest(self) -> str:
        """sha256 of the checkpoint, with which of its weights are used; empty without one."""
        return "" if self.checkpoint is None else f"{digest_of(self.checkpoint)} {self.checkpoint_weights}"

    def _read_published(self) -> Published:
        if self._published is None:
            from generators.latent_diffusion.published import read_published

            assert self.checkpoint is not None
            self._published = read_published(self.checkpoint)
            self.count_classes(self._published.condition_channels)
        return self._published

    def count_classes(self, channels: int) -> int:
        """The classes of a network whose condition has so many channels. Raises UsageError where no number of classes fits."""
        return channels

    def _load_checkpoint(self) -> LatentDiffusion:
        from generators.latent_diffusion.model import LatentDiffusion

        assert self.checkpoint is not None
        published = self._read_published()
        classes = self.count_classes(published.condition_channels)
        model = LatentDiffusion(self.config, self.kind, classes, self.crop_encoder(), self.first_crop())
        model.load_published(published, self.checkpoint_weights, self.checkpoint)
        return model

    @classmethod
    def trial(cls) -> Self:
        """An instance that trains in seconds, for `bench check`."""
        return cls(steps=4, stage_steps=4, sample_steps=3)

    def effort(self) -> str:
        """What training takes."""
        return f"{self.config.stage_steps} steps of the first stage (shared) and {self.config.steps} of the denoiser"

    def crop_encoder(self) -> str:
        """Name of the encoder that turns crops into vectors; empty where the variant has none."""
        return ""

    def stage_config(self) -> dict[str, Any]:
        """What decides the first stage, the same for all variants: a stage is trained once."""
        return {"first stage": asdict(self.config.first_stage()), "version": STAGE_VERSION}

    def train_stage(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains the first stage on images alone."""
        from generators.latent_diffusion.model import fit_first_stage

        fit_first_stage(self.config.first_stage(), train.images, seed, progress, work)

    def use_stage(self, folder: Path) -> None:
        """Takes the first stage from a folder of `train_stage`."""
        self._stage = folder / STAGE_FILE

    def check_devices(self, devices: int) -> None:
        """Raises UsageError where a batch cannot be split evenly over so many devices."""
        check_batches(devices, stage_batch=self.config.stage_batch, batch=self.config.batch)

    def first_crop(self) -> int:
        """The first class whose crop the network is shown, where it is shown crops."""
        return 0

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains the denoiser on the latents of the first stage, which is trained first unless `use_stage` gave one."""
        from generators.latent_diffusion.model import LatentDiffusion

        self._check_conditions(train.conditions)
        classes = len(train.conditions.classes)
        model = LatentDiffusion(self.config, self.kind, classes, self.crop_encoder(), self.first_crop())
        stage = self._stage
        if stage is None:
            stage = self._finished_stage(train, seed, progress, work)
        model.load_first_stage(stage)
        model.fit(train, seed, progress, work)
        self._model = model

    def _finished_stage(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> Path:
        from generators.diffusion.training_state import is_finished

        finished, training = work / "stage-finished", work / "stage"

        def move(fresh: Path) -> None:
            (training / STAGE_FILE).replace(fresh / STAGE_FILE)

        if not is_finished(finished):
            make_folder(training)
            self.train_stage(train, seed, progress, training)
            write_sealed(finished, move)
        return finished / STAGE_FILE

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3), generated in batches of fixed size."""
        self._check_conditions(conditions)
        if self._model is None and self.checkpoint is not None:
            self._model = self._load_checkpoint()
        model = checks.require_model(self.card, self._model)
        checks.check_classes(self.card, model.classes, conditions, advice=self._advice())
        return model.generate(conditions, seeds)

    def save(self, folder: Path) -> None:
        """Writes `first_stage.safetensors`, `<name>.safetensors` and `<name>.json`. Several variants that share a first stage
        may be saved into one folder."""
        checks.require_model(self.card, self._model, "save").save(folder, self.card.name)

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; raises MissingError where a file is absent or does not fit the config."""
        from generators.latent_diffusion.model import LatentDiffusion

        notes = checks.read_notes(self.card, folder)
        classes = notes.classes(least=self.first_crop() + 1)
        model = LatentDiffusion(self.config, self.kind, classes, self.crop_encoder(), self.first_crop())
        model.load(folder, self.card.name, notes)
        self._model = model

    def shipped(self, train_key: str) -> Path | None:
        """The folder of weights inside the package that were fitted on this training set with these options, if any."""
        return find_shipped(self.card.name, self.training_config(), train_key)

    def training_config(self) -> dict[str, Any]:
        """What decides the weights apart from data and seed."""
        config = {name: value for name, value in asdict(self.config).items() if name not in SAMPLING}
        return {"name": self.card.name, "version": self.card.version, "config": config}

    def _advice(self) -> str:
        if self.checkpoint is None:
            return checks.FIT_ADVICE
        return "Merge the classes of the data with --class-map, or use a checkpoint of these classes."

    def _check_conditions(self, conditions: Conditions) -> None:
        checks.check_conditions(self.card, self.config.multiple, conditions)


class LdmSemantic(_Ldm):
    """Conditioned on the class map only, which determines neither colours nor cells."""

    kind = "semantic"
    card = Card(
        "ldm-semantic",
        "1",
        "Latent diffusion on the class map alone (the paper's NoPrompt arm).",
        licence="Apache-2.0",
        source=PAPER_SOURCE,
        needs=("masks",),
    )


class LdmPrompt(_Ldm):
    """The class map and, for every class, a canvas with one raw crop: the crop shows stain, cells and texture.

    The condition has 4 channels a class: its map and its canvas. With `crops="without-background"` class 0 has no canvas, as
    in the public code for PANDA: of 3 classes 9 channels.
    """

    kind = "prompt"
    card = Card(
        "ldm-prompt",
        "1",
        "Latent diffusion on the class map and one raw tissue crop per class (the paper's Prompt arm).",
        licence="Apache-2.0",
        source=PAPER_SOURCE,
        needs=("masks", "prompts"),
    )

    def __init__(
        self,
        preset: str = "tiny",
        crops: Literal["every-class", "without-background"] = "every-class",
        checkpoint: Path | None = None,
        checkpoint_weights: Literal["raw", "ema"] = "raw",
        **values: Any,
    ) -> None:
        super().__init__(preset, checkpoint, checkpoint_weights, **values)
        self.crops = crops

    def count_classes(self, channels: int) -> int:
        """4 channels a class; 1 for class 0 where it has no crop."""
        classes, left = divmod(channels + 3 * self.first_crop(), 4)
        if left == 0:
            return classes
        other = "without-background" if self.crops == "every-class" else "every-class"
        fits_other = (channels + 3 * (1 - self.first_crop())) % 4 == 0
        advice = f"Its crops fit -o crops={other}" if fits_other else "A network on the map alone is ldm-semantic"
        raise UsageError(
            f"{self.checkpoint} maps {channels} channels of condition, which is no map and crop of each class "
            f"({self.crops}: 4 channels a class{', 1 for class 0' if self.first_crop() else ''}). {advice}."
        )

    def first_crop(self) -> int:
        return int(self.crops == "without-background")

    def training_config(self) -> dict[str, Any]:
        """The same, with `crops` if the network does not get all of them."""
        return super().training_config() | ({"crops": self.crops} if self.crops != "every-class" else {})


class LdmEmbed(_Ldm):
    """The class map with an encoder's vector of each crop placed over the region of its class.

    The paper names neither encoder nor injection of its embedding arm. Placing each vector over its region associates it with
    its class, as the canvas does, and keeps the rest of the network the same. `encoder` may be any installed encoder.
    """

    kind = "embed"
    card = Card(
        "ldm-embed",
        "1",
        "Latent diffusion on the class map and an encoder's vector of each class's crop (the paper's Emb. arm).",
        licence="Apache-2.0",
        source=PAPER_SOURCE + "; encoder and injection are not published: here each region carries its crop's vector",
        needs=("masks", "prompts"),
        conditioned_by=("phantom-cnn",),
    )

    def __init__(
        self,
        preset: str = "tiny",
        encoder: str = "phantom-cnn",
        checkpoint: Path | None = None,
        checkpoint_weights: Literal["raw", "ema"] = "raw",
        **values: Any,
    ) -> None:
        if checkpoint is not None:
            raise UsageError(
                "ldm-embed reads no checkpoint: neither encoder nor injection of the paper's embedding arm is published, so "
                "no file of it has a known format. Checkpoints are read by ldm-semantic and ldm-prompt."
            )
        super().__init__(preset, checkpoint, checkpoint_weights, **values)
        self.encoder = encoder
        self.card = replace(self.card, conditioned_by=(encoder,))

    def training_config(self) -> dict[str, Any]:
        """The same, with the encoder that the vectors come from."""
        return {**super().training_config(), "encoder": registry.describe(registry.load("encoders", self.encoder))}

    def crop_encoder(self) -> str:
        return self.encoder
