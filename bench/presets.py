"""Configs of plug-ins: a frozen dataclass whose named instances are presets, and whose fields are options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from bench.errors import UsageError, did_you_mean

Config = TypeVar("Config")


def configure(owner: str, presets: Mapping[str, Config], preset: str, values: Mapping[str, Any]) -> Config:
    """The preset with these values replaced.

    Raises UsageError on an unknown preset and on values that the config refuses, TypeError on a name that is no field.
    """
    if preset not in presets:
        raise UsageError(
            f"{owner} has no preset {preset!r}.{did_you_mean(preset, presets)} Its presets are: {', '.join(presets)}."
        )
    return dataclasses.replace(presets[preset], **values)  # type: ignore[type-var]
