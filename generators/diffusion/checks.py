"""Checks of generators with weights, with the same messages for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import DamagedError, MissingError, UsageError
from bench.files.json_files import read_object
from bench.files.regular import is_there
from bench.types import Card, Conditions

Model = TypeVar("Model")
LARGEST = 1e30
"""Of a number beside weights: single precision holds no more than 3e38."""


def require_model(card: Card, model: Model | None, verb: str = "work") -> Model:
    """The model. Raises UsageError if there is none yet. `verb`: the requested action, `work` or `save`."""
    if model is None and verb == "save":
        raise UsageError(f"{card.name} has nothing to save: fit it first.")
    if model is None:
        raise UsageError(f"{card.name} has no weights yet: call fit or load first, or use `bench run`.")
    return model


def check_conditions(card: Card, multiple: int, conditions: Conditions) -> None:
    """Raises UsageError where a column that the card needs is missing, or patches have sides that the network cannot take."""
    missing = sorted(set(card.needs) - conditions.columns())
    if missing:
        found = ", ".join(sorted(conditions.columns())) or "none"
        raise UsageError(f"{card.name} needs the condition {', '.join(missing)}; these have {found}.")
    if conditions.size % multiple:
        raise UsageError(
            f"{card.name} takes sides that are multiples of {multiple} px, not {conditions.size}. "
            "Choose the patch size with -o dataset.size=…"
        )


FIT_ADVICE = "Fit it on this data set: bench run --fit."


def check_classes(card: Card, fitted: int, conditions: Conditions, advice: str = FIT_ADVICE) -> None:
    """Raises UsageError, which ends with `advice`, where conditions have another number of classes than the weights."""
    if len(conditions.classes) != fitted:
        raise UsageError(
            f"{card.name} was fitted with {fitted} classes; these conditions have {len(conditions.classes)}: "
            f"{', '.join(conditions.classes)}. {advice}"
        )


MOST_CLASSES = 255
"""Values of a class map, without that of pixels that are not annotated."""
LARGEST_SIDE = 2**14
"""Pixels of the side of a patch."""


@dataclass(frozen=True)
class Notes:
    """What a generator has written beside its weights, in `<name>.json`."""

    file: Path
    held: dict[str, Any]

    def count(self, name: str, least: int, most: int) -> int:
        """A whole number. Raises DamagedError where there is none of this name in these bounds."""
        found = self.held.get(name)
        if type(found) is not int or not least <= found <= most:
            raise self._error(name, f"a whole number from {least} to {most}")
        return found

    def classes(self, least: int = 1) -> int:
        """The number of classes that the weights were fitted with, background among them."""
        return self.count("classes", least, MOST_CLASSES)

    def numbers(self, name: str, length: int) -> list[float]:
        """A list of finite numbers of this length. Raises DamagedError where there is none of this name."""
        found = self.held.get(name)
        if not isinstance(found, list) or len(found) != length or not all(type(n) in (int, float) for n in found):
            raise self._error(name, f"a list of {length} numbers")
        if not all(abs(number) < LARGEST for number in found):
            raise self._error(name, f"a list of {length} numbers of less than {LARGEST:g}")
        return [float(number) for number in found]

    def _error(self, name: str, wanted: str) -> DamagedError:
        found = f"{self.held[name]!a:.60}" if name in self.held else "nothing"
        return DamagedError(f"{self.file} is damaged: {name} is {wanted}, found {found}. Fit again: bench fit.")


def read_notes(card: Card, folder: Path) -> Notes:
    """The notes in a folder of weights. Raises MissingError if they are absent, DamagedError if they are no JSON object."""
    file = folder / f"{card.name}.json"
    if not is_there(file):
        raise MissingError(f"no weights of {card.name} in {folder}: expected {file.name}. Fit with bench fit.")
    return Notes(file, read_object(file, "notes of weights"))
