"""State dicts of the published semantic diffusion family (SDM, NASDM, DiffMix), read by name and shape."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from bench.errors import BenchError, DamagedError, MissingError, UsageError
from bench.files.regular import check_regular, is_there
from generators.diffusion.lightning_files import read_checkpoint
from generators.nasdm.config import PRESETS, NasdmConfig
from generators.nasdm.model import SemanticDiffusion
from generators.nasdm.networks import SdmShape, SdmUNet, shape_of

HEAD, GROUPS = 64, 32
"""Values that no state dict contains and that all networks of the family share."""


def read(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, without running code from the file; prefixes of data-parallel training are removed."""
    if not is_there(path):
        raise MissingError(f"no checkpoint {path}. Give the file of a plain state dict, such as ema_0.9999_100000.pt.")
    held = read_checkpoint(path).tensors
    if whole := [name for name, value in held.items() if not value.is_floating_point()]:
        raise DamagedError(f"{path} holds whole numbers in {whole[0]}, which no network of this family has.")
    return {name.removeprefix("module."): value.float() for name, value in held.items()}


@cache
def _shape(path: Path, changed: float) -> SdmShape:
    return _shape_of(read(path), path)


def _shape_of(state: dict[str, Tensor], path: Path) -> SdmShape:
    """The shape of the network in the file. Raises UsageError or DamagedError where the tensors are not those of one."""
    try:
        found = shape_of(state, HEAD, GROUPS)
        with torch.device("meta"):  # a few tensors may claim a network that is larger than the memory
            wanted = {name: tuple(value.shape) for name, value in SdmUNet(found).state_dict().items()}
    except BenchError as error:
        raise type(error)(f"{path}: {error}") from error
    except Exception as error:  # names and shapes from outside may be any
        raise DamagedError(f"{path}: its tensors are not those of a semantic diffusion network ({error}).") from error
    given = {name: tuple(value.shape) for name, value in state.items()}
    if wanted != given:
        wrong = sorted(set(wanted.items()) ^ set(given.items()))[:3]
        raise UsageError(f"{path} is no whole semantic diffusion network; the first differences are {wrong}.")
    return found


def take_sizes(config: NasdmConfig, path: Path) -> NasdmConfig:
    """The config with the sizes of the network in the file."""
    check_regular(path, "checkpoint") if is_there(path) else read(path)
    found = _shape(path, path.stat().st_mtime)
    if not found.learned_variance:
        raise UsageError(f"{path} has no learned variances (learn_sigma), which this generator needs.")
    return replace(
        config,
        unshuffle=1,
        prediction="epsilon",
        width=found.width,
        multipliers=found.multipliers,
        blocks=found.blocks,
        attended=found.attended,
        head=found.head,
        groups=found.groups,
        hidden=found.hidden,
    )


def describe_fit(path: Path) -> str:
    """The preset of the network in the file, or its sizes if it is none."""
    found = _shape_of(read(path), path)
    for name, preset in PRESETS.items():
        if preset.unshuffle == 1 and take_sizes(preset, path) == preset:
            return f"preset {name}"
    return (
        f"no preset: {found.width} channels x {found.multipliers}, {found.blocks} blocks a level, attention on levels "
        f"{found.attended}, {found.labels} label channels"
    )


def load_checkpoint(model: SemanticDiffusion, path: Path) -> None:
    """Loads the weights of the file into the model. Raises UsageError if they are for other conditions."""
    state = read(path)
    found = _shape_of(state, path)
    if found.labels != model.classes + 1:
        raise UsageError(
            f"{path} reads {found.labels} label channels: {found.labels - 1} classes and the edges of instances. These "
            f"conditions have {model.classes} classes. Use the data set, or the merging of types, that it was trained with."
        )
    wanted = {name: tuple(value.shape) for name, value in model.network.net.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    if wanted != given:
        wrong = sorted(set(wanted.items()) ^ set(given.items()))[:3]
        raise UsageError(f"{path} is {describe_fit(path)}, and differs in {wrong}.")
    model.network.net.load_state_dict(state)
    model.network.eval()
