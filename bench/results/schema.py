"""Result records: one number each, with its interval, its protocol and its provenance, as one JSON object a line."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import MissingError
from bench.files.text import write_text
from bench.results.terms import FitOrigin, Reason, State, Status

SCHEMA = 1
RUN, VERIFIED = "results.jsonl", "verified.jsonl"
"""The file that a run writes, and the one that `bench verify --mark` writes beside it."""
W = TypeVar("W", bound=StrEnum)
NO_SOURCES = (
    f"{Reason.SOURCES_UNKNOWN}: the data do not tell which images are of one slide or patient, so there is no interval and no "
    "test. Add a column patient, case or slide to index.csv"
)


@dataclass(frozen=True)
class ResultRecord:
    """A planned number: a value, or the reason why there is none."""

    generator: str
    dataset: str
    prompt_source: str
    """`self`, `slide` or `cohort`; `none` for a generator that is shown no crop."""
    task: str
    measure: str
    direction: str
    protocol: str
    """Key of everything that two numbers must share to be ranked: data, split, n, encoder, metric or task with options."""
    status: Status = Status.OK
    reason: str = ""
    """Why there is no number, or no interval."""
    encoder: str = ""
    mix: str = ""
    seed: int = 0
    value: float | None = None
    low: float | None = None
    """Bounds of the 95 % interval over slides; None where there is none, for `reason`."""
    high: float | None = None
    least: float | None = None
    """Smallest and largest possible value of the measure; intervals are cut to them. None if there is none."""
    most: float | None = None
    n: int = 0
    """Generated patches, or test patches of a downstream score."""
    n_real: int = 0
    groups: int = 0
    """Slides that the interval resamples."""
    replicates: tuple[float, ...] = ()
    """The value without each block of slides (`bench.statistics.Blocks`), for comparisons in pairs."""
    freedom: float | None = None
    """Degrees of freedom of the interval over slides, fewer than the blocks less one if slides are of unequal size. None if
    there is no such interval, and in records of earlier versions."""
    state: State = State.MEASURED
    source: str = ""
    """Of a reported number: paper and table."""
    suspect: str = ""
    """Why a reported number is doubtful; empty if it is not."""
    flags: tuple[str, ...] = ()
    """Members of `terms.Flag`."""
    described: dict[str, Any] = field(default_factory=dict)
    """Name, version, options and digest of generator, encoder, metric and task."""
    keys: dict[str, str] = field(default_factory=dict)
    """Cache keys of the data, weights and samples behind the number, and of the method that its fits share."""
    fit: dict[str, str] = field(default_factory=dict)
    """The weights of the generator behind the number: `origin` (of `terms.FitOrigin`), `seed` of the training where it is
    known, and `weights`, the digest of their files. Empty in records of earlier versions."""
    stamp: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


def unit_of(result: ResultRecord) -> str:
    """Plural noun for what `groups` counts: patients, slides, images; slides if the record does not state it."""
    dataset = result.described.get("dataset")
    return str(dataset.get("unit", "slides")) if isinstance(dataset, dict) else "slides"


def population_of(result: ResultRecord) -> str:
    """The population that its interval describes: "other slides of the same 4 laboratories"; empty if the record has none."""
    dataset = result.described.get("dataset")
    return str(dataset.get("population", "")) if isinstance(dataset, dict) else ""


def stamp() -> dict[str, str]:
    """When and with what a record was made."""
    stamped = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version()}
    for package in ("histobench", "numpy", "torch", "diffusers", "timm", "segmentation-models-pytorch"):
        try:
            stamped[package] = version(package)
        except PackageNotFoundError:
            stamped[package] = "absent"
    return {**stamped, "machine": f"{platform.system()} {platform.machine()}"}


def to_json(record: ResultRecord) -> str:
    """The result as one JSON object."""
    return json.dumps(asdict(record), allow_nan=False)


def write(results: Iterable[ResultRecord], path: Path) -> None:
    """Writes a whole file of records at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(to_json(result) + "\n" for result in results))


def read(paths: Iterable[Path]) -> Iterator[ResultRecord]:
    """Every record of the files. Raises MissingError, with file and line number, on a line that is no record."""
    for path in paths:
        yield from (record for _, record in read_numbered(path))


