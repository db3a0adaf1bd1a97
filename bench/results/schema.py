"""Result records: one number each, with its interval, its protocol and its provenance, as one JSON object a line."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.errors import MissingError
from bench.files.regular import check_regular, is_folder, is_there
from bench.files.text import write_text
from bench.results.terms import Reason, State, Status

SCHEMA = 1
RUN, VERIFIED = "results.jsonl", "verified.jsonl"
"""The file that a run writes, and the one that `bench verify --mark` writes beside it."""
NO_SOURCES = (
    f"{Reason.SOURCES_UNKNOWN}: the data do not tell which images are of one slide or patient, so there is no interval and no "
    "test. Add a column patient, case or slide to index.csv"
)


@dataclass(frozen=True, slots=True)
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


FIELDS = tuple(field.name for field in fields(ResultRecord))


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
    return json.dumps({name: getattr(record, name) for name in FIELDS}, allow_nan=False)


def write(results: Iterable[ResultRecord], path: Path) -> None:
    """Writes a whole file of records at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(to_json(result) + "\n" for result in results))


def read(paths: Iterable[Path]) -> Iterator[ResultRecord]:
    """Every record of the files. Raises DamagedError, with file and line number, on a line that is no record."""
    yield from (record for _, _, record in read_numbered(paths))


def read_numbered(paths: Iterable[Path]) -> Iterator[tuple[Path, int, ResultRecord]]:
    """The records of the files with file and line number; raises DamagedError as `read` does."""
    from bench.results.parsing import Parser  # not at the top: only what reads records needs a parser

    parser = Parser()
    for path in paths:
        for number, record in parser.read_numbered(path):
            yield path, number, record


def files(places: Iterable[Path]) -> list[Path]:
    """The .jsonl files among the places and below them, each once; raises MissingError where there is none.

    If `bench verify --mark` wrote the records of a run again with their state, those are read instead.
    """
    asked = list(places)
    found = [file for place in asked for file in (_below(place) if is_folder(place) else [place])]
    if not found:
        raise MissingError(
            f"no result records in {', '.join(map(str, asked))}. Make some: bench run --generator ldm-prompt --task cam16-seg"
        )
    if absent := [str(file) for file in found if not is_there(file)]:
        raise MissingError(f"no file or folder {', '.join(absent)}. Give those that a run wrote: bench run … --out DIR")
    for file in found:
        check_regular(file, "file of result records")
    return list({file.resolve(): file for file in found}.values())


def _below(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.jsonl"))
    known = set(found)
    return [file for file in found if file.name != RUN or file.with_name(VERIFIED) not in known]
