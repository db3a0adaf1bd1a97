"""State dicts of the published semantic diffusion family (SDM, NASDM, DiffMix), read by name and shape."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from bench.errors import DamagedError, MissingError, UsageError
from bench.messages import describe_error
from generators.nasdm.config import PRESETS, NasdmConfig
from generators.nasdm.model import SemanticDiffusion
from generators.nasdm.networks import SdmShape, shape_of

HEAD, GROUPS = 64, 32
"""Values that no state dict contains and that all networks of the family share."""


def read(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, without running code from the file; prefixes of data-parallel training are removed."""
    if not path.is_file():
        raise MissingError(f"no checkpoint {path}. Give the file of a plain state dict, such as ema_0.9999_100000.pt.")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise DamagedError(f"cannot read {path} as a state dict of tensors alone: {describe_error(error)}") from error
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise DamagedError(f"{path} holds {type(held).__name__}, not a plain state dict of tensors.")
    return {name.removeprefix("module."): value.float() for name, value in held.items()}


@cache
def _shape(path: Path, changed: float) -> SdmShape:
    return shape_of(read(path), HEAD, GROUPS)


def take_sizes(config: NasdmConfig, path: Path) -> NasdmConfig:
    """The config with the sizes of the network in the file."""
    if not path.is_file():
        read(path)
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
    found = shape_of(read(path), HEAD, GROUPS)
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
    found = shape_of(state, HEAD, GROUPS)
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
