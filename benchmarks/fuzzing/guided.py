"""Fuzzing by hand, guided by coverage: `python -m benchmarks.fuzz --atheris DOOR`, for parsers in Python alone.

atheris is no dependency: install it in an environment of your own. It runs until it is stopped, and writes the input that
raised anything but an error for users into the current folder. Compiled readers (images, weights) are not instrumented: see
`python -m benchmarks.fuzz`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import BenchError, MissingError, did_you_mean

ROOT = Path(__file__).parents[2]
MOST = 4096
"""Bytes of a file to begin with: guided fuzzing goes through short inputs faster."""


def _json(file: Path) -> object:
    from bench.files import json_files

    return json_files.read(file)


def _records(file: Path) -> object:
    from bench.results import schema

    return list(schema.read([file]))


def _policy(file: Path) -> object:
    from leaderboards.gate import policy

    return policy.read(str(file))


def _suite(file: Path) -> object:
    from leaderboards.suites import suite

    return suite.read(file)


def _experiment(file: Path) -> object:
    from bench.measurements import experiment_files

    return experiment_files.read(file)


def _manifest(file: Path) -> object:
    from bench.provenance import manifest

    return manifest.read(file.parent)


def _table(file: Path) -> object:
    from tasks.datasets.index import read_table

    return read_table(file, ("id",), "")


def _index(file: Path) -> object:
    from tasks.datasets.index import read_records

    return read_records(file.parent, "")


def _labels(file: Path) -> object:
    from tasks.datasets.lizard_files import read_labels

    return read_labels(file)


def _entry(file: Path) -> object:
    from bench.jobs.entries import parse

    try:
        return parse(file.read_bytes())
    except ValueError as error:  # which is what it states
        raise MissingError(str(error)) from error


DOORS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "json": ("a.json", _json),
    "records": ("a.jsonl", _records),
    "policy": ("a.toml", _policy),
    "suite": ("a.toml", _suite),
    "experiment": ("a.toml", _experiment),
    "manifest": ("manifest.json", _manifest),
    "table": ("a.csv", _table),
    "index": ("index.csv", _index),
    "labels": ("a.mat", _labels),
    "entry": ("entry.json", _entry),
}
"""Name -> the name of its file, and its parser."""


def read(door: str, content: bytes, folder: Path) -> bool:
    """Whether the content is read; False where it is refused. Raises what is no error for users."""
    name, parse = DOORS[door]
    (folder / name).write_bytes(content)
    try:
        parse(folder / name)
    except BenchError:
        return False
    return True


def main(door: str, arguments: list[str] | None = None) -> int:
    """Runs atheris; `arguments` are those of libFuzzer."""
    if door not in DOORS:
        raise SystemExit(f"no parser {door!r}.{did_you_mean(door, DOORS)} There are: {', '.join(DOORS)}")
    try:
        import atheris
    except ImportError as error:
        raise SystemExit("atheris is not installed: pip install atheris, in an environment of your own") from error
    guided: Any = atheris
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as begun:
        for number, content in enumerate(_valid(door)):
            (Path(begun) / str(number)).write_bytes(content)
        with guided.instrument_imports(include=["bench", "leaderboards", "tasks", "tomllib", "json", "csv"]):
            read(door, b"", Path(folder))  # imports the parser

        def test_one_input(content: bytes) -> None:
            read(door, content, Path(folder))

        guided.Setup([sys.argv[0], begun, *(arguments or [])], test_one_input)
        guided.Fuzz()
    return 0


def _valid(door: str) -> list[bytes]:
    """Files to begin with."""
    tables = [b"id,source,mpp,split\na,s,0.5,train\nb,t,0.5,test\n"]
    shipped = {
        "json": "leaderboards/measured/suites/phantom/*/suite.json",
        "records": "leaderboards/published/*.jsonl",
        "policy": "leaderboards/policies/*.toml",
        "suite": "leaderboards/suites/*.toml",
        "experiment": "tasks/experiments/*/*.toml",
        "entry": "leaderboards/measured/suites/phantom/*/suite.json",
    }
    files = sorted(ROOT.glob(shipped[door])) if door in shipped else []
    return [file.read_bytes()[:MOST] for file in files] or tables