def read_numbered(path: Path) -> Iterator[tuple[int, ResultRecord]]:
    """The records of one file with their line numbers; raises MissingError as `read` does."""
    try:
        held = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MissingError(f"{path} is not a file of result records: {error}.") from error
    # not splitlines: it also splits at characters such as U+2028, which other programs may write unescaped
    for number, text in enumerate(held.split("\n"), start=1):
        if text.strip():
            yield number, _parse(text, f"{path}:{number}")


def files(places: Iterable[Path]) -> list[Path]:
    """The .jsonl files among the places and below them, each once; raises MissingError where there is none.

    If `bench verify --mark` wrote the records of a run again with their state, those are read instead.
    """
    asked = list(places)
    found = [file for place in asked for file in (_below(place) if place.is_dir() else [place])]
    if not found:
        raise MissingError(
            f"no result records in {', '.join(map(str, asked))}. Make some: bench run --generator ldm-prompt --task cam16-seg"
        )
    if absent := [str(file) for file in found if not file.is_file()]:
        raise MissingError(f"no file or folder {', '.join(absent)}. Give those that a run wrote: bench run … --out DIR")
    return list({file.resolve(): file for file in found}.values())


def _below(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.jsonl"))
    return [file for file in found if file.name != RUN or file.with_name(VERIFIED) not in found]


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(ResultRecord)


def check_fields(record: ResultRecord, where: str) -> ResultRecord:
    """The record with checked types of all fields. Raises MissingError, with the place, if one is wrong."""
    from pydantic import ValidationError

    try:
        typed: ResultRecord = _adapter().validate_python(vars(record))
    except ValidationError as error:
        first = error.errors()[0]
        raise MissingError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    if typed.direction not in ("lower", "higher", "none", ""):
        raise MissingError(f"{where}: direction {typed.direction!r}; known are lower, higher and none.")
    return typed


def _complete_encoder(held: dict[str, Any]) -> Any:
    """The encoder with the network of its library: older records have `timm` for each of its networks."""
    named = held.get("encoder", "")
    found = held.get("described")
    for name in ("encoder", "options", "name"):
        if not isinstance(found, dict) or (name == "options" and found.get("name") != named):
            return named
        found = found.get(name)
    return f"{named}:{found}" if found else named


def _read_member(words: type[W], field: str, found: Any, where: str) -> W:
    """The member of an enum in a field of a record."""
    try:
        return words(found)
    except (ValueError, TypeError):  # TypeError: of a list, which no dictionary of members can look up
        raise MissingError(f"{where}: {field} {found!r}; known are {', '.join(words)}.") from None


def _parse(text: str, where: str) -> ResultRecord:
    try:
        held = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MissingError(f"{where} is not JSON: {error}.") from error
    if not isinstance(held, dict) or held.get("schema") != SCHEMA:
        found = held.get("schema") if isinstance(held, dict) else type(held).__name__
        raise MissingError(f"{where} is not a result record of schema {SCHEMA}: found {found!r}.")
    known = {f.name for f in fields(ResultRecord)}
    required = {"generator", "dataset", "prompt_source", "task", "measure", "direction", "protocol"}
    if wrong := sorted((set(held) - known) | (required - set(held))):
        raise MissingError(f"{where}: unknown or missing fields {', '.join(wrong)}.")
    held["status"] = status = _read_member(Status, "status", held.get("status", Status.OK), where)
    held["state"] = _read_member(State, "state", held.get("state", State.MEASURED), where)
    if (held.get("value") is None) == (status == Status.OK):
        raise MissingError(f"{where}: a record has a value exactly when its status is ok.")
    fit = held.get("fit", {})
    if not isinstance(fit, dict) or not all(isinstance(value, str) for value in fit.values()):
        raise MissingError(f"{where}: fit is an object of texts, not {fit!r}.")
    if fit:
        _read_member(FitOrigin, "fit.origin", fit.get("origin"), where)
    lists = {name: held.get(name, []) for name in ("flags", "replicates")}
    if wrong := [name for name, found in lists.items() if not isinstance(found, list)]:
        raise MissingError(f"{where}: {wrong[0]} is a list, not {lists[wrong[0]]!r}.")
    held["encoder"] = _complete_encoder(held)
    return ResultRecord(**{**held, **{name: tuple(found) for name, found in lists.items()}})
