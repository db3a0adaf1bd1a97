"""What a folder of a diffusers pipeline may hold: JSON, safetensors and files of tokenizers. No code, and nothing pickled.

    DIR/model_index.json        class of the pipeline, and library and class of each component
    DIR/<component>/...         configs, weights as safetensors, vocabularies
    DIR/README.md               licence, in its front matter
    DIR.card.toml               licence, source, trained_on, conditioned_by, mpp: what is known of the weights

No torch and no diffusers: read to plan a run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.errors import DamagedError, MissingError, UsageError, did_you_mean
from bench.files import typed_toml
from bench.files.json_files import read_object
from bench.files.names import path_part
from bench.files.regular import check_regular, is_folder, is_there, list_folder, read_text
from bench.files.tensor_files import read_tensors
from bench.provenance.digests import digest_of

INDEX = "model_index.json"
PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".dill"}
CODE = {".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".ipynb"}
REMOTE = ("auto_map", "custom_pipeline", "trust_remote_code")
"""Names in a config that lead to code outside of the libraries."""
UNUSED = ("safety_checker", "feature_extractor", "image_encoder", "watermark")
"""Components that may be left out. A safety checker gives black images in place of those that it takes for indecent, and it
was not made for tissue."""
DEEPEST = 4
"""Levels of folders."""


@dataclass(frozen=True)
class CardFile:
    """What is known of the weights, as a file beside the folder states it."""

    licence: str = ""
    source: str = ""
    trained_on: tuple[str, ...] = ()
    """Datasets."""
    conditioned_by: tuple[str, ...] = ()
    """Encoders that conditioned the pipeline or trained it."""
    mpp: float | None = None
    """Microns per pixel of the patches that it was trained on."""


class PipelineFolder:
    """A folder, checked as far as names and JSON go. Raises MissingError where there is none, DamagedError where it is
    damaged, and UsageError where it holds code or pickled weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not is_folder(folder) or not is_there(folder / INDEX):
            raise MissingError(
                f"no pipeline in {folder}: a folder that diffusers wrote (save_pretrained) has {INDEX}. Weights in one file "
                "become one with StableDiffusionPipeline.from_single_file(...).save_pretrained(DIR)."
            )
        self.files = tuple(_walk(folder))
        self._refuse_code()
        self.pipeline, self.components = self._read_index()

    @cached_property
    def digest(self) -> str:
        """sha256 over the names and content of all files that are loaded; the headers of weights are checked on the way.
        DamagedError where a file is damaged."""
        total = hashlib.sha256()
        for file in self.loaded():
            if file.suffix == ".safetensors":
                read_tensors(file, only_shapes=True)
            total.update(f"{file.relative_to(self.folder).as_posix()}\0{digest_of(file)}\n".encode())
        return total.hexdigest()

    def loaded(self) -> list[Path]:
        """The index, and the files of all components."""
        inside = [file for name in self.components for file in self.files if file.is_relative_to(self.folder / name)]
        return sorted([self.folder / INDEX, *inside])

    def config(self, component: str) -> dict[str, Any]:
        """The config of a component; empty where it has none."""
        file = self.folder / component / "config.json"
        return read_object(file, "config of a component") if component in self.components and is_there(file) else {}

    def native_side(self) -> int:
        """The side in pixels of the images that the pipeline was made for; 0 where its configs do not state it."""
        denoiser = next((name for name in ("unet", "transformer") if name in self.components), "")
        sample = self.config(denoiser).get("sample_size", 0)
        if isinstance(sample, list):
            sample = sample[0] if len(set(sample)) == 1 else 0
        coder = next((name for name in ("vae", "vqvae", "movq") if name in self.components), "")
        stages = self.config(coder).get("block_out_channels", []) if coder else [0]
        return int(sample) * 2 ** (len(stages) - 1) if isinstance(sample, int) and stages else 0

    def read_card(self) -> CardFile:
        """The card beside the folder, with the licence of README.md where it states none. UsageError where it is no card."""
        file = self.folder.with_name(f"{self.folder.name}.card.toml")
        held = CardFile()
        if is_there(file):
            known = [field.name for field in fields(CardFile)]
            if unknown := [name for name in typed_toml.load(file, "card") if name not in known]:
                hint = did_you_mean(unknown[0], known)
                raise UsageError(f"{file} has {unknown[0]!r}.{hint} A card has {', '.join(known)}.")
            held = typed_toml.read(file, CardFile, "card")
        return held if held.licence else CardFile(self._licence(), held.source, held.trained_on, held.conditioned_by, held.mpp)

    def _licence(self) -> str:
        from huggingface_hub.repocard import metadata_load

        readme = self.folder / "README.md"
        if not is_there(readme):
            return ""
        check_regular(readme, "model card")
        try:
            front = metadata_load(readme) or {}
        except Exception as error:  # what a parser of YAML raises on any text cannot be listed
            raise DamagedError(f"the front matter of {readme} is no YAML: {' '.join(str(error).split())[:200]}.") from error
        found = front.get("license_name") or front.get("license", "")
        return ", ".join(map(str, found)) if isinstance(found, list) else str(found)

    def _refuse_code(self) -> None:
        for file in self.files:
            if file.suffix.lower() in PICKLED:
                raise UsageError(
                    f"{file} may be pickled, and reading it may run code: only safetensors are read. Save the pipeline with "
                    "save_pretrained(DIR, safe_serialization=True), or remove the file if its weights lie beside it as "
                    ".safetensors."
                )
            if file.suffix.lower() in CODE:
                raise UsageError(f"{file} is code: a pipeline that brings its own code is not run. {_OWN_CLASS}")
            if file.name.endswith("config.json") and (name := _find_remote(_read_config(file))):
                raise UsageError(f"{file} names code by {name!r}, which is not run. {_OWN_CLASS}")

    def _read_index(self) -> tuple[str, dict[str, tuple[str, str]]]:
        """The class of the pipeline, and component -> its library and class."""
        file = self.folder / INDEX
        held = read_object(file, "index of a pipeline")
        name = held.get("_class_name")
        if not isinstance(name, str):
            raise UsageError(f"{file} names its pipeline by {name!a:.80}, a file of code and no class. {_OWN_CLASS}")
        components: dict[str, tuple[str, str]] = {}
        for component, value in held.items():
            if component.startswith("_") or not isinstance(value, list) or component in UNUSED or value == [None, None]:
                continue
            if len(value) != 2 or not all(isinstance(part, str) and part.isidentifier() for part in value):
                raise DamagedError(f"{file} is damaged: {component} is {value!a:.80}, not a library and a class.")
            path_part(component, f"component in {file}")
            if not is_folder(self.folder / component):
                raise DamagedError(
                    f"{file} names the component {component}, and {self.folder} has no such folder. Copy it again."
                )
            components[component] = (value[0], value[1])
        return name, components


