"""The types of a manifest that comes from a file: what verify, merge and export read of it."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, TypedDict

from bench.config import RunConfig


class Sample(TypedDict):
    """A generated set, without the digests of its patches."""

    generator: str
    seed: int
    part: Literal["test", "pool"]
    key: str
    digest: str


class WeightFiles(TypedDict, total=False):
    """Weights that the run used."""

    digest: str
    origin: str
    files: dict[str, str]


class Environment(TypedDict, total=False):
    """The part of the environment with an inner form."""

    versions: dict[str, Any]


class Described(TypedDict):
    """The plug-ins of the run."""

    generators: dict[str, dict[str, Any]]
    encoders: dict[str, dict[str, Any]]
    metrics: list[dict[str, Any]]
    task: dict[str, Any]
    prompts: dict[str, Any]


class Manifest(TypedDict):
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
        _adapter(Manifest).validate_python(held, strict=True)
        _adapter(RunConfig).validate_python(vars(RunConfig.from_json(held["config"])))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if unnamed := [entry for entry in held["described"]["metrics"] if not isinstance(entry.get("name"), str)]:
        return f"described.metrics: {ascii(unnamed[0]):.60} has no name"
    return ""


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
