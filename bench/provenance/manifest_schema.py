"""The types of a manifest that comes from a file: what verify, merge and export read of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from bench.config import RunConfig
from bench.errors import BenchError


@dataclass(frozen=True)
class Sample:
    """A generated set, without the digests of its patches."""

    generator: str
    seed: int
    part: Literal["test", "pool"]
    key: str
    digest: str


@dataclass(frozen=True)
class WeightFiles:
    """Weights that the run used."""

    digest: str = ""
    origin: str = ""
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Environment:
    """The part of the environment that has an inner form."""

    versions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Named:
    """A metric."""

    name: str


@dataclass(frozen=True)
class Described:
    """The plug-ins of the run."""

    generators: dict[str, dict[str, Any]]
    encoders: dict[str, dict[str, Any]]
    metrics: list[Named]
    task: dict[str, Any]
    prompts: dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """The parts that are read; further ones are for people."""

    config: dict[str, Any]
    described: Described
    environment: Environment
    data: dict[str, Any]
    weights: dict[str, WeightFiles]
    samples: list[Sample]
    files: dict[str, str]


def find_fault(held: dict[str, Any]) -> str:
    """The first place whose value has a wrong type, and what is wrong; empty if none has."""
    from pydantic import ValidationError

    try:
        _adapter(Manifest).validate_json(json.dumps(held), strict=True)
        _adapter(RunConfig).validate_python(vars(RunConfig.from_json(held["config"])))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (BenchError, TypeError) as error:  # of fields that are missing, or that this version lacks
        return f"config: {error}".rstrip(".")
    return ""


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
