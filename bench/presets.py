"""Options of plug-ins: their conversion from text, and configs, frozen dataclasses whose named instances are presets and
whose fields are options."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench.errors import UsageError, did_you_mean
from bench.messages import shorten

Config = TypeVar("Config")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def configure(owner: str, presets: Mapping[str, Config], preset: str, values: Mapping[str, Any]) -> Config:
    """The preset with these values replaced.

    Raises UsageError on an unknown preset and on values that the config refuses, TypeError on a name that is no field.
    """
    if preset not in presets:
        raise UsageError(
            f"{owner} has no preset {preset!r}.{did_you_mean(preset, presets)} Its presets are: {', '.join(presets)}."
        )
    return dataclasses.replace(presets[preset], **values)  # type: ignore[type-var]


class Declared(Protocol):
    """An option as its owner declares it: `inspect.Parameter` is one."""

    @property
    def name(self) -> str: ...
    @property
    def annotation(self) -> Any: ...


@dataclass(frozen=True)
class Option:
    """A declared option that is no parameter of a constructor."""

    name: str
    annotation: Any


def convert(owner: str, parameter: Declared, value: Any) -> Any:
    """One option value, converted from a string by the annotation. UsageError, with the accepted values, if that fails."""
    accepted = accepted_types(parameter.annotation)
    if not isinstance(value, str):
        if not _is_finite(value):
            raise UsageError(f"{owner!r}: option {parameter.name} takes finite numbers, not {value!r}.{_most(accepted)}")
        return value
    for kind in accepted:
        try:
            return _parse(kind, value)
        except ValueError:
            continue
    wanted = " or ".join(_spell(kind) for kind in accepted)
    near = [str(choice) for kind in accepted if typing.get_origin(kind) is typing.Literal for choice in kind.__args__]
    raise UsageError(
        f"{owner!r}: option {parameter.name} takes {wanted}, not {shorten(value)!r}.{did_you_mean(value[:80], near)}"
        f"{_most(accepted)}"
    )


def _most(accepted: tuple[Any, ...]) -> str:
    return f" Numbers are at most {LARGEST:g}." if {int, float}.intersection(accepted) else ""


def accepted_types(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        # str accepts everything, so it is tried last
        return tuple(sorted(typing.get_args(annotation), key=lambda kind: kind is str))
    return (annotation,)


def _parse(kind: Any, value: str) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        for choice in kind.__args__:
            if str(choice) == value:
                return choice
        raise ValueError(value)
    if kind is bool:
        if value.lower() not in _BOOLEANS:
            raise ValueError(value)
        return _BOOLEANS[value.lower()]
    if kind is type(None):
        if value.lower() == "none":
            return None
        raise ValueError(value)
    if typing.get_origin(kind) is tuple:
        return tuple(_parse(typing.get_args(kind)[0], part) for part in value.split(","))
    parsed = kind(value) if callable(kind) else value
    if not _is_finite(parsed):
        raise ValueError(value)
    return parsed


LARGEST = 1e15
"""No option of a plug-in is larger: beyond this, whole numbers do not fit into what they are given to."""


def _is_finite(value: Any) -> bool:
    """False for NaN, infinity and numbers beyond `LARGEST`, and for tuples with one: range checks by comparison would let NaN
    pass."""
    if isinstance(value, tuple | list):
        return all(map(_is_finite, value))
    return not isinstance(value, int | float) or abs(value) <= LARGEST  # False for NaN


def _spell(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " | ".join(str(choice) for choice in kind.__args__)
    return {int: "a whole number", float: "a number", bool: "true or false", Path: "a path", str: "text"}.get(
        kind, "none" if kind is type(None) else str(kind)
    )
