"""Loading a pipeline of diffusers from a checked folder, and calling it with one random generator for each image."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors import BenchError, DamagedError, MissingError, UsageError
from bench.runtime import torchvision_shim
from bench.runtime.precision import device, full_float32
from bench.runtime.refusals import refusal_of
from bench.types import Images
from generators.diffusers_folder.contents import UNUSED, PipelineFolder
from generators.diffusers_folder.mapping import Value

torchvision_shim.ready()
import diffusers  # noqa: E402
from diffusers import pipelines  # noqa: E402

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
IMAGENET = 1000
"""The label that diffusers' DiTPipeline takes for none, whatever the transformer was trained with."""


def find_class(folder: PipelineFolder) -> type[Any]:
    """The class of the pipeline, of diffusers. UsageError where diffusers has none of that name, or one that fetches more."""
    found: Any = getattr(diffusers, folder.pipeline, None)
    is_pipeline = isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)
    if not is_pipeline:
        raise UsageError(
            f"{folder.folder} is of the class {folder.pipeline}, which is no pipeline of diffusers {diffusers.__version__}. "
            "Update diffusers, or write a plug-in that uses your class: bench new generator NAME."
        )
    if found._load_connected_pipes:
        raise UsageError(f"{folder.pipeline} fetches further pipelines that its README names: save each of them on its own.")
    return cast("type[Any]", found)


def check_call(cls: type[Any], arguments: Mapping[str, str]) -> dict[str, inspect.Parameter]:
    """The parameters of the pipeline's call. UsageError where it lacks one of these: argument -> what asks for it."""
    known = dict(inspect.signature(cls.__call__).parameters)
    for argument, asked in arguments.items():
        if argument not in known:
            names = ", ".join(name for name in known if name not in ("self", "kwargs", "generator", "output_type"))
            raise UsageError(f"{cls.__name__} has no argument {argument}, which {asked} sets. Its arguments are {names}.")
    return known


