"""What plug-ins return, checked before it enters the store: type, shape, number of rows, finite values."""

from __future__ import annotations

import math
from typing import Any, Protocol, get_args, runtime_checkable

import numpy as np

from bench.errors import UsageError
from bench.types import NOT_ANNOTATED, Conditions, Direction, ImageSet

_ROWS_AT_ONCE = 256


@runtime_checkable
class _Array(Protocol):
    """An array in memory or in a file."""

    dtype: Any
    shape: Any


def check_counts(owner: str, counts: Any, rows: int) -> None:
    """Raises UsageError unless these are finite numbers (rows, c)."""
    wanted = f"finite numbers ({rows}, columns), a row for each patch"
    if not isinstance(counts, np.ndarray) or counts.dtype.kind not in "fiub":
        found = f"{counts.dtype} {counts.shape}" if isinstance(counts, np.ndarray) else type(counts).__name__
        raise UsageError(f"{owner} counted {found}; {wanted}, are needed.")
    if counts.ndim != 2 or len(counts) != rows or not counts.shape[1]:
        raise UsageError(f"{owner} counted {counts.dtype} {counts.shape}; {wanted}, are needed.")
    if wrong := int((~np.isfinite(counts).all(axis=1)).sum()):
        raise UsageError(f"{owner} gave NaN or infinite counts for {wrong} of {rows} patches; {wanted}, are needed.")


def check_direction(owner: str, direction: Any) -> None:
    """Raises ValueError, as an error of the plug-in and not of the user, unless it is `lower` or `higher`."""
    if direction not in get_args(Direction):
        raise ValueError(f"{owner} declares the direction {direction!r}; it is one of {', '.join(get_args(Direction))}.")


def check_number(owner: str, value: Any) -> float:
    """The value as a float. UsageError if it is no number; NaN is one."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        found = f"an array {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise UsageError(f"{owner} gave {found}, not a number. See: bench check.")
    return float(value)


def check_patches(owner: str, patches: Any, what: str = "split") -> None:
    """Raises UsageError unless these are patches with conditions, each column with its type and a row for each patch."""
    if not isinstance(patches, ImageSet) or not isinstance(patches.conditions, Conditions):
        raise UsageError(f"{owner}: {what} gave {type(patches).__name__}, not an ImageSet.")
    conditions = patches.conditions
    _check_texts(owner, conditions.ids, "ids")
    n, size = len(conditions.ids), conditions.size
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise UsageError(f"{owner}: size is {size!r}, not a whole number of pixels.")
    if isinstance(conditions.mpp, bool) or not isinstance(conditions.mpp, int | float):
        raise UsageError(f"{owner}: mpp is {conditions.mpp!r}, not a number of microns per pixel.")
    if not all(isinstance(name, str) for name in conditions.classes):
        raise UsageError(f"{owner}: classes are {conditions.classes!r}, not names.")
    if len(set(conditions.ids.tolist())) < n:
        raise UsageError(f"{owner}: two patches have the same id.")
    _check_array(owner, "images", patches.images, np.uint8, (n, size, size, 3))
    for name in ("groups", "texts", "origins", "clusters"):
        if (values := vars(conditions)[name]) is not None:
            _check_texts(owner, values, name, n)
    for name, dtype, shape in (
        ("masks", np.uint8, (n, size, size)),
        ("instances", np.int32, (n, size, size)),
        ("types", np.uint8, (n, size, size)),
        ("labels", np.int64, (n,)),
        ("corners", np.int64, (n, 2)),
    ):
        if (values := vars(conditions)[name]) is not None:
            _check_array(owner, name, values, dtype, shape)
    if (masks := conditions.masks) is not None:
        _check_classes(owner, masks, len(conditions.classes))


def check_layouts(owner: str, made: Any, asked: Conditions) -> None:
    """Raises UsageError unless these are layouts of the conditions that were asked for."""
    if not isinstance(made, Conditions):
        raise UsageError(f"{owner} sampled {type(made).__name__}, not Conditions. See: bench check.")
    if not np.array_equal(made.ids, asked.ids) or not np.array_equal(made.groups, asked.groups):
        raise UsageError(f"{owner} returns other ids or groups than it was asked for. See: bench check.")
    if (made.size, tuple(made.classes)) != (asked.size, tuple(asked.classes)):
        raise UsageError(
            f"{owner} samples {made.size} px of {made.classes}; {asked.size} px of {asked.classes} were asked for."
        )
    shape = (len(asked), asked.size, asked.size)
    for name, dtype in (("masks", np.uint8), ("instances", np.int32), ("types", np.uint8)):
        if (values := vars(made)[name]) is not None:
            _check_array(owner, name, values, dtype, shape)
    if made.masks is not None:
        _check_classes(owner, made.masks, len(asked.classes))


def is_bound(value: Any) -> bool:
    """Whether it is the smallest or largest value that a measure may have."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _check_array(owner: str, name: str, values: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    found = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, _Array) else type(values).__name__
    if found != f"{np.dtype(dtype)} {shape}":
        raise UsageError(f"{owner}: {name} is {found}; it must be {np.dtype(dtype)} {shape}.")


def _check_texts(owner: str, values: Any, name: str, n: int | None = None) -> None:
    is_text = isinstance(values, np.ndarray) and values.dtype.kind == "U" and values.ndim == 1
    if not is_text or n not in (None, len(values)):
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise UsageError(f"{owner}: {name} is {found}; it must be str ({'n' if n is None else n},).")


def _check_classes(owner: str, masks: Any, classes: int) -> None:
    """A few rows at a time: they may be larger than memory."""
    for start in range(0, len(masks), _ROWS_AT_ONCE):
        part = np.asarray(masks[start : start + _ROWS_AT_ONCE])
        if ((part >= classes) & (part != NOT_ANNOTATED)).any():
            raise UsageError(f"{owner}: masks hold classes beyond the {classes} named ones and {NOT_ANNOTATED}.")
