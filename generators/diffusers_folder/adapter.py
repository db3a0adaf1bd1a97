"""`diffusers:DIR`: a pipeline that diffusers saved into a folder, with weights that others trained.

Conditions become arguments of the pipeline's call (`mapping.py`); nothing is resized, and no code of the folder is run.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.runtime.precision import in_fixed_batches
from bench.types import Card, Conditions, Images
from generators.diffusers_folder.contents import PipelineFolder
from generators.diffusers_folder.mapping import Settings, choose_mapping, make_arguments, needs_of, parse_palette
from generators.diffusion.config import check_counts, check_not_negative

if TYPE_CHECKING:
    from generators.diffusers_folder.calls import LoadedPipeline

MPP_TOLERANCE = 0.1
"""Largest difference of two resolutions that count as one, as a share."""


class Diffusers:
    """A local folder of a diffusers pipeline. Weights are safetensors; custom code and pickled weights are refused."""

    card = Card(
        "diffusers",
        "1",
        "A local folder of a diffusers pipeline, with conditions mapped to its arguments.",
        licence="that of the folder",
        source="a folder that diffusers wrote with save_pretrained",
        tolerance="rounding",
        notes="Safety checkers are left out, since they blacken images. What it was trained on is known as far as its card "
        "states it.",
    )
    checkpoint_options = ("checkpoint", "licence", "trained_on", "conditioned_by")

    def __init__(
        self,
        checkpoint: Path,
        arguments: tuple[str, ...] = (),
        template: str = "{classes}",
        negative: str = "",
        palette: tuple[str, ...] = (),
        steps: int | None = None,
        guidance: float | None = None,
        strength: float | None = None,
        control_scale: float | None = None,
        side: int = 0,
        batch: int = 8,
        precision: Literal["fp32", "fp16", "bf16"] = "fp32",
        variant: str = "",
        licence: str = "",
        trained_on: tuple[str, ...] = (),
        conditioned_by: tuple[str, ...] = (),
    ) -> None:
        """`arguments`: ARGUMENT=SOURCE of `mapping.SOURCES`, in place of the defaults of the pipeline's class. `steps`,
        `guidance`, `strength`, `control_scale`, `negative`: arguments of the call; those that are not given have the values of
        the pipeline. `side`: of its images in pixels, where it can make others than its own. `variant`: of the files of
        weights, e.g. fp16. `licence`, `trained_on`, `conditioned_by`: what its card file does not state."""
        self.checkpoint = Path(checkpoint)
        self.arguments, self.template, self.negative, self.palette = arguments, template, negative, palette
        self.steps, self.guidance, self.strength, self.control_scale = steps, guidance, strength, control_scale
        self.side, self.batch, self.precision, self.variant = side, batch, precision, variant
        self.licence, self.trained_on, self.conditioned_by = licence, trained_on, conditioned_by
        check_counts(batch=batch, **({} if steps is None else {"steps": steps}), **({"side": side} if side else {}))
        given = {"guidance": guidance, "strength": strength, "control_scale": control_scale}
        check_not_negative(**{name: value for name, value in given.items() if value is not None})
        self._folder = PipelineFolder(self.checkpoint)
        self._mapping = choose_mapping(self._folder.pipeline, arguments)
        self._colours = parse_palette(palette)
        self._held = self._folder.read_card()
        self._model: LoadedPipeline | None = None
        self.card = replace(
            type(self).card,
            licence=licence or self._held.licence or self._refuse_unlicensed(),
            source=self._held.source or type(self).card.source,
            needs=needs_of(self._mapping),
            trained_on=trained_on or self._held.trained_on,
            conditioned_by=conditioned_by or self._held.conditioned_by,
        )

    @cached_property
    def digest(self) -> str:
        """sha256 of the content of the folder, as far as it is loaded. DamagedError where a file of weights is damaged."""
        return self._folder.digest

    def check_patches(self, conditions: Conditions) -> None:
        """Raises UsageError where the pipeline makes images of another side or resolution, or lacks an argument that is
        mapped."""
        from generators.diffusers_folder.calls import check_call, find_class

        settings = self._settings(conditions.size)
        asked = {**{name: f"arguments={name}={source}" for name, source in self._mapping.items()}, **self._askers(settings)}
        check_call(find_class(self._folder), asked)
        native = self._folder.native_side()
        made = self.side or native
        if made != conditions.size:
            advice = f"If it can make others: -o generator.side={conditions.size}. Or choose patches of its side"
            what = f"images of {made} px" if made else "images of a side that its configs do not state"
            raise UsageError(
                f"{self.checkpoint} makes {what}, and patches of {conditions.size} px are asked for; nothing is resized. "
                f"{advice}, e.g. with -o dataset.size=…"
            )
        mpp, own = conditions.mpp, self._held.mpp
        if own is not None and not math.isnan(mpp) and abs(mpp - own) > MPP_TOLERANCE * own:
            raise UsageError(
                f"{self.checkpoint} was trained at {own:g} microns per pixel, as its card states, and these patches have "
                f"{mpp:g}. Choose data of its resolution, or correct {self.checkpoint.name}.card.toml."
            )

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3), generated in batches of fixed size, each image with a random generator of its own."""
        self.check_patches(conditions)
        return in_fixed_batches(self._generate, conditions, seeds, size=self.batch)

    def _generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        if self._model is None:
            from generators.diffusers_folder.calls import LoadedPipeline

            self._model = LoadedPipeline(self._folder, self.precision, self.variant)
        sources = Settings(self.template, self._colours, self._model.classes)
        settings = self._settings(conditions.size)
        if self.negative:
            settings["negative_prompt"] = [self.negative] * len(conditions)
        return self._model.call(make_arguments(self._mapping, conditions, sources), settings, seeds)

    def _settings(self, size: int) -> dict[str, Any]:
        """Arguments that are the same for all images."""
        values = {
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "strength": self.strength,
            "controlnet_conditioning_scale": self.control_scale,
            "negative_prompt": self.negative or None,
        }
        if self.side and self.side != self._folder.native_side():
            values |= {"height": size, "width": size}
        return {name: value for name, value in values.items() if value is not None}

    def _askers(self, settings: dict[str, Any]) -> dict[str, str]:
        options = {
            "num_inference_steps": "steps",
            "guidance_scale": "guidance",
            "strength": "strength",
            "controlnet_conditioning_scale": "control_scale",
            "negative_prompt": "negative",
            "height": "side",
            "width": "side",
        }
        return {name: f"the option {options[name]}" for name in settings}

    def _refuse_unlicensed(self) -> str:
        raise UsageError(
            f'{self.checkpoint} states no licence of its weights: write licence = "..." into {self.checkpoint.name}.card.toml '
            "beside it, or give -o generator.licence=NAME."
        )