class LoadedPipeline:
    """A pipeline with its weights, on a device."""

    def __init__(self, folder: PipelineFolder, precision: Precision, variant: str) -> None:
        """Raises MissingError or DamagedError where weights are absent, damaged or incomplete."""
        cls = find_class(folder)
        with _explained(folder.folder, cls):
            models = {
                name: model
                for name, (library, class_name) in folder.components.items()
                if (model := _load_model(folder.folder, name, _component_class(folder.folder, library, class_name), variant))
            }
            known = inspect.signature(cls.__init__).parameters
            left_out = {name: None for name in UNUSED if name in known}
            quiet = {"requires_safety_checker": False} if "requires_safety_checker" in known else {}
            self.pipeline = cls.from_pretrained(str(folder.folder), local_files_only=True, **models, **left_out, **quiet)
        self.pipeline.set_progress_bar_config(disable=True)
        self.pipeline.to(device(), DTYPES[precision])
        self.classes: int | None = None
        if folder.pipeline == "DiTPipeline":
            self.classes = int(self.pipeline.transformer.config.num_embeds_ada_norm)
        self._generators: list[torch.Generator] = []
        self._complete_steps()

    def _complete_steps(self) -> None:
        """Gives the scheduler the generators of the images where the pipeline does not: it would draw from torch's global
        generator, and an image would depend on its batch."""
        scheduler = self.pipeline.scheduler
        step = scheduler.step
        if "generator" not in inspect.signature(step).parameters:
            return

        @functools.wraps(step)
        def complete(model_output: Any, timestep: Any, sample: Any, *args: Any, **more: Any) -> Any:
            if not args and more.get("generator") is None and self._generators:
                more["generator"] = self._generators * (len(sample) // len(self._generators))
            return step(model_output, timestep, sample, *args, **more)

        scheduler.step = complete

    @full_float32()
    def call(self, arguments: Mapping[str, Value], settings: Mapping[str, Any], seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, h, w, 3). `arguments` have a row for each image; `settings` are the same for all of them."""
        self._generators = [torch.Generator().manual_seed(int(seed >> np.uint64(1))) for seed in seeds]  # torch takes 63 bits
        self._check_labels(arguments, settings)
        given = {name: self._to_torch(name, value) for name, value in arguments.items()}
        size = {"batch_size": len(seeds)} if "batch_size" in inspect.signature(type(self.pipeline).__call__).parameters else {}
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(int(seeds[0] >> np.uint64(1)))
            before = _global_state()
            found = self.pipeline(**given, **settings, **size, generator=self._generators, output_type="np").images
            if len(seeds) > 1 and any(not torch.equal(one, now) for one, now in zip(before, _global_state(), strict=True)):
                raise UsageError(
                    f"{type(self.pipeline).__name__} draws from torch's global generator, so that an image would depend on "
                    "what else is in its batch: give -o generator.batch=1, or another scheduler in the folder."
                )
        return _to_images(type(self.pipeline).__name__, np.asarray(found), len(seeds))

    def _check_labels(self, arguments: Mapping[str, Value], settings: Mapping[str, Any]) -> None:
        if self.classes is None:
            return
        labels = np.asarray(arguments.get("class_labels", [0]))
        if labels.max(initial=0) > self.classes or labels.min(initial=0) < 0:
            raise UsageError(f"the pipeline knows the classes 0 to {self.classes - 1}, and {labels.max()} is asked of it.")
        if self.classes != IMAGENET and settings.get("guidance_scale", 4.0) > 1:
            raise UsageError(
                f"DiTPipeline guides with class {IMAGENET} as none, and this transformer has {self.classes} classes: give "
                "-o generator.guidance=1, which is no guidance."
            )

    def _to_torch(self, name: str, value: Value) -> Any:
        if isinstance(value, list):
            return value
        if name == "class_labels":
            return value.tolist()
        return torch.from_numpy(value).to(self.pipeline.device, self.pipeline.dtype)


def _component_class(folder: Path, library: str, name: str) -> type[Any]:
    """The class of a component: of diffusers, transformers or a package of diffusers' pipelines, of no other library."""
    if library == "transformers":
        try:
            module: Any = importlib.import_module("transformers")
        except ImportError as error:
            raise MissingError(
                f"{folder} has a component of transformers, which is absent: pip install 'histobench[encoders]'."
            ) from error
    elif library == "diffusers":
        module = diffusers
    else:
        module = getattr(pipelines, library, None)
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise UsageError(
            f"{folder} has a component of the class {library}.{name}, which neither diffusers {diffusers.__version__} nor "
            "transformers has. Update them, or write a plug-in that uses your class: bench new generator NAME."
        )
    if name == "MultiControlNetModel":
        raise UsageError(f"{folder} has several ControlNets, each with an image of its own: save a pipeline with one of them.")
    return found


def _load_model(folder: Path, component: str, cls: type[Any], variant: str) -> Any:
    """A component with weights; None for one without. DamagedError where some of its weights are in no file: its library would
    fill them with random numbers."""
    if not issubclass(cls, torch.nn.Module):
        return None
    names = {"variant": variant} if variant else {}
    network: Any = cls
    model, found = network.from_pretrained(
        str(folder / component), use_safetensors=True, local_files_only=True, output_loading_info=True, **names
    )
    if absent := sorted(found["missing_keys"]):
        raise DamagedError(
            f"{folder / component} lacks {len(absent)} of the weights of {cls.__name__}, {absent[0]} among them. "
            "Copy it again."
        )
    return model.eval()


@contextmanager
def _explained(folder: Path, cls: type[Any]) -> Iterator[None]:
    """DamagedError in place of what libraries raise on files that do not fit together."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:  # what two libraries raise on any content of their files cannot be listed
        if refusal_of(error) is not None:
            raise
        text = " ".join(str(error).split())[:300]
        raise DamagedError(f"{folder} cannot be loaded as {cls.__name__}: {type(error).__name__}: {text}") from error


def _global_state() -> list[torch.Tensor]:
    return [torch.random.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def _to_images(name: str, found: NDArray[Any], n: int) -> Images:
    if found.dtype.kind != "f" or found.ndim != 4 or len(found) != n or found.shape[-1] != 3:
        raise UsageError(f"{name} returned {found.dtype} {found.shape} for {n} images; RGB images (n, h, w, 3) are needed.")
    if wrong := int((~np.isfinite(found).all(axis=(1, 2, 3))).sum()):
        raise FloatingPointError(
            f"{name} gave NaN or infinite values for {wrong} of {n} images: its weights are damaged, or the precision is too "
            "low. Try -o generator.precision=fp32."
        )
    return (found.clip(0, 1) * 255).round().astype(np.uint8)
