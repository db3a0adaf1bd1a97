"""Checkpoints of a training run: tensors (safetensors) and JSON, with checksums, and nothing that runs code when it is read.

    work/step-00000250/tensors.safetensors    network, averaged weights, moments of the optimiser
                      /state.json             step, and what the run is: seed, training config
                      /checksums.json

A checkpoint that is damaged, of another run or of another kind is removed with one line, and training goes on from an earlier
one or from the start. A finished stage of a training (`keep_finished`) is kept in the same form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.files import paths
from bench.runtime.notices import notice
from bench.runtime.refusals import refusal_of
from bench.runtime.sealed import NotIntact, check_sealed, write_sealed

TENSORS, STATE = "tensors.safetensors", "state.json"
_NAME = re.compile(r"step-(\d{8})")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW holds of each parameter."""


@dataclass
class TrainingState:
    """The objects that training changes. What follows from the step alone, as the learning rate does, is not kept."""

    network: nn.Module
    optimiser: torch.optim.AdamW
    average: Any
    """diffusers' EMAModel."""
    run: dict[str, Any]
    """JSON: what tells this run from others whose checkpoints fit the network too."""

    def write(self, work: Path, step: int) -> None:
        """Writes a checkpoint beside the last one, then drops the last one: a kill at any moment leaves one of them."""
        older = [path for path in work.iterdir() if _NAME.fullmatch(path.name)]
        held = {"step": step, "average": self.average.optimization_step, "run": self.run}

        def write(folder: Path) -> None:
            save_file(_separate(self._tensors()), folder / TENSORS)
            (folder / STATE).write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")

        place = work / f"step-{step:08d}"
        write_sealed(place, write)
        for path in older:
            if path != place:
                paths.delete(path)

    def find(self, work: Path, steps: int) -> int:
        """The step of the latest checkpoint that is intact and of this run, 0 without one. Others are removed."""
        found = []
        for path in sorted(work.iterdir()):
            if path.name.startswith("writing-step-"):
                paths.delete(path)
            elif named := _NAME.fullmatch(path.name):
                try:
                    self._read(path, int(named[1]), steps)
                except Exception as error:
                    if refusal_of(error):
                        raise
                    _discard(path, error)
                else:
                    found.append(int(named[1]))
        return max(found, default=0)

    def load(self, work: Path, step: int, steps: int) -> None:
        """Takes over the checkpoint of this step."""
        tensors, held = self._read(work / f"step-{step:08d}", step, steps)
        self.network.load_state_dict(_part(tensors, "network."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, values in _part(tensors, "optimiser.").items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = values
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        shadow = _part(tensors, "average.")
        ordered = [shadow[str(number)] for number in range(len(shadow))]
        self.average.load_state_dict(
            {**self.average.state_dict(), "optimization_step": held["average"], "shadow_params": ordered}
        )

    def _tensors(self) -> dict[str, Tensor]:
        found = {f"network.{name}": values for name, values in self.network.state_dict().items()}
        found |= {f"average.{number}": values for number, values in enumerate(self.average.shadow_params)}
        for number, moments in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{number}.{name}": values for name, values in moments.items()}
        return found

    def _read(self, folder: Path, step: int, steps: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Raises NotIntact where it is not a checkpoint of this run at this step, and what libraries raise on other files."""
        check_sealed(folder)
        held = json.loads(paths.read_regular(folder / STATE))
        if not isinstance(held, dict) or held.get("run") != self.run:
            raise NotIntact("it is of another training run")
        if held.get("step") != step or not 0 < step < steps or type(held.get("average")) is not int:
            raise NotIntact(f"it is not of step {step}")
        tensors = load_file(folder / TENSORS)
        if wrong := sorted(set(_shapes(tensors)) ^ set(self._expected(tensors))):
            raise NotIntact(f"its tensors are not those of this network: {wrong[0]}")
        return tensors, held

    def _expected(self, tensors: dict[str, Tensor]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of all that a checkpoint has; of a parameter that had no gradient yet, the optimiser has nothing."""
        yield from ((f"network.{name}", tuple(values.shape)) for name, values in self.network.state_dict().items())
        parameters = [*self.network.parameters()]
        yield from ((f"average.{number}", tuple(values.shape)) for number, values in enumerate(parameters))
        for number, values in enumerate(parameters):
            if any(f"optimiser.{number}.{name}" in tensors for name in _MOMENTS):
                yield from ((f"optimiser.{number}.{name}", () if name == "step" else tuple(values.shape)) for name in _MOMENTS)


def keep_finished(network: nn.Module, folder: Path, run: dict[str, Any]) -> None:
    """Keeps the weights of a stage that is finished, exactly. `run`: as in `TrainingState`."""

    def write(fresh: Path) -> None:
        save_file(_separate(network.state_dict()), fresh / TENSORS)
        (fresh / STATE).write_text(json.dumps({"run": run}, indent=1) + "\n", encoding="utf-8")

    write_sealed(folder, write)


def take_finished(network: nn.Module, folder: Path, run: dict[str, Any]) -> bool:
    """Takes over what `keep_finished` kept. False where it is not there, or is damaged: then it is removed with one line."""

    def take() -> None:
        if json.loads(paths.read_regular(folder / STATE)) != {"run": run}:
            raise NotIntact("it is of another training run")
        tensors = load_file(folder / TENSORS)
        if set(_shapes(tensors)) != set(_shapes(network.state_dict())):
            raise NotIntact("its tensors are not those of this network")
        network.load_state_dict(tensors)

    return is_finished(folder, take)


def is_finished(folder: Path, take: Callable[[], None] = lambda: None) -> bool:
    """Whether the folder is sealed and intact, and `take` takes it over. One that is not is removed with one line."""
    if not paths.exists(folder):
        return False
    try:
        check_sealed(folder)
        take()
    except Exception as error:
        if refusal_of(error):
            raise
        _discard(folder, error)
        return False
    return True


def _discard(path: Path, error: Exception) -> None:
    words = (str(error).splitlines() or [type(error).__name__])[0]
    notice(f"{path}, left by an interrupted training, cannot be used ({words}): it is removed, and made again")
    paths.delete(path)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}


def _shapes(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[int, ...]]]:
    return ((name, tuple(values.shape)) for name, values in tensors.items())


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each with memory of its own, as safetensors needs them."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, values in tensors.items():
        held = values.detach().cpu().contiguous()
        place = held.untyped_storage().data_ptr()
        found[name] = held.clone() if place in seen and held.numel() else held
        seen.add(place)
    return found
