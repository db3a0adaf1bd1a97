"""Checks of generators with weights, with the same messages for all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import MissingError, UsageError
from bench.types import Card, Conditions

Model = TypeVar("Model")


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


def check_classes(card: Card, fitted: int, conditions: Conditions) -> None:
    """Raises UsageError where conditions have another number of classes than the weights."""
    if len(conditions.classes) != fitted:
        raise UsageError(
            f"{card.name} was fitted with {fitted} classes; these conditions have {len(conditions.classes)}: "
            f"{', '.join(conditions.classes)}. Fit it on this data set: bench run --fit."
        )


def read_notes(card: Card, folder: Path) -> dict[str, Any]:
    """The content of `<name>.json` in a folder of weights. Raises MissingError if it is absent."""
    file = folder / f"{card.name}.json"
    if not file.is_file():
        raise MissingError(f"no weights of {card.name} in {folder}: expected {file.name}. Fit with bench fit.")
    held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return held