_OWN_CLASS = "Write a plug-in that uses your code: bench new generator NAME."


def _walk(folder: Path, level: int = 0) -> Iterator[Path]:
    """Every file but hidden ones. UsageError where folders are nested too deep, as by a link to a folder above."""
    if level > DEEPEST:
        raise UsageError(f"{folder} has more than {DEEPEST} levels of folders, and is no folder of a pipeline.")
    for path in list_folder(folder):
        if path.name.startswith("."):
            continue
        if is_folder(path):
            yield from _walk(path, level + 1)
        else:
            check_regular(path, "file of a pipeline")
            yield path


def _read_config(file: Path) -> Any:
    """A config as its libraries read it: some write -Infinity, which is no JSON."""
    try:
        return json.loads(read_text(file, "config"))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{file} is damaged: it is not JSON ({str(error)[:200]}). Copy it again.") from error


def _find_remote(held: Any, level: int = 0) -> str:
    """A name of `REMOTE` anywhere in a config; empty where there is none."""
    if isinstance(held, dict):
        own = next((name for name in REMOTE if held.get(name)), "")
        return own or next((found for part in held.values() if (found := _find_remote(part, level + 1))), "")
    return next((found for part in held if (found := _find_remote(part, level + 1))), "") if isinstance(held, list) else ""
