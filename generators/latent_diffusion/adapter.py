"""Latent diffusion on a class map and, in two of three variants, on what tissue should look like.

    ldm-semantic   the class map alone
    ldm-prompt     the map and one raw tissue crop per class (HeteroTissue-Diffuse, Alfasly et al. 2025)
    ldm-embed      the map and an encoder's embedding of each crop, laid over the region of its class

One network family, one training config, one first stage: the variants differ in `kind`, what the denoiser is conditioned on,
and in nothing else. This file holds options, files and keys; `networks/latent.py` the networks, `diffusion.py` the loops.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.jobs.store import key_of
from bench.types import Card, Conditions, Images, ImageSet, Progress
from generators.diffusion import checks
from generators.diffusion.shipped import shipped
from generators.latent_diffusion.config import PRESETS, Preset

if TYPE_CHECKING:
    from generators.latent_diffusion.model import LatentDiffusion

SAMPLING = ("sampler", "sample_steps", "eta")
"""Settings that change samples but not weights."""
STAGE = (
    "size",
    "multiple",
    "stage_kind",
    "stage_channels",
    "stage_layers",
    "latent_channels",
    "codebook",
    "stage_steps",
    "stage_batch",
    "stage_rate",
    "views",
    "stain",
)
"""Settings that decide the first stage."""
PAPER_SOURCE = "Alfasly et al., HeteroTissue-Diffuse, NeurIPS 2025, arXiv 2509.17847; shapes of its public development code"


class _Ldm:
    """What the three variants share. `steps` and `stage_steps` of 0 mean the preset's own."""

    card: Card
    kind: Literal["semantic", "prompt", "embed"]
    """What the denoiser is conditioned on."""

    def __init__(
        self,
        preset: Literal["tiny", "paper"] = "tiny",
        steps: int = 0,
        stage_steps: int = 0,
        batch: int = 0,
        precision: Literal["fp32", "bf16"] = "fp32",
        sampler: Literal["preset", "ddim", "dpm"] = "preset",
        sample_steps: int = 0,
        eta: float | None = None,
    ) -> None:
        if min(steps, stage_steps, batch, sample_steps) < 0:
            raise UsageError("steps, stage_steps, batch and sample_steps are counts, not negative; 0 is the preset's own.")
        if eta is not None and not 0 <= eta <= 1:
            raise UsageError(f"eta is a share in [0, 1], not {eta}.")
        self.preset = preset
        self.steps = steps
        self.stage_steps = stage_steps
        self.batch = batch
        self.precision = precision
        self.sampler = sampler
        self.sample_steps = sample_steps
        self.eta = eta
        self._model: LatentDiffusion | None = None
        self._stage: Path | None = None

    @classmethod
    def trial(cls) -> Self:
        """An instance that fits in seconds, for `bench check`."""
        return cls(steps=4, stage_steps=4, sample_steps=3)

    @property
    def settings(self) -> Preset:
        """The preset with this instance's own numbers put in."""
        base = PRESETS[self.preset]
        return replace(
            base,
            steps=self.steps or base.steps,
            stage_steps=self.stage_steps or base.stage_steps,
            batch=self.batch or base.batch,
            sampler=base.sampler if self.sampler == "preset" else self.sampler,
            sample_steps=self.sample_steps or base.sample_steps,
            eta=base.eta if self.eta is None else self.eta,
        )

    def effort(self) -> str:
        """What a fit takes, said before it begins."""
        chosen = self.settings
        return f"{chosen.stage_steps} steps of the first stage (shared) and {chosen.steps} of the denoiser"

    def vectoriser(self) -> str:
        """Name of the encoder that turns crops into vectors; empty where the variant has none."""
        return ""

    def stage_config(self) -> dict[str, Any]:
        """What decides the first stage, the same for all variants: a stage is trained once."""
        stage = {name: value for name, value in asdict(self.settings).items() if name in STAGE}
        return {"first stage": stage, "precision": self.precision, "version": self.card.version}

    def train_stage(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains the first stage on images alone."""
        from generators.latent_diffusion.model import fit_first_stage

        fit_first_stage(self.settings, train.images, self.precision, seed, progress, work)

    def use_stage(self, folder: Path) -> None:
        """Takes the first stage from a folder of `train_stage`."""
        self._stage = folder / "first_stage.safetensors"

    def first_crop(self) -> int:
        """The first class whose crop the network is shown, where it is shown crops."""
        return 0

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        """Trains the denoiser on the latents of the first stage, which is trained here if nobody brought one."""
        from generators.latent_diffusion.model import LatentDiffusion

        self._accept(train.conditions)
        classes = len(train.conditions.classes)
        model = LatentDiffusion(self.settings, self.kind, classes, self.vectoriser(), self.first_crop())
        if self._stage is None:
            (work / "stage").mkdir(exist_ok=True)
            if not (work / "stage" / "done").exists():
                self.train_stage(train, seed, progress, work / "stage")
                (work / "stage" / "done").touch()
            self.use_stage(work / "stage")
        assert self._stage is not None
        model.load_first_stage(self._stage)
        model.fit(train, self.precision, seed, progress, work)
        self._model = model

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3), generated in batches of fixed size."""
        self._accept(conditions)
        model = checks.ready(self.card, self._model)
        checks.same_classes(self.card, model.classes, conditions)
        return model.generate(conditions, seeds, self.settings)

    def save(self, folder: Path) -> None:
        """Writes `first_stage.safetensors`, `<name>.safetensors` and `<name>.json`. Several variants that share a first stage
        may be saved into one folder."""
        checks.ready(self.card, self._model, "save").save(folder, self.card.name)

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; raises MissingError where a file is absent or does not fit the preset."""
        from generators.latent_diffusion.model import LatentDiffusion

        held = checks.notes(self.card, folder)
        model = LatentDiffusion(self.settings, self.kind, held["classes"], self.vectoriser(), self.first_crop())
        model.load(folder, self.card.name)
        self._model = model

    def shipped(self, train_key: str) -> Path | None:
        """The folder of weights inside the package that were fitted on this training set with these options, if any."""
        return shipped(self.card.name, self.training_config(), train_key)

    def training_config(self) -> dict[str, Any]:
        """What decides the weights apart from data and seed, in plain numbers: a preset that changes makes other weights."""
        settings = {name: value for name, value in asdict(self.settings).items() if name not in SAMPLING}
        return {"name": self.card.name, "version": self.card.version, "precision": self.precision, "settings": settings}

    @property
    def digest(self) -> str:
        """The preset behind the options, so that a changed preset generates under another key."""
        return key_of(asdict(self.settings))

    def _accept(self, conditions: Conditions) -> None:
        checks.suits(self.card, self.preset, PRESETS[self.preset].multiple, conditions)


class LdmSemantic(_Ldm):
    """The class map alone: colours and cells have to be guessed from it."""

    kind = "semantic"
    card = Card(
        "ldm-semantic",
        "1",
        "Latent diffusion on the class map alone (the paper's NoPrompt arm).",
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
        source=PAPER_SOURCE,
        needs=("masks", "prompts"),
    )

    def __init__(
        self,
        preset: Literal["tiny", "paper"] = "tiny",
        steps: int = 0,
        stage_steps: int = 0,
        batch: int = 0,
        precision: Literal["fp32", "bf16"] = "fp32",
        sampler: Literal["preset", "ddim", "dpm"] = "preset",
        sample_steps: int = 0,
        eta: float | None = None,
        crops: Literal["every-class", "without-background"] = "every-class",
    ) -> None:
        super().__init__(preset, steps, stage_steps, batch, precision, sampler, sample_steps, eta)
        self.crops = crops

    def first_crop(self) -> int:
        return int(self.crops == "without-background")

    def training_config(self) -> dict[str, Any]:
        """The same; which crops the network is shown where that is not all of them."""
        return super().training_config() | ({"crops": self.crops} if self.crops != "every-class" else {})


class LdmEmbed(_Ldm):
    """The class map with an encoder's vector of each crop laid over the region of its class.

    The paper names neither encoder nor injection of its embedding arm. Laying each vector over its region keeps it with
    its class, as the canvas does, and leaves the rest of the network the same. `encoder` may be any that is installed.
    """

    kind = "embed"
    card = Card(
        "ldm-embed",
        "1",
        "Latent diffusion on the class map and an encoder's vector of each class's crop (the paper's Emb. arm).",
        source=PAPER_SOURCE + "; encoder and injection are not published: here each region carries its crop's vector",
        needs=("masks", "prompts"),
        conditioned_by=("phantom-cnn",),
    )

    def __init__(
        self,
        preset: Literal["tiny", "paper"] = "tiny",
        steps: int = 0,
        stage_steps: int = 0,
        batch: int = 0,
        precision: Literal["fp32", "bf16"] = "fp32",
        sampler: Literal["preset", "ddim", "dpm"] = "preset",
        sample_steps: int = 0,
        eta: float | None = None,
        encoder: str = "phantom-cnn",
    ) -> None:
        super().__init__(preset, steps, stage_steps, batch, precision, sampler, sample_steps, eta)
        self.encoder = encoder
        self.card = replace(self.card, conditioned_by=(encoder,))

    def training_config(self) -> dict[str, Any]:
        """The same, with the encoder that the vectors come from."""
        return {**super().training_config(), "encoder": registry.describe(registry.load("encoders", self.encoder))}

    def vectoriser(self) -> str:
        return self.encoder
